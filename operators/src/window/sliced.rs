//! Sliding and cumulating event-time windows with incremental aggregates, computed from slices that windows
//! share: general stream slicing (Traub et al.: "Scotty", ICDE 2018; Carbone et al.: "Cutty", CIKM 2016), and
//! the aggregates over the window from [running](super::running) aggregates of its slices.
//!
//! A record costs the same however many windows it belongs to: it is added to one slice. A result costs three
//! merges on average, however many slices the window has. A record that comes after some of its windows have fired, but is not
//! late for all, goes into its slice too; the aggregates of its key are made anew.
//!
//! State: an accumulator for each key of each slice, in columns. Windows fire one after the other, each for all
//! keys, shard by shard, so that nothing is noted for a key: which have fired is kept once, for the key groups of a worker.

use super::operator::without_time;
use super::running::{Running, Slice, Slices, of_row, within};
use super::slicing::{Finder, NO_WINDOW, Slicing};
use super::{Window, Windowed};
use crate::aggregate::Aggregator;
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::{KeyGroups, stable_hash};
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{
    BlobState, ColumnarTable, LOOKUPS, Leaving, Passing, SHARDS, Snapshot,
};
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// The states of the columns.
const SLICES: &str = "slices";
/// Their schema version: the first had all slices of a key in one.
const SLICES_VERSION: u32 = 2;

/// Sliding or cumulating windows over slices; see the module's documentation.
pub(crate) struct SlicedOperator<K, V, G: Aggregator<V>> {
    slicing: Slicing,
    finder: Finder,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: ColumnarTable<K, G::Acc>,
    /// By shard.
    running: Box<[Running<G::Acc>]>,
    /// Windows before this one have fired, or were empty.
    next: i64,
    firing: Option<Firing>,
    past: Past,
    /// Key groups that were further before a restore.
    ahead: Vec<Progress>,
    /// What a restore has to know of these windows.
    progress: BlobState<Vec<Progress>>,
    groups: KeyGroups,
    worker: usize,
    /// The first slice of no window that has ended, or had before a restore.
    fresh_from: i64,
    /// Shards that a late record found with windows to fire have fired those before this one.
    caught_up: Box<[i64]>,
    /// The results of these windows, until the record has been taken.
    held: Vec<Record<Windowed<K, G::Out>>>,
    marker: PhantomData<fn(V)>,
}

/// A window that is being fired.
struct Firing {
    number: i64,
    window: Window,
    /// The slices up to its end.
    slices: Vec<Slice>,
    /// Shards before this one are done.
    shard: usize,
}

/// How far the windows of some key groups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    groups: Range<u32>,
    /// Windows before this one have fired.
    fired: i64,
    /// Records can be added to windows from this one on; slices of none of them may be gone.
    kept: i64,
}

/// What the watermark says of windows.
struct Past {
    watermark: Watermark,
    /// The first window that has not ended.
    open_from: i64,
    /// The first window that records can still be added to.
    kept_from: i64,
    /// The first slice of no window that has ended.
    fresh_from: i64,
    /// The first slice that is not late.
    taken_from: i64,
}

impl<K: Key, V: Data, G: Aggregator<V>> SlicedOperator<K, V, G> {
    /// An operator for windows that keep `lateness` milliseconds after their end.
    pub fn new(
        windows: impl Into<Slicing>,
        lateness: i64,
        aggregator: Arc<G>,
        late: SideOutput<(K, V)>,
    ) -> Self {
        let slicing = windows.into();
        let past = Past::at(WATERMARK_MIN, &slicing, lateness);
        SlicedOperator {
            slicing,
            finder: Finder::NOTHING,
            lateness,
            aggregator,
            late,
            table: ColumnarTable::new(SLICES, SLICES_VERSION),
            running: (0..SHARDS).map(|_| Running::default()).collect(),
            next: past.open_from,
            firing: None,
            fresh_from: past.fresh_from,
            past,
            ahead: Vec::new(),
            progress: BlobState::new("progress", Vec::new()),
            groups: KeyGroups::new(1, 1),
            worker: 0,
            caught_up: vec![i64::MIN; SHARDS as usize].into(),
            held: Vec::new(),
            marker: PhantomData,
        }
    }

