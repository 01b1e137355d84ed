//! States by key and number: a column for each number, a row for each key.

use super::LARGE_BYTES;
use super::bits::Bits;
use super::column::Column;
use super::ledger::{Ledger, Sharding};
use super::mark::{Mark, Owed};
use super::outbox::{Encoder, InNamespace, Outbox};
use super::rows::Rows;
use crate::error::Result;
use crate::hash::KeyGroups;
use crate::prefetch::prefetch;
use crate::record::Key;
use crate::state::codec::{Codec, Compact};
use crate::state::{
    BlockSink, BlockView, SHARDS, SliceBudget, Snapshot, StateData, StateDescriptor,
};
use crate::time::CheckpointId;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Range;

/// An open column of a [`ColumnarTable`], until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnId(usize);

/// A state for each key and number, where a number is that of a slice of time, say: it comes, most keys have a state under it,
/// it goes as a whole, and keys are looked at one after the other. So a key has a row, found once whatever the number, and
/// states lie in arrays by row, one for each number; where few keys have a state, in hash tables ([`Column`]).
///
/// Rows are numbered within each of the [`SHARDS`] shards. The number of a row is the key's until its last state goes; what can be computed from the states may
/// be kept beside the table, by the same numbers.
///
/// Snapshots are as those of a [`KeyedTable`](super::KeyedTable), but for columns that are [dropped](Self::drop_shard):
/// they are not written as removed, so that a restore may bring them back.
pub struct ColumnarTable<K, S, C = Compact> {
    ledger: Ledger<S, C>,
    rows: Box<[Rows<K>; SHARDS as usize]>,
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
}

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

/// What becomes of a row as a column leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It is not in the column.
    Stays,
    /// It is in the column.
    Leaves,
    /// No column is left that it is in: it goes.
    Goes,
}

/// Changes states of a [`ColumnarTable`] one after the other.
pub struct Changes<'a, K, S> {
    rows: &'a [Rows<K>; SHARDS as usize],
    columns: &'a mut [Numbered<S>],
    recent: &'a [(i64, ColumnId); RECENT],
    now: Mark,
    sharding: Sharding,
}

impl<K: Key, S: Clone> Changes<'_, K, S> {
    /// Lets `change` change the state that a key with this stable hash has under a number, or a new one, if that is to
    /// be had without further ado.
    ///
    /// # Errors
    /// When it is not: `with` comes back, for [`touch_or_insert`](ColumnarTable::touch_or_insert).
    #[inline(always)] // for the innermost loops
    pub fn change<W>(
        &mut self,
        number: i64,
        key: &K,
        hash: u64,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        let (recent, column) = self.recent[number as usize % RECENT];
        if recent != number {
            return Err(with);
        }
        let shard = usize::from(self.sharding.shard_at(hash));
        let Some(row) = self.rows[shard].find(hash, |other| other == key) else {
            return Err(with);
        };
        let numbered = &mut self.columns[column.0];
        if numbered.free[shard] != self.now {
            return Err(with);
        }
        let Some(state) = numbered.shards[shard].place_mut(row.number) else {
            return Err(with);
        };
        change(state, with);
        Ok(())
    }
}

const RECENT: usize = 16;

/// Columns of which none can be asked for: their numbers have other low bits than their places.
const NONE_RECENT: [(i64, ColumnId); RECENT] = {
    let mut none = [(0, ColumnId(0)); RECENT];
    none[0].0 = 1;
    none
};

/// A column in all shards.
struct Numbered<S> {
    number: i64,
    shards: Box<[Column<S>; SHARDS as usize]>,
    /// By shard: in this period nothing of it is owed, what is absent is as new, and rows do not count it.
    free: Box<[Mark; SHARDS as usize]>,
    changed: Box<[Changed; SHARDS as usize]>,
    /// By shard: the rows that are still to be encoded, once anything has changed since the barrier.
    owed: Box<[Bits; SHARDS as usize]>,
    /// The last period in which any of it changed.
    changed_in: Mark,
}

/// When a column changed in a shard.
#[derive(Clone, Copy)]
struct Changed {
    /// The last two periods in which it changed.
    last: Mark,
    before: Mark,
    /// In this period its set of rows to be encoded says which they are. In others all are, if any.
    told: Mark,
    /// What is absent is as new.
    is_blank: bool,
    /// Rows count their states in it.
    is_counted: bool,
    /// Some checkpoint holds a state of it, so that the removal of one must be written.
    persisted: bool,
}

impl Changed {
    const NEVER: Changed = Changed {
        last: Mark::NEVER,
        before: Mark::NEVER,
        told: Mark::OLD,
        is_blank: false,
        is_counted: false,
        persisted: false,
    };

