//! Windows by number of records.

use super::{Clock, Global, Windows};
use crate::window::Window;
use crate::window::evictor::{CountEvictor, KeepAll};
use crate::window::plan::Windowing;
use crate::window::trigger::{CountTrigger, PurgingTrigger};
use millstream_runtime::error::BoxError;
use millstream_runtime::record::Data;
use millstream_runtime::time::EventTime;
use std::sync::Arc;

/// Windows of `n` records of a key each, one after the other. One that is not full at the end of input gives no
/// result.
///
/// Results carry the stretch of event time that their records lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountWindow {
    size: u64,
}

/// The last `n` records of a key, at every `slide`th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingCountWindow {
    size: u64,
    slide: u64,
}

impl CountWindow {
    /// Windows of `n` records; a job with zero does not start.
    pub fn of(n: u64) -> Self {
        CountWindow { size: n }
    }

    /// At every `slide`th record of a key, a window of its last `n`: of fewer at its beginning. A job with zero does
    /// not start.
    pub fn sliding(n: u64, slide: u64) -> SlidingCountWindow {
        SlidingCountWindow { size: n, slide }
    }
}

macro_rules! as_windows {
    ($name:ident) => {
        impl<V> Windows<V> for $name {
            const CLOCK: Clock = Clock::None;

            fn check(&self) -> Result<(), String> {
                self.settings().iter().try_for_each(|(what, n)| match n {
                    0 => Err(format!(
                        "the {what} of a count window must be at least 1 record"
                    )),
                    _ => Ok(()),
                })
            }

            fn warning(&self) -> Option<String> {
                self.skips()
            }

            fn describe(&self) -> String {
                self.words()
            }

            #[inline]
            fn assign(
                &self,
                time: EventTime,
                value: &V,
                windows: &mut Vec<Window>,
            ) -> Result<(), BoxError> {
                Global.assign(time, value, windows)
            }
        }
    };
}

as_windows!(CountWindow);
as_windows!(SlidingCountWindow);

impl CountWindow {
    fn settings(&self) -> [(&'static str, u64); 1] {
        [("size", self.size)]
    }

    fn skips(&self) -> Option<String> {
        None
    }

    fn words(&self) -> String {
        format!("windows of {} records", self.size)
    }
}

impl SlidingCountWindow {
    fn settings(&self) -> [(&'static str, u64); 2] {
        [("size", self.size), ("slide", self.slide)]
    }

    fn skips(&self) -> Option<String> {
        (self.slide > self.size).then(|| {
            format!(
                "windows of {} records slide by {}: records in between are in no result",
                self.size, self.slide
            )
        })
    }

    fn words(&self) -> String {
        format!("the last {} records, every {}", self.size, self.slide)
    }
}

impl<V: Data> Windowing<V> for CountWindow {
    type Windows = Self;
    type Trigger = PurgingTrigger<CountTrigger>;
    type Evictor = KeepAll;

    fn windows(&self) -> &Self {
        self
    }

    fn trigger(&self) -> Arc<Self::Trigger> {
        Arc::new(PurgingTrigger::of(CountTrigger::of(self.size)))
    }

    fn evictor(&self) -> Arc<KeepAll> {
        Arc::new(KeepAll)
    }
}

impl<V: Data> Windowing<V> for SlidingCountWindow {
    type Windows = Self;
    type Trigger = CountTrigger;
    type Evictor = CountEvictor;

    fn windows(&self) -> &Self {
        self
    }

    fn trigger(&self) -> Arc<CountTrigger> {
        Arc::new(CountTrigger::of(self.slide))
    }

    fn evictor(&self) -> Arc<CountEvictor> {
        Arc::new(CountEvictor::of(self.size))
    }
}
