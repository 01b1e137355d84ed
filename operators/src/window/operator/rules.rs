//! How one window takes a record, is called by its trigger, fires and ends: the semantics, free of tables and
//! calendars.

use super::calendar::{END_OF_INPUT, NEVER, Wake};
use super::panes::PaneOf;
use crate::window::function::WindowFunction;
use crate::window::trigger::{TriggerContext, TriggerResult, WindowTrigger};
use crate::window::{Clock, OutputMode, Timing, Window, WindowContext, Windows};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{OperatorContext, UserResult};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::time::{EventTime, Watermark};
use std::marker::PhantomData;
use std::sync::Arc;

/// What makes windows fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firing {
    /// The trigger.
    ByTrigger,
    /// Every record.
    EachRecord,
    /// Their end, lateness included.
    AtTheVeryEnd,
}

/// What came of it.
pub(super) struct Outlet<U> {
    pub results: Vec<Record<U>>,
    /// So many of them stand even if the record at hand fails.
    pub finished: usize,
    /// A window has fired, so the whole table is to be put out.
    pub table_due: bool,
}

impl<U> Default for Outlet<U> {
    fn default() -> Self {
        Outlet {
            results: Vec::new(),
            finished: 0,
            table_due: false,
        }
    }
}

impl<U> Outlet<U> {
    /// Drops what came of a record that failed.
    pub fn drop_unfinished(&mut self) {
        self.results.truncate(self.finished);
    }
}

/// What is the same for all windows and keys.
pub(super) struct Rules<K, V, W, T, F> {
    pub windows: W,
    pub trigger: Arc<T>,
    pub function: Arc<F>,
    pub lateness_ms: i64,
    pub mode: Option<OutputMode>,
    pub firing: Firing,
    pub marker: PhantomData<fn(K, V)>,
}

