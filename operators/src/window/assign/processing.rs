//! Windows of processing time.

use super::{Clock, Cumulating, Session, Sliding, Tumbling, Windows};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;

/// Time windows in processing time: a record belongs to the windows of the moment at which it is processed, and
/// they fire when the clock comes to their end, or when the input ends. No record is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessingTime<W>(W);

impl<V, W: Windows<V>> Windows<V> for ProcessingTime<W> {
    const CLOCK: Clock = Clock::Processing;
    const MERGES: bool = W::MERGES;

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn warning(&self) -> Option<String> {
        self.0.warning()
    }

    fn describe(&self) -> String {
        format!("{} in processing time", self.0.describe())
    }

    #[inline]
    fn assign(&self, now: EventTime, value: &V, windows: &mut Vec<Window>) -> Result<(), BoxError> {
        self.0.assign(now, value, windows)
    }
}

macro_rules! by_the_clock {
    ($($windows:ident $(<$gap:ident>)?),*) => {$(
        impl $(<$gap>)? $windows $(<$gap>)? {
            /// The same windows in processing time.
            pub fn processing_time(self) -> ProcessingTime<Self> {
                ProcessingTime(self)
            }
        }
    )*};
}

by_the_clock!(Tumbling, Sliding, Cumulating, Session<G>);
