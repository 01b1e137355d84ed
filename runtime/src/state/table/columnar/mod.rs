//! States by key and number: a column for each number, a row for each key.

mod changes;
mod held;
mod numbered;
mod pass;
mod snapshot;

pub use changes::{Changes, Place};
pub use pass::{Pass, Passing};

use super::LARGE_BYTES;
use super::column::Column;
use super::ledger::Ledger;
use super::mark::{Mark, Owed};
use super::outbox::{Encoder, InNamespace};
use super::rows::Rows;
use crate::prefetch::prefetch;
use crate::record::Key;
use crate::state::SHARDS;
use crate::state::codec::{Codec, Compact};
use held::Spread;
use numbered::{Changed, Numbered};
use std::collections::BTreeMap;
use std::ops::Range;

/// An open column of a [`ColumnarTable`], until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnId(usize);

/// A state for each key and number, where a number is that of a slice of time, say: it comes, most keys have a state under it,
/// it goes as a whole, and keys are looked at one after the other. So a key has a row, found once whatever the number, and
/// states lie in arrays by row, one for each number; where few keys have a state, in hash tables ([`Column`]). Where nearly all
/// changes are in the newest columns, the rows themselves can hold the states of `H` of them, whose numbers differ in
/// their remainders by `H` (not of one): that is worth it for states that are small and own nothing.
///
/// Rows are numbered within each of the [`SHARDS`] shards. The number of a row is the key's until its last state goes; what can be computed from the states may
/// be kept beside the table, by the same numbers.
///
/// Snapshots are as those of a [`KeyedTable`](super::KeyedTable), but for columns that are [dropped](Passing::drops):
/// they are not written as removed, so that a restore may bring them back.
pub struct ColumnarTable<K, S, C = Compact, const H: usize = 0> {
    ledger: Ledger<S, C>,
    rows: Box<[Rows<K, S, H>; SHARDS as usize]>,
    owed: Box<[Owed; SHARDS as usize]>,
    /// By the number of their [`ColumnId`].
    columns: Vec<Numbered<S>>,
    by_number: BTreeMap<i64, ColumnId>,
    /// Columns found lately, by the low bits of their numbers.
    recent: [(i64, ColumnId); RECENT],
    /// The ids of closed columns. The last one has kept its memory, for the next to be opened.
    free: Vec<ColumnId>,
    /// Encoding goes on with this column.
    next: i64,
    /// The number of keys.
    keys: usize,
    rows_gone: u64,
    spread: Spread,
    /// What a state is at first.
    blank: S,
}

const RECENT: usize = 16;

/// Columns of which none can be asked for: their numbers have other low bits than their places.
const NONE_RECENT: [(i64, ColumnId); RECENT] = {
    let mut none = [(0, ColumnId(0)); RECENT];
    none[0].0 = 1;
    none
};

