//! Snapshots of columnar tables.

use super::numbered::encode;
use super::{ColumnarTable, held};
use crate::error::Result;
use crate::hash::KeyGroups;
use crate::record::Key;
use crate::state::codec::Codec;
use crate::state::table::ledger::Filed;
use crate::state::table::mark::{Mark, Owed};
use crate::state::table::outbox::Outbox;
use crate::state::table::rows::Rows;
use crate::state::{BlockSink, BlockView, SliceBudget, Snapshot, StateDescriptor};
use crate::time::CheckpointId;

impl<K: Key, S: Clone + 'static, C: Codec<S>, const H: usize> Snapshot
    for ColumnarTable<K, S, C, H>
{
    fn descriptor(&self) -> &StateDescriptor {
        &self.ledger.descriptor
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        assert!(self.is_empty(), "a table is assigned before it is filled");
        self.ledger.live_on(groups, worker);
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        // Columns are about as long as there are keys: that is close enough for what depends on it.
        let now = self.ledger.outbox.now;
        let open = self
            .by_number
            .values()
            .map(|column| &self.columns[column.0]);
        let changed = open.filter(|numbered| numbered.changed_in == now).count();
        self.ledger.outbox.changed = changed * self.keys;
        let len = self.by_number.len() * self.keys;
        let barrier = self.ledger.freeze(checkpoint, full, len);
        if let Some(now) = barrier.counted_anew {
            for numbered in &mut self.columns {
                numbered.changed_in = Mark::OLD;
                numbered.free.fill(Mark::OLD);
                (numbered.changed.iter_mut()).for_each(|changed| changed.counted_anew(now));
            }
        }
        for (owed, shard) in self.owed.iter_mut().zip(0..) {
            *owed = Owed::at_barrier(barrier.rewrites(shard));
        }
        self.rows.iter_mut().for_each(Rows::freeze);
        self.next = i64::MIN;
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let ColumnarTable {
            ledger,
            rows,
            owed,
            blank,
            columns,
            by_number,
            next,
            ..
        } = self;
        ledger.encode(budget, sink, |shard, codec, outbox, pause| {
            let at = usize::from(shard);
            let (rows, owed) = (&mut rows[at], &mut owed[at]);
            held::let_go_frozen(rows, columns, at, blank);
            for (number, column) in by_number.range(*next..) {
                let numbered = &mut columns[column.0];
                let is_due = |outbox: &Outbox| pause.is_due(outbox);
                if encode(numbered, shard, rows, *owed, codec, outbox, is_due) {
                    *next = *number;
                    return false;
                }
            }
            *owed = Owed::Nothing;
            *next = i64::MIN;
            true
        })
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        for Filed { under, hash, state } in self.ledger.read(block, |(key, _): &(K, i64)| key)? {
            let (key, number) = under;
            // Restored entries count as changed, so that the first snapshot after a restore is whole.
            match (state, self.column(number)) {
                (Some(state), _) => {
                    let column = self.open(number);
                    let row = self.make_way(column, &key, hash);
                    let shard = self.shard_at(hash);
                    if let Some(place) = self.columns[column.0].shards[shard].get_mut(row) {
                        *place = state;
                    }
                }
                (None, Some(column)) => {
                    let removed = self.remove(column, &key, hash);
                    if removed.is_some() && self.is_column_empty(column) {
                        self.close(column);
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        self.ledger.needs_since()
    }

    fn keys(&self) -> usize {
        self.keys
    }
}
