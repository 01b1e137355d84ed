//! Decides when epochs rise, checkpoints are taken and the job ends. One per job, on worker 0.
//!
//! One checkpoint is under way at a time; its life is [`Phase`]. The next barrier is not injected
//! before the sinks have committed the last one, so that at most one checkpoint's output waits.

use super::context::WorkerContext;
use super::control::{Control, Report};
use crate::checkpoint::{
    CheckpointKind, MANIFEST_VERSION, Manifest, OperatorEntry, PartFile, next_parts,
};
use crate::clock::Stopwatch;
use crate::config::{Mode, Resume};
use crate::error::{Error, ErrorKind, Result};
use crate::job::control::{BoardEntry, Outcome, Request};
use crate::time::{CheckpointId, Epoch};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// Why a barrier was injected.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// The interval has passed.
    Periodic,
    /// The user asked for a savepoint and the job goes on.
    Savepoint,
    /// The user asked the job to stop.
    Stop,
    /// All sources have ended.
    Final,
}

impl Purpose {
    fn ends_the_job(&self) -> bool {
        matches!(self, Purpose::Stop | Purpose::Final)
    }
}

/// The life of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// None is under way.
    Idle,
    /// The barrier travels; workers make their parts durable.
    Parts,
    /// All parts are durable; the manifest is being written.
    Manifest,
    /// It is complete; sinks commit.
    Commit,
    /// The job is over.
    Halted,
}

/// The checkpoint under way.
struct Pending {
    checkpoint: CheckpointId,
    purpose: Purpose,
    whole: bool,
    started: Stopwatch,
    reported: HashSet<usize>,
    parts: Vec<PartFile>,
    failure: Option<String>,
}

/// Micro-batches: what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// The next trigger waits for input or for its time.
    Waiting,
    /// The batch that ends with this epoch is being worked off.
    Until(Epoch),
}

