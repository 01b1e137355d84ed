//! Tumbling windows with incremental aggregates.
//!
//! State: per key the panes (window start, accumulator) that are open. Beside it, rebuilt after a
//! restore, a calendar: for each time at which something comes due, the slots of the keys concerned. A
//! pane is in the calendar exactly once, so a slot in it is always in use.

use super::{Tumbling, Window, Windowed};
use crate::aggregate::Aggregator;
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{Found, KeyedTable, LOOKUPS, Slot, Snapshot};
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// One open window of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pane<A> {
    start: EventTime,
    accumulator: A,
    /// Its first result is out; kept for late updates.
    fired: bool,
}

/// The open windows of a key: nearly always one, in place; the others elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Panes<A> {
    first: Option<Pane<A>>,
    #[allow(clippy::box_collection)] // one word instead of three in every key's entry
    rest: Option<Box<Vec<Pane<A>>>>,
}

impl<A> Panes<A> {
    fn new() -> Self {
        Panes {
            first: None,
            rest: None,
        }
    }

    #[inline]
    fn find(&mut self, start: EventTime) -> Option<&mut Pane<A>> {
        match &mut self.first {
            Some(pane) if pane.start == start => self.first.as_mut(),
            _ => self
                .rest
                .as_mut()?
                .iter_mut()
                .find(|pane| pane.start == start),
        }
    }

    fn add(&mut self, pane: Pane<A>) -> &mut Pane<A> {
        if self.first.is_none() {
            return self.first.insert(pane);
        }
        let rest = self.rest.get_or_insert_default();
        rest.push(pane);
        let last = rest.len() - 1;
        &mut rest[last]
    }

    fn remove(&mut self, start: EventTime) {
        let is_first = self.first.as_ref().is_some_and(|pane| pane.start == start);
        match &mut self.rest {
            Some(rest) if is_first => self.first = Some(rest.swap_remove(0)),
            Some(rest) => rest.retain(|pane| pane.start != start),
            None if is_first => self.first = None,
            None => {}
        }
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Pane<A>> {
        self.first
            .iter()
            .chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }
}

/// What comes due at a time, for windows that begin at a time.
type Calendar = BTreeMap<(EventTime, EventTime), Vec<Slot>>;

pub(crate) struct TumblingOperator<K, V, G: Aggregator<V>> {
    windows: Tumbling,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: KeyedTable<K, Panes<G::Acc>>,
    calendar: Calendar,
    /// The window of the last record: records of one window tend to come together.
    current: Window,
    /// What is being fired, from the back.
    firing: Option<(EventTime, Vec<Slot>)>,
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
            current: windows.window_of(0),
            firing: None,
            found: Vec::new(),
            marker: PhantomData,
        }
    }

    #[inline]
    fn window_of(&mut self, time: EventTime) -> Result<Window, BoxError> {
        if time < self.current.start || time >= self.current.end {
            if time == NO_TIME {
                return Err(
                    "the record has no event time: give the source a watermark strategy, \
                            or assign timestamps before the window"
                        .into(),
                );
            }
            self.current = self.windows.window_of(time);
        }
        Ok(self.current)
    }

    /// Adds a record to its window.
    #[inline]
    fn place(
        &mut self,
        record: Record<(K, V)>,
        found: Found,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        let window = self.window_of(record.time)?;
        if window.end.saturating_add(self.lateness) <= context.watermark {
            context.metrics.late.add(1);
            self.late.push(record.time, record.value);
            return Ok(());
        }
        let (key, value) = record.value;
        let (slot, panes) = self.table.entry_found(found, &key, Panes::new);
        let pane = match panes.find(window.start) {
            Some(pane) => pane,
            None => {
                let over = window.end <= context.watermark;
                let due = if over {
                    window.end.saturating_add(self.lateness)
                } else {
                    window.end
                };
                let calendar = self.calendar.entry((due, window.start));
                calendar.or_default().push(slot);
                panes.add(Pane {
                    start: window.start,
                    fired: over,
                    accumulator: self.aggregator.create(),
                })
            }
        };
        self.aggregator
            .add_at(&mut pane.accumulator, value, record.time);
        // A window that is over already is put out at once, and again with each late record.
        if pane.fired {
            let value = self.aggregator.result(&pane.accumulator);
            out.push(window.end - 1, Windowed { window, key, value });
        }
        Ok(())
    }

    /// Fires or drops one pane.
    fn fire(&mut self, start: EventTime, slot: Slot, out: &mut Output<Windowed<K, G::Out>>) {
        let window = self.windows.window_of(start);
        let (key, panes) = self.table.touch(slot);
        let Some(pane) = panes.find(start) else {
            if panes.is_empty() {
                self.table.remove_at(slot); // its only record failed
            }
            return;
        };
        let last = self.lateness == 0 || pane.fired;
        if !pane.fired {
            pane.fired = true;
            let value = self.aggregator.result(&pane.accumulator);
            let key = key.clone();
            out.push(window.end - 1, Windowed { window, key, value });
        }
        if last {
            panes.remove(start);
            if panes.is_empty() {
                self.table.remove_at(slot);
            }
        } else {
            let due = window.end.saturating_add(self.lateness);
            self.calendar.entry((due, start)).or_default().push(slot);
        }
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for TumblingOperator<K, V, G> {
    type Out = Windowed<K, G::Out>;

    fn open(&mut self, _: &OperatorContext) {
        for (slot, _, panes) in self.table.iter() {
            for pane in panes.iter() {
                let end = self.windows.window_of(pane.start).end;
                let due = if pane.fired {
                    end.saturating_add(self.lateness)
                } else {
                    end
                };
                self.calendar
                    .entry((due, pane.start))
                    .or_default()
                    .push(slot);
            }
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
        let mut found = std::mem::take(&mut self.found);
        self.table
            .find_all(std::iter::once(&record.value.0), &mut found);
        let found_key = found[0];
        self.found = found;
        if !context.tolerant {
            return self.place(record, found_key, context, out);
        }
        let key = record.value.0.clone();
        let before = self.table.get(&key).cloned();
        or_undo(
            self,
            |operator| operator.place(record, found_key, context, out),
            |operator| {
                if let Some(slot) = operator.table.slot(&key) {
                    // A key that is left without a pane goes when the window would have fired.
                    *operator.table.touch(slot).1 = before.unwrap_or_else(Panes::new);
                }
            },
        )
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        let mut found = std::mem::take(&mut self.found);
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let keys = next.iter().map(|record| &record.value.0);
            self.table.find_all(keys, &mut found);
            for (found, record) in found.iter().zip(&mut records) {
                at.set(index);
                index += 1;
                self.place(record, *found, context, out)?;
            }
        }
        self.found = found;
        Ok(())
    }
}