    /// Learns what a new watermark says.
    #[inline]
    fn follow(&mut self, watermark: Watermark) {
        if watermark != self.past.watermark {
            self.past = Past::at(watermark, &self.slicing, self.lateness);
            self.keep_ahead();
        }
    }

    /// Forgets key groups that are ahead no more.
    fn keep_ahead(&mut self) {
        let Past {
            open_from,
            kept_from,
            fresh_from,
            ..
        } = self.past;
        let is_ahead = |of: &Progress| of.fired > open_from || of.kept > kept_from;
        self.ahead.retain(is_ahead);
        let fresh = self.ahead.iter().map(|of| self.slicing.end_of(of.fired));
        self.fresh_from = fresh.fold(fresh_from, i64::max);
    }

    /// How far the windows of the key with this hash are: the first that has not fired, and the first that is kept.
    fn progress_of(&self, hash: u64) -> (i64, i64) {
        let here = (self.past.open_from, self.past.kept_from);
        if self.ahead.is_empty() {
            return here;
        }
        let group = self.groups.group_of(hash);
        let ahead = self.ahead.iter().filter(|of| of.groups.contains(&group));
        ahead.fold(here, |(fired, kept), of| {
            (fired.max(of.fired), kept.max(of.kept))
        })
    }

    /// The slice of a time; the next are sought near to it.
    #[inline]
    fn slice_of(&mut self, time: EventTime) -> i64 {
        self.finder.find(time).unwrap_or_else(|| {
            self.finder = Finder::near(time, &self.slicing);
            self.slicing.slice_of(time)
        })
    }

    /// Adds a record to its slice.
    fn add(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        let slice = self.slice_of(record.time);
        let is_plain = slice >= self.fresh_from
            && record.time != NO_TIME
            && !self.slicing.is_between_windows(slice);
        if !is_plain {
            return self.add_aside(slice, record, hash, context, out);
        }
        let Record { time, value } = record;
        let (key, value) = value;
        let column = self.table.open(slice);
        let create = || self.aggregator.create();
        let accumulator = self.table.touch_or_insert(column, &key, hash, create);
        self.aggregator.add_at(accumulator, value, time);
        Ok(())
    }

    /// Adds a record that a window is over for, if there is one that is not.
    #[cold]
    fn add_aside(
        &mut self,
        slice: i64,
        record: Record<(K, V)>,
        hash: u64,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        let slicing = self.slicing;
        let is_left_out = slice < self.past.taken_from
            || record.time == NO_TIME
            || slicing.is_between_windows(slice);
        if is_left_out {
            return self.leave_out(slice, record, context);
        }
        let shard = self.table.shard_at(hash);
        self.catch_up(shard);
        let (fired, kept) = self.progress_of(hash);
        let first = slicing.first_window(slice).max(kept);
        let last = slicing.last_window(slice);
        if first > last {
            return self.leave_out(slice, record, context);
        }
        let Record { time, value } = record;
        let (key, value) = value;
        let aggregator = &*self.aggregator;
        let column = self.table.open(slice);
        let create = || aggregator.create();
        let accumulator = self.table.touch_or_insert(column, &key, hash, create);
        aggregator.add_at(accumulator, value, time);
        let results = self.fire_again(first..fired.min(last.saturating_add(1)), slice, &key, hash);
        self.renew(shard, slice, &key, hash);
        self.hand_out_held(out);
        for (number, value) in results {
            let (window, key) = (slicing.window(number), key.clone());
            out.push(window.end - 1, Windowed { window, key, value });
        }
        Ok(())
    }

    /// A record that no window takes: it is late, or lies between windows.
    #[cold]
    fn leave_out(
        &mut self,
        slice: i64,
        record: Record<(K, V)>,
        context: &OperatorContext,
    ) -> UserResult {
        if record.time == NO_TIME {
            return Err(without_time());
        }
        if self.slicing.is_between_windows(slice) {
            context.metrics.filtered.add(1);
        } else {
            context.metrics.late.add(1);
            self.late.push(record.time, record.value);
        }
        Ok(())
    }

