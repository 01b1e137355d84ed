//! Tumbling windows with incremental aggregates.
//!
//! State: a pane (accumulator) for each key and window that is open. Beside it, rebuilt after a restore, a
//! calendar: for each time at which something comes due, the slots of the panes concerned. A pane is in the
//! calendar exactly once, so a slot in it is always in use.

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
use millstream_runtime::state::{Found, KeyedTable, LOOKUPS, Namespaced, Slot, Snapshot, TableKey};
use millstream_runtime::time::{EventTime, Watermark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// One open window of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pane<A> {
    accumulator: A,
    /// Its first result is out; kept for late updates.
    fired: bool,
}

/// A key and the start of a window.
type PaneKey<K> = Namespaced<K, EventTime>;

/// The window of the last record, and what is the same for all its panes: records of one window tend to come
/// together.
#[derive(Clone, Copy)]
struct Current {
    window: Window,
    /// Records are late when the watermark has come to here.
    closes: EventTime,
    salt: u64,
}

impl Current {
    /// The window of a record without a time: there is none, and it is closed.
    const NONE: Current = Current {
        window: Window {
            start: EventTime::MAX,
            end: EventTime::MIN,
        },
        closes: EventTime::MIN,
        salt: 0,
    };

    fn of(window: Window, lateness: i64) -> Self {
        Current {
            window,
            closes: due(window, true, lateness),
            salt: PaneKey::<()>::salt(&window.start),
        }
    }
}

/// What comes due at a time, for windows that begin at a time.
type Calendar = BTreeMap<(EventTime, EventTime), Vec<Slot>>;

pub(crate) struct TumblingOperator<K, V, G: Aggregator<V>> {
    windows: Tumbling,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: KeyedTable<PaneKey<K>, Pane<G::Acc>>,
    calendar: Calendar,
    current: Current,
    /// What is being fired, from the back.
    firing: Option<(EventTime, Vec<Slot>)>,
    hashes: Vec<u64>,
    found: Vec<Found>,
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
            table: KeyedTable::new("windows"),
            calendar: Calendar::new(),
            current: Current::NONE,
            firing: None,
            hashes: Vec::new(),
            found: Vec::new(),
            marker: PhantomData,
        }
    }

    /// Goes to the window that a time lies in.
    #[inline]
    fn go_to(&mut self, time: EventTime) {
        let Window { start, end } = self.current.window;
        if time < start || time >= end {
            self.current = self.window_at(time);
        }
    }

    #[inline(never)]
    fn window_at(&self, time: EventTime) -> Current {
        match time {
            NO_TIME => Current::NONE,
            _ => Current::of(self.windows.window_of(time), self.lateness),
        }
    }

    /// Looks up the panes of many records at once.
    fn find(&mut self, records: &[Record<(K, V)>]) {
        self.hashes.clear();
        for record in records {
            self.go_to(record.time);
            let hash = stable_hash(&record.value.0);
            self.hashes
                .push(PaneKey::<K>::hash(hash, self.current.salt));
        }
        let hashes = self.hashes.iter().copied();
        self.table.find_hashes(hashes, &mut self.found);
    }

    /// Adds a record to its window; `found` when its pane was looked up before.
    #[inline(always)] // the loop over a batch is where the time goes
    fn place(
        &mut self,
        record: Record<(K, V)>,
        found: Option<Found>,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        self.go_to(record.time);
        if self.current.closes <= context.watermark {
            return self.late(record, context);
        }
        let Current { window, salt, .. } = self.current;
        let (key, value) = record.value;
        let is = |pane: &PaneKey<K>| pane.namespace == window.start && pane.key == key;
        let pane = match found {
            Some(found) => {
                let slot = self.table.slot_found(found, is);
                slot.map(|slot| self.table.touch(slot).1)
            }
            None => {
                let hash = PaneKey::<K>::hash(stable_hash(&key), salt);
                self.table.touch_by(hash, is)
            }
        };
        let pane = match pane {
            Some(pane) => pane,
            None => {
                let slot = self.open_pane(key.clone(), window, context.watermark);
                self.table.touch(slot).1
            }
        };
        self.aggregator
            .add_at(&mut pane.accumulator, value, record.time);
        // A window that is over already is put out at once, and again with each late record.
        if pane.fired {
            let value = self.aggregator.result(&pane.accumulator);
            out.push(window.last(), Windowed { window, key, value });
        }
        Ok(())
    }

    #[inline(never)]
    fn open_pane(&mut self, key: K, window: Window, watermark: Watermark) -> Slot {
        let pane = Pane {
            accumulator: self.aggregator.create(),
            fired: window.end <= watermark,
        };
        let due = due(window, pane.fired, self.lateness);
        let key = PaneKey {
            key,
            namespace: window.start,
        };
        let hash = key.table_hash();
        let slot = self.table.insert_vacant(key, hash, pane);
        note(&mut self.calendar, due, window.start, slot);
        slot
    }

    /// A record failed: its pane is again what it was before, and goes if it was opened for the record.
    fn put_back(&mut self, key: &PaneKey<K>, before: Option<Pane<G::Acc>>) {
        let Some(slot) = self.table.slot(key) else {
            return;
        };
        if let Some(before) = before {
            *self.table.touch(slot).1 = before;
            return;
        }
        let (_, pane) = self.table.remove_at(slot);
        let window = self.windows.window_of(key.namespace);
        let due = due(window, pane.fired, self.lateness);
        let noted = self.calendar.get_mut(&(due, window.start));
        let last = noted.and_then(Vec::pop);
        debug_assert_eq!(last, Some(slot), "what was opened last was noted last");
    }

    /// Adds records to their windows, which are looked up together: they are seldom in the cache.
    fn place_together(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
        at: &Position<'_>,
    ) -> UserResult {
        let mut index = 0;
        let mut records = records.into_iter();
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            self.find(next);
            for place in 0..self.found.len() {
                let Some(record) = records.next() else { break };
                at.set(index);
                index += 1;
                self.place(record, Some(self.found[place]), context, out)?;
            }
        }
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

    /// Fires or drops one pane.
    fn fire(&mut self, start: EventTime, slot: Slot, out: &mut Output<Windowed<K, G::Out>>) {
        let window = self.windows.window_of(start);
        let fired = self.table.at(slot).1.fired;
        if self.lateness == 0 || fired {
            let (PaneKey { key, .. }, pane) = self.table.remove_at(slot);
            if !fired {
                let value = self.aggregator.result(&pane.accumulator);
                out.push(window.last(), Windowed { window, key, value });
            }
            return;
        }
        let (pane_key, pane) = self.table.touch(slot);
        pane.fired = true;
        let (key, value) = (
            pane_key.key.clone(),
            self.aggregator.result(&pane.accumulator),
        );
        out.push(window.last(), Windowed { window, key, value });
        let due = due(window, true, self.lateness);
        note(&mut self.calendar, due, start, slot);
    }
}

