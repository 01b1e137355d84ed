//! Windows: groups of records by time, by number, or by hand.
//!
//! A keyed stream is cut into windows in stages, so that only what makes sense compiles: which windows
//! ([`Windows`]), when they fire ([`WindowTrigger`]), what is thrown out before ([`Evictor`]), how long late
//! records are taken, and then what to compute. [`WindowedStream`] has the stages; most jobs use two of them:
//!
//! ```
//! # use millstream_operators::{KeyedStream, Sliding, Stream, Windowed};
//! # use std::time::Duration;
//! fn per_minute(clicks: &KeyedStream<String, u64>) -> Stream<Windowed<String, u64>> {
//!     clicks.window(Sliding::of(Duration::from_secs(60), Duration::from_secs(10))).count()
//! }
//! ```
//!
//! Plain event-time windows with incremental aggregates have operators of their own (`tumbling.rs`,
//! `sliced.rs`); all others run on one general operator (`operator/`).

mod assign;
mod evictor;
mod function;
mod operator;
mod output_mode;
mod plan;
mod running;
mod sliced;
mod slicing;
mod stream;
mod trigger;
mod tumbling;

pub use assign::{
    Clock, CountWindow, Cumulating, EventTimeWindows, Global, ProcessingTime, Session, Sliding,
    SlidingCountWindow, TakesTrigger, Tumbling, Windows,
};
pub use evictor::{CountEvictor, DeltaEvictor, Evictor, EvictorContext, TimeEvictor};
pub use function::{Timing, WindowContext};
pub use output_mode::OutputMode;
pub use plan::{Evicted, Triggered, Windowing};
pub use stream::{LateRecords, LateWindowedStream, WindowResults, WindowedStream};
pub use trigger::{
    AllTrigger, AnyTrigger, ContinuousTrigger, CountTrigger, DeltaTrigger, EventTimeTrigger,
    ProcessingTimeTrigger, PurgingTrigger, StagedTrigger, TriggerContext, TriggerResult,
    TriggerState, WindowTrigger,
};
#[cfg(test)]
pub(crate) use tumbling::TumblingOperator;

use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A stretch of time: from `start` to before `end`, in milliseconds since the Unix epoch.
///
/// At the ends of the range of [`EventTime`] a window is cut off: it begins at `i64::MIN` or ends at
/// `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// The first time in the window.
    pub start: EventTime,
    /// The first time behind it.
    pub end: EventTime,
}

impl Window {
    /// All of time.
    pub const ALL: Window = Window {
        start: EventTime::MIN,
        end: EventTime::MAX,
    };

    /// The window of one moment.
    pub(crate) fn at(time: EventTime) -> Window {
        Window {
            start: time,
            end: time.saturating_add(1),
        }
    }

    /// The window from the beginning of the earlier to the end of the later of two.
    pub(crate) fn cover(self, other: Window) -> Window {
        Window {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The last time in the window: the event time of its results.
    #[inline]
    pub fn last(&self) -> EventTime {
        self.end.saturating_sub(1)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A result of a window. Its event time is the last one in the window: `window.end - 1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windowed<K, R> {
    /// The window.
    pub window: Window,
    /// The key.
    pub key: K,
    /// The result.
    pub value: R,
}

#[cfg(test)]
mod tests;
