//! The aggregates over a window that moves over slices, without merging all of them again each time; those of all keys of a
//! shard together, by the number of their row.
//!
//! Two stacks, as in Tangwongsan, Hirzel, Schneider: "Low-latency sliding-window aggregation in worst-case
//! constant time" (DEBS 2017), who trace them to functional queues. The slices up to a split are aggregated
//! backwards, those behind it forwards; front and back together are the window. So each slice is merged twice in its
//! life: once forwards, once backwards, and a result merges once.
//!
//! A key's front is the aggregate over those of its slices up to the split that are in the window. Each slice
//! keeps beside it what the front is when that slice has left: the rest. So a slice that comes or leaves costs as
//! much as there are keys in it. Once per size of a window, or when the window would begin behind the split, the
//! split moves to the window's end: fronts and rests are aggregated anew. Shards take turns in this
//! ([`Slicing::turns`]), so that no result waits for all of them.
//!
//! Of aggregates that can take out again what was merged ([`Aggregator::UNMERGES`]) there is one over the whole
//! window: a slice that comes is merged into it, one that leaves is taken out.

use super::slicing::Slicing;
use crate::aggregate::Aggregator;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{Column, ColumnId, ColumnarTable, Compact, Passing};
use std::collections::VecDeque;
use std::ops::Range;

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

/// The aggregates of a shard's keys; see the module's documentation. They hold nothing that cannot be had from
/// the slices.
pub(super) struct Running<A> {
    /// Slices before this one have left.
    begin: i64,
    /// The slices behind this one are those of the backs.
    split: i64,
    /// Slices from this one on have not come.
    end: i64,
    /// By row. For aggregates that unmerge there are the wholes instead.
    totals: Vec<Total<A>>,
    wholes: Vec<Whole<A>>,
    /// Slices up to the split, the oldest first, each with its rests.
    rests: VecDeque<(i64, Column<A>)>,
    /// The memory of slices that have left.
    spare: Vec<Column<A>>,
}

/// The aggregates of a key.
struct Total<A> {
    /// Over the slices up to the split.
    front: Option<A>,
    /// Over those behind it.
    back: Option<A>,
}

/// The aggregate over so many slices of a key.
struct Whole<A> {
    whole: A,
    slices: u32,
}

impl<A> Total<A> {
    const NONE: Total<A> = Total {
        front: None,
        back: None,
    };
}

impl<A: Data> Total<A> {
    #[inline]
    fn add<V, G: Aggregator<V, Acc = A>>(&mut self, added: &A, aggregator: &G) {
        match &mut self.back {
            Some(back) => aggregator.merge(back, added.clone()),
            back => *back = Some(added.clone()),
        }
    }

    #[inline]
    fn result<V, G: Aggregator<V, Acc = A>>(&self, aggregator: &G) -> Option<G::Out> {
        match (&self.front, &self.back) {
            (Some(front), Some(back)) => {
                let mut whole = front.clone();
                aggregator.merge(&mut whole, back.clone());
                Some(aggregator.result(&whole))
            }
            (Some(part), None) | (None, Some(part)) => Some(aggregator.result(part)),
            (None, None) => None,
        }
    }
}

