//! Rolling aggregates per key: the result so far, for every record.

use crate::aggregate::Aggregator;
use crate::lookup::each_hashed;
use crate::tolerance::change;
use millstream_runtime::driver::Position;
use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, UserResult};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::{KeyedTable, Snapshot};
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) struct Rolling<K, V, G: Aggregator<V>> {
    aggregator: Arc<G>,
    table: KeyedTable<K, G::Acc>,
    hashes: Vec<u64>,
    marker: PhantomData<fn(V)>,
}

impl<K: Key, V: Data, G: Aggregator<V>> Rolling<K, V, G> {
    pub fn new(aggregator: Arc<G>) -> Self {
        Rolling {
            aggregator,
            table: KeyedTable::new("accumulators"),
            hashes: Vec::new(),
            marker: PhantomData,
        }
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for Rolling<K, V, G> {
    type Out = (K, G::Out);

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.table);
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> Operator for Rolling<K, V, G> {
    type In = (K, V);

    #[inline]
    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<(K, G::Out)>,
    ) -> UserResult {
        let (key, value) = record.value;
        let (_, accumulator) = self.table.entry(&key, || self.aggregator.create());
        let result = change(accumulator, context.tolerant, |accumulator| {
            self.aggregator.add_at(accumulator, value, record.time);
            self.aggregator.result(accumulator)
        });
        out.push(record.time, (key, result));
        Ok(())
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        _: &mut OperatorContext,
        out: &mut Output<(K, G::Out)>,
        at: &Position<'_>,
    ) -> UserResult {
        let aggregator = &self.aggregator;
        each_hashed(
            &mut self.table,
            &mut self.hashes,
            records,
            at,
            |table, hash, record| {
                let (key, value) = record.value;
                let (_, accumulator) = table.entry_hashed(&key, hash, || aggregator.create());
                aggregator.add_at(accumulator, value, record.time);
                let result = aggregator.result(accumulator);
                out.push(record.time, (key, result));
            },
        );
        Ok(())
    }
}