/// When a pane comes due: at the end of its window, or when late records no longer count.
fn due(window: Window, fired: bool, lateness: i64) -> EventTime {
    match fired {
        true => window.end.saturating_add(lateness),
        false => window.end,
    }
}

fn note(calendar: &mut Calendar, due: EventTime, start: EventTime, slot: Slot) {
    calendar.entry((due, start)).or_default().push(slot);
}

#[cold]
fn no_event_time() -> BoxError {
    "the record has no event time: give the source a watermark strategy, or assign timestamps before \
     the window"
        .into()
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for TumblingOperator<K, V, G> {
    type Out = Windowed<K, G::Out>;

    fn open(&mut self, _: &OperatorContext) {
        for (slot, key, pane) in self.table.iter() {
            let window = self.windows.window_of(key.namespace);
            let due = due(window, pane.fired, self.lateness);
            note(&mut self.calendar, due, window.start, slot);
        }
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        let mut budget = WORK_LIMIT;
        loop {
            if self.firing.is_none() {
                match self.calendar.first_entry() {
                    Some(entry) if entry.key().0 <= context.watermark => {
                        let start = entry.key().1;
                        let mut slots = entry.remove();
                        slots.reverse(); // from the back is from the first
                        self.firing = Some((start, slots));
                    }
                    _ => return Ok(Work::Done),
                }
            }
            while let Some((start, slots)) = &mut self.firing {
                let start = *start;
                match slots.pop() {
                    None => self.firing = None,
                    Some(slot) => {
                        if budget == 0 {
                            slots.push(slot);
                            return Ok(Work::More);
                        }
                        budget -= 1;
                        self.fire(start, slot, out);
                    }
                }
            }
        }
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
        if !context.tolerant {
            return self.place(record, None, context, out);
        }
        let key = PaneKey {
            key: record.value.0.clone(),
            namespace: self.windows.window_of(record.time).start,
        };
        let before = self.table.get(&key).cloned();
        or_undo(
            self,
            |operator| operator.place(record, None, context, out),
            |operator| operator.put_back(&key, before),
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
        for (index, record) in records.into_iter().enumerate() {
            at.set(index);
            self.place(record, None, context, out)?;
        }
        Ok(())
    }
}
