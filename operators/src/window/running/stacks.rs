//! Two stacks, as in Tangwongsan, Hirzel, Schneider: "Low-latency sliding-window aggregation in worst-case
//! constant time" (DEBS 2017), who trace them to functional queues. The slices up to a split are aggregated
//! backwards, those behind it forwards; front and back together are the window. So each slice is merged twice in its
//! life: once forwards, once backwards, and a result merges once.
//!
//! A key's front is the aggregate over those of its slices up to the split that are in the window. Each slice
//! keeps beside it what the front is when that slice has left: the rest. So a slice that comes or leaves costs as
//! much as there are keys in it. Once per size of a window, or when the window would begin behind the split, the
//! split moves to the window's end: fronts and rests are aggregated anew. Shards take turns in this
//! ([`Slicing::turns`](super::Slicing::turns)), so that no result waits for all of them.

use super::{Slices, of_row, within};
use crate::aggregate::Aggregator;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::Column;
use std::collections::VecDeque;
use std::ops::Range;

/// See the module's documentation.
pub(super) struct Stacks<A> {
    /// The slices behind this one are those of the backs.
    split: i64,
    /// By row.
    totals: Vec<Total<A>>,
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

    /// One more slice at the front, before those that came. Returns what the front is without it.
    #[inline]
    fn add_before<V, G: Aggregator<V, Acc = A>>(&mut self, added: &A, aggregator: &G) -> Option<A> {
        let rest = self.front.take();
        let mut front = added.clone();
        if let Some(rest) = &rest {
            aggregator.merge(&mut front, rest.clone());
        }
        self.front = Some(front);
        rest
    }
}

impl<A> Default for Stacks<A> {
    fn default() -> Self {
        Stacks {
            split: i64::MIN,
            totals: Vec::new(),
            rests: VecDeque::new(),
            spare: Vec::new(),
        }
    }
}

impl<A: Data> Stacks<A> {
    /// Whether a window that begins with this slice has one up to the split.
    #[inline]
    pub fn reach(&self, start: i64) -> bool {
        start <= self.split
    }

    #[inline]
    pub fn make_rows(&mut self, rows: usize) {
        if rows > self.totals.len() {
            self.totals.resize_with(rows, || Total::NONE);
        }
    }

    #[inline]
    pub fn add<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, added: &A, aggregator: &G) {
        self.totals[row as usize].add(added, aggregator);
    }

    #[inline]
    pub fn result<V, G: Aggregator<V, Acc = A>>(&self, row: u32, aggregator: &G) -> Option<G::Out> {
        self.totals[row as usize].result(aggregator)
    }

    /// A slice has left, of which these are the rests.
    #[inline]
    pub fn remove(&mut self, row: u32, rests: &mut Option<Column<A>>) {
        self.totals[row as usize].front = rests.as_mut().and_then(|rests| rests.take(row));
    }

    pub fn clear(&mut self, row: u32) {
        if let Some(total) = self.totals.get_mut(row as usize) {
            *total = Total::NONE;
        }
    }

    /// The rests of a slice that has left.
    pub fn rests_that_left(&mut self, slice: i64) -> Option<Column<A>> {
        while self.rests.front().is_some_and(|rests| rests.0 <= slice) {
            let (of, rests) = self.rests.pop_front()?;
            if of == slice {
                return Some(rests);
            }
        }
        None
    }

    /// Rests that were taken out are memory for others.
    pub fn keep_memory(&mut self, rests: Option<Column<A>>) {
        self.spare.extend(rests);
    }

    /// Moves the split to the end of a window; returns what it cost, in merges.
    #[inline(never)]
    pub fn turn<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        window: Range<i64>,
        slices: &Slices<'_, K, A, H>,
        aggregator: &G,
    ) -> usize {
        let Slices { table, shard, all } = slices;
        self.totals.fill_with(|| Total::NONE);
        self.spare
            .extend(self.rests.drain(..).map(|(_, rests)| rests));
        let (totals, rows) = (&mut self.totals, table.rows_end(*shard));
        let mut merges = 0;
        for (slice, column) in within(all, window.start, window.end).iter().rev() {
            let mut rests = self.spare.pop().unwrap_or_default();
            rests.clear(rows);
            table.cells(*column, *shard).for_each(|row, added| {
                merges += 1;
                if let Some(rest) = totals[row as usize].add_before(added, aggregator) {
                    rests.insert(row, rest, rows);
                }
            });
            self.rests.push_front((*slice, rests));
        }
        self.spare.clear();
        self.split = window.end - 1;
        merges
    }

    /// Something was added to one row in these slices, all that have come and not left: its aggregates are made anew.
    pub fn renew<K: Key, V, G: Aggregator<V, Acc = A>, const H: usize>(
        &mut self,
        row: u32,
        seen: Range<i64>,
        slices: &Slices<'_, K, A, H>,
        aggregator: &G,
    ) {
        let Slices { table, shard, all } = slices;
        let of_row = |from: i64, until: i64| of_row(table, *shard, row, within(all, from, until));
        for (_, rests) in &mut self.rests {
            rests.take(row);
        }
        let (behind, rows) = (self.split.saturating_add(1), table.rows_end(*shard));
        let mut total = Total::NONE;
        for (slice, added) in of_row(seen.start, behind).rev() {
            if let Some(rest) = total.add_before(added, aggregator) {
                self.rests_of(slice).insert(row, rest, rows);
            }
        }
        for (_, added) in of_row(behind.max(seen.start), seen.end) {
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
