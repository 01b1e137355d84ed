//! Spark's `mapGroupsWithState` and `flatMapGroupsWithState`: a state of any type per key, and one timeout,
//! in event time or processing time.
//!
//! Where Spark calls the function once per key and trigger with all its new values, it is called here
//! for every record; everything else is as there. The timeout of a key goes away with each call, and is
//! set anew by the function if it wants one.

use crate::keyed::KeyedStream;
use crate::process::{KeyedContext, KeyedProcess, States};
use crate::stream::Stream;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{StateData, TimeDomain, Timer, ValueState};
use millstream_runtime::time::{EventTime, Watermark};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

impl<K: Key, V: Data> KeyedStream<K, V> {
    /// Calls a function for every record, and when the timeout that it set for a key has come, with the key's
    /// state; puts out what it returns. The value is `None` when it is called for a timeout.
    ///
    /// ```
    /// # use millstream_operators::{GroupState, KeyedStream, Stream};
    /// # use std::time::Duration;
    /// /// Who comes, and who has done nothing for ten minutes.
    /// fn presence(clicks: &KeyedStream<String, u64>) -> Stream<String> {
    ///     clicks.map_groups_with_state(|user, _, state: &mut GroupState<'_, '_, _, u32, _>| {
    ///         if state.has_timed_out() {
    ///             let clicks = state.remove().unwrap_or(0);
    ///             return format!("{user} is gone after {clicks} clicks");
    ///         }
    ///         let clicks = state.get().copied().unwrap_or(0) + 1;
    ///         state.update(clicks);
    ///         state.set_timeout_duration(Duration::from_secs(600));
    ///         format!("{user}: {clicks}")
    ///     })
    /// }
    /// ```
    pub fn map_groups_with_state<S: StateData, U: Data>(
        &self,
        map: impl Fn(&K, Option<V>, &mut GroupState<'_, '_, K, S, U>) -> U + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = move |key: &K, value: Option<V>, state: &mut GroupState<'_, '_, K, S, U>| {
            Some(map(key, value, state))
        };
        self.groups("map_groups_with_state", map)
    }

    /// [`map_groups_with_state`](Self::map_groups_with_state) with any number of results for each call.
    pub fn flat_map_groups_with_state<
        S: StateData,
        U: Data,
        I: IntoIterator<Item = U> + 'static,
    >(
        &self,
        map: impl Fn(&K, Option<V>, &mut GroupState<'_, '_, K, S, U>) -> I + Send + Sync + 'static,
    ) -> Stream<U> {
        self.groups("flat_map_groups_with_state", map)
    }

    fn groups<S: StateData, U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        name: &str,
        map: impl Fn(&K, Option<V>, &mut GroupState<'_, '_, K, S, U>) -> I + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = Arc::new(map);
        self.process(name, move |states| Groups::new(states, map.clone()))
    }
}

/// The state of a key and its timeout, as the function of
/// [`map_groups_with_state`](KeyedStream::map_groups_with_state) sees them.
pub struct GroupState<'a, 'c, K, S, U> {
    ctx: &'a mut KeyedContext<'c, K, U>,
    state: ValueState<S>,
    timeout: ValueState<Timer>,
    timed_out: bool,
}

impl<K: Key, S: StateData, U: Data> GroupState<'_, '_, K, S, U> {
    /// Whether there is a state.
    pub fn exists(&mut self) -> bool {
        self.get().is_some()
    }

    /// The state, if there is one.
    pub fn get(&mut self) -> Option<&S> {
        self.ctx.value(self.state).get()
    }

