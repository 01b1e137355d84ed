//! The handle of a running job.

use super::control::{JobControl, Outcome, Request};
use super::events;
use super::prepare::Prepared;
use super::watermarks::{WatermarkHold, watermark_holds};
use crate::clock::Stopwatch;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::NodeKind;
use crate::time::{CheckpointId, Watermark};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use timely::communication::WorkerGuards;

/// A job that runs. Dropping the handle stops the job and waits for its end.
pub struct JobHandle {
    job: Arc<Prepared>,
    control: Arc<JobControl>,
    workers: Option<WorkerGuards<()>>,
    watchers: Vec<JoinHandle<()>>,
    started: Stopwatch,
}

/// What one operator did, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorReport {
    /// The operator's name.
    pub name: String,
    /// Its stable name.
    pub uid: String,
    /// What it is.
    pub kind: NodeKind,
    /// Records taken.
    pub records_in: u64,
    /// Records put out.
    pub records_out: u64,
    /// Records too late to be placed.
    pub late: u64,
    /// Records that were rejected as meant: by a filter.
    pub filtered: u64,
    /// Records passed over on purpose: malformed, under a skip policy.
    pub skipped: u64,
    /// Records that went to the dead-letter stream instead of on.
    pub dead: u64,
    /// Keys in its state, as of the last checkpoint.
    pub state_keys: u64,
    /// The least watermark of its instances.
    pub watermark: Watermark,
}

/// What a job did so far, or in all.
#[derive(Clone, Debug)]
pub struct JobReport {
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// The time since it started.
    pub elapsed: Duration,
    /// The checkpoint it was restored from.
    pub restored: Option<CheckpointId>,
    /// Its operators, in graph order.
    pub operators: Vec<OperatorReport>,
    /// Records that sources sent and that are not through the job.
    pub in_flight: u64,
    /// The newest complete checkpoint; 0: none.
    pub last_checkpoint: CheckpointId,
    /// How many checkpoints were completed.
    pub checkpoints: u64,
    /// How many failed.
    pub failed_checkpoints: u64,
    /// How long the last one took, from barrier to manifest.
    pub last_checkpoint_duration: Duration,
    /// How many bytes were written for it.
    pub last_checkpoint_bytes: u64,
}

impl JobReport {
    /// The report of the operator with this name or uid.
    pub fn operator(&self, name: &str) -> Option<&OperatorReport> {
        self.operators
            .iter()
            .find(|o| o.uid == name || o.name == name)
    }

    /// Records that all sources put out.
    pub fn records_read(&self) -> u64 {
        let sources = self.operators.iter().filter(|o| o.kind == NodeKind::Source);
        sources.map(|o| o.records_in).sum()
    }

    /// Records that all sinks took.
    pub fn records_written(&self) -> u64 {
        let sinks = self.operators.iter().filter(|o| o.kind == NodeKind::Sink);
        sinks.map(|o| o.records_in).sum()
    }
}

impl JobHandle {
    pub(super) fn new(
        job: Arc<Prepared>,
        control: Arc<JobControl>,
        workers: WorkerGuards<()>,
        watchers: Vec<JoinHandle<()>>,
        started: Stopwatch,
    ) -> Self {
        JobHandle {
            job,
            control,
            workers: Some(workers),
            watchers,
            started,
        }
    }

    /// Stops the job: sources stop where they are, a last checkpoint is taken, open windows stay
    /// open. A job that is resumed from it goes on as if it had never stopped.
    pub fn stop(&self) {
        self.control.request(Request::Stop);
    }

    /// Ends the input: sources stop reading, every window and timer fires, and the job finishes.
    pub fn drain(&self) {
        self.control.request(Request::Drain);
    }

