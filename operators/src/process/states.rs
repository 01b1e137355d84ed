//! Declares the states of a function; and the aggregating state, which needs this crate's aggregators.

use crate::aggregate::Aggregator;
use millstream_runtime::record::Key;
use millstream_runtime::state::{
    KeyedBackend, ListState, MapState, PerKey, ReducingState, StateData, StateId, StateSpec,
    ValueState,
};
use millstream_runtime::time::{EventTime, Watermark};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a function declares its states, while it is made. The ids it gets are small and `Copy`, and
/// are used with the context.
///
/// A state is declared by its name, or by a [`StateSpec`] with a schema version, migrations or a time to
/// live. A job is refused when it is built if a name is taken or reserved or a time to live is zero.
pub struct States<'a, K> {
    backend: &'a mut KeyedBackend<K>,
}

impl<'a, K: Key> States<'a, K> {
    pub(crate) fn new(backend: &'a mut KeyedBackend<K>) -> Self {
        States { backend }
    }

    /// One value per key.
    pub fn value<T: StateData>(&mut self, spec: impl Into<StateSpec<T>>) -> ValueState<T> {
        ValueState::declare(self.backend, spec.into())
    }

    /// A list per key.
    pub fn list<T: StateData>(&mut self, spec: impl Into<StateSpec<Vec<T>>>) -> ListState<T> {
        ListState::declare(self.backend, spec.into())
    }

    /// A sorted map per key.
    pub fn map<M: StateData + Ord, V: StateData>(
        &mut self,
        spec: impl Into<StateSpec<BTreeMap<M, V>>>,
    ) -> MapState<M, V> {
        MapState::declare(self.backend, spec.into())
    }

    /// One value per key, into which `combine` works each value that is added; the first is taken as it
    /// is.
    pub fn reducing<T: StateData>(
        &mut self,
        spec: impl Into<StateSpec<T>>,
        combine: impl Fn(&mut T, T) + 'static,
    ) -> ReducingState<T> {
        ReducingState::declare(self.backend, spec.into(), combine)
    }

    /// An accumulator per key, to which values are added.
    pub fn aggregating<V, G: Aggregator<V>>(
        &mut self,
        spec: impl Into<StateSpec<G::Acc>>,
        aggregator: G,
    ) -> AggregatingState<V, G> {
        AggregatingState(self.backend.declare(spec.into(), Arc::new(aggregator)))
    }
}

/// An accumulator per key, to which values are added.
pub struct AggregatingState<V, G: Aggregator<V>>(StateId<G::Acc, Arc<G>>);

impl<V, G: Aggregator<V>> Clone for AggregatingState<V, G> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V, G: Aggregator<V>> Copy for AggregatingState<V, G> {}

impl<V, G: Aggregator<V>> AggregatingState<V, G> {
    pub(super) fn of<K: Key>(
        self,
        backend: &mut KeyedBackend<K>,
    ) -> AggregatingAccess<'_, K, V, G> {
        AggregatingAccess {
            backend,
            state: self,
        }
    }
}

impl<V, G: Aggregator<V>> PerKey for AggregatingState<V, G> {
    fn keys<K: Key>(
        self,
        backend: &KeyedBackend<K>,
        shard: u32,
        now: (Watermark, EventTime),
    ) -> Vec<K> {
        backend.keys_of(self.0, shard, now)
    }
}

/// The accumulator of the current key.
pub struct AggregatingAccess<'a, K, V, G: Aggregator<V>> {
    backend: &'a mut KeyedBackend<K>,
    state: AggregatingState<V, G>,
}

impl<K: Key, V, G: Aggregator<V>> AggregatingAccess<'_, K, V, G> {
    /// Adds a value.
    pub fn add(&mut self, value: V) {
        let first = |value, aggregator: &Arc<G>| {
            let mut accumulator = aggregator.create();
            aggregator.add(&mut accumulator, value);
            accumulator
        };
        self.backend
            .access(self.state.0)
            .upsert(value, first, |accumulator, value, aggregator| {
                aggregator.add(accumulator, value)
            });
    }

    /// The result of all that was added, if anything was.
    pub fn get(self) -> Option<G::Out> {
        let found = self.backend.access(self.state.0).get_with_extra();
        found.map(|(accumulator, aggregator)| aggregator.result(accumulator))
    }

    /// Forgets all that was added.
    pub fn clear(&mut self) {
        self.backend.access(self.state.0).remove();
    }
}
