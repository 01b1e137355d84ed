//! Which windows a record belongs to: one kind of windows a file.

mod aligned;
mod count;
mod cumulating;
mod global;
mod processing;
mod session;
mod sliding;
mod tumbling;

pub use count::{CountWindow, SlidingCountWindow};
pub use cumulating::Cumulating;
pub use global::Global;
pub use processing::ProcessingTime;
pub use session::{FixedGap, GapOf, Session};
pub use sliding::Sliding;
pub use tumbling::Tumbling;

use super::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;
use std::time::Duration;

/// What ends the windows of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The watermark: records are placed by their event time.
    Event,
    /// The clock on the wall: records are placed by the time at which they are processed.
    Processing,
    /// Nothing but a trigger.
    None,
}

/// A kind of windows over records of type `V`: [`Tumbling`], [`Sliding`], [`Session`], [`Cumulating`],
/// [`CountWindow`], [`Global`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no kind of windows over records of `{V}`",
    label = "expected `Tumbling`, `Sliding`, `Session`, `Cumulating`, `CountWindow` or `Global`"
)]
pub trait Windows<V>: Clone + Send + Sync + 'static {
    /// What ends them.
    #[doc(hidden)]
    const CLOCK: Clock;

    /// Whether a record may make two windows into one.
    #[doc(hidden)]
    const MERGES: bool = false;

    /// What is wrong with the settings, if anything: no job starts with it.
    #[doc(hidden)]
    fn check(&self) -> Result<(), String>;

    /// What is legal but hardly meant.
    #[doc(hidden)]
    fn warning(&self) -> Option<String> {
        None
    }

    /// Its settings in words.
    #[doc(hidden)]
    fn describe(&self) -> String;

    /// Appends the windows of a record, those that end first in front.
    #[doc(hidden)]
    fn assign(&self, time: EventTime, value: &V, windows: &mut Vec<Window>)
    -> Result<(), BoxError>;
}

/// Windows that event time ends: records may be late for them.
#[diagnostic::on_unimplemented(
    message = "no record is late for `{Self}`",
    label = "lateness is a matter of windows that the watermark ends",
    note = "`Tumbling`, `Sliding`, `Session` and `Cumulating` windows have it, unless in processing time"
)]
pub trait EventTimeWindows {}

/// Windows that fire as any trigger says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no trigger",
    label = "these windows fire when they are full, or have a trigger already",
    note = "a trigger comes before an evictor; for one of your own by number take `Global`"
)]
pub trait TakesTrigger {}

impl TakesTrigger for Tumbling {}
impl TakesTrigger for Sliding {}
impl TakesTrigger for Cumulating {}
impl TakesTrigger for Global {}
impl<G> TakesTrigger for Session<G> {}
impl<W> TakesTrigger for ProcessingTime<W> {}

/// Whole milliseconds; what is longer than the range of time is as long as it.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A setting that must be at least a millisecond.
fn at_least_1_ms(what: &str, ms: i64) -> Result<(), String> {
    match ms {
        1.. => Ok(()),
        _ => Err(format!("{what} must be at least 1 ms")),
    }
}

/// Milliseconds as people read them.
pub(crate) fn words(ms: i64) -> String {
    format!("{:?}", Duration::from_millis(ms.unsigned_abs()))
}

/// A note on an offset, if there is one.
fn offset_words(offset_ms: i64) -> String {
    match offset_ms {
        0 => String::new(),
        ms => format!(", offset {}", words(ms)),
    }
}