    /// Asks for a savepoint: a checkpoint that is whole in itself and kept until it is deleted. The job
    /// goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it cannot be written or the job ends before;
    /// [`ErrorKind::Config`] when the job has no checkpoint directory.
    pub fn savepoint(&self) -> Result<CheckpointId> {
        if self.job.store.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "a savepoint needs a checkpoint directory",
            ));
        }
        let before = self.control.savepoints();
        self.control.request(Request::Savepoint);
        loop {
            // The workers are gone before anybody joins them: the control would not say so.
            let ended = !self.is_running() || self.control.has_failed();
            let now = self.control.savepoints();
            if now.complete > before.complete {
                return Ok(now.complete);
            }
            if now.failed.as_ref().map(|f| f.0) > before.failed.as_ref().map(|f| f.0) {
                let (checkpoint, failure) = now.failed.unwrap_or_default();
                return Err(Error::new(
                    ErrorKind::Checkpoint,
                    format!("savepoint {checkpoint}: {failure}"),
                ));
            }
            if ended {
                return Err(Error::new(
                    ErrorKind::Checkpoint,
                    "the job ended before the savepoint was complete",
                ));
            }
            self.control.wait(Duration::from_millis(100));
        }
    }

    /// Whether the job still runs.
    pub fn is_running(&self) -> bool {
        self.workers
            .as_ref()
            .is_some_and(|w| w.guards().iter().any(|thread| !thread.is_finished()))
    }

    /// Waits until at least `n` checkpoints were completed and committed since the start, or the job has
    /// ended; whether they were.
    pub fn wait_for_checkpoints(&self, n: u64) -> bool {
        loop {
            if self.job.registry.checkpoints.completed.get() >= n
                && self.control.committed() >= self.job.registry.checkpoints.last_complete.get()
            {
                return true;
            }
            if !self.is_running() || self.control.has_failed() {
                return false;
            }
            self.control.wait(Duration::from_millis(20));
        }
    }

    /// What the job did so far.
    pub fn report(&self) -> JobReport {
        report(&self.job, &self.control, self.started.elapsed())
    }

    /// Who holds whose watermark: for every operator and worker its watermark, and the source split or
    /// operator that keeps it from rising.
    pub fn watermarks(&self) -> Vec<WatermarkHold> {
        watermark_holds(
            &self.job.graph,
            &self.job.uids,
            &self.job.registry,
            self.job.clock.now_ms(),
        )
    }

    /// Waits at most this long until the watermark of every operator on every worker has come to `watermark`;
    /// whether it has.
    pub fn wait_for_watermark(&self, watermark: Watermark, at_most: Duration) -> bool {
        let nodes = self.job.graph.nodes().iter();
        let operators = nodes.filter(|node| node.kind != NodeKind::Step).count();
        let waiting = Stopwatch::start();
        loop {
            let holds = self.watermarks();
            // Instances that are not built yet are not among them.
            let reached = holds.iter().filter(|hold| hold.watermark >= watermark);
            if reached.count() == operators * self.job.config.workers {
                return true;
            }
            let left = at_most.saturating_sub(waiting.elapsed());
            if left.is_zero() || !self.is_running() || self.control.has_failed() {
                return false;
            }
            self.control.wait(left.min(Duration::from_millis(1)));
        }
    }

    /// Waits at most this long for the job's end; whether it has ended.
    pub fn wait_for(&self, at_most: Duration) -> bool {
        let waiting = Stopwatch::start();
        while self.is_running() {
            let left = at_most.saturating_sub(waiting.elapsed());
            if left.is_zero() {
                return false;
            }
            self.control.wait(left.min(Duration::from_millis(50)));
        }
        true
    }

    /// Waits for the end of the job.
    ///
    /// # Errors
    /// What ended the job, if it did not end by itself or by [`stop`](Self::stop).
    pub fn wait(mut self) -> Result<JobReport> {
        self.join()
    }

    fn join(&mut self) -> Result<JobReport> {
        for joined in self
            .workers
            .take()
            .map_or_else(Vec::new, WorkerGuards::join)
        {
            if joined.is_err() {
                let error = Error::new(ErrorKind::Internal, "a worker thread panicked");
                self.control.fail(error);
            }
        }
        self.control.set_ended();
        for watcher in self.watchers.drain(..) {
            // A panic there was reported by the thread itself.
            let _ = watcher.join();
        }
        let failure = self.control.take_failure();
        let report = self.report();
        events::job_span(&self.job.graph.name)
            .in_scope(|| events::ended(&report, failure.as_ref()));
        match failure {
            Some(failure) => Err(failure),
            None => Ok(report),
        }
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if self.workers.is_some() {
            self.stop();
            // The job's failure was the caller's to ask for.
            let _ = self.join();
        }
    }
}

pub(super) fn report(job: &Prepared, control: &JobControl, elapsed: Duration) -> JobReport {
    let all = job.registry.operators();
    let nodes = job.graph.nodes();
    let mut operators: Vec<OperatorReport> = nodes
        .iter()
        .zip(job.uids.iter())
        .map(|(node, uid)| OperatorReport {
            name: node.name.clone(),
            uid: uid.clone(),
            kind: node.kind,
            records_in: 0,
            records_out: 0,
            late: 0,
            filtered: 0,
            skipped: 0,
            dead: 0,
            state_keys: 0,
            watermark: crate::time::WATERMARK_MAX,
        })
        .collect();
    for (node, _, metrics) in &all {
        let operator = &mut operators[*node];
        operator.records_in += metrics.records_in.get();
        operator.records_out += metrics.records_out.get();
        operator.late += metrics.late.get();
        operator.filtered += metrics.filtered.get();
        operator.skipped += metrics.skipped.get();
        operator.dead += metrics.dead.get();
        operator.state_keys += metrics.state_keys.get();
        operator.watermark = operator.watermark.min(metrics.watermark.get());
    }
    let checkpoints = &job.registry.checkpoints;
    let sources = job.registry.sources();
    JobReport {
        outcome: control.outcome().map(|(outcome, _)| outcome),
        elapsed,
        restored: job.restored.as_ref().map(|r| r.checkpoint()),
        operators,
        in_flight: sources.iter().map(|(_, _, s)| s.in_flight.get()).sum(),
        last_checkpoint: checkpoints.last_complete.get(),
        checkpoints: checkpoints.completed.get(),
        failed_checkpoints: checkpoints.failed.get(),
        last_checkpoint_duration: Duration::from_micros(checkpoints.last_duration_us.get()),
        last_checkpoint_bytes: checkpoints.last_bytes.get(),
    }
}
