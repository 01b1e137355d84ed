//! Functions that keep an accumulator.

use super::{WindowContext, WindowFunction, collect};
use crate::aggregate::Aggregator;
use crate::stateless::Collector;
use crate::window::Windowed;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::time::EventTime;
use std::marker::PhantomData;
use std::sync::Arc;

/// Aggregates record by record.
pub(crate) struct Incremental<G>(pub Arc<G>);

impl<K: Key, V: Data, G: Aggregator<V>> WindowFunction<K, V> for Incremental<G> {
    type Kept = G::Acc;
    type Out = Windowed<K, G::Out>;

    #[inline]
    fn create(&self) -> G::Acc {
        self.0.create()
    }

    #[inline]
    fn add(&self, kept: &mut G::Acc, time: EventTime, value: V) {
        self.0.add_at(kept, value, time);
    }

    fn merge(&self, kept: &mut G::Acc, other: G::Acc) {
        self.0.merge(kept, other);
    }

    #[inline]
    fn fire(
        &self,
        at: &WindowContext<'_, K>,
        kept: &mut G::Acc,
        out: &mut Vec<Record<Self::Out>>,
    ) -> UserResult {
        out.push(windowed(at, self.0.result(kept)));
        Ok(())
    }
}

/// A result with its window and key.
#[inline]
pub(super) fn windowed<K: Key, R>(at: &WindowContext<'_, K>, value: R) -> Record<Windowed<K, R>> {
    let (window, key) = (at.window, at.key.clone());
    Record::new(window.last(), Windowed { window, key, value })
}

/// Aggregates record by record; a function takes the result.
pub(crate) struct IncrementalThen<G, F, U> {
    pub aggregator: Arc<G>,
    pub function: F,
    pub marker: PhantomData<fn() -> U>,
}

impl<K, V, G, F, U> WindowFunction<K, V> for IncrementalThen<G, F, U>
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
    type Kept = G::Acc;
    type Out = U;

    fn create(&self) -> G::Acc {
        self.aggregator.create()
    }

    fn add(&self, kept: &mut G::Acc, time: EventTime, value: V) {
        self.aggregator.add_at(kept, value, time);
    }

    fn merge(&self, kept: &mut G::Acc, other: G::Acc) {
        self.aggregator.merge(kept, other);
    }

    fn fire(
        &self,
        at: &WindowContext<'_, K>,
        kept: &mut G::Acc,
        out: &mut Vec<Record<U>>,
    ) -> UserResult {
        let result = self.aggregator.result(kept);
        collect(at, out, |out| (self.function)(at, result, out))
    }
}
