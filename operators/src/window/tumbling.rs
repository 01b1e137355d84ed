//! Tumbling windows with incremental aggregates.
//!
//! State: an accumulator (a pane) for each key of each open window, a table for each window. A window that is over stays
//! for late records as long as its lateness says; its panes whose first result is out are in a table
//! of their own. Windows come due in order of time, so the tables themselves are the calendar.

use super::{Tumbling, Window, Windowed};
use crate::aggregate::Aggregator;
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{LOOKUPS, NamespacedTable, SHARDS, Snapshot, Space};
use millstream_runtime::time::{EventTime, WATERMARK_MIN, Watermark};
use std::marker::PhantomData;
use std::sync::Arc;

/// The panes of a window: whether their first result is out (then they are kept for late records), and the start
/// of the window.
type Panes = (bool, EventTime);

/// The window of the last record: records of one window tend to come together.
#[derive(Clone, Copy)]
struct Current {
    window: Window,
    /// Records are late when the watermark has come to here.
    closes: EventTime,
    /// Its panes, if it has any yet and is not over.
    panes: Option<Space>,
}

impl Current {
    /// The window of a record without a time: there is none, and it is closed.
    const NONE: Current = Current {
        window: Window {
            start: EventTime::MAX,
            end: EventTime::MIN,
        },
        closes: EventTime::MIN,
        panes: None,
    };
}

/// A window that has come due: to be fired, or, when its first result is out, to be dropped.
struct Passing {
    window: Window,
    fired: bool,
    panes: Space,
    /// The shards before this one are done.
    shard: u32,
}

pub(crate) struct TumblingOperator<K, V, G: Aggregator<V>> {
    windows: Tumbling,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: NamespacedTable<K, Panes, G::Acc>,
    current: Current,
    /// What is being fired or dropped.
    passing: Option<Passing>,
    /// Panes on their way from one table to another.
    moving: Vec<(K, G::Acc)>,
    hashes: Vec<u64>,
    marker: PhantomData<fn(V)>,
}

impl<K: Key, V: Data, G: Aggregator<V>> TumblingOperator<K, V, G> {
    pub fn new(
        windows: Tumbling,
        lateness: i64,
        aggregator: Arc<G>,
        late: SideOutput<(K, V)>,
    ) -> Self {
        TumblingOperator {
            windows,
            lateness,
            aggregator,
            late,
            table: NamespacedTable::new("windows", 2),
            current: Current::NONE,
            passing: None,
            moving: Vec::new(),
            hashes: Vec::new(),
            marker: PhantomData,
        }
    }

    /// Goes to the window that a time lies in.
    #[inline]
    fn go_to(&mut self, time: EventTime, watermark: Watermark) {
        let Window { start, end } = self.current.window;
        if time < start || time >= end {
            self.current = self.window_at(time, watermark);
        }
    }

    #[inline(never)]
    fn window_at(&self, time: EventTime, watermark: Watermark) -> Current {
        if time == NO_TIME {
            return Current::NONE;
        }
        let window = self.windows.window_of(time);
        let is_open = window.end > watermark;
        Current {
            window,
            closes: window.end.saturating_add(self.lateness),
            panes: is_open
                .then(|| self.table.space(&(false, window.start)))
                .flatten(),
        }
    }

    /// Adds a record, of a key with this hash, to its window.
    fn place(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        self.go_to(record.time, context.watermark);
        if self.current.closes <= context.watermark {
            return self.late(record, context);
        }
        if let Some(panes) = self.current.panes {
            let mut panes = self.table.within(panes);
            if let Some(pane) = panes.touch(hash, |key| *key == record.value.0) {
                self.aggregator.add_at(pane, record.value.1, record.time);
                return Ok(());
            }
        }
        if self.current.window.end <= context.watermark {
            self.place_behind(record, hash, out);
        } else {
            self.open_pane(record, hash, out);
        }
        Ok(())
    }

