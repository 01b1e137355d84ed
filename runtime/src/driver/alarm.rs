//! Wakes an operator after a while, with one pending call at a time.
//!
//! timely queues every delayed activation, and an operator runs far more often than its alarms go off: set
//! anew at each turn, an idle timeout of a minute would fill the queue with millions of them.

use crate::clock::Clock;
use std::time::Duration;
use timely::scheduling::activate::Activator;

pub(crate) struct Alarm {
    activator: Activator,
    /// When the pending call comes, in nanoseconds of the clock.
    at_ns: Option<i64>,
}

impl Alarm {
    pub fn new(activator: Activator) -> Self {
        Alarm {
            activator,
            at_ns: None,
        }
    }

    /// Wakes the operator as soon as the others had their turn.
    pub fn now(&self) {
        self.activator.activate();
    }

    /// Wakes the operator in `wait`, or earlier if a call is pending before.
    pub fn after(&mut self, wait: Duration, clock: &dyn Clock) {
        // Not the time of the step: the pending call may have come since.
        let now_ns = clock.now_ns();
        let at_ns = now_ns.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
        if self
            .at_ns
            .is_some_and(|pending| pending > now_ns && pending <= at_ns)
        {
            return;
        }
        self.at_ns = Some(at_ns);
        self.activator.activate_after(wait);
    }
}
