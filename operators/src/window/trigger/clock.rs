//! Triggers that fire at the end of the window.

use super::{StagedTrigger, TriggerContext, TriggerResult, WindowTrigger};
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};

/// Fires when the watermark passes the end of the window, and then at each record that comes within the
/// allowed lateness: the default in event time. On [`Global`](crate::Global) windows: at the end of input.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTimeTrigger;

impl EventTimeTrigger {
    /// Also fires before the end of the window, as another trigger says.
    pub fn early<E>(self, early: E) -> StagedTrigger<E, EventTimeTrigger> {
        StagedTrigger::new(early, self)
    }

    /// Fires for late records as another trigger says, not for each.
    pub fn late<L>(self, late: L) -> StagedTrigger<EventTimeTrigger, L> {
        StagedTrigger::new(self, late)
    }
}

impl<V> WindowTrigger<V> for EventTimeTrigger {
    type State = ();

    #[inline]
    fn on_record(&self, _: EventTime, _: &V, _: &mut (), at: &TriggerContext) -> TriggerResult {
        TriggerResult::of(at.window.last() < at.watermark, false)
    }

    #[inline]
    fn next_event_time(&self, _: &(), at: &TriggerContext) -> Option<EventTime> {
        (at.watermark <= at.window.last()).then_some(at.window.last())
    }

    fn on_event_time(&self, _: EventTime, _: &mut (), _: &TriggerContext) -> TriggerResult {
        TriggerResult::Fire
    }

    fn merge(&self, _: &mut (), _: ()) {}

    fn describe(&self) -> String {
        "at the end in event time".into()
    }
}

/// Fires when processing time comes to the end of the window: the default in processing time. On windows of
/// event time it fires once for all records that come before that moment, and at once for each that comes after.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessingTimeTrigger;

/// Whether a call is wanted.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending(bool);

impl<V> WindowTrigger<V> for ProcessingTimeTrigger {
    type State = Pending;

    #[inline]
    fn on_record(
        &self,
        _: EventTime,
        _: &V,
        state: &mut Pending,
        at: &TriggerContext,
    ) -> TriggerResult {
        let over = at.window.end <= at.now_ms;
        state.0 = !over;
        TriggerResult::of(over, false)
    }

    #[inline]
    fn next_processing_time(&self, state: &Pending, at: &TriggerContext) -> Option<EventTime> {
        state.0.then_some(at.window.end)
    }

    fn on_processing_time(
        &self,
        _: EventTime,
        state: &mut Pending,
        _: &TriggerContext,
    ) -> TriggerResult {
        state.0 = false;
        TriggerResult::Fire
    }

    fn merge(&self, state: &mut Pending, other: Pending) {
        state.0 |= other.0;
    }

    fn describe(&self) -> String {
        "at the end in processing time".into()
    }
}