    /// The state for changing, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut S> {
        self.ctx.value(self.state).get_mut()
    }

    /// Puts a state in place of what was there.
    pub fn update(&mut self, state: S) {
        self.ctx.value(self.state).set(state);
    }

    /// Removes the state; returns what was there. A timeout that was set in this call stays.
    pub fn remove(&mut self) -> Option<S> {
        self.ctx.value(self.state).take()
    }

    /// Whether this call is for the timeout: there is no value then.
    pub fn has_timed_out(&self) -> bool {
        self.timed_out
    }

    /// Has the function called when processing time is `after` beyond now, unless a record of the key comes
    /// before. One timeout is pending at most: the last one that was set.
    pub fn set_timeout_duration(&mut self, after: Duration) {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.set_timeout(Timer {
            time: self.ctx.now_ms().saturating_add(after_ms),
            domain: TimeDomain::Processing,
        });
    }

    /// Has the function called when the watermark is above `time`, unless a record of the key comes before. A
    /// time that the watermark has passed comes soon. One timeout is pending at most: the last one that
    /// was set. When the input ends every such timeout comes; those that are set then do not.
    pub fn set_timeout_timestamp(&mut self, time: EventTime) {
        self.set_timeout(Timer {
            time,
            domain: TimeDomain::Event,
        });
    }

    fn set_timeout(&mut self, timer: Timer) {
        cancel(self.ctx, self.timeout);
        if self.ctx.input_ended() {
            return; // it would come at once, and the one that it sets, and so on
        }
        self.ctx.value(self.timeout).set(timer);
        match timer.domain {
            TimeDomain::Event => self.ctx.register_event_timer(timer.time),
            TimeDomain::Processing => self.ctx.register_processing_timer(timer.time),
        };
    }

    /// The event time of the record, or of the timeout; for one in processing time the watermark.
    pub fn time(&self) -> EventTime {
        self.ctx.time()
    }

    /// The operator's watermark.
    pub fn watermark(&self) -> Watermark {
        self.ctx.watermark()
    }

    /// Processing time in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> EventTime {
        self.ctx.now_ms()
    }
}

/// Takes the pending timeout of a key away.
fn cancel<K: Key, U: Data>(ctx: &mut KeyedContext<'_, K, U>, timeout: ValueState<Timer>) {
    if let Some(timer) = ctx.value(timeout).take() {
        match timer.domain {
            TimeDomain::Event => ctx.delete_event_timer(timer.time),
            TimeDomain::Processing => ctx.delete_processing_timer(timer.time),
        };
    }
}

struct Groups<K, V, S, U, F> {
    map: Arc<F>,
    state: ValueState<S>,
    timeout: ValueState<Timer>,
    marker: PhantomData<fn(K, V) -> U>,
}

impl<K: Key, V, S: StateData, U, F> Groups<K, V, S, U, F> {
    fn new(states: &mut States<'_, K>, map: Arc<F>) -> Self {
        Groups {
            map,
            state: states.value("state"),
            timeout: states.value("timeout"),
            marker: PhantomData,
        }
    }
}

impl<K, V, S, U, F, I> Groups<K, V, S, U, F>
where
    K: Key,
    S: StateData,
    U: Data,
    F: Fn(&K, Option<V>, &mut GroupState<'_, '_, K, S, U>) -> I,
    I: IntoIterator<Item = U>,
{
    fn call(&self, value: Option<V>, ctx: &mut KeyedContext<'_, K, U>) -> UserResult {
        cancel(ctx, self.timeout);
        let key = ctx.key().clone();
        let mut state = GroupState {
            timed_out: value.is_none(),
            ctx,
            state: self.state,
            timeout: self.timeout,
        };
        for result in (self.map)(&key, value, &mut state) {
            ctx.emit(result);
        }
        Ok(())
    }
}

impl<K, V, S, U, F, I> KeyedProcess for Groups<K, V, S, U, F>
where
    K: Key,
    V: Data,
    S: StateData,
    U: Data,
    F: Fn(&K, Option<V>, &mut GroupState<'_, '_, K, S, U>) -> I + 'static,
    I: IntoIterator<Item = U>,
{
    type Key = K;
    type In = V;
    type Out = U;

    #[inline]
    fn on_record(&mut self, value: V, ctx: &mut KeyedContext<'_, K, U>) -> UserResult {
        self.call(Some(value), ctx)
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, K, U>) -> UserResult {
        self.call(None, ctx)
    }
}

#[cfg(test)]
mod tests;