    /// Computes windows of a key that have fired, and all hold `slice`, anew.
    ///
    /// Costs two merges a window and slice between `slice` and the ends of the windows.
    fn fire_again(
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
    fn renew(&mut self, shard: usize, slice: i64, key: &K, hash: u64) {
        let running = &mut self.running[shard];
        if running.has_seen(slice)
            && let Some(row) = self.table.row(key, hash)
        {
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
    fn catch_up(&mut self, shard: usize) {
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
                self.running[shard] = Running::default(); // so that it fires anew
                resume_unwind(panic);
            }
            self.held.append(&mut results);
            next = firing.number + 1;
            self.caught_up[shard] = next;
        }
    }

    /// Puts out what was fired before its time.
    fn hand_out_held(&mut self, out: &mut Output<Windowed<K, G::Out>>) {
        for Record { time, value } in self.held.drain(..) {
            out.push(time, value);
        }
    }

    /// The first window that is due and holds anything, of those from `next` on.
    fn due_from(&self, next: i64) -> Option<Firing> {
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
    fn fire_due(&mut self, budget: &mut usize, out: &mut Output<Windowed<K, G::Out>>) -> Work {
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
    fn fire_shard(
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
    fn close_before(&mut self, next: i64) {
        let until = (self.slicing).first_slice_from(self.past.kept_from.min(next));
        while let Some((slice, column)) = self.table.first_from(i64::MIN)
            && slice < until
        {
            for (shard, running) in self.running.iter_mut().enumerate() {
                let passing = Passing {
                    comes: None,
                    leaves: Some(column),
                    drops: true,
                };
                self.table.pass(shard, passing, |_, row, _, leaving| {
                    if leaving == Leaving::Goes {
                        running.clear(row);
                    }
                });
            }
            self.table.close(column);
        }
    }

    /// What a key has in a slice.
    fn accumulator(&mut self, slice: i64, key: &K, hash: u64) -> Option<&G::Acc> {
        let column = self.table.column(slice)?;
        let row = self.table.row(key, hash)?;
        let shard = self.table.shard_at(hash);
        self.table.cells(column, shard).get(row)
    }

    /// Adds records, as long as there is nothing more to it than that: the loop where most time goes. Returns the one, and its hash, for
    /// which there is, if any; `index` is that of the next record.
    #[inline]
    fn add_plain(
        &mut self,
        records: impl Iterator<Item = Record<(K, V)>>,
        index: &mut usize,
        at: &Position<'_>,
    ) -> Option<(Record<(K, V)>, u64)> {
        let (finder, fresh_from, aggregator) = (self.finder, self.fresh_from, &*self.aggregator);
        let mut changes = self.table.changes();
        let mut next = *index;
        for Record { time, value } in records {
            at.set(next);
            next += 1;
            let (key, value) = value;
            let hash = stable_hash(&key);
            let slice = finder.find(time).filter(|slice| *slice >= fresh_from);
            let add = |accumulator: &mut G::Acc, value| aggregator.add_at(accumulator, value, time);
            let added = match slice {
                Some(slice) => changes.change(slice, &key, hash, value, add),
                None => Err(value),
            };
            if let Err(value) = added {
                *index = next;
                return Some((Record::new(time, (key, value)), hash));
            }
        }
        *index = next;
        None
    }

    /// Asks for what records will be added to, all together: it is seldom in the cache.
    fn warm(&mut self, records: &[Record<(K, V)>]) {
        let mut warmed = 0;
        for Record { time, value } in records {
            let slice = self.finder.find(*time);
            if let Some(column) = slice.and_then(|slice| self.table.column(slice)) {
                warmed += self.table.warm(column, stable_hash(&value.0));
            }
        }
        std::hint::black_box(warmed); // what is read for nothing would not be read
    }

    /// A record failed: its slice is again what it was before.
    fn put_back(&mut self, slice: i64, key: &K, hash: u64, before: Option<G::Acc>) {
        let row = self.table.row(key, hash);
        let (Some(column), Some(row)) = (self.table.column(slice), row) else {
            return;
        };
        let shard = self.table.shard_at(hash);
        match before {
            Some(before) => {
                if let Some(accumulator) = self.table.touch(column, key, hash) {
                    *accumulator = before;
                }
            }
            None => {
                if let Some((_, true)) = self.table.remove(column, key, hash) {
                    self.running[shard].clear(row);
                }
            }
        }
        self.renew(shard, slice, key, hash);
    }

    /// After a restore: what was dropped before the snapshot was taken is dropped again.
    fn drop_again(&mut self) {
        let kept = self.ahead.iter().map(|of| of.kept);
        let most = kept.fold(self.past.kept_from, i64::max);
        let until = self.slicing.first_slice_from(most);
        let columns: Vec<Slice> = self.table.columns(i64::MIN..until).collect();
        for (slice, column) in columns {
            for shard in 0..SHARDS as usize {
                let keys = self.table.keys_of(shard);
                let keys: Vec<K> = keys.cloned().collect();
                for key in keys {
                    let hash = stable_hash(&key);
                    let (_, kept) = self.progress_of(hash);
                    if slice < self.slicing.first_slice_from(kept) {
                        self.table.remove(column, &key, hash);
                    }
                }
            }
            if self.table.is_column_empty(column) {
                self.table.close(column);
            }
        }
    }

    /// How far these windows are, for a restore.
    fn note_progress(&mut self) {
        let Past {
            watermark,
            open_from,
            kept_from,
            ..
        } = self.past;
        // At the end of the input all that had begun have fired. Others may begin in a run to come.
        let fired = match watermark {
            WATERMARK_MAX => self.next,
            _ => open_from,
        };
        let here = Progress {
            groups: self.groups.range(self.worker),
            fired,
            kept: kept_from.min(fired),
        };
        self.progress.value.clear();
        self.progress.value.push(here);
        self.progress.value.extend_from_slice(&self.ahead);
    }
}

impl Past {
    fn at(watermark: Watermark, slicing: &Slicing, lateness: i64) -> Self {
        let (open_from, kept_from) = (
            slicing.first_above(watermark, 0),
            slicing.first_above(watermark, lateness),
        );
        Past {
            watermark,
            open_from,
            kept_from,
            fresh_from: slicing.end_of(open_from),
            taken_from: slicing.first_slice_from(kept_from),
        }
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for SlicedOperator<K, V, G> {
    type Out = Windowed<K, G::Out>;

    fn open(&mut self, context: &OperatorContext) {
        self.groups = context.key_groups;
        self.worker = context.worker;
        self.follow(context.watermark);
        self.next = self.past.open_from;
        let own = self.groups.range(self.worker);
        for (_, restored) in self.progress.restored() {
            self.ahead.extend(
                restored
                    .into_iter()
                    .filter(|of| of.groups.start < own.end && own.start < of.groups.end),
            );
        }
        self.keep_ahead();
        self.drop_again();
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        self.follow(context.watermark);
        let work = self.fire_due(&mut { WORK_LIMIT }, out);
        if work == Work::Done {
            self.close_before(self.next);
        }
        Ok(work)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        self.note_progress();
        visit(&mut self.table);
        visit(&mut self.progress);
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> Operator for SlicedOperator<K, V, G> {
    type In = (K, V);

    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult {
        self.follow(context.watermark);
        let hash = stable_hash(&record.value.0);
        if !context.tolerant {
            return self.add(record, hash, context, out);
        }
        let key = record.value.0.clone();
        let slice = self.slicing.slice_of(record.time);
        let before = self.accumulator(slice, &key, hash).cloned();
        or_undo(
            self,
            |operator| operator.add(record, hash, context, out),
            |operator| operator.put_back(slice, &key, hash, before),
        )
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        self.follow(context.watermark);
        let is_large = self.table.is_large();
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let mut together = records.len();
            if is_large {
                together = together.min(LOOKUPS);
                self.warm(&records.as_slice()[..together]);
            }
            let mut together = records.by_ref().take(together);
            while let Some((record, hash)) = self.add_plain(&mut together, &mut index, at) {
                self.add(record, hash, context, out)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