pub(crate) struct Coordinator {
    worker: Rc<WorkerContext>,
    epoch: Epoch,
    phase: Phase,
    pending: Option<Pending>,
    committed: HashSet<usize>,
    /// The newest complete checkpoint of this run.
    newest: Option<Manifest>,
    /// The one that is being published.
    publishing: Option<Manifest>,
    /// The next snapshot must be whole.
    whole_next: bool,
    last_checkpoint: Stopwatch,
    last_tick: Stopwatch,
    batch: Batch,
    batch_wanted: bool,
    /// In micro-batch mode: something was read since the last barrier.
    unsaved: bool,
    last_trigger: Stopwatch,
    first_trigger_done: bool,
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
            // Sources and sinks are open by now. Were the job to die before its first checkpoint, it must not go on
            // from one of its life before: sinks have begun anew.
            writer.forget_checkpoints();
        }
        Coordinator {
            epoch: worker.epoch.get(),
            phase: Phase::Idle,
            pending: None,
            committed: HashSet::new(),
            newest: None,
            publishing: None,
            whole_next: true,
            last_checkpoint: Stopwatch::start(),
            last_tick: Stopwatch::start(),
            batch: Batch::Waiting,
            batch_wanted: true,
            unsaved: false,
            last_trigger: Stopwatch::start(),
            first_trigger_done: false,
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
            Report::BatchWanted => self.batch_wanted = true,
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

    /// Decides what is due; returns how long until something will be due again.
    pub fn turn(&mut self) -> Result<Option<Duration>> {
        self.take_board();
        self.take_requests();
        if let Some(pending) = &self.pending
            && self.phase == Phase::Parts
            && pending.reported.len() == self.worker.workers
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

    fn turn_continuous(&mut self) -> Option<Duration> {
        if let Some(purpose) = self.due() {
            self.inject(purpose);
        }
        let tick = self.tick();
        let checkpoint = self.next_checkpoint();
        match (tick, checkpoint) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Raises the tick when its time has come and records flow; returns when to look again.
    fn tick(&mut self) -> Option<Duration> {
        let tick = self.worker.config.tick;
        let elapsed = self.last_tick.elapsed();
        if elapsed < tick {
            return Some(tick - elapsed);
        }
        if self.worker.control.take_activity() {
            self.raise(self.epoch.next(), false, true);
            Some(tick)
        } else {
            None // the first record after the pause wakes the coordinator
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
        self.last_tick = Stopwatch::start();
        self.controls.push(Control::Advance { epoch, whole, read });
    }

    fn next_checkpoint(&self) -> Option<Duration> {
        if self.phase != Phase::Idle || !self.worker.checkpoint.is_durable() {
            return None;
        }
        let interval = self.worker.config.checkpoint_interval;
        Some(
            interval
                .saturating_sub(self.last_checkpoint.elapsed())
                .max(Duration::from_micros(100)),
        )
    }

    /// The barrier that is due, if any.
    fn due(&mut self) -> Option<Purpose> {
        if self.phase != Phase::Idle {
            return None;
        }
        if let Some(purpose) = self.requested.take() {
            return Some(purpose);
        }
        if self.sources_left == 0 {
            return Some(Purpose::Final);
        }
        self.checkpoint_is_due().then_some(Purpose::Periodic)
    }

    fn checkpoint_is_due(&self) -> bool {
        let interval = self.worker.config.checkpoint_interval;
        self.worker.checkpoint.is_durable() && self.last_checkpoint.elapsed() >= interval
    }

    /// Injects the barrier that ends the current period.
    fn inject(&mut self, purpose: Purpose) {
        self.unsaved = false;
        let checkpoint = self.epoch.checkpoint();
        let whole = self.whole_next || purpose == Purpose::Savepoint;
        tracing::debug!(checkpoint, ?purpose, whole, "barrier");
        // Who wants to stop does not want to wait for a batch more.
        let read = purpose != Purpose::Stop;
        self.raise(Epoch::first_of(checkpoint + 1), whole, read);
        self.phase = Phase::Parts;
        self.pending = Some(Pending {
            checkpoint,
            purpose,
            whole,
            started: Stopwatch::start(),
            reported: HashSet::new(),
            parts: Vec::new(),
            failure: None,
        });
    }

    fn turn_batched(&mut self, interval: Duration) -> Option<Duration> {
        if let Batch::Until(epoch) = self.batch {
            if self.worker.completed_epoch.get() < epoch {
                return None; // the completed epoch wakes us
            }
            self.batch = Batch::Waiting;
            // A batch that read something is followed by another: there may be more.
            let read = self.worker.control.take_activity();
            self.batch_wanted |= read;
            self.unsaved |= read;
        }
        if self.phase != Phase::Idle {
            return None;
        }
        let ends = self.requested.is_some() || self.sources_left == 0;
        if !self.batch_wanted && !ends {
            // What was read last is committed by a checkpoint of its own, if no batch follows it.
            let due = self.unsaved && self.checkpoint_is_due();
            if !due {
                return self.next_checkpoint().filter(|_| self.unsaved);
            }
        }
        if self.first_trigger_done && !ends {
            let elapsed = self.last_trigger.elapsed();
            if elapsed < interval {
                return Some(interval - elapsed);
            }
        }
        self.trigger();
        None
    }

    fn trigger(&mut self) {
        self.first_trigger_done = true;
        self.last_trigger = Stopwatch::start();
        self.batch_wanted = false;
        match self.due() {
            Some(purpose) => self.inject(purpose),
            None => self.raise(self.epoch.next(), false, true),
        }
        self.batch = Batch::Until(self.epoch);
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
            self.batch_wanted = true;
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
                    self.batch_wanted = true;
                }
            }
        }
    }

    fn take_part(
        &mut self,
        worker: usize,
        checkpoint: CheckpointId,
        part: Result<Option<PartFile>, String>,
    ) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if pending.checkpoint != checkpoint {
            return;
        }
        pending.reported.insert(worker);
        match part {
            Ok(Some(part)) => pending.parts.push(part),
            Ok(None) => {}
            Err(error) => pending.failure = Some(error),
        }
    }

    /// Every worker has reported.
    fn parts_complete(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        if let Some(failure) = pending.failure.take() {
            self.fail_pending(&failure);
            return Ok(());
        }
        if self.worker.checkpoint.is_durable() {
            let manifest = self.manifest()?;
            if let Some(writer) = self.worker.checkpoint.writer() {
                writer.publish(manifest.clone());
            }
            self.publishing = Some(manifest);
            self.phase = Phase::Manifest;
        } else {
            self.complete();
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest> {
        let pending = self
            .pending
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a manifest without a checkpoint"))?;
        let job = self.worker.control.job();
        let config = &self.worker.config;
        let parts = next_parts(
            self.newest.as_ref(),
            pending.parts.clone(),
            config.workers as u32,
            pending.whole,
        )?;
        let operators = job
            .operators
            .iter()
            .map(|(uid, name, states)| OperatorEntry {
                uid: uid.clone(),
                name: name.clone(),
                states: states.clone(),
            });
        Ok(Manifest {
            format: MANIFEST_VERSION,
            job: job.name.clone(),
            checkpoint: pending.checkpoint,
            kind: match pending.purpose {
                Purpose::Periodic | Purpose::Stop => CheckpointKind::Checkpoint,
                Purpose::Savepoint => CheckpointKind::Savepoint,
                Purpose::Final => CheckpointKind::Final,
            },
            created_ms: self.worker.clock.now_ms(),
            graph_fingerprint: format!("{:016x}", job.fingerprint),
            workers: config.workers as u32,
            max_parallelism: config.max_parallelism,
            mode: config.mode.to_string(),
            guarantee: self.worker.guarantee.to_string(),
            operators: operators.collect(),
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
        })
    }

    fn take_published(&mut self, checkpoint: CheckpointId, result: Result<(), String>) {
        let Some(pending) = &self.pending else {
            return;
        };
        if pending.checkpoint != checkpoint || self.phase != Phase::Manifest {
            return;
        }
        match result {
            Ok(()) => self.complete(),
            Err(failure) => self.fail_pending(&failure),
        }
    }

    /// The checkpoint is durable: sinks may commit it.
    fn complete(&mut self) {
        let Some(pending) = &self.pending else {
            return;
        };
        let metrics = &self.worker.registry.checkpoints;
        if self.worker.checkpoint.is_durable() {
            let duration = pending.started.elapsed();
            let bytes: u64 = pending.parts.iter().map(|p| p.bytes).sum();
            self.newest = self.publishing.take();
            if let Some(writer) = self.worker.checkpoint.writer() {
                writer.collect_garbage(self.worker.config.retained_checkpoints);
            }
            self.whole_next = false;
            metrics.last_complete.set(pending.checkpoint);
            metrics.completed.add(1);
            metrics.last_duration_us.set(duration.as_micros() as u64);
            metrics.last_bytes.set(bytes);
            tracing::debug!(
                checkpoint = pending.checkpoint,
                bytes,
                ?duration,
                "checkpoint complete"
            );
        }
        if pending.purpose == Purpose::Savepoint {
            self.worker
                .control
                .note_savepoint(pending.checkpoint, Ok(()));
        }
        self.controls.push(Control::Complete(pending.checkpoint));
        self.committed.clear();
        self.phase = Phase::Commit;
        self.last_checkpoint = Stopwatch::start();
    }

    /// The checkpoint could not be written: the job goes on, and the next one is whole.
    fn fail_pending(&mut self, failure: &str) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        self.worker.registry.checkpoints.failed.add(1);
        let control = &self.worker.control;
        match pending.purpose {
            Purpose::Savepoint => control.note_savepoint(pending.checkpoint, Err(failure)),
            _ => control.note_checkpoint(),
        }
        tracing::error!(
            checkpoint = pending.checkpoint,
            failure,
            "checkpoint failed, the job goes on"
        );
        self.whole_next = true;
        self.last_checkpoint = Stopwatch::start();
        if pending.purpose.ends_the_job() {
            pending.failure = Some(failure.to_owned());
        } else {
            self.pending = None;
        }
        self.phase = Phase::Idle;
    }

    /// A last checkpoint that fails is a failure of the job: its sinks cannot commit.
    fn fatal_failure(&self) -> Option<Error> {
        let pending = self.pending.as_ref()?;
        let failure = pending.failure.as_ref()?;
        (self.phase == Phase::Idle).then(|| {
            Error::new(
                ErrorKind::Checkpoint,
                format!(
                    "the last checkpoint, {}, failed: {failure}",
                    pending.checkpoint
                ),
            )
        })
    }

    fn take_committed(&mut self, worker: usize, checkpoint: CheckpointId) {
        let Some(pending) = &self.pending else {
            return;
        };
        if self.phase != Phase::Commit || checkpoint != pending.checkpoint {
            return;
        }
        self.committed.insert(worker);
        if self.committed.len() < self.worker.workers {
            return;
        }
        let purpose = pending.purpose.clone();
        self.worker.control.note_committed(checkpoint);
        self.pending = None;
        self.phase = Phase::Idle;
        if purpose.ends_the_job() {
            let outcome = if purpose == Purpose::Final {
                Outcome::Finished
            } else {
                Outcome::Stopped
            };
            self.worker.control.set_outcome(outcome, checkpoint);
            self.controls.push(Control::Halt);
            self.phase = Phase::Halted;
        }
    }
}
