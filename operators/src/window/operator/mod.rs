//! The general window operator: any windows, trigger, evictor, function and output mode.
//!
//! State: per key its open windows ([`panes`]). Beside it, rebuilt after a restore, one calendar for each clock
//! ([`calendar`]): each key with an open window is in it at a time no later than that at which the first of
//! them has something due. What happens to the windows of a key is in [`engine`], to one window in [`rules`].
//!
//! Time passes for each key as if the watermark rose by single milliseconds: whatever is due is done in order of
//! time, and before the key takes another record. So it makes no difference how far the watermark jumps, and when the
//! operator is called.

mod calendar;
mod engine;
mod panes;
mod rules;

use self::calendar::{Calendars, Wake};
use self::engine::Engine;
use self::panes::{Panes, PanesOf};
use self::rules::{Firing, Outlet, Rules};
use super::function::WindowFunction;
use super::trigger::WindowTrigger;
use super::{Clock, OutputMode, Window, Windows};
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::operator::{
    BATCH_RECORDS, Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{Codec, Compact, KeyedTable, LOOKUPS, Slot, Snapshot, TimeDomain};
use millstream_runtime::time::{EventTime, WATERMARK_MAX};
use std::marker::PhantomData;
use std::sync::Arc;

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
    engine: Engine<K, V, W, T, F>,
    late: SideOutput<(K, V)>,
    table: KeyedTable<K, PanesOf<K, V, T, F>>,
    /// What is left to put out of the whole table.
    showing: Vec<Slot>,
    /// Rows are put out, not only dropped.
    rows: bool,
    windows: Vec<Window>,
    hashes: Vec<u64>,
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
        let rules = Rules {
            windows: parts.windows,
            trigger: parts.trigger,
            function: parts.function,
            lateness_ms: parts.lateness_ms,
            mode: parts.mode,
            firing,
            marker: PhantomData,
        };
        WindowOperator {
            engine: Engine {
                rules,
                calendars: Calendars::default(),
                outlet: Outlet::default(),
                emptied: Vec::new(),
            },
            late,
            table: KeyedTable::new("open windows"),
            showing: Vec::new(),
            rows: false,
            windows: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Takes one record whose key has this hash.
    #[inline]
    fn take(&mut self, record: Record<(K, V)>, hash: u64, context: &OperatorContext) -> UserResult {
        let time = match W::CLOCK {
            Clock::Processing => context.now_ms,
            Clock::Event if record.time == NO_TIME => return Err(without_time()),
            Clock::Event | Clock::None => record.time,
        };
        self.windows.clear();
        let value = &record.value.1;
        self.engine
            .rules
            .windows
            .assign(time, value, &mut self.windows)?;
        if W::MERGES {
            return self.take_session(record, hash, context);
        }
        if W::CLOCK == Clock::Event {
            if self.windows.is_empty() {
                context.metrics.filtered.add(1); // between two windows
                return Ok(());
            }
            let (rules, watermark) = (&self.engine.rules, context.watermark);
            self.windows
                .retain(|window| !rules.is_late(*window, watermark));
            if self.windows.is_empty() {
                self.late(record, context);
                return Ok(());
            }
        }
        let (key, value) = record.value;
        let (slot, _) = self.table.entry_hashed(&key, hash, Panes::new);
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
            operator.engine.emptied.push(slot); // if it is
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
        let (key, panes) = self.table.touch(slot);
        let at = (slot, key);
        if W::CLOCK == Clock::None {
            panes.reach(time);
            return self.engine.add(at, panes, 0, (time, value), context);
        }
        let Some((last, others)) = self.windows.split_last() else {
            return Ok(());
        };
        for window in others {
            let index = panes.of(*window);
            let record = (time, value.clone());
            self.engine.add(at, panes, index, record, context)?;
        }
        let index = panes.of(*last);
        self.engine.add(at, panes, index, (time, value), context)
    }

    /// Adds a record to its session, which may bring others together.
    fn take_session(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        context: &OperatorContext,
    ) -> UserResult {
        let session = self.windows[0];
        let is_late = self.engine.rules.is_late(session, context.watermark);
        if is_late && self.table.slot(&record.value.0).is_none() {
            self.late(record, context);
            return Ok(());
        }
        let (slot, _) = self.table.entry_hashed(&record.value.0, hash, Panes::new);
        self.settle(slot, context)?;
        // A late record still belongs to a session that is kept.
        if is_late && self.table.at(slot).1.touching(session).is_empty() {
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
        let rules = &self.engine.rules;
        let (key, panes) = self.table.touch(slot);
        let touching = panes.touching(session);
        let index = touching.start;
        panes.merge(touching, session, |pane, other| rules.merge(pane, other));
        rules.reopen(&mut panes.panes[index], context);
        self.engine.add((slot, key), panes, index, record, context)
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
        if wake.event < context.watermark || wake.processing <= context.now_ms {
            self.settle_due(slot, wake, context)?;
        }
        self.engine.outlet.finished = self.engine.outlet.results.len();
        Ok(())
    }

    #[cold]
    fn settle_due(&mut self, slot: Slot, wake: Wake, context: &OperatorContext) -> UserResult {
        let (key, panes) = self.table.touch(slot);
        let (at, engine) = ((slot, key), &mut self.engine);
        if wake.event < context.watermark {
            engine.pass(TimeDomain::Event, at, panes, context.watermark - 1, context)?;
        }
        if wake.processing <= context.now_ms {
            engine.pass(TimeDomain::Processing, at, panes, context.now_ms, context)?;
        }
        Ok(())
    }

    /// Removes keys without a window.
    fn forget_emptied(&mut self) {
        for slot in self.engine.emptied.drain(..) {
            let entry = self.table.try_at(slot);
            if entry.is_some_and(|(_, panes)| panes.panes.is_empty()) {
                self.table.remove_at(slot);
            }
        }
        let wake = |slot| match self.table.try_at(slot) {
            Some((_, panes)) => panes.wake,
            None => Wake::NEVER,
        };
        self.engine.calendars.tidy(self.table.len(), wake);
    }

    #[cfg(test)]
    pub fn calendar_entries(&self) -> usize {
        self.engine.calendars.entries()
    }

    /// Hands on what was put out so far.
    fn put_out(&mut self, out: &mut Output<F::Out>) {
        self.engine.outlet.finished = 0;
        if !self.engine.outlet.results.is_empty() {
            out.push_batch(&mut self.engine.outlet.results);
        }
    }

    /// Puts out the whole table if a window has fired; after the end of input forgets it.
    fn show_table(
        &mut self,
        context: &OperatorContext,
        budget: &mut usize,
    ) -> Result<Work, BoxError> {
        if self.engine.rules.mode != Some(OutputMode::Complete) {
            return Ok(Work::Done);
        }
        let ended = context.watermark == WATERMARK_MAX;
        if self.showing.is_empty() && (self.engine.outlet.table_due || ended) {
            self.showing = self.table.iter().map(|(slot, ..)| slot).collect();
            self.rows = std::mem::take(&mut self.engine.outlet.table_due);
        }
        while let Some(slot) = self.showing.pop() {
            if self.table.try_at(slot).is_none() {
                continue;
            }
            let (key, panes) = self.table.touch(slot);
            for pane in &mut panes.panes {
                if self.rows {
                    self.engine
                        .rules
                        .show(key, pane, context, &mut self.engine.outlet)?;
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
        // A window may have fired since the first rows.
        Ok(match self.engine.outlet.table_due {
            true => Work::More,
            false => Work::Done,
        })
    }

    /// Does what is due by one clock up to `until`, a bounded piece of it.
    fn pass(
        &mut self,
        domain: TimeDomain,
        until: EventTime,
        context: &OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let mut budget = WORK_LIMIT;
        while budget > 0
            && let Some((time, slot)) = self.engine.calendars.of(domain).pop(|time| time <= until)
        {
            budget -= 1;
            let entry = self.table.try_at(slot);
            if entry.is_some_and(|(_, panes)| panes.wake.of(domain) == time) {
                let (key, panes) = self.table.touch(slot);
                (self.engine).pass(domain, (slot, key), panes, time, context)?;
            }
        }
        let work = match budget {
            0 => Work::More,
            _ => self.show_table(context, &mut budget)?,
        };
        self.forget_emptied();
        self.put_out(out);
        Ok(work)
    }
}

#[cold]
pub(super) fn without_time() -> BoxError {
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
            let (_, Panes { panes, wake }) = self.table.touch(slot);
            self.engine.schedule(slot, panes, wake, context);
        }
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let until = context.watermark.saturating_sub(1);
        self.pass(TimeDomain::Event, until, context, out)
    }

    fn next_processing_time(&self) -> Option<EventTime> {
        if !self.showing.is_empty() || self.engine.outlet.table_due {
            return Some(0);
        }
        self.engine
            .calendars
            .processing
            .first()
            .map(|time| time.max(0))
    }

    fn on_processing_time(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        self.pass(TimeDomain::Processing, context.now_ms, context, out)
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
        self.engine.outlet.drop_unfinished();
        let hash = stable_hash(&record.value.0);
        self.take(record, hash, context)?;
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
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let keys = next.iter().map(|record| &record.value.0);
            self.table.prepare(keys, &mut hashes);
            for (hash, record) in hashes.iter().zip(&mut records) {
                at.set(index);
                index += 1;
                self.take(record, *hash, context)?;
            }
            self.engine.outlet.finished = self.engine.outlet.results.len();
            if self.engine.outlet.finished >= BATCH_RECORDS {
                self.put_out(out);
            }
        }
        self.hashes = hashes;
        Ok(())
    }

    fn on_batch_end(
        &mut self,
        _: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        self.engine.outlet.drop_unfinished();
        self.forget_emptied();
        self.put_out(out);
        Ok(match self.engine.outlet.table_due {
            true => Work::More,
            false => Work::Done,
        })
    }
}
