//! Micro-batch mode: at each trigger a source takes what is there as one epoch, then stands still.

use super::read::Reading;
use super::{SourceDriver, watermark};
use crate::driver::control::Report;
use crate::driver::turn::Turn;
use crate::error::Result;
use crate::source::Source;
use crate::time::{Epoch, Time, WATERMARK_MIN};
use timely::progress::operate::SharedProgress;

/// The micro-batch under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BatchState {
    /// Waiting for the trigger.
    Closed,
    /// Reading what is there; this many records so far.
    Open(usize),
}

impl<S: Source> SourceDriver<S> {
    /// At a trigger takes what is there as one batch, then closes the batch and moves the watermark.
    pub(super) fn turn_batched(
        &mut self,
        progress: &mut SharedProgress<Time>,
        turn: &Turn,
    ) -> Result<Reading> {
        if self.held.time() == Time::MIN {
            // The first trigger follows; until then the source stands at the start of its epoch.
            let first = Epoch::first_of(self.worker.first_period);
            self.hold(Time::new(first, WATERMARK_MIN), progress);
        }
        if self.batch == BatchState::Closed {
            if self.worker.epoch.get() <= self.held.time().epoch {
                if self.splits.active.iter().any(|split| split.paused) {
                    self.observe_splits();
                }
                if std::mem::take(&mut self.resumed) || self.has_input() {
                    self.worker.report(Report::BatchWanted);
                    return Ok(Reading::Asked);
                }
                return Ok(Reading::Dry);
            }
            self.batch = BatchState::Open(0);
        }
        let BatchState::Open(taken) = self.batch else {
            return Ok(Reading::Dry);
        };
        let left = self.worker.config.max_batch_records.saturating_sub(taken);
        let before = self.metrics.records_in.get();
        let reading = if left == 0 || !self.worker.reads.get() {
            Reading::Dry
        } else {
            self.read(turn, left)?
        };
        let taken = taken + (self.metrics.records_in.get() - before) as usize;
        if reading == Reading::More && taken < self.worker.config.max_batch_records {
            self.batch = BatchState::Open(taken);
            return Ok(Reading::More);
        }
        self.batch = BatchState::Closed;
        self.observe_splits();
        self.follow_epoch(progress)?;
        self.update_watermark(progress)?;
        Ok(Reading::Dry)
    }

    /// Whether some split may have something to read now.
    fn has_input(&self) -> bool {
        let now_ns = self.worker.now_ns();
        let splits = &self.splits.active;
        splits.iter().any(|s| !s.waiting && s.is_due(now_ns))
            || (self.splits.have_ended() && !self.reported_finished)
            || self.strategy.as_ref().is_some_and(|strategy| {
                let now_ms = now_ns.div_euclid(1_000_000);
                watermark::idleness_changes(splits, strategy, now_ms)
            })
    }
}