    /// Adds records as long as they are of the current window and of keys that have a pane: the loop where most time
    /// goes. Returns how many it has added; the first was the one with this index.
    #[inline]
    fn place_on(
        &mut self,
        records: &mut std::vec::IntoIter<Record<(K, V)>>,
        first: usize,
        at: &Position<'_>,
    ) -> usize {
        let Some(panes) = self.current.panes else {
            return 0;
        };
        let Window { start, end } = self.current.window;
        let mut panes = self.table.within(panes);
        let mut added = 0;
        while let Some(Record { time, value }) = records.as_slice().first()
            && (start..end).contains(time)
        {
            at.set(first + added);
            let hash = stable_hash(&value.0);
            let Some(pane) = panes.touch(hash, |key| *key == value.0) else {
                break;
            };
            if let Some(Record { time, value }) = records.next() {
                self.aggregator.add_at(pane, value.1, time);
                added += 1;
            }
        }
        added
    }

    /// Adds a record to a window that has no pane for its key.
    #[inline(never)]
    fn open_pane(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        out: &mut Output<Windowed<K, G::Out>>,
    ) {
        let start = self.current.window.start;
        // After a restore the watermark, the least of all workers', may lie before what this key has fired.
        if let Some(fired) = self.table.space(&(true, start))
            && self.table.get(fired, &record.value.0).is_some()
        {
            return self.place_behind(record, hash, out);
        }
        let panes = self.table.open((false, start));
        self.current.panes = Some(panes);
        let (key, value) = record.value;
        let mut pane = self.aggregator.create();
        self.aggregator.add_at(&mut pane, value, record.time);
        self.table.insert_vacant(panes, key, hash, pane);
    }

    /// Adds a record to a window that is over and kept.
    #[cold]
    fn place_behind(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        out: &mut Output<Windowed<K, G::Out>>,
    ) {
        let window = self.current.window;
        let (key, value) = record.value;
        // Its first result may still be to come.
        if let Some(panes) = self.table.space(&(false, window.start))
            && let Some(pane) = (self.table.within(panes)).touch(hash, |other| *other == key)
        {
            self.aggregator.add_at(pane, value, record.time);
            return;
        }
        let panes = self.table.open((true, window.start));
        if self.table.get(panes, &key).is_none() {
            let pane = self.aggregator.create();
            self.table.insert_vacant(panes, key.clone(), hash, pane);
        }
        if let Some(pane) = (self.table.within(panes)).touch(hash, |other| *other == key) {
            self.aggregator.add_at(pane, value, record.time);
            let value = self.aggregator.result(pane);
            out.push(window.last(), Windowed { window, key, value });
        }
    }

    /// The pane of a key, and where it is.
    fn pane_of(&self, key: &K, start: EventTime) -> Option<(Space, &G::Acc)> {
        let both = [false, true].map(|fired| self.table.space(&(fired, start)));
        let mut both = both.into_iter().flatten();
        both.find_map(|panes| Some((panes, self.table.get(panes, key)?)))
    }

    /// A record failed: its pane is again what it was before, and goes if it was opened for the record.
    fn put_back(&mut self, key: &K, start: EventTime, before: Option<G::Acc>) {
        let Some((panes, _)) = self.pane_of(key, start) else {
            return;
        };
        self.table.remove(panes, key);
        if let Some(before) = before {
            let hash = stable_hash(key);
            self.table.insert_vacant(panes, key.clone(), hash, before);
        }
    }