impl<A> Default for Running<A> {
    fn default() -> Self {
        Running {
            begin: i64::MIN,
            split: i64::MIN,
            end: i64::MIN,
            totals: Vec::new(),
            wholes: Vec::new(),
            rests: VecDeque::new(),
            spare: Vec::new(),
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
        slices: Slices<'_, K, A, H>,
        slicing: &Slicing,
        aggregator: &G,
        mut emit: impl FnMut(&K, G::Out),
    ) -> usize {
        let Slices { table, shard, all } = slices;
        let next = slicing.slices_of(window.saturating_add(1)).start;
        let turns = !G::UNMERGES && slicing.turns(window, shard);
        let window = slicing.slices_of(window);
        self.make_rows(table.rows_end(shard), aggregator);
        let mut cost = 0;
        let mut comes = None;
        if turns || !G::UNMERGES && window.start > self.split {
            cost += self.turn(window.clone(), table, shard, all, aggregator);
        } else {
            self.leave(window.start, i64::MIN, table, shard, all, aggregator);
            // After a restore there may be some that only late records are for.
            for (_, column) in within(all, self.end, window.start) {
                table.count(*column, shard);
            }
            let come = within(all, self.end.max(window.start), window.end);
            // The last one comes in one with what leaves, unless it is that.
            let (last, others) = match come.split_last() {
                Some((last, others)) if last.0 >= next => (Some(last), others),
                _ => (None, come),
            };
            for (_, column) in others {
                table.count(*column, shard);
                table.cells(*column, shard).for_each(|row, added| {
                    cost += 1;
                    self.add(row, added, aggregator);
                });
            }
            comes = last.map(|(_, column)| *column);
            self.end = window.end;
        }
        // The last slice comes, the results go out, and the first slice leaves, in one.
        let first = within(all, self.begin, next).first().copied();
        let passing = Passing {
            comes,
            leaves: first.map(|(_, column)| column),
            drops: first.is_some_and(|(slice, _)| slice < kept),
        };
        let mut rests = first.and_then(|(slice, _)| self.rests_that_left(slice));
        table.pass(shard, passing, |pass| {
            if let Some(added) = pass.comes {
                self.add(pass.row, added, aggregator);
            }
            if let Some(result) = self.result(pass.row, aggregator) {
                cost += 1;
                emit(pass.key, result);
            }
            if let Some(left) = pass.leaves {
                self.remove(pass.row, left, &mut rests, aggregator);
            }
            if pass.goes {
                self.clear(pass.row, aggregator);
            }
        });
        self.spare.extend(rests);
        if let Some((slice, _)) = first {
            self.begin = self.begin.max(slice + 1);
        }
        self.leave(next, kept, table, shard, all, aggregator);
        cost
    }

    /// Makes room for so many rows.
    #[inline]
    fn make_rows<V, G: Aggregator<V, Acc = A>>(&mut self, rows: usize, aggregator: &G) {
        if G::UNMERGES && rows > self.wholes.len() {
            self.wholes.resize_with(rows, || Whole {
                whole: aggregator.create(),
                slices: 0,
            });
        } else if !G::UNMERGES && rows > self.totals.len() {
            self.totals.resize_with(rows, || Total::NONE);
        }
    }

    /// A slice has come.
    #[inline]
    fn add<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, added: &A, aggregator: &G) {
        if G::UNMERGES {
            let Whole { whole, slices } = &mut self.wholes[row as usize];
            aggregator.merge(whole, added.clone());
            *slices += 1;
        } else {
            self.totals[row as usize].add(added, aggregator);
        }
    }

