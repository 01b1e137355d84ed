//! Going over all rows of a shard as columns come and leave.

use super::numbered::{Changed, encode};
use super::{ColumnId, ColumnarTable};
use crate::record::Key;
use crate::state::codec::Codec;
use crate::state::table::column::Column;
use crate::state::table::ledger::Ledger;
use crate::state::table::mark::Mark;
use smallvec::SmallVec;

/// Columns that come and leave, for [`ColumnarTable::pass`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Passing {
    /// Comes, and is counted from now on; it was not before.
    pub comes: Option<ColumnId>,
    /// Leaves, after it has been seen.
    pub leaves: Option<ColumnId>,
    /// What leaves is dropped. That it was removed is not written: who drops columns has to know, after
    /// a restore, which to drop again.
    pub drops: bool,
}

/// A row as columns come and leave.
pub struct Pass<'a, K, S> {
    /// Its key.
    pub key: &'a K,
    /// Its number.
    pub row: u32,
    /// Its state in the column that comes.
    pub comes: Option<&'a S>,
    /// Its state in the column that leaves.
    pub leaves: Option<&'a S>,
    /// No column is left that it is in.
    pub goes: bool,
}

impl<K: Key, S: Clone + 'static, C: Codec<S>, const H: usize> ColumnarTable<K, S, C, H> {
    /// The columns that rows of a shard do not count: the last ones.
    pub(super) fn uncounted(&self, shard: usize) -> SmallVec<[ColumnId; 4]> {
        let last_first = self.by_number.values().rev();
        let is_uncounted = |column: &&ColumnId| !self.columns[column.0].changed[shard].is_counted;
        last_first.take_while(is_uncounted).copied().collect()
    }

    pub(super) fn is_in_any(&self, columns: &[ColumnId], shard: usize, row: u32) -> bool {
        let mut cells = columns.iter().map(|column| self.cells(*column, shard));
        cells.any(|cells| cells.get(row).is_some())
    }

    /// Whether a column may have a state in a shard: something was added since it was opened or dropped.
    pub fn may_have(&self, column: ColumnId, shard: usize) -> bool {
        self.columns[column.0].changed[shard].last != Mark::NEVER
    }

    /// Rows count their states in a column from now on. Columns are to be counted in order, before they are dropped: until
    /// then adding to them is cheaper.
    pub fn count(&mut self, column: ColumnId, shard: usize) {
        self.settle(column, shard);
        let numbered = &mut self.columns[column.0];
        if !std::mem::replace(&mut numbered.changed[shard].is_counted, true) {
            numbered.free[shard] = Mark::OLD;
            let cells = &numbered.shards[shard];
            for row in self.rows[shard].iter_mut() {
                row.uses.add_cell(cells.get(row.number).is_some());
            }
        }
    }

    /// Shows all rows of a shard, as these columns come and leave.
    #[inline]
    pub fn pass(&mut self, shard: usize, passing: Passing, mut see: impl FnMut(Pass<'_, K, S>)) {
        let Passing {
            comes,
            leaves,
            drops,
        } = passing;
        let drops = drops && leaves.is_some();
        if let Some(column) = leaves {
            self.settle(column, shard);
        }
        let held = comes.and_then(|column| self.held_at(column, shard));
        let dropping = leaves.filter(|_| drops);
        let (was_counted, uncounted) = dropping
            .map(|column| self.before_drop(column, shard))
            .unwrap_or_default();
        let mut leaving =
            leaves.map(|column| std::mem::take(&mut self.columns[column.0].shards[shard]));
        // States that rows hold go to their column as it comes.
        let mut arriving = match (comes, held) {
            (Some(column), Some(_)) => std::mem::take(&mut self.columns[column.0].shards[shard]),
            _ => Column::default(),
        };
        let (columns, blank) = (&self.columns, &self.blank);
        let coming = comes.map(|column| &columns[column.0].shards[shard]);
        let rows = &mut self.rows[shard];
        let (mut dropped, before, end) = (0, rows.len(), rows.end());
        rows.retain(|row| {
            let let_go = held.and_then(|at| row.let_go(at, blank));
            if let Some(state) = &let_go {
                arriving.insert(row.number, state.clone(), end);
            }
            let comes = match held {
                Some(_) => let_go.as_ref(),
                None => coming.and_then(|cells| cells.get(row.number)),
            };
            row.uses.add_cell(comes.is_some());
            let taken = match (&mut leaving, drops) {
                (Some(cells), true) => cells.take(row.number),
                _ => None,
            };
            if taken.is_some() {
                dropped += 1;
                row.uses.remove_cell(was_counted);
            }
            let leaves = match (&leaving, drops) {
                (Some(cells), false) => cells.get(row.number),
                _ => taken.as_ref(),
            };
            let goes = drops && row.uses.is_none() && {
                let mut others = uncounted
                    .iter()
                    .map(|other| &columns[other.0].shards[shard]);
                !others.any(|cells| cells.get(row.number).is_some())
            };
            debug_assert!(
                !goes
                    || columns
                        .iter()
                        .all(|other| other.shards[shard].get(row.number).is_none()),
                "a row that goes has no state"
            );
            see(Pass {
                key: &row.key,
                row: row.number,
                comes,
                leaves,
                goes,
            });
            !goes
        });
        let gone = before - rows.len();
        if let (Some(column), Some(at)) = (comes, held) {
            rows.close(at);
            self.columns[column.0].shards[shard] = arriving;
        }
        self.keys -= gone;
        self.rows_gone += gone as u64;
        if let Some(column) = comes {
            self.columns[column.0].changed[shard].is_counted = true;
            self.columns[column.0].free[shard] = Mark::OLD;
        }
        if let (Some(column), Some(mut cells)) = (leaves, leaving) {
            let numbered = &mut self.columns[column.0];
            if drops {
                cells.clear(dropped);
                numbered.changed[shard] = Changed::NEVER;
                numbered.free[shard] = Mark::OLD;
            }
            numbered.shards[shard] = cells;
        }
    }

    /// A column is about to be dropped in a shard, of which nothing is owed then. Whether rows count it, and which others
    /// they do not.
    fn before_drop(&mut self, column: ColumnId, shard: usize) -> (bool, SmallVec<[ColumnId; 4]>) {
        self.encode_rest(column, shard);
        let mut uncounted = self.uncounted(shard);
        uncounted.retain(|other| *other != column);
        (self.columns[column.0].changed[shard].is_counted, uncounted)
    }

    /// Encodes what is owed of a column in a shard.
    fn encode_rest(&mut self, column: ColumnId, shard: usize) {
        let (owed, numbered) = (self.owed[shard], &mut self.columns[column.0]);
        if numbered.changed[shard].may_owe(owed, self.ledger.outbox.now) {
            let Ledger { codec, outbox, .. } = &mut self.ledger;
            encode(
                numbered,
                shard as u8,
                &self.rows[shard],
                owed,
                codec,
                outbox,
                |_| false,
            );
        }
    }
}
