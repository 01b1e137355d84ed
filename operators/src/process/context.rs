//! What a function sees of the world while it processes a record or timer.

use super::sides::Side;
use super::states::{AggregatingAccess, AggregatingState};
use crate::aggregate::Aggregator;
use millstream_runtime::operator::{OperatorContext, Output, UserResult};
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{
    KeyedBackend, ListAccess, ListState, MapAccess, MapState, PerKey, ReducingAccess,
    ReducingState, SHARDS, StateData, TimeDomain, Timer, ValueAccess, ValueState,
};
use millstream_runtime::time::{EventTime, WATERMARK_MAX, Watermark};

/// What a function without a key sees: times and outputs.
pub struct ProcessContext<'a, U> {
    pub(super) time: EventTime,
    pub(super) context: &'a OperatorContext,
    pub(super) out: &'a mut Output<U>,
}

/// What a function sees while it processes a record or timer of a key: times, outputs, the key's state and
/// its timers.
pub struct KeyedContext<'a, K, U> {
    pub(super) time: EventTime,
    pub(super) context: &'a OperatorContext,
    pub(super) out: &'a mut Output<U>,
    pub(super) backend: &'a mut KeyedBackend<K>,
}

/// What a function sees while it processes a broadcast record: times, outputs, and a way to all keys of
/// this worker.
pub struct BroadcastContext<'a, K, U> {
    pub(super) time: EventTime,
    pub(super) context: &'a OperatorContext,
    pub(super) out: &'a mut Output<U>,
    pub(super) backend: &'a mut KeyedBackend<K>,
}

macro_rules! common {
    () => {
        /// The event time of the record, or the time of the event-time timer. For a processing-time
        /// timer: the watermark; [`NO_TIME`](millstream_runtime::record::NO_TIME) before the first
        /// and after the last.
        pub fn time(&self) -> EventTime {
            self.time
        }

        /// The operator's watermark: records with an event time below it are late.
        pub fn watermark(&self) -> Watermark {
            self.context.watermark
        }

        /// Whether all inputs have ended: every event-time timer fires, also those that are registered
        /// now. A timer that registers its successor must stop here.
        pub fn input_ended(&self) -> bool {
            self.context.watermark == WATERMARK_MAX
        }

        /// Processing time in milliseconds since the Unix epoch; the same for all records of a batch.
        pub fn now_ms(&self) -> EventTime {
            self.context.now_ms
        }

        /// The index of this worker.
        pub fn worker(&self) -> usize {
            self.context.worker
        }

        /// The number of workers.
        pub fn workers(&self) -> usize {
            self.context.workers
        }

        /// Counts a record as late: the function could not place it.
        pub fn count_late(&self) {
            self.context.metrics.late.add(1);
        }

        /// Puts out a value at [`time`](Self::time).
        #[inline]
        pub fn emit(&mut self, value: U) {
            self.out.push(self.time, value);
        }

        /// Puts out a value at another event time.
        #[inline]
        pub fn emit_at(&mut self, time: EventTime, value: U) {
            self.out.push(time, value);
        }

        /// Puts a value into a side output at [`time`](Self::time).
        #[inline]
        pub fn emit_to<T: Data>(&self, side: &Side<T>, value: T) {
            side.push(self.time, value);
        }

        /// Puts a value into a side output at another event time.
        #[inline]
        pub fn emit_to_at<T: Data>(&self, side: &Side<T>, time: EventTime, value: T) {
            side.push(time, value);
        }
    };
}

impl<'a, U: Data> ProcessContext<'a, U> {
    common!();

    pub(super) fn new(
        time: EventTime,
        context: &'a OperatorContext,
        out: &'a mut Output<U>,
    ) -> Self {
        ProcessContext { time, context, out }
    }
}

impl<K: Key, U: Data> BroadcastContext<'_, K, U> {
    common!();

    /// Visits every key of this worker that has `state`, in no particular order, with its state and timers.
    ///
    /// It is one piece of work, however many keys there are: meanwhile this worker does nothing else. Some
    /// tens to hundreds of nanoseconds for each key, and whatever `visit` takes.
    ///
    /// # Errors
    /// The first one of `visit`.
    pub fn for_each_key(
        &mut self,
        state: impl PerKey,
        mut visit: impl FnMut(&mut KeyedContext<'_, K, U>) -> UserResult,
    ) -> UserResult {
        let event = self.time.max(self.context.watermark);
        let now_ms = self.context.now_ms;
        for shard in 0..SHARDS {
            for key in state.keys(self.backend, shard, (event, now_ms)) {
                self.backend.set_key(key, event, now_ms);
                visit(&mut KeyedContext {
                    time: self.time,
                    context: self.context,
                    out: self.out,
                    backend: self.backend,
                })?;
            }
        }
        Ok(())
    }
}

impl<K: Key, U: Data> KeyedContext<'_, K, U> {
    common!();

    /// The key.
    #[inline]
    pub fn key(&self) -> &K {
        self.backend.key()
    }

    /// A value of this key.
    #[inline]
    pub fn value<T: StateData>(&mut self, state: ValueState<T>) -> ValueAccess<'_, K, T> {
        state.of(self.backend)
    }

    /// A list of this key.
    pub fn list<T: StateData>(&mut self, state: ListState<T>) -> ListAccess<'_, K, T> {
        state.of(self.backend)
    }

    /// A map of this key.
    pub fn map<M: StateData + Ord, V: StateData>(
        &mut self,
        state: MapState<M, V>,
    ) -> MapAccess<'_, K, M, V> {
        state.of(self.backend)
    }

    /// A reduced value of this key.
    pub fn reducing<T: StateData>(&mut self, state: ReducingState<T>) -> ReducingAccess<'_, K, T> {
        state.of(self.backend)
    }

    /// An aggregate of this key.
    pub fn aggregating<V, G: Aggregator<V>>(
        &mut self,
        state: AggregatingState<V, G>,
    ) -> AggregatingAccess<'_, K, V, G> {
        state.of(self.backend)
    }

    /// Registers a timer for this key that fires when the watermark is above `time`, that is when no
    /// record of that time or before is to come: a window's end `e` is the timer `e - 1`. One that is due
    /// already fires soon. The same time registered twice fires once. Returns whether it was not
    /// pending already.
    pub fn register_event_timer(&mut self, time: EventTime) -> bool {
        let domain = TimeDomain::Event;
        self.backend.register_timer(Timer { time, domain })
    }

    /// Registers a timer for this key that fires when processing time comes to `time`. One that is due
    /// already fires soon. The same time registered twice fires once. Those that are pending when the input
    /// has ended do not fire any more. Returns whether it was not pending already.
    pub fn register_processing_timer(&mut self, time: EventTime) -> bool {
        let domain = TimeDomain::Processing;
        self.backend.register_timer(Timer { time, domain })
    }

    /// Deletes an event-time timer of this key; whether it was pending.
    pub fn delete_event_timer(&mut self, time: EventTime) -> bool {
        let domain = TimeDomain::Event;
        self.backend.delete_timer(Timer { time, domain })
    }

    /// Deletes a processing-time timer of this key; whether it was pending.
    pub fn delete_processing_timer(&mut self, time: EventTime) -> bool {
        let domain = TimeDomain::Processing;
        self.backend.delete_timer(Timer { time, domain })
    }
}
