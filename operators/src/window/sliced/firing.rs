//! Firing windows, one after the other, each shard by shard.

use super::SlicedOperator;
use crate::aggregate::Aggregator;
use crate::window::running::{Slice, Slices, of_row, within};
use crate::window::slicing::NO_WINDOW;
use crate::window::{Window, Windowed};
use millstream_runtime::hash::stable_hash;
use millstream_runtime::operator::{Output, Work};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::{Passing, SHARDS};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A window that is being fired.
pub(super) struct Firing {
    pub number: i64,
    pub window: Window,
    /// The slices up to its end.
    pub slices: Vec<Slice>,
    /// Shards before this one are done.
    pub shard: usize,
}

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> SlicedOperator<K, V, G, H> {
    /// Computes windows of a key that have fired, and all hold `slice`, anew.
    ///
    /// Costs two merges a window and slice between `slice` and the ends of the windows.
    pub(super) fn fire_again(
        &self,
        windows: Range<i64>,
        slice: i64,
        key: &K,
        hash: u64,
    ) -> Vec<(i64, G::Out)> {
        let Some(row) = self.table.row(key, hash).filter(|_| !windows.is_empty()) else {
            return Vec::new();
        };
        let (slicing, aggregator) = (&self.slicing, &*self.aggregator);
        let (start, end) = (
            slicing.slices_of(windows.start).start,
            slicing.end_of(windows.end),
        );
        let all: Vec<Slice> = self.table.columns(start..end).collect();
        let (table, shard) = (&self.table, self.table.shard_at(hash));
        let of_row = |from, until| of_row(table, shard, row, within(&all, from, until));
        // Each with all that follow up to `slice`; the oldest last.
        let mut fronts: Vec<(i64, G::Acc)> = Vec::new();
        for (number, added) in of_row(start, slice.saturating_add(1)).rev() {
            let mut front = added.clone();
            if let Some((_, rest)) = fronts.last() {
                aggregator.merge(&mut front, rest.clone());
            }
            fronts.push((number, front));
        }
        let mut behind = of_row(slice.saturating_add(1), end).peekable();
        let mut back: Option<G::Acc> = None;
        let mut results = Vec::new();
        for number in windows {
            let within = slicing.slices_of(number);
            while fronts.len() > 1 && fronts.last().is_some_and(|front| front.0 < within.start) {
                fronts.pop();
            }
            while let Some((_, added)) = behind.next_if(|next| next.0 < within.end) {
                match &mut back {
                    Some(back) => aggregator.merge(back, added.clone()),
                    None => back = Some(added.clone()),
                }
            }
            let Some((_, front)) = fronts.last() else {
                continue;
            };
            let mut whole = front.clone();
            if let Some(back) = &back {
                aggregator.merge(&mut whole, back.clone());
            }
            results.push((number, aggregator.result(&whole)));
        }
        results
    }

    /// A slice of a key is another than before.
    pub(super) fn renew(&mut self, shard: usize, slice: i64, key: &K, hash: u64) {
        let running = &mut self.running[shard];
        if !running.has_seen(slice) {
            return;
        }
        if let Some(column) = self.table.column(slice) {
            self.table.count(column, shard); // it may have been opened after its time
        }
        if let Some(row) = self.table.row(key, hash) {
            let all: Vec<Slice> = self.table.columns(running.slices()).collect();
            let slices = Slices {
                table: &mut self.table,
                shard,
                all: &all,
            };
            running.renew(row, slices, &*self.aggregator);
        }
    }

    /// Fires what a shard still owes to the watermark, before a record that is none of those windows'.
    pub(super) fn catch_up(&mut self, shard: usize) {
        let mut next = match &self.firing {
            Some(firing) => firing.number + i64::from(shard < firing.shard),
            None => self.next,
        };
        next = next.max(self.caught_up[shard]);
        while let Some(firing) = self.due_from(next) {
            let mut results = Vec::new();
            let fired = catch_unwind(AssertUnwindSafe(|| {
                self.fire_shard(&firing, shard, |time, result| {
                    results.push(Record::new(time, result));
                })
            }));
            if let Err(panic) = fired {
                self.is_broken = true; // half a window has fired: that is no matter of this record
                resume_unwind(panic);
            }
            self.held.append(&mut results);
            next = firing.number + 1;
            self.caught_up[shard] = next;
        }
    }

    /// Puts out what was fired before its time.
    pub(super) fn hand_out_held(&mut self, out: &mut Output<Windowed<K, G::Out>>) {
        for Record { time, value } in self.held.drain(..) {
            out.push(time, value);
        }
    }

    /// The first window that is due and holds anything, of those from `next` on.
    pub(super) fn due_from(&self, next: i64) -> Option<Firing> {
        if next >= self.past.open_from {
            return None;
        }
        let (slice, _) = self.table.first_from(self.slicing.slices_of(next).start)?;
        let number = self.slicing.first_window(slice).max(next);
        (number < self.past.open_from).then(|| Firing {
            number,
            window: self.slicing.window(number),
            slices: (self.table)
                .columns(i64::MIN..self.slicing.slices_of(number).end)
                .collect(),
            shard: 0,
        })
    }

    /// Fires what is due, as far as the budget goes.
    pub(super) fn fire_due(
        &mut self,
        budget: &mut usize,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> Work {
        self.hand_out_held(out);
        while let Some(mut firing) = self.firing.take().or_else(|| self.due_from(self.next)) {
            while firing.shard < SHARDS as usize {
                if *budget == 0 {
                    self.firing = Some(firing);
                    return Work::More;
                }
                let shard = firing.shard;
                if firing.number >= self.caught_up[shard] && self.table.rows_end(shard) > 0 {
                    let emit = |time, result| out.push(time, result);
                    let cost = self.fire_shard(&firing, shard, emit);
                    *budget = budget.saturating_sub(cost);
                }
                firing.shard += 1;
            }
            self.next = firing.number + 1;
            self.close_before(self.next);
        }
        if self.past.open_from != NO_WINDOW {
            self.next = self.next.max(self.past.open_from);
        }
        Work::Done
    }

    /// Fires a window for the keys of a shard; returns what that cost.
    #[inline]
    pub(super) fn fire_shard(
        &mut self,
        firing: &Firing,
        shard: usize,
        mut emit: impl FnMut(i64, Windowed<K, G::Out>),
    ) -> usize {
        let Firing { number, window, .. } = *firing;
        let slices = Slices {
            table: &mut self.table,
            shard,
            all: &firing.slices,
        };
        let (ahead, groups) = (&self.ahead, &self.groups);
        let has_fired = |key: &K| {
            let group = groups.group_of(stable_hash(key));
            let mut of_key = ahead.iter().filter(|of| of.groups.contains(&group));
            of_key.any(|of| of.fired > number)
        };
        // What is no part of the next window goes, if no late record may need it.
        let kept = (self.slicing).first_slice_from(self.past.kept_from.min(number + 1));
        let (slicing, aggregator) = (&self.slicing, &*self.aggregator);
        self.running[shard].fire(number, kept, slices, slicing, aggregator, |key, value| {
            if ahead.is_empty() || !has_fired(key) {
                let key = key.clone();
                emit(window.end - 1, Windowed { window, key, value });
            }
        })
    }

    /// Closes the columns of slices that are part of no window from `next` on and that no late record may need.
    pub(super) fn close_before(&mut self, next: i64) {
        let until = (self.slicing).first_slice_from(self.past.kept_from.min(next));
        while let Some((slice, column)) = self.table.first_from(i64::MIN)
            && slice < until
        {
            for (shard, running) in self.running.iter_mut().enumerate() {
                if !self.table.may_have(column, shard) {
                    continue;
                }
                let passing = Passing {
                    comes: None,
                    leaves: Some(column),
                    drops: true,
                };
                self.table.pass(shard, passing, |pass| {
                    if pass.goes {
                        running.clear(pass.row, &*self.aggregator);
                    }
                });
            }
            self.table.close(column);
        }
    }
}
