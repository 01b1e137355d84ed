//! The first and the last value by event time.

use super::Aggregator;
use millstream_runtime::record::{Data, NO_TIME};
use millstream_runtime::time::EventTime;

/// The value with the earliest event time; of those of one time, the one that came first.
///
/// Where values have no event time (in a process function's aggregating state) it is the one that came first.
#[derive(Clone, Copy, Debug, Default)]
pub struct First;

/// The value with the latest event time; of those of one time, the one that came last.
///
/// Where values have no event time (in a process function's aggregating state) it is the one that came last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last;

macro_rules! by_time {
    ($name:ident, $instead:tt) => {
        impl<V: Data> Aggregator<V> for $name {
            type Acc = Option<(EventTime, V)>;
            type Out = V;
            fn create(&self) -> Self::Acc {
                None
            }
            fn add(&self, accumulator: &mut Self::Acc, value: V) {
                self.add_at(accumulator, value, NO_TIME);
            }
            fn add_at(&self, accumulator: &mut Self::Acc, value: V, time: EventTime) {
                if accumulator.as_ref().is_none_or(|(kept, _)| time $instead *kept) {
                    *accumulator = Some((time, value));
                }
            }
            fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc) {
                if let Some((time, value)) = other {
                    self.add_at(accumulator, value, time);
                }
            }
            fn result(&self, accumulator: &Self::Acc) -> V {
                let kept = accumulator.as_ref();
                let (_, value) = kept.expect("a result is asked for after the first value");
                value.clone()
            }
        }
    };
}

by_time!(First, <);
by_time!(Last, >=);
