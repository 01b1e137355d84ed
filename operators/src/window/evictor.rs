//! Evictors: what is thrown out of a window when it fires, before the function sees its records or after.
//!
//! A window with an evictor keeps all its records, and computes its result from those that are left. What is
//! thrown out is gone for the firings that follow, too; when nothing is left there is no result.

use super::Window;
use super::assign::{millis, words};
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, Watermark};
use std::time::Duration;

/// The window that fires, and what time it is there.
#[derive(Clone, Copy, Debug)]
pub struct EvictorContext {
    /// The window; [`Window::ALL`] when it has no bounds.
    pub window: Window,
    /// The operator's watermark.
    pub watermark: Watermark,
    /// Processing time in milliseconds since the Unix epoch.
    pub now_ms: EventTime,
}

/// Throws records out of windows over values of type `V`. The records stand in the order in which the function
/// sees them: in event-time windows by event time, in others as they arrived.
///
/// ```
/// # use millstream_operators::window::{Evictor, EvictorContext};
/// # use millstream_runtime::record::Record;
/// /// Leaves out zeros.
/// struct NoZeros;
///
/// impl Evictor<u64> for NoZeros {
///     fn before(&self, records: &mut Vec<Record<u64>>, _: &EvictorContext) {
///         records.retain(|record| record.value != 0);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no evictor for windows over `{V}`",
    label = "implement `Evictor<{V}>` for it, or take a built-in one: `CountEvictor`, `TimeEvictor`, `DeltaEvictor`"
)]
pub trait Evictor<V>: Send + Sync + 'static {
    /// Whether it throws out anything at all.
    #[doc(hidden)]
    const EVICTS: bool = true;

    /// Throws out records before the function is called.
    fn before(&self, records: &mut Vec<Record<V>>, at: &EvictorContext) {
        let _ = (records, at);
    }

    /// Throws out records after the function was called.
    fn after(&self, records: &mut Vec<Record<V>>, at: &EvictorContext) {
        let _ = (records, at);
    }

    /// What is wrong with its settings, if anything: no job starts with it.
    ///
    /// # Errors
    /// The reason, in words for whoever wrote the job.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Its settings in words, for explanations of the job.
    fn describe(&self) -> String {
        "own evictor".into()
    }
}

/// Throws nothing out.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepAll;

impl<V> Evictor<V> for KeepAll {
    const EVICTS: bool = false;
}

/// When an evictor throws out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Before,
    After,
}

impl Moment {
    fn words(self) -> &'static str {
        match self {
            Moment::Before => "",
            Moment::After => " after the function",
        }
    }
}

macro_rules! moments {
    ($name:ident $(<$f:ident>)?) => {
        impl $(<$f>)? $name $(<$f>)? {
            /// Throws out after the function was called, not before.
            pub fn after_function(mut self) -> Self {
                self.moment = Moment::After;
                self
            }
        }
    };
}

macro_rules! at_its_moment {
    ($v:ident) => {
        fn before(&self, records: &mut Vec<Record<$v>>, _: &EvictorContext) {
            if self.moment == Moment::Before {
                self.evict(records);
            }
        }

        fn after(&self, records: &mut Vec<Record<$v>>, _: &EvictorContext) {
            if self.moment == Moment::After {
                self.evict(records);
            }
        }
    };
}

/// Keeps the last `n` records.
#[derive(Clone, Copy, Debug)]
pub struct CountEvictor {
    keep: u64,
    moment: Moment,
}

impl CountEvictor {
    /// Keeps the last `n` records; a job with zero does not start.
    pub fn of(n: u64) -> Self {
        CountEvictor {
            keep: n,
            moment: Moment::Before,
        }
    }

    fn evict<V>(&self, records: &mut Vec<Record<V>>) {
        let keep = usize::try_from(self.keep).unwrap_or(usize::MAX);
        let surplus = records.len().saturating_sub(keep);
        records.drain(..surplus);
    }
}

moments!(CountEvictor);

impl<V: 'static> Evictor<V> for CountEvictor {
    at_its_moment!(V);

    fn check(&self) -> Result<(), String> {
        match self.keep {
            0 => Err("a count evictor must keep at least 1 record".into()),
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        format!("keeping the last {}{}", self.keep, self.moment.words())
    }
}

/// Keeps the records of the last stretch of event time: those less than a duration before the latest one.
#[derive(Clone, Copy, Debug)]
pub struct TimeEvictor {
    keep_ms: i64,
    moment: Moment,
}

impl TimeEvictor {
    /// Keeps the records whose event time is less than `duration` before the latest in the window. A job with less
    /// than a millisecond does not start.
    pub fn of(duration: Duration) -> Self {
        TimeEvictor {
            keep_ms: millis(duration),
            moment: Moment::Before,
        }
    }

    fn evict<V>(&self, records: &mut Vec<Record<V>>) {
        if let Some(latest) = records.iter().map(|record| record.time).max() {
            let cutoff = latest.saturating_sub(self.keep_ms);
            records.retain(|record| record.time > cutoff);
        }
    }
}

moments!(TimeEvictor);

impl<V: 'static> Evictor<V> for TimeEvictor {
    at_its_moment!(V);

    fn check(&self) -> Result<(), String> {
        match self.keep_ms {
            1.. => Ok(()),
            _ => Err("a time evictor must keep at least 1 ms".into()),
        }
    }

    fn describe(&self) -> String {
        format!(
            "keeping the last {}{}",
            words(self.keep_ms),
            self.moment.words()
        )
    }
}

/// Throws out records whose value is a threshold or more away from that of the last one.
#[derive(Clone, Copy, Debug)]
pub struct DeltaEvictor<F> {
    threshold: f64,
    distance: F,
    moment: Moment,
}

impl<F> DeltaEvictor<F> {
    /// Throws out records with `distance(value, last value) >= threshold`. A job with a threshold that is no
    /// number does not start.
    pub fn of(threshold: f64, distance: F) -> Self {
        DeltaEvictor {
            threshold,
            distance,
            moment: Moment::Before,
        }
    }

    fn evict<V>(&self, records: &mut Vec<Record<V>>)
    where
        F: Fn(&V, &V) -> f64,
    {
        if let Some(last) = records.pop() {
            records.retain(|r| (self.distance)(&r.value, &last.value) < self.threshold);
            if (self.distance)(&last.value, &last.value) < self.threshold {
                records.push(last);
            }
        }
    }
}

moments!(DeltaEvictor<F>);

impl<V: 'static, F: Fn(&V, &V) -> f64 + Send + Sync + 'static> Evictor<V> for DeltaEvictor<F> {
    at_its_moment!(V);

    fn check(&self) -> Result<(), String> {
        match self.threshold.is_nan() {
            true => Err("the threshold of a delta evictor is not a number".into()),
            false => Ok(()),
        }
    }

    fn describe(&self) -> String {
        format!(
            "keeping a delta below {}{}",
            self.threshold,
            self.moment.words()
        )
    }
}