    /// A slice has left, of which these are the rests.
    #[inline]
    fn remove<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        row: u32,
        left: &A,
        rests: &mut Option<Column<A>>,
        aggregator: &G,
    ) {
        if G::UNMERGES {
            let Whole { whole, slices } = &mut self.wholes[row as usize];
            aggregator.unmerge(whole, left);
            *slices -= 1;
            if *slices == 0 {
                *whole = aggregator.create();
            }
        } else {
            self.totals[row as usize].front = rests.as_mut().and_then(|rests| rests.take(row));
        }
    }

    #[inline]
    fn result<V, G: Aggregator<V, Acc = A>>(&self, row: u32, aggregator: &G) -> Option<G::Out> {
        if G::UNMERGES {
            let Whole { whole, slices } = &self.wholes[row as usize];
            return (*slices > 0).then(|| aggregator.result(whole));
        }
        self.totals[row as usize].result(aggregator)
    }

    /// Moves the split to the end of a window.
    #[inline(never)]
    fn turn<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        window: Range<i64>,
        table: &mut ColumnarTable<K, A, Compact, H>,
        shard: usize,
        all: &[Slice],
        aggregator: &G,
    ) -> usize {
        for (_, column) in within(all, self.end, window.end) {
            table.count(*column, shard);
        }
        self.totals
            .iter_mut()
            .for_each(|total| *total = Total::NONE);
        self.spare
            .extend(self.rests.drain(..).map(|(_, rests)| rests));
        let (totals, rows) = (&mut self.totals, table.rows_end(shard));
        let mut merges = 0;
        for (slice, column) in within(all, window.start, window.end).iter().rev() {
            let mut rests = self.spare.pop().unwrap_or_default();
            rests.clear(rows);
            table.cells(*column, shard).for_each(|row, added| {
                merges += 1;
                let total = &mut totals[row as usize];
                let mut front = added.clone();
                if let Some(rest) = total.front.take() {
                    aggregator.merge(&mut front, rest.clone());
                    rests.insert(row, rest, rows);
                }
                total.front = Some(front);
            });
            self.rests.push_front((*slice, rests));
        }
        self.spare.clear();
        (self.begin, self.split, self.end) = (window.start, window.end - 1, window.end);
        merges
    }

    /// Slices leave, up to one; those before `kept` are dropped.
    fn leave<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        until: i64,
        kept: i64,
        table: &mut ColumnarTable<K, A, Compact, H>,
        shard: usize,
        all: &[Slice],
        aggregator: &G,
    ) {
        for (slice, column) in within(all, self.begin, until.min(self.end)) {
            let mut rests = self.rests_that_left(*slice);
            let passing = Passing {
                comes: None,
                leaves: Some(*column),
                drops: *slice < kept,
            };
            table.pass(shard, passing, |pass| {
                if let Some(left) = pass.leaves {
                    self.remove(pass.row, left, &mut rests, aggregator);
                }
                if pass.goes {
                    self.clear(pass.row, aggregator);
                }
            });
            self.spare.extend(rests);
        }
        self.begin = self.begin.max(until);
    }

    /// The rests of a slice that has left.
    fn rests_that_left(&mut self, slice: i64) -> Option<Column<A>> {
        while self.rests.front().is_some_and(|rests| rests.0 <= slice) {
            let (of, rests) = self.rests.pop_front()?;
            if of == slice {
                return Some(rests);
            }
        }
        None
    }

    /// Nothing is left of a row.
    pub fn clear<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, aggregator: &G) {
        if let Some(whole) = self.wholes.get_mut(row as usize) {
            *whole = Whole {
                whole: aggregator.create(),
                slices: 0,
            };
        }
        if let Some(total) = self.totals.get_mut(row as usize) {
            *total = Total::NONE;
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
        let Slices { table, shard, all } = slices;
        let rows = table.rows_end(shard);
        self.make_rows(rows, aggregator);
        self.clear(row, aggregator);
        for (_, column) in within(all, self.begin, self.end) {
            table.count(*column, shard);
        }
        let of_row = |from: i64, until: i64| of_row(table, shard, row, within(all, from, until));
        if G::UNMERGES {
            for (_, added) in of_row(self.begin, self.end) {
                self.add(row, added, aggregator);
            }
            return;
        }
        for (_, rests) in &mut self.rests {
            rests.take(row);
        }
        let behind = self.split.saturating_add(1);
        let mut total = Total::NONE;
        for (slice, added) in of_row(self.begin, behind).rev() {
            let mut front = added.clone();
            if let Some(rest) = total.front.take() {
                aggregator.merge(&mut front, A::clone(&rest));
                self.rests_of(slice).insert(row, rest, rows);
            }
            total.front = Some(front);
        }
        for (_, added) in of_row(behind.max(self.begin), self.end) {
            total.add(added, aggregator);
        }
        self.totals[row as usize] = total;
    }

    /// The rests of a slice up to the split.
    fn rests_of(&mut self, slice: i64) -> &mut Column<A> {
        let at = self.rests.partition_point(|rests| rests.0 < slice);
        if self.rests.get(at).is_none_or(|rests| rests.0 != slice) {
            self.rests.insert(at, (slice, Column::default()));
        }
        &mut self.rests[at].1
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
