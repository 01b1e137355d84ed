//! The life of a checkpoint: barrier, parts, manifest, commit. One is under way at a time.

use super::Coordinator;
use super::pending::{Pending, Phase, Purpose};
use crate::checkpoint::{MANIFEST_VERSION, Manifest, OperatorEntry, PartFile, next_parts};
use crate::driver::alarm::after;
use crate::driver::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::job::control::Outcome;
use crate::time::{CheckpointId, Epoch};
use std::sync::atomic::Ordering;

impl Coordinator {
    /// When the next barrier is due, while none is under way.
    pub(super) fn next_checkpoint_ns(&self) -> Option<i64> {
        let possible = self.phase == Phase::Idle && self.worker.checkpoint.is_durable();
        let interval = self.worker.config.checkpoint_interval;
        possible.then(|| after(self.last_checkpoint_ns, interval))
    }

    /// The barrier that is due, if any.
    pub(super) fn due(&mut self) -> Option<Purpose> {
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

    pub(super) fn checkpoint_is_due(&self) -> bool {
        let now_ns = self.worker.now_ns();
        self.next_checkpoint_ns().is_some_and(|due| due <= now_ns)
    }

    /// Injects the barrier that ends the current period.
    pub(super) fn inject(&mut self, purpose: Purpose) {
        self.batches.unsaved = false;
        let checkpoint = self.epoch.checkpoint();
        let whole = self.whole_next || purpose == Purpose::Savepoint;
        tracing::debug!(checkpoint, ?purpose, whole, "barrier");
        // Who wants to stop does not want to wait for a batch more.
        let read = purpose != Purpose::Stop;
        self.raise(Epoch::first_of(checkpoint + 1), whole, read);
        self.phase = Phase::Parts;
        self.pending = Some(Pending::new(checkpoint, purpose, whole));
    }

    pub(super) fn take_part(
        &mut self,
        worker: usize,
        checkpoint: CheckpointId,
        part: Result<Option<PartFile>, String>,
    ) {
        if let Some(pending) = &mut self.pending
            && pending.checkpoint == checkpoint
        {
            pending.take_part(worker, part);
        }
    }

    /// Every worker has reported.
    pub(super) fn parts_complete(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        if let Some(failure) = pending.failure.take() {
            self.fail_pending(&failure);
            return Ok(());
        }
        if self.worker.checkpoint.is_durable() {
            let parts_us = pending.started.elapsed().as_micros() as u64;
            self.worker.registry.checkpoints.last_parts_us.set(parts_us);
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
            kind: pending.purpose.kind(),
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

    pub(super) fn take_published(&mut self, checkpoint: CheckpointId, result: Result<(), String>) {
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
            let bytes = pending.bytes();
            self.newest = self.publishing.take();
            if let Some(writer) = self.worker.checkpoint.writer() {
                writer.collect_garbage(self.worker.config.retained_checkpoints);
            }
            self.whole_next = false;
            metrics.last_complete.set(pending.checkpoint);
            metrics.completed.add(1);
            metrics.last_duration_us.set(duration.as_micros() as u64);
            metrics.last_bytes.set(bytes);
            let now_ms = self.worker.clock.now_ms();
            metrics.last_completed_ms.store(now_ms, Ordering::Relaxed);
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
        self.phase = Phase::Commit;
        self.last_checkpoint_ns = self.worker.now_ns();
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
        self.last_checkpoint_ns = self.worker.now_ns();
        if pending.purpose.ends_the_job() {
            pending.failure = Some(failure.to_owned());
        } else {
            self.pending = None;
        }
        self.phase = Phase::Idle;
    }

    /// A last checkpoint that fails is a failure of the job: its sinks cannot commit.
    pub(super) fn fatal_failure(&self) -> Option<Error> {
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

    pub(super) fn take_committed(&mut self, worker: usize, checkpoint: CheckpointId) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if self.phase != Phase::Commit || checkpoint != pending.checkpoint {
            return;
        }
        if !pending.take_committed(worker, self.worker.workers) {
            return;
        }
        let purpose = pending.purpose;
        let commit_us = pending.started.elapsed().as_micros() as u64;
        self.worker
            .registry
            .checkpoints
            .last_commit_us
            .set(commit_us);
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