impl<K: Key, S: Clone + 'static, C: Codec<S>, const H: usize> ColumnarTable<K, S, C, H> {
    /// An empty table for the state named `name`, of this schema version; states are `blank` at first.
    pub fn new(name: impl Into<String>, version: u32, blank: S) -> Self {
        const {
            assert!(
                H != 1,
                "all numbers have the same low bits, of which there are none"
            )
        }
        let mut ledger = Ledger::new(name.into());
        ledger.descriptor.version = version;
        ColumnarTable {
            ledger,
            rows: Box::new(std::array::from_fn(|_| Rows::default())),
            owed: Box::new([Owed::Nothing; SHARDS as usize]),
            columns: Vec::new(),
            by_number: BTreeMap::new(),
            recent: NONE_RECENT,
            free: Vec::new(),
            next: i64::MIN,
            keys: 0,
            rows_gone: 0,
            spread: Spread::default(),
            blank,
        }
    }

    /// The number of keys that have a state in any column.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The shard of a key with this stable hash.
    #[inline]
    pub fn shard_at(&self, hash: u64) -> usize {
        usize::from(self.ledger.shard_at(hash))
    }

    /// The row, within its shard, of the key with this stable hash.
    #[inline]
    pub fn row(&self, key: &K, hash: u64) -> Option<u32> {
        let row = self.rows[self.shard_at(hash)].find(hash, |other| other == key)?;
        Some(row.number)
    }

    /// All row numbers of a shard are below this one.
    #[inline]
    pub fn rows_end(&self, shard: usize) -> usize {
        self.rows[shard].end()
    }

    /// The keys of a shard and their rows, in no order that means anything.
    pub fn keys_of(&self, shard: usize) -> impl Iterator<Item = (&K, u32)> {
        self.rows[shard].iter().map(|row| (&row.key, row.number))
    }

    /// The column of a number, if it is open.
    #[inline]
    pub fn column(&mut self, number: i64) -> Option<ColumnId> {
        let (recent, column) = self.recent[number as usize % RECENT];
        match recent == number {
            true => Some(column),
            false => self.find_column(number),
        }
    }

    #[inline(never)]
    fn find_column(&mut self, number: i64) -> Option<ColumnId> {
        let column = *self.by_number.get(&number)?;
        self.recent[number as usize % RECENT] = (number, column);
        Some(column)
    }

    /// Open columns in a range of numbers, in order.
    pub fn columns(&self, numbers: Range<i64>) -> impl DoubleEndedIterator<Item = (i64, ColumnId)> {
        // A range that ends before it begins is empty.
        let end = numbers.end.max(numbers.start);
        let found = self.by_number.range(numbers.start..end);
        found.map(|(number, column)| (*number, *column))
    }

    /// The first open column from a number on.
    pub fn first_from(&self, number: i64) -> Option<(i64, ColumnId)> {
        let (number, column) = self.by_number.range(number..).next()?;
        Some((*number, *column))
    }

    /// The column of a number, which is opened if it is not open.
    pub fn open(&mut self, number: i64) -> ColumnId {
        if let Some(column) = self.column(number) {
            return column;
        }
        let column = self.free.pop().unwrap_or_else(|| {
            self.columns.push(Numbered::new());
            ColumnId(self.columns.len() - 1)
        });
        self.spread.judge();
        self.columns[column.0].number = number;
        self.by_number.insert(number, column);
        column
    }

    /// Closes a column that has become empty.
    ///
    /// # Panics
    /// When it is not open.
    pub fn close(&mut self, column: ColumnId) {
        debug_assert!(
            self.is_column_empty(column),
            "a column that is closed is empty"
        );
        debug_assert!(
            (0..SHARDS as usize).all(|shard| self.held_at(column, shard).is_none()),
            "a column that is closed is in its place"
        );
        let numbered = &mut self.columns[column.0];
        numbered.free.fill(Mark::OLD);
        numbered.changed.fill(Changed::NEVER);
        numbered.changed_in = Mark::OLD;
        let closed = self.by_number.remove(&numbered.number);
        assert_eq!(closed, Some(column), "a column that is closed was open");
        self.recent = NONE_RECENT;
        if let Some(spare) = self.free.last() {
            self.columns[spare.0].shards.fill_with(Column::default);
        }
        self.free.push(column);
    }

    /// Whether a column has no state.
    pub fn is_column_empty(&self, column: ColumnId) -> bool {
        self.columns[column.0].is_empty() && !self.is_held(column)
    }

    /// For changing many states one after the other.
    #[inline]
    pub fn changes(&mut self) -> Changes<'_, K, S, H> {
        Changes {
            rows: &mut self.rows,
            columns: &mut self.columns,
            recent: &self.recent,
            now: self.ledger.outbox.now,
            sharding: self.ledger.sharding(),
            spread: &mut self.spread,
        }
    }

    /// How many rows have gone so far.
    #[inline]
    pub fn rows_gone(&self) -> u64 {
        self.rows_gone
    }

    /// The state that a key with this stable hash has in a column, for changing; a blank one if it was not there.
    #[inline(never)]
    pub fn touch_or_insert(&mut self, column: ColumnId, key: &K, hash: u64) -> &mut S {
        let at = self.shard_at(hash);
        if self.try_hold(column, at) {
            return self.touch_held(column, at, key, hash);
        }
        let row = self.make_way(column, key, hash);
        let (owed, now) = (self.owed[at], self.ledger.outbox.now);
        let numbered = &mut self.columns[column.0];
        let (cells, changed) = (&mut numbered.shards[at], &mut numbered.changed[at]);
        if numbered.free[at] != now && !changed.is_counted && !changed.may_owe(owed, now) {
            if !changed.is_blank {
                cells.blank(&self.blank);
                changed.is_blank = true;
            }
            numbered.free[at] = now;
        }
        match cells.get_mut(row) {
            Some(state) => state,
            None => unreachable!("it is there now"),
        }
    }

    /// A state is about to change; one that is not there is made. Returns the key's row.
    fn make_way(&mut self, column: ColumnId, key: &K, hash: u64) -> u32 {
        let shard = self.ledger.shard_at(hash);
        let at = usize::from(shard);
        self.let_go_frozen(at);
        if self.columns[column.0].changed[at].last == Mark::NEVER {
            self.expect(column, at);
        }
        let rows = &mut self.rows[at];
        let (row, is_new) = rows.find_or_add(key, hash, &self.blank);
        let row = row.number;
        self.keys += usize::from(is_new);
        let numbered = &mut self.columns[column.0];
        let Ledger { codec, outbox, .. } = &mut self.ledger;
        numbered.note_change(shard, row, key, self.owed[at], codec, outbox);
        let (cells, changed) = (&mut numbered.shards[at], &numbered.changed[at]);
        if cells.get(row).is_none() {
            cells.insert(row, self.blank.clone(), rows.end());
            if changed.is_counted
                && let Some(row) = rows.find_mut(hash, |other| other == key)
            {
                row.uses.add_cell(true);
            }
        }
        row
    }

    /// A column that is as full as the one before the one before it most likely will be is an array from the start.
    fn expect(&mut self, column: ColumnId, shard: usize) {
        let number = self.columns[column.0].number;
        let mut earlier = self.by_number.range(..number);
        if let Some((_, earlier)) = earlier.nth_back(1)
            && self.columns[earlier.0].shards[shard].is_dense()
        {
            let rows = self.rows[shard].end();
            self.columns[column.0].shards[shard].reserve(rows, &self.blank);
        }
    }

    /// The state that a key with this stable hash has in a column, for changing.
    pub fn touch(&mut self, column: ColumnId, key: &K, hash: u64) -> Option<&mut S> {
        let (row, at) = (self.row(key, hash)?, self.shard_at(hash));
        self.let_go(at);
        self.cells(column, at).get(row)?;
        self.make_way(column, key, hash);
        self.columns[column.0].shards[at].get_mut(row)
    }

    /// Removes the state of a key with this stable hash from a column; also says whether the key's row has gone with it.
    pub fn remove(&mut self, column: ColumnId, key: &K, hash: u64) -> Option<(S, bool)> {
        let shard = self.ledger.shard_at(hash);
        let at = usize::from(shard);
        self.let_go(at);
        let row = self.rows[at].find_mut(hash, |other| other == key)?;
        let (numbered, owed) = (&mut self.columns[column.0], self.owed[at]);
        numbered.shards[at].get(row.number)?;
        let Ledger { codec, outbox, .. } = &mut self.ledger;
        numbered.note_change(shard, row.number, key, owed, codec, outbox);
        let changed = &mut numbered.changed[at];
        if changed.persisted {
            let encoder = InNamespace::<_, C>(&numbered.number, codec);
            outbox.put_removal(shard, |to| Encoder::<K, S>::key(&encoder, key, to));
        }
        changed.is_blank = false;
        numbered.free[at] = Mark::OLD;
        let state = numbered.shards[at].take(row.number)?;
        row.uses.remove_cell(changed.is_counted);
        let (number, mut is_last) = (row.number, row.uses.is_none());
        if is_last {
            let uncounted = self.uncounted(at);
            is_last = !self.is_in_any(&uncounted, at, number);
        }
        if is_last {
            self.rows[at].remove(hash, number);
            self.keys -= 1;
            self.rows_gone += 1;
        }
        Some((state, is_last))
    }

    /// The state that a key with this stable hash has in a column.
    pub fn get(&self, column: ColumnId, key: &K, hash: u64) -> Option<&S> {
        let at = self.shard_at(hash);
        let row = self.rows[at].find(hash, |other| other == key)?;
        match self.held_at(column, at) {
            Some(held) => row.uses.holds(held).then_some(&row.held[held]),
            None => self.columns[column.0].shards[at].get(row.number),
        }
    }

    /// The states of a column in a shard, by row. If it is not [counted](Self::count) it has to be [settled](Self::settle).
    #[inline]
    pub fn cells(&self, column: ColumnId, shard: usize) -> &Column<S> {
        debug_assert!(self.held_at(column, shard).is_none(), "rows hold it");
        &self.columns[column.0].shards[shard]
    }

    /// Whether there are so many states that they are seldom in a cache: asking for them [ahead](Self::prefetch) pays then.
    #[inline]
    pub fn is_large(&self) -> bool {
        // The newest columns are asked for most.
        self.keys * (size_of::<S>() + size_of::<K>() + size_of::<u64>()) >= LARGE_BYTES
    }

    /// Asks for what a key, whose row is in the cache, has in a column to be brought there, too.
    #[inline]
    pub fn prefetch(&self, column: ColumnId, place: Place) {
        let numbered = &self.columns[column.0];
        if place != Place::NONE && !self.rows[place.shard()].is_open(numbered.number) {
            let cells = &numbered.shards[place.shard()];
            cells.address(place.row()).into_iter().for_each(prefetch);
        }
    }
}

#[cfg(test)]
impl<K: Key, S: Clone + 'static, C: Codec<S>, const H: usize> ColumnarTable<K, S, C, H> {
    /// The number of the period.
    pub(super) fn now(&mut self) -> &mut Mark {
        &mut self.ledger.outbox.now
    }

    /// The columns that the rows of a shard hold.
    pub(super) fn held(&self, shard: usize) -> Vec<i64> {
        let columns = self.columns(i64::MIN..i64::MAX);
        let held = columns.filter(|(_, column)| self.held_at(*column, shard).is_some());
        held.map(|(number, _)| number).collect()
    }
}
