//! When windows fire: one trigger a file.
//!
//! A trigger is asked at each record, and when a time comes that it has named. It does not register timers:
//! its state says when it next wants to be called ([`WindowTrigger::next_event_time`],
//! [`WindowTrigger::next_processing_time`]). So there is nothing to delete, and when sessions merge their timers
//! follow from the merged state.
//!
//! ```
//! # use millstream_operators::window::{TriggerContext, TriggerResult, WindowTrigger};
//! # use millstream_runtime::time::EventTime;
//! /// Fires at each record whose value is greater than all before in its window.
//! struct NewMaximum;
//!
//! impl WindowTrigger<u64> for NewMaximum {
//!     type State = Option<u64>;
//!
//!     fn on_record(&self, _: EventTime, value: &u64, greatest: &mut Option<u64>, _: &TriggerContext) -> TriggerResult {
//!         let is_new = greatest.is_none_or(|greatest| *value > greatest);
//!         if is_new {
//!             *greatest = Some(*value);
//!         }
//!         if is_new { TriggerResult::Fire } else { TriggerResult::Continue }
//!     }
//!
//!     fn merge(&self, greatest: &mut Option<u64>, other: Option<u64>) {
//!         *greatest = (*greatest).max(other);
//!     }
//! }
//! ```

mod clock;
mod combined;
mod continuous;
mod count;
mod delta;
mod staged;

pub use clock::{EventTimeTrigger, ProcessingTimeTrigger};
pub use combined::{AllTrigger, AnyTrigger, PurgingTrigger};
pub use continuous::ContinuousTrigger;
pub use count::CountTrigger;
pub use delta::DeltaTrigger;
pub use staged::StagedTrigger;

use super::{Clock, Window};
use millstream_runtime::state::StateData;
use millstream_runtime::time::{EventTime, Watermark};

/// What a trigger decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing happens.
    Continue,
    /// The window's result is put out; its contents stay.
    Fire,
    /// The window's contents are dropped.
    Purge,
    /// The window's result is put out, then its contents are dropped.
    FireAndPurge,
}

impl TriggerResult {
    /// Whether the result is put out.
    pub fn fires(self) -> bool {
        matches!(self, TriggerResult::Fire | TriggerResult::FireAndPurge)
    }

    /// Whether the contents are dropped.
    pub fn purges(self) -> bool {
        matches!(self, TriggerResult::Purge | TriggerResult::FireAndPurge)
    }

    fn of(fires: bool, purges: bool) -> Self {
        match (fires, purges) {
            (false, false) => TriggerResult::Continue,
            (true, false) => TriggerResult::Fire,
            (false, true) => TriggerResult::Purge,
            (true, true) => TriggerResult::FireAndPurge,
        }
    }
}

/// The window a trigger decides about, and what time it is there.
#[derive(Clone, Copy, Debug)]
pub struct TriggerContext {
    /// The window; [`Window::ALL`] when it has no bounds.
    pub window: Window,
    /// What ends it.
    pub clock: Clock,
    /// How far event time has come for this window: up to here [`WindowTrigger::on_event_time`] has been called.
    pub watermark: Watermark,
    /// Processing time in milliseconds since the Unix epoch; in [`WindowTrigger::on_processing_time`] the time
    /// that was named.
    pub now_ms: EventTime,
}

impl TriggerContext {
    /// Whether the window's end has passed, by the clock that ends it.
    pub fn is_over(&self) -> bool {
        match self.clock {
            Clock::Processing => self.window.end <= self.now_ms,
            Clock::Event | Clock::None => self.window.last() < self.watermark,
        }
    }

    /// The event time to be called at for the window's end, if event time ends it and has not done so. A window
    /// without bounds ends with the input.
    pub fn end_event_time(&self) -> Option<EventTime> {
        (self.clock != Clock::Processing && !self.is_over()).then_some(self.window.last())
    }

    /// The processing time to be called at for the window's end, if processing time ends it: it goes with that
    /// call.
    pub fn end_processing_time(&self) -> Option<EventTime> {
        (self.clock == Clock::Processing).then_some(self.window.end)
    }
}

/// What a trigger remembers per window and key: state that is empty at first and can be told from it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of a trigger",
    label = "needs `Default`, `Clone`, `PartialEq`, `Send` and serde's `Serialize` and `Deserialize`"
)]
pub trait TriggerState: StateData + Clone + Default + PartialEq + Send {}
impl<T: StateData + Clone + Default + PartialEq + Send> TriggerState for T {}

/// When windows over values of type `V` fire; see the module's documentation for an example.
///
/// One trigger serves all windows and keys of an operator; what it remembers of one of them is in its `State`,
/// which is in snapshots and goes when the window ends.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no trigger for windows over `{V}`",
    label = "implement `WindowTrigger<{V}>` for it, or take a built-in one: `EventTimeTrigger`, `CountTrigger`, …"
)]
pub trait WindowTrigger<V>: Send + Sync + 'static {
    /// What it remembers per window and key.
    type State: TriggerState;

    /// A record was added to the window.
    fn on_record(
        &self,
        time: EventTime,
        value: &V,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult;

    /// The event time at which it wants to be called next: when the watermark is beyond it (`time <
    /// watermark`, as for every event-time timer), and at the end of input. A time below `at.watermark` has
    /// passed and is not called.
    fn next_event_time(&self, state: &Self::State, at: &TriggerContext) -> Option<EventTime> {
        let _ = (state, at);
        None
    }

    /// An event time that it named has come. `at.watermark` is just beyond it, however far the watermark jumped.
    fn on_event_time(
        &self,
        time: EventTime,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        let _ = (time, state, at);
        TriggerResult::Continue
    }

    /// The processing time at which it wants to be called next (`time <= now`): what its state and the window say,
    /// whatever time it is. Once called it must name a later one, or none.
    fn next_processing_time(&self, state: &Self::State, at: &TriggerContext) -> Option<EventTime> {
        let _ = (state, at);
        None
    }

    /// A processing time that it named has come.
    fn on_processing_time(
        &self,
        time: EventTime,
        state: &mut Self::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        let _ = (time, state, at);
        TriggerResult::Continue
    }

    /// Two session windows have become one: takes up what it remembers of the later one. The record that
    /// brought them together comes afterwards.
    fn merge(&self, state: &mut Self::State, other: Self::State);

    /// What is wrong with its settings, if anything: no job starts with it.
    ///
    /// # Errors
    /// The reason, in words for whoever wrote the job.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Its settings in words, for explanations of the job.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        let name = name.split('<').next().unwrap_or(name);
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }
}

fn earlier(a: Option<EventTime>, b: Option<EventTime>) -> Option<EventTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
