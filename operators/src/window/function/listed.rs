//! Functions that keep all records: those that see the whole window, and all with an evictor.
//!
//! In event-time windows the records stand in order of event time, those of one time as they arrived; in other
//! windows all stand as they arrived.

use super::incremental::windowed;
use super::{WindowContext, WindowFunction, collect};
use crate::aggregate::Aggregator;
use crate::stateless::Collector;
use crate::window::evictor::{Evictor, EvictorContext};
use crate::window::{Clock, Window, Windowed};
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::time::EventTime;
use std::marker::PhantomData;
use std::sync::Arc;

/// Keeps all records; an evictor throws some out, a function sees the others.
pub(crate) struct Listed<E, F> {
    pub evictor: Arc<E>,
    pub function: F,
    /// What ends the windows.
    pub clock: Clock,
}

/// A function over all records of a window; there is at least one.
pub(crate) trait FullWindow<K, V>: Send + Sync + 'static {
    type Out: Data;

    fn call(
        &self,
        at: &WindowContext<'_, K>,
        records: &[Record<V>],
        out: &mut Vec<Record<Self::Out>>,
    ) -> UserResult;
}

impl<K, V, E, F> WindowFunction<K, V> for Listed<E, F>
where
    K: Key,
    V: Data,
    E: Evictor<V>,
    F: FullWindow<K, V>,
{
    type Kept = Vec<Record<V>>;
    type Out = F::Out;

    fn create(&self) -> Vec<Record<V>> {
        Vec::new()
    }

    fn add(&self, kept: &mut Vec<Record<V>>, time: EventTime, value: V) {
        let record = Record::new(time, value);
        match self.clock {
            Clock::Event if kept.last().is_some_and(|last| last.time > time) => {
                let behind = kept.partition_point(|other| other.time <= time);
                kept.insert(behind, record);
            }
            _ => kept.push(record),
        }
    }

    fn merge(&self, kept: &mut Vec<Record<V>>, mut other: Vec<Record<V>>) {
        kept.append(&mut other);
        if self.clock == Clock::Event {
            kept.sort_by_key(|record| record.time); // stable
        }
    }

    fn is_empty(&self, kept: &Vec<Record<V>>) -> bool {
        kept.is_empty()
    }

    fn fire(
        &self,
        at: &WindowContext<'_, K>,
        kept: &mut Vec<Record<V>>,
        out: &mut Vec<Record<F::Out>>,
    ) -> UserResult {
        let mut evicting = EvictorContext {
            window: at.window,
            watermark: at.watermark,
            now_ms: at.now_ms,
        };
        if self.clock == Clock::None {
            evicting.window = Window::ALL;
        }
        self.evictor.before(kept, &evicting);
        if !kept.is_empty() {
            let window = match self.clock {
                Clock::None => span(kept),
                _ => at.window,
            };
            let at = WindowContext { window, ..*at };
            self.function.call(&at, kept, out)?;
            self.evictor.after(kept, &evicting);
        }
        Ok(())
    }
}

/// From the first event time to after the last.
fn span<V>(records: &[Record<V>]) -> Window {
    let times = || records.iter().map(|record| record.time);
    let first = Window::at(times().min().unwrap_or(EventTime::MIN));
    first.cover(Window::at(times().max().unwrap_or(EventTime::MIN)))
}

/// Aggregates the records that are left.
pub(crate) struct Aggregate<G>(pub Arc<G>);

impl<G> Aggregate<G> {
    fn result<V: Data>(&self, records: &[Record<V>]) -> G::Out
    where
        G: Aggregator<V>,
    {
        let mut accumulator = self.0.create();
        for record in records {
            self.0
                .add_at(&mut accumulator, record.value.clone(), record.time);
        }
        self.0.result(&accumulator)
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> FullWindow<K, V> for Aggregate<G> {
    type Out = Windowed<K, G::Out>;

    fn call(
        &self,
        at: &WindowContext<'_, K>,
        records: &[Record<V>],
        out: &mut Vec<Record<Self::Out>>,
    ) -> UserResult {
        out.push(windowed(at, self.result(records)));
        Ok(())
    }
}

/// Aggregates the records that are left; a function takes the result.
pub(crate) struct AggregateThen<G, F, U> {
    pub aggregate: Aggregate<G>,
    pub function: F,
    pub marker: PhantomData<fn() -> U>,
}

impl<K, V, G, F, U> FullWindow<K, V> for AggregateThen<G, F, U>
where
    K: Key,
    V: Data,
    G: Aggregator<V>,
    F: Fn(&WindowContext<'_, K>, G::Out, &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    U: Data,
{
    type Out = U;

    fn call(
        &self,
        at: &WindowContext<'_, K>,
        records: &[Record<V>],
        out: &mut Vec<Record<U>>,
    ) -> UserResult {
        let result = self.aggregate.result(records);
        collect(at, out, |out| (self.function)(at, result, out))
    }
}

/// Hands the records to a function of the user's.
pub(crate) struct Process<F, U> {
    pub function: F,
    pub marker: PhantomData<fn() -> U>,
}

impl<K, V, F, U> FullWindow<K, V> for Process<F, U>
where
    K: Key,
    V: Data,
    F: Fn(&WindowContext<'_, K>, &[Record<V>], &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    U: Data,
{
    type Out = U;

    fn call(
        &self,
        at: &WindowContext<'_, K>,
        records: &[Record<V>],
        out: &mut Vec<Record<U>>,
    ) -> UserResult {
        collect(at, out, |out| (self.function)(at, records, out))
    }
}
