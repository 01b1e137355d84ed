//! Sliding and cumulating event-time windows with incremental aggregates, computed from slices that windows
//! share: general stream slicing (Traub et al.: "Scotty", ICDE 2018; Carbone et al.: "Cutty", CIKM 2016), and
//! the aggregates over the window from [running](super::running) aggregates of its slices.
//!
//! A record costs the same however many windows it belongs to: it is added to one slice. A result costs three
//! merges on average, however many slices the window has; one, and one that is taken back, where that is possible. A
//! record that comes after some of its windows have fired, but is not late for all, goes into its slice too; the
//! aggregates of its key are made anew.
//!
//! State: an accumulator for each key of each slice, in columns. Windows fire one after the other, each for all
//! keys, shard by shard, so that nothing is noted for a key: which have fired is kept once, for the key groups of a worker.

mod batches;
mod firing;
mod progress;

use super::Windowed;
use super::operator::without_time;
use super::running::Running;
use super::slicing::{Finder, Slicing};
use crate::aggregate::Aggregator;
use crate::tolerance::or_undo;
use firing::Firing;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::{KeyGroups, stable_hash};
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{BlobState, ColumnarTable, Compact, SHARDS, Snapshot};
use millstream_runtime::time::{EventTime, WATERMARK_MIN};
use progress::{Past, Progress};
use std::marker::PhantomData;
use std::sync::Arc;

/// The states of the columns.
const SLICES: &str = "slices";
/// Their schema version: the first had all slices of a key in one.
const SLICES_VERSION: u32 = 2;

/// Sliding or cumulating windows over slices; see the module's documentation. The rows of the table hold `H` slices.
pub(crate) struct SlicedOperator<K, V, G: Aggregator<V>, const H: usize> {
    slicing: Slicing,
    finder: Finder,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: ColumnarTable<K, G::Acc, Compact, H>,
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
    /// One of these windows failed.
    is_broken: bool,
    marker: PhantomData<fn(V)>,
}

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> SlicedOperator<K, V, G, H> {
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
            late,
            table: ColumnarTable::new(SLICES, SLICES_VERSION, aggregator.create()),
            aggregator,
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
            is_broken: false,
            marker: PhantomData,
        }
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
        let accumulator = self.table.touch_or_insert(column, &key, hash);
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
        let accumulator = self.table.touch_or_insert(column, &key, hash);
        aggregator.add_at(accumulator, value, time);
        self.table.settle(column, shard);
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

    /// What a key has in a slice.
    fn accumulator(&mut self, slice: i64, key: &K, hash: u64) -> Option<&G::Acc> {
        let column = self.table.column(slice)?;
        self.table.get(column, key, hash)
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
                    self.running[shard].clear(row, &*self.aggregator);
                }
            }
        }
        self.renew(shard, slice, key, hash);
    }
}

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> OperatorCore
    for SlicedOperator<K, V, G, H>
{
    type Out = Windowed<K, G::Out>;

    fn open(&mut self, context: &OperatorContext) {
        self.groups = context.key_groups;
        self.worker = context.worker;
        self.follow(context.watermark);
        self.next = self.past.open_from;
        let own = self.groups.range(self.worker);
        let restored = self.progress.restored().into_iter().flat_map(|(_, of)| of);
        let is_own = |of: &Progress| of.groups.start < own.end && own.start < of.groups.end;
        self.ahead = restored.filter(is_own).collect();
        self.keep_ahead();
        self.drop_again();
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        if self.is_broken {
            return Err("a window that was over failed as a late record came".into());
        }
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

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> Operator for SlicedOperator<K, V, G, H> {
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
        if self.table.is_large() {
            return self.add_together(records, context, out, at);
        }
        let (mut records, mut index) = (records.into_iter(), 0);
        loop {
            let next = match self.table.is_holding() {
                true => self.add_plain::<true>(&mut records, &mut index, at),
                false => self.add_plain::<false>(&mut records, &mut index, at),
            };
            let Some((record, hash)) = next else {
                return Ok(());
            };
            self.add(record, hash, context, out)?;
        }
    }
}

#[cfg(test)]
mod tests;
