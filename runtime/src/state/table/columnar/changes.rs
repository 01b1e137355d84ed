//! Changes of states, for the innermost loops.

use super::held::Spread;
use super::numbered::Numbered;
use super::{ColumnId, RECENT};
use crate::record::Key;
use crate::state::SHARDS;
use crate::state::table::ledger::Sharding;
use crate::state::table::mark::Mark;
use crate::state::table::rows::{Rows, at};

/// Where the row of a key is, if it has one: good until a row goes ([`rows_gone`](super::ColumnarTable::rows_gone)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// Of a key that has no row.
    pub const NONE: Place = Place(u64::MAX);

    #[inline]
    fn new(shard: u8, row: u32) -> Self {
        Place(u64::from(shard) << 32 | u64::from(row))
    }

    #[inline]
    pub(super) fn shard(self) -> usize {
        (self.0 >> 32) as usize % SHARDS as usize
    }

    #[inline]
    pub(super) fn row(self) -> u32 {
        self.0 as u32
    }
}

/// Changes states of a [`ColumnarTable`](super::ColumnarTable) one after the other.
pub struct Changes<'a, K, S, const H: usize> {
    pub(super) rows: &'a mut [Rows<K, S, H>; SHARDS as usize],
    pub(super) columns: &'a mut [Numbered<S>],
    pub(super) recent: &'a [(i64, ColumnId); RECENT],
    pub(super) now: Mark,
    pub(super) sharding: Sharding,
    pub(super) spread: &'a mut Spread,
}

impl<K: Key, S: Clone, const H: usize> Changes<'_, K, S, H> {
    /// So many changes were made, or tried: by that the table judges whether to [hold](super::ColumnarTable::is_holding).
    pub fn note(&mut self, changes: usize) {
        self.spread.changes += changes;
    }

    /// A column is about to be changed that the rows of a shard do not hold. Whether it is time to see to that.
    #[inline]
    fn earns(&mut self, shard: usize) -> bool {
        self.spread.aside += 1;
        !self.spread.is_paused() && self.rows[shard].earn()
    }

    /// Where the row of a key with this stable hash is.
    #[inline(always)] // for the innermost loops
    pub fn place(&self, key: &K, hash: u64) -> Place {
        let shard = self.sharding.shard_at(hash);
        match self.rows[usize::from(shard)].find(hash, |other| other == key) {
            Some(row) => Place::new(shard, row.number),
            None => Place::NONE,
        }
    }

    /// Lets `change` change the state that a key with this stable hash has under a number, or a new one, if that is to
    /// be had without further ado.
    ///
    /// # Errors
    /// When it is not: `with` comes back, for [`touch_or_insert`](super::ColumnarTable::touch_or_insert).
    #[inline(always)] // for the innermost loops
    pub fn change<W>(
        &mut self,
        number: i64,
        key: &K,
        hash: u64,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        let shard = usize::from(self.sharding.shard_at(hash));
        let rows = &mut self.rows[shard];
        if rows.is_open(number) {
            let Some(row) = rows.find_mut(hash, |other| other == key) else {
                return Err(with);
            };
            row.uses.hold(at::<H>(number));
            change(&mut row.held[at::<H>(number)], with);
            return Ok(());
        }
        self.change_aside(shard, number, key, hash, with, change)
    }

    #[inline(never)] // it would take registers from the innermost loops
    fn change_aside<W>(
        &mut self,
        shard: usize,
        number: i64,
        key: &K,
        hash: u64,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        match self.earns(shard) {
            true => Err(with),
            false => self.change_cell(number, key, hash, with, change),
        }
    }

    /// The same as [`change`](Self::change), but faster where rows [hold](super::ColumnarTable::is_holding) nothing.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    #[inline(always)] // for the innermost loops
    pub fn change_cell<W>(
        &mut self,
        number: i64,
        key: &K,
        hash: u64,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        let shard = usize::from(self.sharding.shard_at(hash));
        let (recent, column) = self.recent[number as usize % RECENT];
        if recent != number {
            return Err(with);
        }
        match self.rows[shard].find(hash, |other| other == key) {
            Some(row) => self.change_at(column, shard, row.number, with, change),
            None => Err(with),
        }
    }

    /// The same as [`change`](Self::change) for a key whose row is in this place.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    #[inline]
    pub fn change_in<W>(
        &mut self,
        number: i64,
        key: &K,
        hash: u64,
        place: Place,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        let (recent, column) = self.recent[number as usize % RECENT];
        let shard = usize::from(self.sharding.shard_at(hash));
        if self.rows[shard].is_open(number) {
            return self.change(number, key, hash, with, change);
        }
        if recent != number || place == Place::NONE || self.earns(shard) {
            return Err(with);
        }
        self.change_at(column, place.shard(), place.row(), with, change)
    }

    #[inline(always)] // as what calls it
    fn change_at<W>(
        &mut self,
        column: ColumnId,
        shard: usize,
        row: u32,
        with: W,
        change: impl FnOnce(&mut S, W),
    ) -> std::result::Result<(), W> {
        let numbered = &mut self.columns[column.0];
        if numbered.free[shard] != self.now {
            return Err(with);
        }
        let Some(state) = numbered.shards[shard].place_mut(row) else {
            return Err(with);
        };
        change(state, with);
        Ok(())
    }
}
