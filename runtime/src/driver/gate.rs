//! Which records an operator may process now, and how far its time may go: alignment and
//! watermarks, free of timely's channels so that every case can be tested.
//!
//! # The argument
//!
//! Each sender holds one capability that only rises, so what an input frontier says of one sender is
//! a point `(epoch, watermark)`. An operator in checkpoint period `c` takes messages of `c`; those of
//! a later period wait in a stash. The watermark it may act on is the minimum over the frontier, over
//! the stash, and over every later-period watermark seen since `c` began (`blocked`): a sender that
//! passed the barrier at watermark 50 and went on to 200 must not make windows below 200 fire in `c`,
//! for their removal would be part of snapshot `c` while their results belong to `c + 1`. It is what
//! Flink gets by blocking a channel behind a barrier.
//!
//! The operator's own capability is the meet of all this: one point, again only rising.

use crate::time::{CheckpointId, Epoch, Time, WATERMARK_MAX, Watermark};

/// How messages are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// At once, but never across a barrier: continuous, exactly-once.
    Aligned,
    /// At once: continuous, without alignment.
    Immediate,
    /// When their epoch is complete: micro-batch.
    Batched,
}

/// How far an operator may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// No more messages below this epoch will be processed.
    pub epoch: Epoch,
    /// The watermark to act on.
    pub watermark: Watermark,
}

pub(crate) struct Gate {
    admission: Admission,
    /// The checkpoint whose records are processed now.
    period: CheckpointId,
    /// The least epoch of the input frontier.
    frontier_epoch: Epoch,
    /// The least watermark of a later period that was seen in this one.
    blocked: Watermark,
    /// Something of a later period was seen in this one.
    aligning: bool,
}

impl Gate {
    pub fn new(admission: Admission, period: CheckpointId) -> Self {
        Gate {
            admission,
            period,
            frontier_epoch: Epoch(0),
            blocked: WATERMARK_MAX,
            aligning: false,
        }
    }

    pub fn period(&self) -> CheckpointId {
        self.period
    }

    /// Whether one sender has reached the barrier, and perhaps not all.
    #[inline]
    pub fn is_aligning(&self) -> bool {
        self.aligning
    }

    /// Whether a message of this time may be processed now.
    #[inline]
    pub fn admits(&self, time: Time) -> bool {
        match self.admission {
            Admission::Aligned => time.epoch.checkpoint() <= self.period,
            Admission::Immediate => true,
            Admission::Batched => time.epoch < self.frontier_epoch,
        }
    }

    /// Takes note of the input frontier, before messages are looked at.
    pub fn observe<'a>(&mut self, frontier: impl Iterator<Item = &'a Time>) {
        self.frontier_epoch = Epoch::MAX;
        for time in frontier {
            self.frontier_epoch = self.frontier_epoch.min(time.epoch);
            self.block(*time);
        }
    }

    /// Takes note of a message that has to wait.
    pub fn block(&mut self, time: Time) {
        if self.admission != Admission::Immediate && time.epoch.checkpoint() > self.period {
            self.blocked = self.blocked.min(time.watermark);
            self.aligning = true;
        }
    }

    /// How far the operator may go once every admitted message has been processed, given the
    /// frontier and the meet of the stash.
    pub fn target<'a>(
        &self,
        frontier: impl Iterator<Item = &'a Time>,
        stash: Option<Time>,
    ) -> Target {
        let all = frontier.copied().chain(stash);
        let mut epoch = Epoch::MAX;
        let mut within = WATERMARK_MAX;
        let mut overall = WATERMARK_MAX;
        for time in all {
            epoch = epoch.min(time.epoch);
            overall = overall.min(time.watermark);
            if time.epoch.checkpoint() <= self.period {
                within = within.min(time.watermark);
            }
        }
        let watermark =
            if epoch.checkpoint() > self.period || self.admission == Admission::Immediate {
                overall
            } else {
                within.min(self.blocked)
            };
        Target { epoch, watermark }
    }

    /// The barrier that ends the period was passed: the period of `epoch` begins.
    pub fn pass_barrier(&mut self, epoch: Epoch) {
        self.period = epoch.checkpoint();
        self.blocked = WATERMARK_MAX;
        self.aligning = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(checkpoint: CheckpointId, watermark: Watermark) -> Time {
        Time::new(Epoch::first_of(checkpoint), watermark)
    }

    fn target(gate: &mut Gate, frontier: &[Time], stash: Option<Time>) -> Target {
        gate.observe(frontier.iter());
        if let Some(time) = stash {
            gate.block(time);
        }
        gate.target(frontier.iter(), stash)
    }

    /// One sender passed barrier 1 at watermark 50 and went on to 200, the other is still in period
    /// 1 at 100. Were the operator to go to 100, windows of (50, 100] would vanish from snapshot 1 with
    /// their results in period 2.
    #[test]
    fn watermarks_from_behind_the_barrier_wait() {
        let mut gate = Gate::new(Admission::Aligned, 1);
        assert_eq!(
            target(&mut gate, &[at(1, 100), at(2, 50)], None).watermark,
            50
        );
        assert_eq!(target(&mut gate, &[at(1, 100)], None).watermark, 50);
        let passed = target(&mut gate, &[at(2, 120)], None);
        assert_eq!(
            passed,
            Target {
                epoch: Epoch::first_of(2),
                watermark: 120
            }
        );
        gate.pass_barrier(passed.epoch);
        assert_eq!(gate.period(), 2);
    }

    #[test]
    fn stashed_records_hold_the_watermark_and_the_epoch() {
        let mut gate = Gate::new(Admission::Aligned, 1);
        assert!(gate.admits(at(1, 0)) && !gate.admits(at(2, 0)));
        let there = target(&mut gate, &[at(2, 200)], Some(at(2, 50)));
        assert_eq!(
            there,
            Target {
                epoch: Epoch::first_of(2),
                watermark: 50
            }
        );
    }

    #[test]
    fn without_alignment_nothing_waits() {
        let mut gate = Gate::new(Admission::Immediate, 1);
        assert!(gate.admits(at(9, 0)));
        assert_eq!(
            target(&mut gate, &[at(1, 100), at(2, 150)], None).watermark,
            100
        );
    }

    #[test]
    fn a_batch_is_admitted_when_its_epoch_is_complete() {
        let mut gate = Gate::new(Admission::Batched, 1);
        let batch = at(1, 0);
        gate.observe([batch].iter());
        assert!(!gate.admits(batch));
        gate.observe([Time::new(batch.epoch.next(), 10)].iter());
        assert!(gate.admits(batch));
    }

    #[test]
    fn the_end_of_input_is_an_empty_frontier() {
        let mut gate = Gate::new(Admission::Aligned, 3);
        let end = target(&mut gate, &[], None);
        assert_eq!(
            end,
            Target {
                epoch: Epoch::MAX,
                watermark: WATERMARK_MAX
            }
        );
    }
}