impl<K, V, W, T, F> Rules<K, V, W, T, F>
where
    K: Key,
    V: Data,
    W: Windows<V>,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    /// Whether nothing more can be added to a window.
    #[inline]
    pub fn is_late(&self, window: Window, watermark: Watermark) -> bool {
        W::CLOCK == Clock::Event
            && window.end.saturating_add(self.lateness_ms) <= watermark
            && self.mode != Some(OutputMode::Complete)
    }

    /// The event time at which a window is dropped.
    #[inline]
    fn dropped_at(&self, window: Window) -> EventTime {
        match (W::CLOCK, self.mode) {
            (_, Some(OutputMode::Complete)) => NEVER,
            (Clock::Event, _) => {
                let last = window.last().saturating_add(self.lateness_ms);
                last.min(END_OF_INPUT)
            }
            _ => END_OF_INPUT,
        }
    }

    /// The processing time at which a window is dropped.
    #[inline]
    fn dropped_at_processing(&self, window: Window) -> EventTime {
        match (W::CLOCK, self.mode) {
            (Clock::Processing, mode) if mode != Some(OutputMode::Complete) => window.end,
            _ => NEVER,
        }
    }

    #[inline]
    fn at(&self, pane: &PaneOf<K, V, T, F>, now_ms: EventTime) -> TriggerContext {
        TriggerContext {
            window: match W::CLOCK {
                Clock::None => Window::ALL,
                _ => pane.window,
            },
            clock: W::CLOCK,
            watermark: pane.clock,
            now_ms,
        }
    }

    /// When a window next has something due.
    #[inline]
    pub fn next(&self, pane: &PaneOf<K, V, T, F>, context: &OperatorContext) -> Wake {
        Wake {
            event: self.next_event(pane, context.now_ms),
            processing: self.next_processing(pane, context.now_ms),
        }
    }

    #[inline]
    fn next_event(&self, pane: &PaneOf<K, V, T, F>, now_ms: EventTime) -> EventTime {
        let dropped = self.dropped_at(pane.window);
        if self.firing != Firing::ByTrigger {
            return dropped;
        }
        let at = self.at(pane, now_ms);
        let named = self.trigger.next_event_time(&pane.trigger, &at);
        match named.map(|time| time.min(END_OF_INPUT)) {
            Some(time) if time >= pane.clock => time.min(dropped),
            _ => dropped,
        }
    }

    #[inline]
    fn next_processing(&self, pane: &PaneOf<K, V, T, F>, now_ms: EventTime) -> EventTime {
        let dropped = self.dropped_at_processing(pane.window);
        if self.firing != Firing::ByTrigger {
            return dropped;
        }
        let at = self.at(pane, now_ms);
        // In complete mode windows are kept: an end that has been acted upon does not come again.
        let is_past = |time: EventTime| {
            W::CLOCK == Clock::Processing && pane.fired_on_time && time <= pane.window.end
        };
        match self.trigger.next_processing_time(&pane.trigger, &at) {
            Some(time) if !is_past(time) => time.min(dropped),
            _ => dropped,
        }
    }

    /// Adds a record, and does what the trigger says to it.
    #[inline]
    pub fn add(
        &self,
        (time, value): (EventTime, V),
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> UserResult {
        let at = self.at(pane, context.now_ms);
        let result = match self.firing {
            Firing::ByTrigger => self.trigger.on_record(time, &value, &mut pane.trigger, &at),
            Firing::EachRecord => TriggerResult::Fire,
            Firing::AtTheVeryEnd => TriggerResult::Continue,
        };
        let kept = pane.kept.get_or_insert_with(|| self.function.create());
        self.function.add(kept, time, value);
        pane.changed = true;
        self.apply(result, key, pane, &at, context, out)
    }

    /// An event time has come at which a window wanted to be called; whether it has ended.
    pub fn on_event_time(
        &self,
        time: EventTime,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> Result<bool, BoxError> {
        let before = self.at(pane, context.now_ms);
        let ends = time == self.dropped_at(pane.window);
        let wanted = self.firing == Firing::ByTrigger
            && (self.trigger.next_event_time(&pane.trigger, &before))
                .is_some_and(|wanted| wanted.min(END_OF_INPUT) == time);
        let mut at = before;
        at.watermark = time + 1;
        if wanted {
            let result = self.trigger.on_event_time(time, &mut pane.trigger, &at);
            self.apply(result, key, pane, &at, context, out)?;
        }
        // The input may be over before the clock has come to the window's end.
        let cut_off = ends && W::CLOCK == Clock::Processing && pane.changed;
        if cut_off {
            at.now_ms = pane.window.end;
        }
        if cut_off || (ends && self.firing == Firing::AtTheVeryEnd) {
            self.fire(key, pane, &at, context, out)?;
        }
        pane.clock = at.watermark; // not before: what fails is called again
        Ok(ends)
    }

    /// A processing time has come at which a window wanted to be called; whether it has ended.
    pub fn on_processing_time(
        &self,
        time: EventTime,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> Result<bool, BoxError> {
        let at = self.at(pane, time);
        let ends = time == self.dropped_at_processing(pane.window);
        if self.firing == Firing::ByTrigger
            && self.trigger.next_processing_time(&pane.trigger, &at) == Some(time)
        {
            let state = &mut pane.trigger;
            let result = self.trigger.on_processing_time(time, state, &at);
            self.apply(result, key, pane, &at, context, out)?;
        }
        if ends && self.firing == Firing::AtTheVeryEnd {
            self.fire(key, pane, &at, context, out)?;
        }
        Ok(ends)
    }

    /// Two sessions have become one.
    pub fn merge(&self, pane: &mut PaneOf<K, V, T, F>, other: PaneOf<K, V, T, F>) {
        match (&mut pane.kept, other.kept) {
            (Some(kept), Some(other)) => self.function.merge(kept, other),
            (kept, other) => *kept = kept.take().or(other),
        }
        self.trigger.merge(&mut pane.trigger, other.trigger);
        pane.clock = pane.clock.max(other.clock);
        pane.fired = pane.fired.saturating_add(other.fired);
        pane.fired_on_time |= other.fired_on_time;
        pane.changed |= other.changed;
    }

    /// A session has grown, perhaps beyond its clock: then its end is still to come.
    pub fn reopen(&self, pane: &mut PaneOf<K, V, T, F>, context: &OperatorContext) {
        let mut at = self.at(pane, context.now_ms);
        at.watermark = context.watermark;
        pane.fired_on_time &= at.is_over();
    }

    /// Whether nothing of a window without bounds needs to be remembered.
    #[inline]
    pub fn is_over(&self, pane: &PaneOf<K, V, T, F>) -> bool {
        W::CLOCK == Clock::None && pane.kept.is_none() && pane.trigger == T::State::default()
    }

    #[inline]
    fn apply(
        &self,
        result: TriggerResult,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        at: &TriggerContext,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> UserResult {
        if result.fires() {
            self.fire(key, pane, at, context, out)?;
        }
        if result.purges() {
            pane.kept = None;
        }
        Ok(())
    }

    fn fire(
        &self,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        at: &TriggerContext,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> UserResult {
        match self.mode {
            Some(OutputMode::Complete) => {
                out.table_due = true;
                pane.fired_on_time |= at.is_over();
                Ok(())
            }
            Some(OutputMode::Update) if !pane.changed => Ok(()),
            _ => self.put_out(key, pane, at, context, out),
        }
    }

    /// Puts out the result of a window, if it holds anything.
    fn put_out(
        &self,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        at: &TriggerContext,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> UserResult {
        let timing = self.timing(pane, at);
        let at = WindowContext {
            window: pane.window,
            key,
            timing,
            pane: pane.fired,
            watermark: context.watermark,
            now_ms: context.now_ms,
        };
        let Some(kept) = &mut pane.kept else {
            return Ok(());
        };
        self.function.fire(&at, kept, &mut out.results)?;
        if self.function.is_empty(kept) {
            pane.kept = None;
        }
        pane.fired = pane.fired.saturating_add(1);
        pane.fired_on_time |= timing == Timing::OnTime;
        pane.changed = false;
        Ok(())
    }

    /// A row of the whole table.
    pub fn show(
        &self,
        key: &K,
        pane: &mut PaneOf<K, V, T, F>,
        context: &OperatorContext,
        out: &mut Outlet<F::Out>,
    ) -> UserResult {
        let mut at = self.at(pane, context.now_ms);
        at.watermark = context.watermark;
        self.put_out(key, pane, &at, context, out)
    }

    fn timing(&self, pane: &PaneOf<K, V, T, F>, at: &TriggerContext) -> Timing {
        if W::CLOCK == Clock::None {
            return Timing::OnTime;
        }
        match (at.is_over(), pane.fired_on_time) {
            (false, _) => Timing::Early,
            (true, false) if self.firing != Firing::EachRecord => Timing::OnTime,
            (true, _) => Timing::Late,
        }
    }
}
