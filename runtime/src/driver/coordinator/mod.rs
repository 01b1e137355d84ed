//! Decides when epochs rise, checkpoints are taken and the job ends. One per job, on worker 0.
//!
//! One checkpoint is under way at a time; its life is [`Phase`]. The next barrier is not injected
//! before the sinks have committed the last one, so that at most one checkpoint's output waits.

mod batches;
mod checkpoints;
mod pending;
mod ticker;

use super::alarm::after;
use super::context::WorkerContext;
use super::control::{Control, Report};
use crate::checkpoint::Manifest;
use crate::config::{Mode, Resume};
use crate::error::Result;
use crate::job::control::{BoardEntry, Request};
use crate::time::Epoch;
use batches::Batches;
use pending::{Pending, Phase, Purpose};
use std::rc::Rc;
use ticker::{Tick, Ticker};

pub(crate) struct Coordinator {
    worker: Rc<WorkerContext>,
    epoch: Epoch,
    phase: Phase,
    pending: Option<Pending>,
    /// The newest complete checkpoint of this run.
    newest: Option<Manifest>,
    /// The one that is being published.
    publishing: Option<Manifest>,
    /// The next snapshot must be whole.
    whole_next: bool,
    last_checkpoint_ns: i64,
    ticker: Ticker,
    batches: Batches,
    sources_left: usize,
    requested: Option<Purpose>,
    controls: Vec<Control>,
}

impl Coordinator {
    pub fn new(worker: Rc<WorkerContext>) -> Self {
        let sources = worker.control.sources();
        if worker.config.resume == Resume::Fresh
            && let Some(writer) = worker.checkpoint.writer()
        {
            // Sources and sinks are open by now, and nobody goes on from an older checkpoint any more.
            writer.forget_checkpoints();
        }
        Coordinator {
            epoch: worker.epoch.get(),
            phase: Phase::Idle,
            pending: None,
            newest: None,
            publishing: None,
            whole_next: true,
            last_checkpoint_ns: worker.now_ns(),
            ticker: Ticker::new(worker.config.tick, worker.now_ns()),
            batches: Batches::new(),
            sources_left: sources * worker.workers,
            requested: None,
            controls: Vec::new(),
            worker,
        }
    }

    pub fn take_controls(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.controls)
    }

    pub fn take_report(&mut self, report: Report) {
        match report {
            Report::SourceFinished { .. } => self.sources_left -= 1,
            Report::BatchWanted => self.batches.wanted = true,
            Report::TickWanted => self.early_tick(),
            Report::Part {
                worker,
                checkpoint,
                part,
            } => self.take_part(worker, checkpoint, part),
            Report::Published { checkpoint, result } => self.take_published(checkpoint, result),
            Report::Committed { worker, checkpoint } => self.take_committed(worker, checkpoint),
        }
    }

    /// Decides what is due; returns when something will be due again, on the job's clock.
    pub fn turn(&mut self) -> Result<Option<i64>> {
        self.take_board();
        self.take_requests();
        if let Some(pending) = &self.pending
            && self.phase == Phase::Parts
            && pending.is_reported(self.worker.workers)
        {
            self.parts_complete()?;
        }
        if let Some(failure) = self.fatal_failure() {
            return Err(failure);
        }
        if self.phase == Phase::Halted {
            return Ok(None);
        }
        match self.worker.config.mode {
            Mode::Continuous => Ok(self.turn_continuous()),
            Mode::MicroBatch { interval } => Ok(self.turn_batched(interval)),
        }
    }

    fn turn_continuous(&mut self) -> Option<i64> {
        if let Some(purpose) = self.due() {
            self.inject(purpose);
        }
        let tick = self.tick();
        let checkpoint = self.next_checkpoint_ns();
        tick.into_iter().chain(checkpoint).min()
    }

    /// Raises the tick when its time has come and records flow; returns when to look again.
    fn tick(&mut self) -> Option<i64> {
        let control = &self.worker.control;
        let (now_ns, sent) = (self.worker.now_ns(), || control.take_activity());
        match self.ticker.look(now_ns, sent) {
            Tick::Never => None, // the first record after the pause wakes the coordinator
            Tick::At(at_ns) => Some(at_ns),
            Tick::Now => {
                self.raise(self.epoch.next(), false, true);
                Some(after(now_ns, self.worker.config.tick))
            }
        }
    }

    fn early_tick(&mut self) {
        let continuous = !self.worker.config.mode.is_micro_batch();
        if continuous && self.phase != Phase::Halted {
            self.raise(self.epoch.next(), false, true);
        }
    }

    fn raise(&mut self, epoch: Epoch, whole: bool, read: bool) {
        self.epoch = epoch;
        self.ticker.ticked(self.worker.now_ns());
        self.controls.push(Control::Advance { epoch, whole, read });
    }

    fn take_board(&mut self) {
        for entry in self.worker.control.take_board() {
            self.controls.push(match entry {
                BoardEntry::Split {
                    node,
                    worker,
                    split,
                } => Control::Assign {
                    node,
                    worker,
                    split,
                },
                BoardEntry::Begin { node } => Control::BeginReading(node),
                BoardEntry::NoMore { node } => Control::NoMoreSplits(node),
            });
            self.batches.wanted = true;
        }
    }

    fn take_requests(&mut self) {
        for request in self.worker.control.take_requests() {
            match request {
                Request::Stop => self.requested = Some(Purpose::Stop),
                Request::Savepoint => {
                    self.requested.get_or_insert(Purpose::Savepoint);
                }
                Request::Drain => {
                    self.controls.push(Control::Drain);
                    self.batches.wanted = true;
                }
            }
        }
    }
}
