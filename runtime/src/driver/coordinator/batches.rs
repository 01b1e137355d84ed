//! Micro-batch mode: when the next batch is triggered. One batch is under way at a time.

use super::Coordinator;
use super::pending::Phase;
use crate::driver::alarm::after;
use crate::time::Epoch;
use std::time::Duration;

/// What is under way, and whether another batch is wanted.
pub(super) struct Batches {
    /// The batch that ends with this epoch is being worked off.
    until: Option<Epoch>,
    /// There is something to read, or time wants something.
    pub wanted: bool,
    /// Something was read since the last barrier.
    pub unsaved: bool,
    /// When the last one was triggered; `None`: none was yet.
    last_ns: Option<i64>,
}

impl Batches {
    pub fn new() -> Self {
        Batches {
            until: None,
            wanted: true,
            unsaved: false,
            last_ns: None,
        }
    }

    /// Takes note of what has left the graph; whether a batch is still under way. `take_activity`: whether the
    /// batch read something.
    fn is_under_way(&mut self, completed: Epoch, take_activity: impl FnOnce() -> bool) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        if completed < until {
            return true;
        }
        self.until = None;
        // A batch that read something is followed by another: there may be more.
        let read = take_activity();
        self.wanted |= read;
        self.unsaved |= read;
        false
    }

    /// When the interval since the last trigger has passed; `None`: it has.
    fn pause_until_ns(&self, now_ns: i64, interval: Duration) -> Option<i64> {
        let until_ns = after(self.last_ns?, interval);
        (now_ns < until_ns).then_some(until_ns)
    }

    fn trigger(&mut self, now_ns: i64) {
        self.last_ns = Some(now_ns);
        self.wanted = false;
    }
}

impl Coordinator {
    /// Triggers a batch when one is wanted and due; returns when to look again.
    pub(super) fn turn_batched(&mut self, interval: Duration) -> Option<i64> {
        let completed = self.worker.completed_epoch.get();
        let control = &self.worker.control;
        if self
            .batches
            .is_under_way(completed, || control.take_activity())
        {
            return None; // the completed epoch wakes us
        }
        if self.phase != Phase::Idle {
            return None;
        }
        let ends = self.requested.is_some() || self.sources_left == 0;
        if !self.batches.wanted && !ends {
            // What was read last is committed by a checkpoint of its own, if no batch follows it.
            let unsaved = self.batches.unsaved;
            if !(unsaved && self.checkpoint_is_due()) {
                return self.next_checkpoint_ns().filter(|_| unsaved);
            }
        }
        let now_ns = self.worker.now_ns();
        if let Some(until_ns) = self.batches.pause_until_ns(now_ns, interval)
            && !ends
        {
            return Some(until_ns);
        }
        self.trigger();
        None
    }

    fn trigger(&mut self) {
        self.batches.trigger(self.worker.now_ns());
        match self.due() {
            Some(purpose) => self.inject(purpose),
            None => self.raise(self.epoch.next(), false, true),
        }
        self.batches.until = Some(self.epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_read_something_is_followed_by_another_and_wants_to_be_saved() {
        let mut batches = Batches::new();
        batches.trigger(0);
        batches.until = Some(Epoch(7));
        assert!(batches.is_under_way(Epoch(6), || unreachable!("it is under way")));
        assert!(!batches.is_under_way(Epoch(7), || true));
        assert!(batches.wanted && batches.unsaved);

        batches.trigger(0);
        batches.until = Some(Epoch(8));
        batches.unsaved = false;
        assert!(!batches.is_under_way(Epoch(8), || false));
        assert!(!batches.wanted && !batches.unsaved);
    }

    #[test]
    fn the_first_trigger_does_not_wait_for_the_interval() {
        let interval = Duration::from_nanos(50);
        let mut batches = Batches::new();
        assert_eq!(batches.pause_until_ns(100, interval), None);
        batches.trigger(100);
        assert_eq!(batches.pause_until_ns(149, interval), Some(150));
        assert_eq!(batches.pause_until_ns(150, interval), None);
        assert_eq!(batches.pause_until_ns(100, Duration::ZERO), None);
    }
}
