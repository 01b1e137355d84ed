//! The general window operator: any windows, trigger, evictor, function and output mode.
//!
//! State: per key its open windows ([`panes`]). Beside it, rebuilt after a restore, one calendar for each clock
//! ([`calendar`]): each key with an open window is in it at a time no later than that at which the first of
//! them has something due. What windows do is in [`rules`].
//!
//! Time passes for each key as if the watermark rose by single milliseconds: whatever is due is done in order of
//! time, and before the key takes another record. So it makes no difference how far the watermark jumps, and when the
//! operator is called.

mod calendar;
mod panes;
mod rules;

use self::calendar::{Calendars, NEVER, Wake};
use self::panes::Panes;
use self::rules::{Firing, Outlet, Rules};
use super::function::WindowFunction;
use super::trigger::WindowTrigger;
use super::{Clock, OutputMode, Window, Windows};
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    BATCH_RECORDS, Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{Codec, Compact, Found, KeyedTable, LOOKUPS, Slot, Snapshot};
use millstream_runtime::time::{EventTime, WATERMARK_MAX};
use std::marker::PhantomData;
use std::sync::Arc;

type PanesOf<K, V, T, F> = Panes<<F as WindowFunction<K, V>>::Kept, <T as WindowTrigger<V>>::State>;

/// What an operator is made of.
pub(super) struct Parts<W, T, F> {
    pub windows: W,
    pub trigger: Arc<T>,
    /// It was chosen by the user.
    pub own_trigger: bool,
    pub function: Arc<F>,
    pub lateness_ms: i64,
    pub mode: Option<OutputMode>,
}

impl<W: Clone, T, F> Clone for Parts<W, T, F> {
    fn clone(&self) -> Self {
        Parts {
            windows: self.windows.clone(),
            trigger: self.trigger.clone(),
            function: self.function.clone(),
            ..*self
        }
    }
}

pub(crate) struct WindowOperator<K, V, W, T, F>
where
    K: Key,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    rules: Rules<K, V, W, T, F>,
    late: SideOutput<(K, V)>,
    table: KeyedTable<K, PanesOf<K, V, T, F>>,
    calendars: Calendars,
    outlet: Outlet<F::Out>,
    /// Keys that may have no window left.
    emptied: Vec<Slot>,
    /// What is left to put out of the whole table.
    showing: Vec<Slot>,
    windows: Vec<Window>,
    found: Vec<Found>,
}

