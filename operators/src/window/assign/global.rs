//! One window for everything, and windows by number of records.

use super::{Clock, Windows};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;

/// One window per key, without an end: a trigger says when it fires, and if it then begins anew
/// ([`PurgingTrigger`](crate::window::PurgingTrigger)). It ends with the input.
///
/// Its results carry the stretch of event time that its records lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Global;

impl<V> Windows<V> for Global {
    const CLOCK: Clock = Clock::None;

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn describe(&self) -> String {
        "a global window".into()
    }

    #[inline]
    fn assign(&self, _: EventTime, _: &V, _: &mut Vec<Window>) -> Result<(), BoxError> {
        Ok(()) // there is only one, and everything is in it
    }
}