    /// Whether something of it may be owed.
    #[inline]
    fn may_owe(self, owed: Owed, now: Mark) -> bool {
        let is_new = self.last == now && self.before == Mark::NEVER;
        !is_new && (owed == Owed::All || owed.holds(self.last, now) || owed.holds(self.before, now))
    }

    fn counted_anew(&mut self, now: Mark) {
        self.last = self.last.counted_anew(now);
        self.before = self.before.counted_anew(now);
        self.told = Mark::OLD;
    }
}

impl<S: Clone> Numbered<S> {
    fn new() -> Self {
        Numbered {
            number: 0,
            shards: Box::new(std::array::from_fn(|_| Column::default())),
            free: Box::new([Mark::OLD; SHARDS as usize]),
            changed: Box::new([Changed::NEVER; SHARDS as usize]),
            owed: Box::new(std::array::from_fn(|_| Bits::default())),
            changed_in: Mark::OLD,
        }
    }

    fn is_empty(&self) -> bool {
        self.shards.iter().all(|cells| cells.count() == 0)
    }

    /// The rows of a shard that are still to be encoded, if any may be.
    #[inline]
    fn owed_rows(&mut self, shard: usize, owed: Owed, now: Mark) -> Option<&mut Bits> {
        let changed = &mut self.changed[shard];
        if !changed.may_owe(owed, now) {
            return None;
        }
        let rows = &mut self.owed[shard];
        if changed.told != now {
            changed.told = now;
            self.shards[shard].rows(rows);
        }
        Some(rows)
    }

    /// Something of a shard is about to change, in this row: what is owed of it is encoded first.
    fn note_change<K: StateData, C: Codec<S>>(
        &mut self,
        shard: u8,
        row: u32,
        key: &K,
        owed: Owed,
        codec: &C,
        outbox: &mut Outbox,
    ) {
        let (at, now) = (usize::from(shard), outbox.now);
        if let Some(rows) = self.owed_rows(at, owed, now)
            && rows.remove(row as usize)
            && let Some(state) = self.shards[at].get(row)
        {
            outbox.put(shard, key, state, &InNamespace(&self.number, codec));
            self.changed[at].persisted = true;
        }
        let changed = &mut self.changed[at];
        if changed.last != now {
            (changed.before, changed.last) = (changed.last, now);
        }
        self.changed_in = now;
    }
}