    /// Adds records to their windows, which are looked up together: they are seldom in the cache.
    fn place_together(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
        at: &Position<'_>,
    ) -> UserResult {
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut index = 0;
        let mut records = records.into_iter();
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            hashes.clear();
            let mut warmed = 0;
            for record in next {
                self.go_to(record.time, context.watermark);
                let hash = stable_hash(&record.value.0);
                hashes.push(hash);
                warmed += self
                    .current
                    .panes
                    .map_or(0, |panes| self.table.warm(panes, hash));
            }
            std::hint::black_box(warmed); // what is read for nothing would not be read
            for (hash, record) in hashes.iter().zip(&mut records) {
                at.set(index);
                index += 1;
                self.place(record, *hash, context, out)?;
            }
        }
        self.hashes = hashes;
        Ok(())
    }

    #[cold]
    fn late(&mut self, record: Record<(K, V)>, context: &mut OperatorContext) -> UserResult {
        if record.time == NO_TIME {
            return Err(no_event_time());
        }
        context.metrics.late.add(1);
        self.late.push(record.time, record.value);
        Ok(())
    }

    /// The next window to fire or to drop.
    fn next_due(&self, watermark: Watermark) -> Option<Passing> {
        let to_fire = self
            .table
            .first((false, WATERMARK_MIN)..(true, WATERMARK_MIN));
        let to_drop = self.table.first((true, WATERMARK_MIN)..);
        let mut due = [(to_fire, 0), (to_drop, self.lateness)].into_iter();
        due.find_map(|(first, lateness)| {
            let ((fired, start), panes) = first?;
            let window = self.windows.window_of(*start);
            let due = window.end.saturating_add(lateness);
            (due <= watermark).then_some(Passing {
                window,
                fired: *fired,
                panes,
                shard: 0,
            })
        })
    }

    /// Fires, or drops, the panes of one shard; returns how many there were.
    fn pass_shard(
        &mut self,
        passing: &Passing,
        watermark: Watermark,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> usize {
        let Passing {
            window,
            fired,
            panes,
            shard,
        } = *passing;
        let (table, aggregator) = (&mut self.table, &*self.aggregator);
        let mut passed = 0;
        let mut fire = |key: K, pane: &G::Acc| {
            let value = aggregator.result(pane);
            out.push(window.last(), Windowed { window, key, value });
        };
        if fired {
            table.drain(panes, shard, |_, _| passed += 1);
        } else if window.end.saturating_add(self.lateness) <= watermark {
            table.drain(panes, shard, |key, pane| {
                passed += 1;
                fire(key, &pane);
            });
        } else {
            let moving = &mut self.moving;
            table.drain(panes, shard, |key, pane| moving.push((key, pane)));
            passed = moving.len();
            let kept = table.open((true, window.start));
            for (key, pane) in moving.drain(..) {
                fire(key.clone(), &pane);
                let hash = stable_hash(&key);
                table.insert_vacant(kept, key, hash, pane);
            }
        }
        passed
    }
}

#[cold]
fn no_event_time() -> BoxError {
    "the record has no event time: give the source a watermark strategy, or assign timestamps before \
     the window"
        .into()
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for TumblingOperator<K, V, G> {
    type Out = Windowed<K, G::Out>;

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        let watermark = context.watermark;
        if self.current.window.end <= watermark {
            self.current = Current::NONE;
        }
        let mut budget = WORK_LIMIT;
        while let Some(mut passing) = self.passing.take().or_else(|| self.next_due(watermark)) {
            while passing.shard < SHARDS {
                if budget == 0 {
                    self.passing = Some(passing);
                    return Ok(Work::More);
                }
                let passed = self.pass_shard(&passing, watermark, out);
                budget = budget.saturating_sub(passed);
                passing.shard += 1;
            }
            self.table.close(passing.panes);
        }
        Ok(Work::Done)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.table);
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> Operator for TumblingOperator<K, V, G> {
    type In = (K, V);

    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult {
        let hash = stable_hash(&record.value.0);
        if !context.tolerant {
            return self.place(record, hash, context, out);
        }
        let key = record.value.0.clone();
        let start = self.windows.window_of(record.time).start;
        let before = self.pane_of(&key, start).map(|(_, pane)| pane.clone());
        or_undo(
            self,
            |operator| operator.place(record, hash, context, out),
            |operator| operator.put_back(&key, start, before),
        )
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        if self.table.is_large() {
            return self.place_together(records, context, out, at);
        }
        let mut index = 0;
        let mut records = records.into_iter();
        while let Some(record) = records.next() {
            at.set(index);
            index += 1;
            let hash = stable_hash(&record.value.0);
            self.place(record, hash, context, out)?;
            index += self.place_on(&mut records, index, at);
        }
        Ok(())
    }
}
