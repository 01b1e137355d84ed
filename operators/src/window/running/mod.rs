//! The aggregates over a window that moves over slices, without merging all of them again each time; those of all keys of a
//! shard together, by the number of their row: [`Wholes`] of what can be taken out again, [`Stacks`] of what cannot.

mod stacks;
mod wholes;

use super::slicing::Slicing;
use crate::aggregate::Aggregator;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{Column, ColumnId, ColumnarTable, Compact, Pass, Passing};
use stacks::Stacks;
use std::ops::Range;
use wholes::Wholes;

/// A slice that anything was added to: its number, and its column.
pub(super) type Slice = (i64, ColumnId);

/// The slices of a shard's keys.
pub(super) struct Slices<'a, K, A, const H: usize> {
    pub table: &'a mut ColumnarTable<K, A, Compact, H>,
    pub shard: usize,
    /// In order, up to some number.
    pub all: &'a [Slice],
}

/// The accumulators of a row in these slices.
pub(super) fn of_row<'a, K: Key, A: Data, const H: usize>(
    table: &'a ColumnarTable<K, A, Compact, H>,
    shard: usize,
    row: u32,
    slices: &'a [Slice],
) -> impl DoubleEndedIterator<Item = (i64, &'a A)> {
    slices
        .iter()
        .filter_map(move |(slice, column)| Some((*slice, table.cells(*column, shard).get(row)?)))
}

/// Slices with numbers from one up to another. Mostly those are the first or the last of all.
#[inline]
pub(super) fn within(all: &[Slice], from: i64, until: i64) -> &[Slice] {
    let rest = match all {
        [first, ..] if first.0 >= from => all,
        [.., before, _] if before.0 < from => &all[all.len() - 1..],
        _ => &all[all.partition_point(|slice| slice.0 < from)..],
    };
    let rest = match rest {
        [only] if only.0 < from => &[],
        _ => rest,
    };
    match rest {
        [.., last] if last.0 < until => rest,
        [first, ..] if first.0 >= until => &[],
        [_, second, ..] if second.0 >= until => &rest[..1],
        _ => &rest[..rest.partition_point(|slice| slice.0 < until)],
    }
}

/// The aggregates of a shard's keys. They hold nothing that cannot be had from the slices.
pub(super) struct Running<A> {
    /// Slices before this one have left.
    begin: i64,
    /// Slices from this one on have not come.
    end: i64,
    /// Of aggregators that unmerge.
    wholes: Wholes<A>,
    /// Of others.
    stacks: Stacks<A>,
}

impl<A> Default for Running<A> {
    fn default() -> Self {
        Running {
            begin: i64::MIN,
            end: i64::MIN,
            wholes: Wholes::default(),
            stacks: Stacks::default(),
        }
    }
}

impl<A: Data> Running<A> {
    /// Whether a slice has come: what is added to it now is not in the aggregates.
    #[inline]
    pub fn has_seen(&self, slice: i64) -> bool {
        slice < self.end
    }

    /// The slices that have come and not left.
    pub fn slices(&self) -> Range<i64> {
        self.begin..self.end
    }

