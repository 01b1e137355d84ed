//! Early, on time, late.

use super::{
    EventTimeTrigger, TriggerContext, TriggerResult, TriggerState, WindowTrigger, earlier,
};
use crate::window::Clock;
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};

/// Fires as one trigger says before the end of the window, at its end, and as another says for late
/// records: `EventTimeTrigger.early(…).late(…)`. With windows of processing time the end is theirs.
#[derive(Clone, Copy, Debug)]
pub struct StagedTrigger<E, L> {
    early: E,
    late: L,
}

impl<E, L> StagedTrigger<E, L> {
    pub(super) fn new(early: E, late: L) -> Self {
        StagedTrigger { early, late }
    }
}

impl<E> StagedTrigger<E, EventTimeTrigger> {
    /// Fires for late records as another trigger says, not for each.
    pub fn late<L>(self, late: L) -> StagedTrigger<E, L> {
        StagedTrigger::new(self.early, late)
    }
}

/// What the trigger of each stage remembers.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound = "E: TriggerState, L: TriggerState")]
pub struct Stages<E, L> {
    early: E,
    late: L,
}

/// Whether the window is in its last stage. One that processing time ends has none: it is dropped at its end.
fn is_late(at: &TriggerContext) -> bool {
    at.clock != Clock::Processing && at.is_over()
}

impl<V, E: WindowTrigger<V>, L: WindowTrigger<V>> WindowTrigger<V> for StagedTrigger<E, L> {
    type State = Stages<E::State, L::State>;

    fn on_record(
        &self,
        time: EventTime,
        value: &V,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        match is_late(at) {
            false => self.early.on_record(time, value, &mut state.early, at),
            true => self.late.on_record(time, value, &mut state.late, at),
        }
    }

    fn next_event_time(&self, state: &Self::State, at: &TriggerContext) -> Option<EventTime> {
        match is_late(at) {
            false => earlier(
                self.early.next_event_time(&state.early, at),
                at.end_event_time(),
            ),
            true => self.late.next_event_time(&state.late, at),
        }
    }

    fn on_event_time(
        &self,
        time: EventTime,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        if at.clock != Clock::Processing && time == at.window.last() {
            state.early = E::State::default();
            return TriggerResult::Fire;
        }
        match is_late(at) {
            false => self.early.on_event_time(time, &mut state.early, at),
            true => self.late.on_event_time(time, &mut state.late, at),
        }
    }

    fn next_processing_time(&self, state: &Self::State, at: &TriggerContext) -> Option<EventTime> {
        match is_late(at) {
            false => earlier(
                self.early.next_processing_time(&state.early, at),
                at.end_processing_time(),
            ),
            true => self.late.next_processing_time(&state.late, at),
        }
    }

    fn on_processing_time(
        &self,
        time: EventTime,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        if at.clock == Clock::Processing && time == at.window.end {
            state.early = E::State::default();
            return TriggerResult::Fire;
        }
        match is_late(at) {
            false => self.early.on_processing_time(time, &mut state.early, at),
            true => self.late.on_processing_time(time, &mut state.late, at),
        }
    }

    fn merge(&self, state: &mut Self::State, other: Self::State) {
        self.early.merge(&mut state.early, other.early);
        self.late.merge(&mut state.late, other.late);
    }

    fn check(&self) -> Result<(), String> {
        self.early.check()?;
        self.late.check()
    }

    fn describe(&self) -> String {
        let (early, late) = (self.early.describe(), self.late.describe());
        format!("early {early}; on time; late {late}")
    }
}