impl<K, V, W, T, F> WindowOperator<K, V, W, T, F>
where
    K: Key,
    V: Data,
    W: Windows<V>,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    pub fn new(parts: Parts<W, T, F>, late: SideOutput<(K, V)>) -> Self {
        let firing = match parts.mode {
            _ if parts.own_trigger || W::CLOCK == Clock::None => Firing::ByTrigger,
            Some(OutputMode::Append) => Firing::AtTheVeryEnd,
            Some(OutputMode::Update) => Firing::EachRecord,
            Some(OutputMode::Complete) | None => Firing::ByTrigger,
        };
        WindowOperator {
            rules: Rules {
                windows: parts.windows,
                trigger: parts.trigger,
                function: parts.function,
                lateness_ms: parts.lateness_ms,
                mode: parts.mode,
                firing,
                marker: PhantomData,
            },
            late,
            table: KeyedTable::new("open windows"),
            calendars: Calendars::default(),
            outlet: Outlet {
                results: Vec::new(),
                finished: 0,
                table_due: false,
            },
            emptied: Vec::new(),
            showing: Vec::new(),
            windows: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Takes one record whose key was looked up.
    #[inline]
    fn take(
        &mut self,
        record: Record<(K, V)>,
        found: Found,
        context: &OperatorContext,
    ) -> UserResult {
        let time = match W::CLOCK {
            Clock::Processing => context.now_ms,
            Clock::Event if record.time == NO_TIME => return Err(without_time()),
            Clock::Event | Clock::None => record.time,
        };
        self.windows.clear();
        let value = &record.value.1;
        self.rules.windows.assign(time, value, &mut self.windows)?;
        if W::MERGES {
            return self.take_session(record, found, context);
        }
        if W::CLOCK == Clock::Event {
            if self.windows.is_empty() {
                context.metrics.filtered.add(1); // between two windows
                return Ok(());
            }
            let (rules, watermark) = (&self.rules, context.watermark);
            self.windows
                .retain(|window| !rules.is_late(*window, watermark));
            if self.windows.is_empty() {
                self.late(record, context);
                return Ok(());
            }
        }
        let (key, value) = record.value;
        let (slot, _) = self.table.entry_found(found, &key, Panes::new);
        self.settle(slot, context)?;
        self.with_undo(slot, context, |operator| {
            operator.place(slot, (record.time, value), context)
        })
    }

    /// Changes the windows of a key; under a policy that lets the job go on they are as before if that fails.
    #[inline]
    fn with_undo(
        &mut self,
        slot: Slot,
        context: &OperatorContext,
        change: impl FnOnce(&mut Self) -> UserResult,
    ) -> UserResult {
        if !context.tolerant {
            return change(self);
        }
        let panes = self.table.at(slot).1;
        let (mut before, wake) = (Vec::new(), panes.wake);
        Compact.encode(panes, &mut before);
        or_undo(self, change, |operator| {
            let panes = operator.table.touch(slot).1;
            *panes = Compact
                .decode(&before)
                .expect("what was encoded just now decodes");
            panes.wake = wake;
            operator.emptied.push(slot); // if it is
        })
    }

    /// Adds a record to its windows.
    #[inline]
    fn place(
        &mut self,
        slot: Slot,
        (time, value): (EventTime, V),
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let (key, panes) = self.table.touch(slot);
        let mut next = Wake::NEVER;
        if W::CLOCK == Clock::None {
            let pane = panes.unbounded(time);
            rules.add((time, value), key, pane, context, out)?;
            if rules.is_over(pane) {
                panes.remove(0);
                self.emptied.push(slot);
                return Ok(());
            }
            next.note(rules.next(pane, context));
        } else if let Some((last, others)) = self.windows.split_last() {
            for window in others {
                let pane = panes.of(*window);
                rules.add((time, value.clone()), key, pane, context, out)?;
                next.note(rules.next(pane, context));
            }
            let pane = panes.of(*last);
            rules.add((time, value), key, pane, context, out)?;
            next.note(rules.next(pane, context));
        }
        self.calendars.wake(&mut panes.wake, next, slot);
        Ok(())
    }

    /// Adds a record to its session, which may bring others together.
    fn take_session(
        &mut self,
        record: Record<(K, V)>,
        found: Found,
        context: &OperatorContext,
    ) -> UserResult {
        let session = self.windows[0];
        let is_late = self.rules.is_late(session, context.watermark);
        if is_late && self.table.slot(&record.value.0).is_none() {
            self.late(record, context);
            return Ok(());
        }
        let (slot, _) = self.table.entry_found(found, &record.value.0, Panes::new);
        self.settle(slot, context)?;
        // A late record still belongs to a session that is kept.
        if is_late && self.table.touch(slot).1.touching(session).is_empty() {
            self.late(record, context);
            return Ok(());
        }
        let record = (record.time, record.value.1);
        self.with_undo(slot, context, |operator| {
            operator.extend_session(slot, session, record, context)
        })
    }

    fn extend_session(
        &mut self,
        slot: Slot,
        session: Window,
        record: (EventTime, V),
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let (key, panes) = self.table.touch(slot);
        let touching = panes.touching(session);
        let pane = panes.merge(touching, session, |pane, other| rules.merge(pane, other));
        // It has grown beyond the watermark: its end is still to come.
        pane.fired_on_time &= pane.window.end <= context.watermark;
        rules.add(record, key, pane, context, out)?;
        let next = rules.next(pane, context);
        self.calendars.wake(&mut panes.wake, next, slot);
        Ok(())
    }

    #[cold]
    fn late(&mut self, record: Record<(K, V)>, context: &OperatorContext) {
        context.metrics.late.add(1);
        self.late.push(record.time, record.value);
    }

    /// Does what is due for a key before it takes a record.
    #[inline]
    fn settle(&mut self, slot: Slot, context: &OperatorContext) -> UserResult {
        let wake = self.table.at(slot).1.wake;
        if wake.event < context.watermark {
            self.settle_event(slot, context.watermark - 1, context)?;
        }
        if wake.processing <= context.now_ms {
            self.settle_processing(slot, context.now_ms, context)?;
        }
        self.outlet.finished = self.outlet.results.len();
        Ok(())
    }

    /// Calls the windows of a key for all event times up to `until`.
    fn settle_event(
        &mut self,
        slot: Slot,
        until: EventTime,
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let (key, panes) = self.table.touch(slot);
        loop {
            let (due, index) = earliest(panes.all(), |pane| rules.next(pane, context).event);
            if due > until || due == NEVER {
                panes.wake.event = NEVER;
                break;
            }
            let pane = &mut panes.all()[index];
            let ends = rules.on_event_time(due, key, pane, context, out)?;
            if ends || rules.is_over(pane) {
                panes.remove(index);
            }
        }
        self.settled(slot, context);
        Ok(())
    }

    /// Calls the windows of a key for all processing times up to `until`.
    fn settle_processing(
        &mut self,
        slot: Slot,
        until: EventTime,
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let (key, panes) = self.table.touch(slot);
        loop {
            let (due, index) = earliest(panes.all(), |pane| rules.next(pane, context).processing);
            if due > until || due == NEVER {
                panes.wake.processing = NEVER;
                break;
            }
            let pane = &mut panes.all()[index];
            let ends = rules.on_processing_time(due, key, pane, context, out)?;
            if ends || rules.is_over(pane) {
                panes.remove(index);
            } else if rules.next(pane, context).processing <= due {
                return Err(format!(
                    "the trigger names processing time {due} again when it was called for it"
                )
                .into());
            }
        }
        self.settled(slot, context);
        Ok(())
    }

    /// Everything due for a key has been done: wakes it for what is next, or forgets it.
    fn settled(&mut self, slot: Slot, context: &OperatorContext) {
        let (_, panes) = self.table.touch(slot);
        if panes.is_empty() {
            self.emptied.push(slot);
            return;
        }
        let mut next = Wake::NEVER;
        for pane in panes.all() {
            next.note(self.rules.next(pane, context));
        }
        self.calendars.wake(&mut panes.wake, next, slot);
    }

    /// Removes keys without a window.
    fn forget_emptied(&mut self) {
        for slot in self.emptied.drain(..) {
            if self
                .table
                .try_at(slot)
                .is_some_and(|(_, panes)| panes.is_empty())
            {
                self.table.remove_at(slot);
            }
        }
        let table = &self.table;
        let wake = |slot| {
            table
                .try_at(slot)
                .map_or(Wake::NEVER, |(_, panes)| panes.wake)
        };
        self.calendars.tidy(table.len(), wake);
    }

    #[cfg(test)]
    pub fn calendar_entries(&self) -> usize {
        self.calendars.entries()
    }

    /// Hands on what was put out so far.
    fn put_out(&mut self, out: &mut Output<F::Out>) {
        self.outlet.finished = 0;
        if !self.outlet.results.is_empty() {
            out.push_batch(&mut self.outlet.results);
        }
    }

    /// Puts out the whole table if a window has fired; after the end of input forgets it.
    fn show_table(
        &mut self,
        context: &OperatorContext,
        budget: &mut usize,
    ) -> Result<Work, BoxError> {
        if self.rules.mode != Some(OutputMode::Complete) {
            return Ok(Work::Done);
        }
        let ended = context.watermark == WATERMARK_MAX;
        if self.showing.is_empty() && (self.outlet.table_due || ended) {
            self.showing = self.table.iter().map(|(slot, ..)| slot).collect();
        }
        while let Some(slot) = self.showing.pop() {
            if self.table.try_at(slot).is_none() {
                continue;
            }
            let (key, panes) = self.table.touch(slot);
            for pane in panes.all() {
                if self.outlet.table_due {
                    self.rules.show(key, pane, context, &mut self.outlet)?;
                }
                *budget = budget.saturating_sub(1);
            }
            if ended {
                self.table.remove_at(slot);
            }
            if *budget == 0 && !self.showing.is_empty() {
                return Ok(Work::More);
            }
        }
        self.outlet.table_due = false;
        Ok(Work::Done)
    }

    /// What remains when time has come as far as it does for now.
    fn end_call(
        &mut self,
        budget: &mut usize,
        context: &OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let work = match *budget {
            0 => Work::More,
            _ => self.show_table(context, budget)?,
        };
        self.forget_emptied();
        self.put_out(out);
        Ok(work)
    }
}

/// The least of what `next` says of some panes, and where; [`NEVER`] for none.
#[inline]
fn earliest<P>(panes: &[P], next: impl Fn(&P) -> EventTime) -> (EventTime, usize) {
    let times = panes.iter().map(next).zip(0..);
    times.min().unwrap_or((NEVER, 0))
}

#[cold]
fn without_time() -> BoxError {
    "the record has no event time: give the source a watermark strategy, or assign timestamps before \
     the window"
        .into()
}

impl<K, V, W, T, F> OperatorCore for WindowOperator<K, V, W, T, F>
where
    K: Key,
    V: Data,
    W: Windows<V>,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    type Out = F::Out;

    fn open(&mut self, context: &OperatorContext) {
        let slots: Vec<Slot> = self.table.iter().map(|(slot, ..)| slot).collect();
        for slot in slots {
            self.settled(slot, context);
        }
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let mut budget = WORK_LIMIT;
        let until = context.watermark.saturating_sub(1);
        while budget > 0
            && let Some((time, slot)) = self.calendars.event.pop(until)
        {
            budget -= 1;
            let entry = self.table.try_at(slot);
            if entry.is_some_and(|(_, panes)| panes.wake.event == time) {
                self.settle_event(slot, time, context)?;
            }
        }
        self.end_call(&mut budget, context, out)
    }

    fn next_processing_time(&self) -> Option<EventTime> {
        if !self.showing.is_empty() {
            return Some(0);
        }
        self.calendars.processing.first().map(|time| time.max(0))
    }

    fn on_processing_time(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let mut budget = WORK_LIMIT;
        while budget > 0
            && let Some((time, slot)) = self.calendars.processing.pop(context.now_ms)
        {
            budget -= 1;
            let entry = self.table.try_at(slot);
            if entry.is_some_and(|(_, panes)| panes.wake.processing == time) {
                self.settle_processing(slot, time, context)?;
            }
        }
        self.end_call(&mut budget, context, out)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.table);
    }
}

impl<K, V, W, T, F> Operator for WindowOperator<K, V, W, T, F>
where
    K: Key,
    V: Data,
    W: Windows<V>,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    type In = (K, V);

    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        self.outlet.drop_unfinished();
        let mut found = std::mem::take(&mut self.found);
        let keys = std::iter::once(&record.value.0);
        self.table.find_all(keys, &mut found);
        let found_key = found[0];
        self.found = found;
        self.take(record, found_key, context)?;
        self.put_out(out);
        Ok(())
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
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
                self.take(record, *found, context)?;
            }
            self.outlet.finished = self.outlet.results.len();
            if self.outlet.finished >= BATCH_RECORDS {
                self.put_out(out);
            }
        }
        self.found = found;
        Ok(())
    }

    fn on_batch_end(
        &mut self,
        _: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        self.outlet.drop_unfinished();
        self.forget_emptied();
        self.put_out(out);
        Ok(match self.outlet.table_due {
            true => Work::More,
            false => Work::Done,
        })
    }
}