    /// Moves on to a window, puts out its results, and lets what the next window no longer has leave. Of that, slices
    /// before `kept` are dropped. Returns what it cost, in merges and results.
    pub fn fire<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        window: i64,
        kept: i64,
        mut slices: Slices<'_, K, A, H>,
        slicing: &Slicing,
        aggregator: &G,
        mut emit: impl FnMut(&K, G::Out),
    ) -> usize {
        let next = slicing.slices_of(window.saturating_add(1)).start;
        let turns = slicing.turns(window, slices.shard);
        let window = slicing.slices_of(window);
        self.make_rows(slices.table.rows_end(slices.shard), aggregator);
        let (mut cost, comes) = match G::UNMERGES || !turns && self.stacks.reach(window.start) {
            true => self.advance(window, next, &mut slices, aggregator),
            false => (self.turn(window, &mut slices, aggregator), None),
        };
        // The last slice comes, the results go out, and the first slice leaves, in one.
        let first = within(slices.all, self.begin, next).first().copied();
        let passing = Passing {
            comes,
            leaves: first.map(|(_, column)| column),
            drops: first.is_some_and(|(slice, _)| slice < kept),
        };
        let mut rests = first.and_then(|(slice, _)| self.stacks.rests_that_left(slice));
        slices.table.pass(slices.shard, passing, |pass| {
            if let Some(added) = pass.comes {
                self.add(pass.row, added, aggregator);
            }
            if let Some(result) = self.result(pass.row, aggregator) {
                cost += 1;
                emit(pass.key, result);
            }
            self.remove(&pass, &mut rests, aggregator);
        });
        self.stacks.keep_memory(rests);
        if let Some((slice, _)) = first {
            self.begin = self.begin.max(slice + 1);
        }
        self.leave(next, kept, &mut slices, aggregator);
        cost
    }

    /// Slices come, up to the end of a window, and others leave, up to its start. Returns what it cost, and the last that is to
    /// come: it does so as the first of those before `next` leaves, if it is none of them.
    fn advance<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        window: Range<i64>,
        next: i64,
        slices: &mut Slices<'_, K, A, H>,
        aggregator: &G,
    ) -> (usize, Option<ColumnId>) {
        self.leave(window.start, i64::MIN, slices, aggregator);
        let Slices { table, shard, all } = slices;
        // After a restore there may be some that only late records are for.
        for (_, column) in within(all, self.end, window.start) {
            table.count(*column, *shard);
        }
        let come = within(all, self.end.max(window.start), window.end);
        let (last, others) = match come.split_last() {
            Some((last, others)) if last.0 >= next => (Some(last), others),
            _ => (None, come),
        };
        let mut merges = 0;
        for (_, column) in others {
            table.count(*column, *shard);
            table.cells(*column, *shard).for_each(|row, added| {
                merges += 1;
                self.add(row, added, aggregator);
            });
        }
        self.end = window.end;
        (merges, last.map(|(_, column)| *column))
    }

    /// All slices of a window are aggregated anew; returns what that cost.
    fn turn<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        window: Range<i64>,
        slices: &mut Slices<'_, K, A, H>,
        aggregator: &G,
    ) -> usize {
        for (_, column) in within(slices.all, self.end, window.end) {
            slices.table.count(*column, slices.shard);
        }
        (self.begin, self.end) = (window.start, window.end);
        self.stacks.turn(window, slices, aggregator)
    }

    /// Slices leave, up to one; those before `kept` are dropped.
    fn leave<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        until: i64,
        kept: i64,
        slices: &mut Slices<'_, K, A, H>,
        aggregator: &G,
    ) {
        for (slice, column) in within(slices.all, self.begin, until.min(self.end)) {
            let mut rests = self.stacks.rests_that_left(*slice);
            let passing = Passing {
                comes: None,
                leaves: Some(*column),
                drops: *slice < kept,
            };
            slices.table.pass(slices.shard, passing, |pass| {
                self.remove(&pass, &mut rests, aggregator);
            });
            self.stacks.keep_memory(rests);
        }
        self.begin = self.begin.max(until);
    }

    /// Makes room for so many rows.
    #[inline]
    fn make_rows<V, G: Aggregator<V, Acc = A>>(&mut self, rows: usize, aggregator: &G) {
        match G::UNMERGES {
            true => self.wholes.make_rows(rows, aggregator),
            false => self.stacks.make_rows(rows),
        }
    }

    /// A slice has come.
    #[inline]
    fn add<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, added: &A, aggregator: &G) {
        match G::UNMERGES {
            true => self.wholes.add(row, added, aggregator),
            false => self.stacks.add(row, added, aggregator),
        }
    }

    #[inline]
    fn result<V, G: Aggregator<V, Acc = A>>(&self, row: u32, aggregator: &G) -> Option<G::Out> {
        match G::UNMERGES {
            true => self.wholes.result(row, aggregator),
            false => self.stacks.result(row, aggregator),
        }
    }

    /// A slice has left, of which these are the rests.
    #[inline]
    fn remove<K, V, G: Aggregator<V, Acc = A>>(
        &mut self,
        pass: &Pass<'_, K, A>,
        rests: &mut Option<Column<A>>,
        aggregator: &G,
    ) {
        match pass.leaves {
            Some(left) if G::UNMERGES => self.wholes.remove(pass.row, left, aggregator),
            Some(_) => self.stacks.remove(pass.row, rests),
            None => {}
        }
        if pass.goes {
            self.clear(pass.row, aggregator);
        }
    }

    /// Nothing is left of a row.
    pub fn clear<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, aggregator: &G) {
        match G::UNMERGES {
            true => self.wholes.clear(row, aggregator),
            false => self.stacks.clear(row),
        }
    }

    /// Something was added, to one row, in slices that have come: its aggregates are made anew.
    #[cold]
    pub fn renew<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        row: u32,
        slices: Slices<'_, K, A, H>,
        aggregator: &G,
    ) {
        self.make_rows(slices.table.rows_end(slices.shard), aggregator);
        self.clear(row, aggregator);
        let seen = within(slices.all, self.begin, self.end);
        for (_, column) in seen {
            slices.table.count(*column, slices.shard);
        }
        if !G::UNMERGES {
            let seen = self.begin..self.end;
            return self.stacks.renew(row, seen, &slices, aggregator);
        }
        for (_, added) in of_row(slices.table, slices.shard, row, seen) {
            self.wholes.add(row, added, aggregator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_within_a_range() {
        let mut table = ColumnarTable::<u8, u8>::new("slices", 1, 0);
        let mut random = fastrand::Rng::with_seed(0);
        for _ in 0..2_000 {
            let mut numbers: Vec<i64> = (0..random.usize(..8)).map(|_| random.i64(0..12)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let all: Vec<Slice> = numbers.iter().map(|n| (*n, table.open(*n))).collect();
            let (from, until) = (random.i64(-1..14), random.i64(-1..14));
            let found: Vec<i64> = within(&all, from, until)
                .iter()
                .map(|slice| slice.0)
                .collect();
            numbers.retain(|number| (from..until).contains(number));
            assert_eq!(found, numbers, "{all:?} from {from} until {until}");
        }
    }
}
