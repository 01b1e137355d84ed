//! One state per key handed to a closure: what most stateful functions need.

use crate::keyed::KeyedStream;
use crate::lookup::each_hashed;
use crate::stream::Stream;
use crate::tolerance::change;
use millstream_runtime::driver::{Position, SideMaker};
use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, UserResult};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::{KeyedTable, Snapshot, StateData};
use std::marker::PhantomData;
use std::sync::Arc;

impl<K: Key, V: Data> KeyedStream<K, V> {
    /// Applies a function to every value and the state of its key, which starts as `initial`. The
    /// state of a key is kept for ever: for timeouts there is
    /// [`map_groups_with_state`](Self::map_groups_with_state), for a time to live
    /// [`process`](Self::process).
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Stream};
    /// fn rises(prices: &KeyedStream<String, i64>) -> Stream<(String, i64)> {
    ///     prices.map_with_state(0, |last, price| price - std::mem::replace(last, price))
    /// }
    /// ```
    pub fn map_with_state<S, U: Data>(
        &self,
        initial: S,
        map: impl Fn(&mut S, V) -> U + Send + Sync + 'static,
    ) -> Stream<(K, U)>
    where
        S: StateData + Clone + Send + Sync,
    {
        let map = move |state: &mut S, value: V| Some(map(state, value));
        self.with_state("map_with_state", initial, map)
    }

    /// Applies a function to every value and the state of its key, and puts out all that it returns.
    pub fn flat_map_with_state<S, U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        initial: S,
        map: impl Fn(&mut S, V) -> I + Send + Sync + 'static,
    ) -> Stream<(K, U)>
    where
        S: StateData + Clone + Send + Sync,
    {
        self.with_state("flat_map_with_state", initial, map)
    }

    fn with_state<S, U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        name: &str,
        initial: S,
        map: impl Fn(&mut S, V) -> I + Send + Sync + 'static,
    ) -> Stream<(K, U)>
    where
        S: StateData + Clone + Send + Sync,
    {
        let map = Arc::new(map);
        let make =
            move |_: &mut SideMaker<'_, '_, '_>| WithState::new(initial.clone(), map.clone());
        let port = self.builder.operator(name, "per key", self.edge(), make);
        Stream::new(self.builder.clone(), port)
    }
}

struct WithState<K, V, S, F> {
    initial: S,
    map: Arc<F>,
    table: KeyedTable<K, S>,
    hashes: Vec<u64>,
    marker: PhantomData<fn(V)>,
}

impl<K: Key, V, S: StateData, F> WithState<K, V, S, F> {
    fn new(initial: S, map: Arc<F>) -> Self {
        WithState {
            initial,
            map,
            table: KeyedTable::new("state"),
            hashes: Vec::new(),
            marker: PhantomData,
        }
    }
}

impl<K, V, S, F, I> OperatorCore for WithState<K, V, S, F>
where
    K: Key,
    V: Data,
    S: StateData + Clone,
    F: Fn(&mut S, V) -> I + 'static,
    I: IntoIterator<Item: Data>,
{
    type Out = (K, I::Item);

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.table);
    }
}

impl<K, V, S, F, I> Operator for WithState<K, V, S, F>
where
    K: Key,
    V: Data,
    S: StateData + Clone,
    F: Fn(&mut S, V) -> I + 'static,
    I: IntoIterator<Item: Data>,
{
    type In = (K, V);

    #[inline]
    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult {
        let (_, state) = self.table.entry(&record.value.0, || self.initial.clone());
        change(state, context.tolerant, |state| {
            put_out(&*self.map, state, record, out);
        });
        Ok(())
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        _: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        let (initial, map) = (&self.initial, &*self.map);
        each_hashed(
            &mut self.table,
            &mut self.hashes,
            records,
            at,
            |table, hash, record| {
                let (_, state) = table.entry_hashed(&record.value.0, hash, || initial.clone());
                put_out(map, state, record, out);
            },
        );
        Ok(())
    }
}

/// Applies the function; the last result takes the key along.
#[inline]
fn put_out<K: Key, V, S, I: IntoIterator>(
    map: &impl Fn(&mut S, V) -> I,
    state: &mut S,
    record: Record<(K, V)>,
    out: &mut Output<(K, I::Item)>,
) {
    let (key, value) = record.value;
    let mut results = map(state, value).into_iter();
    let Some(mut last) = results.next() else {
        return;
    };
    for result in results {
        let before = std::mem::replace(&mut last, result);
        out.push(record.time, (key.clone(), before));
    }
    out.push(record.time, (key, last));
}