impl<K: Key, S: Clone + 'static, C: Codec<S>> ColumnarTable<K, S, C> {
    /// An empty table for the state named `name`, of this schema version.
    pub fn new(name: impl Into<String>, version: u32) -> Self {
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

    /// The keys of a shard, in no order that means anything.
    pub fn keys_of(&self, shard: usize) -> impl Iterator<Item = &K> {
        self.rows[shard].iter().map(|row| &row.key)
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
        self.columns[column.0].number = number;
        self.by_number.insert(number, column);
        column
    }

    /// Closes a column that has become empty.
    ///
    /// # Panics
    /// When it is not open.
    pub fn close(&mut self, column: ColumnId) {
        let numbered = &mut self.columns[column.0];
        debug_assert!(numbered.is_empty(), "a column that is closed is empty");
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
        self.columns[column.0].is_empty()
    }

    /// For changing many states one after the other.
    #[inline]
    pub fn changes(&mut self) -> Changes<'_, K, S> {
        Changes {
            rows: &self.rows,
            columns: &mut self.columns,
            recent: &self.recent,
            now: self.ledger.outbox.now,
            sharding: self.ledger.sharding(),
        }
    }

    /// The state that a key with this stable hash has in a column, for changing; made by `make` if it is not there. `make` has to
    /// make the same each time.
    #[inline(never)]
    pub fn touch_or_insert(
        &mut self,
        column: ColumnId,
        key: &K,
        hash: u64,
        make: impl Fn() -> S,
    ) -> &mut S {
        let row = self.make_way(column, key, hash, &make);
        let at = self.shard_at(hash);
        let (owed, now) = (self.owed[at], self.ledger.outbox.now);
        let numbered = &mut self.columns[column.0];
        let (cells, changed) = (&mut numbered.shards[at], &mut numbered.changed[at]);
        if numbered.free[at] != now && !changed.is_counted && !changed.may_owe(owed, now) {
            if !changed.is_blank {
                cells.blank(&make());
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
    fn make_way(&mut self, column: ColumnId, key: &K, hash: u64, make: &impl Fn() -> S) -> u32 {
        let shard = self.ledger.shard_at(hash);
        let at = usize::from(shard);
        if self.columns[column.0].changed[at].last == Mark::NEVER {
            self.expect(column, at, make);
        }
        let rows = &mut self.rows[at];
        let row = match rows.find(hash, |other| other == key) {
            Some(row) => row.number,
            None => {
                self.keys += 1;
                rows.add(key.clone(), hash)
            }
        };
        let numbered = &mut self.columns[column.0];
        let Ledger { codec, outbox, .. } = &mut self.ledger;
        numbered.note_change(shard, row, key, self.owed[at], codec, outbox);
        let (cells, changed) = (&mut numbered.shards[at], &numbered.changed[at]);
        if cells.get(row).is_none() {
            cells.insert(row, make(), rows.end());
            if changed.is_counted
                && let Some(row) = rows.find_mut(hash, |other| other == key)
            {
                row.cells += 1;
            }
        }
        row
    }

    /// A column that is as full as the one before the one before it most likely will be is an array from the start.
    fn expect(&mut self, column: ColumnId, shard: usize, make: &impl Fn() -> S) {
        let number = self.columns[column.0].number;
        let mut earlier = self.by_number.range(..number);
        if let Some((_, earlier)) = earlier.nth_back(1)
            && self.columns[earlier.0].shards[shard].is_dense()
        {
            let rows = self.rows[shard].end();
            self.columns[column.0].shards[shard].reserve(rows, &make());
        }
    }

    /// The state that a key with this stable hash has in a column, for changing.
    pub fn touch(&mut self, column: ColumnId, key: &K, hash: u64) -> Option<&mut S> {
        let (row, at) = (self.row(key, hash)?, self.shard_at(hash));
        self.cells(column, at).get(row)?;
        self.make_way(column, key, hash, &|| unreachable!("it is there"));
        self.columns[column.0].shards[at].get_mut(row)
    }

    /// Removes the state of a key with this stable hash from a column; also says whether the key's row has gone with it.
    pub fn remove(&mut self, column: ColumnId, key: &K, hash: u64) -> Option<(S, bool)> {
        let shard = self.ledger.shard_at(hash);
        let at = usize::from(shard);
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
        row.cells -= u32::from(changed.is_counted);
        let (number, mut is_last) = (row.number, row.cells == 0);
        if is_last {
            let uncounted = self.uncounted(at);
            is_last = !self.is_in_any(&uncounted, at, number);
        }
        if is_last {
            self.rows[at].retain(|row| row.number != number);
            self.keys -= 1;
        }
        Some((state, is_last))
    }

    /// The columns that rows of a shard do not count: the last ones.
    fn uncounted(&self, shard: usize) -> SmallVec<[ColumnId; 4]> {
        let last_first = self.by_number.values().rev();
        let is_uncounted = |column: &&ColumnId| !self.columns[column.0].changed[shard].is_counted;
        last_first.take_while(is_uncounted).copied().collect()
    }

    fn is_in_any(&self, columns: &[ColumnId], shard: usize, row: u32) -> bool {
        let mut cells = columns.iter().map(|column| self.cells(*column, shard));
        cells.any(|cells| cells.get(row).is_some())
    }

    /// The states of a column in a shard, by row.
    #[inline]
    pub fn cells(&self, column: ColumnId, shard: usize) -> &Column<S> {
        &self.columns[column.0].shards[shard]
    }

    /// Whether rows count their states in a column.
    pub fn is_counted(&self, column: ColumnId, shard: usize) -> bool {
        self.columns[column.0].changed[shard].is_counted
    }

    /// Rows count their states in a column from now on. Columns are to be counted in order, before they are dropped: until
    /// then adding to them is cheaper.
    pub fn count(&mut self, column: ColumnId, shard: usize) {
        let numbered = &mut self.columns[column.0];
        if !std::mem::replace(&mut numbered.changed[shard].is_counted, true) {
            numbered.free[shard] = Mark::OLD;
            let cells = &numbered.shards[shard];
            for row in self.rows[shard].iter_mut() {
                row.cells += u32::from(cells.get(row.number).is_some());
            }
        }
    }

    /// Shows all rows of a shard: key, row, and what becomes of it as these columns come and leave.
    #[inline]
    pub fn pass(
        &mut self,
        shard: usize,
        passing: Passing,
        mut see: impl FnMut(&K, u32, Option<&S>, Leaving),
    ) {
        let Passing {
            comes,
            leaves,
            drops,
        } = passing;
        let drops = drops && leaves.is_some();
        let (mut uncounted, mut was_counted) = (SmallVec::<[ColumnId; 4]>::new(), false);
        if let Some(column) = leaves
            && drops
        {
            self.encode_rest(column, shard);
            uncounted = self.uncounted(shard);
            was_counted = self.columns[column.0].changed[shard].is_counted;
            uncounted.retain(|other| *other != column);
        }
        let mut leaving =
            leaves.map(|column| std::mem::take(&mut self.columns[column.0].shards[shard]));
        let columns = &self.columns;
        let coming = comes.map(|column| &columns[column.0].shards[shard]);
        let rows = &mut self.rows[shard];
        let (mut dropped, before) = (0, rows.len());
        rows.retain(|row| {
            let added = coming.and_then(|cells| cells.get(row.number));
            row.cells += u32::from(added.is_some());
            let mut step = Leaving::Stays;
            if let Some(cells) = &mut leaving {
                let is_in = match drops {
                    true => cells.take(row.number).is_some(),
                    false => cells.get(row.number).is_some(),
                };
                if is_in {
                    step = Leaving::Leaves;
                    if drops {
                        dropped += 1;
                        row.cells -= u32::from(was_counted);
                    }
                }
            }
            if drops && row.cells == 0 {
                let mut others = uncounted
                    .iter()
                    .map(|column| &columns[column.0].shards[shard]);
                if !others.any(|cells| cells.get(row.number).is_some()) {
                    step = Leaving::Goes;
                }
            }
            see(&row.key, row.number, added, step);
            step != Leaving::Goes
        });
        self.keys -= before - rows.len();
        if let Some(column) = comes {
            self.columns[column.0].changed[shard].is_counted = true;
            self.columns[column.0].free[shard] = Mark::OLD;
        }
        if let (Some(column), Some(mut cells)) = (leaves, leaving) {
            let numbered = &mut self.columns[column.0];
            if drops {
                cells.clear(dropped);
                numbered.changed[shard].is_blank = false;
                numbered.changed[shard].is_counted = false;
                numbered.free[shard] = Mark::OLD;
            }
            numbered.shards[shard] = cells;
        }
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

    /// Whether there are so many states that they are seldom in a cache: asking for them [ahead](Self::prefetch) pays then.
    #[inline]
    pub fn is_large(&self) -> bool {
        // The newest columns are asked for most.
        self.keys * (size_of::<S>() + size_of::<K>() + size_of::<u64>()) >= LARGE_BYTES
    }

    /// Brings what a key with this stable hash has in a column into the cache. Returns a number that means nothing, so
    /// that it is not optimised away.
    #[inline]
    pub fn warm(&self, column: ColumnId, hash: u64) -> usize {
        let shard = self.shard_at(hash);
        let Some(row) = self.rows[shard].find(hash, |_| true) else {
            return 0;
        };
        if let Some(place) = self.columns[column.0].shards[shard].address(row.number) {
            prefetch(place);
        }
        row.number as usize
    }
}

#[cfg(test)]
impl<K, S, C> ColumnarTable<K, S, C> {
    /// The number of the period.
    pub(super) fn now(&mut self) -> &mut Mark {
        &mut self.ledger.outbox.now
    }
}

/// Encodes what is owed of a column in a shard until there is a pause; whether that came before the end.
fn encode<K: Key, S: Clone, C: Codec<S>>(
    numbered: &mut Numbered<S>,
    shard: u8,
    rows: &Rows<K>,
    owed: Owed,
    codec: &C,
    outbox: &mut Outbox,
    mut is_pause_due: impl FnMut(&Outbox) -> bool,
) -> bool {
    let at = usize::from(shard);
    let Some(owed) = numbered.owed_rows(at, owed, outbox.now) else {
        return false;
    };
    let mut owed = std::mem::take(owed);
    let keys = rows.by_number();
    let cells = &numbered.shards[at];
    let encoder = InNamespace(&numbered.number, codec);
    let (mut word, mut paused) = (0, false);
    while !paused && let Some(row) = owed.take_from(word) {
        word = row / 64;
        if let (Some(key), Some(state)) = (keys[row], cells.get(row as u32)) {
            outbox.put(shard, key, state, &encoder);
            paused = is_pause_due(outbox);
        }
    }
    numbered.owed[at] = owed;
    numbered.changed[at].persisted = true;
    paused
}

impl<K: Key, S: Clone + 'static, C: Codec<S>> Snapshot for ColumnarTable<K, S, C> {
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
        self.next = i64::MIN;
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let ColumnarTable {
            ledger,
            rows,
            owed,
            columns,
            by_number,
            next,
            ..
        } = self;
        ledger.encode(budget, sink, |shard, codec, outbox, pause| {
            let at = usize::from(shard);
            let (rows, owed) = (&rows[at], &mut owed[at]);
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
        let mut bytes = block.payload;
        while !bytes.is_empty() {
            let entry = self
                .ledger
                .read_entry(block, &mut bytes, |(key, _): &(K, i64)| key)?;
            let Some(((key, number), hash, state)) = entry else {
                continue;
            };
            // Restored entries count as changed, so that the first snapshot after a restore is whole.
            match (state, self.column(number)) {
                (Some(state), _) => {
                    let column = self.open(number);
                    self.remove(column, &key, hash);
                    self.make_way(column, &key, hash, &|| state.clone());
                }
                (None, Some(column)) => {
                    self.remove(column, &key, hash);
                    if self.is_column_empty(column) {
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
