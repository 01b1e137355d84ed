//! The handle of a running job.

use super::control::{JobControl, Request};
use super::events;
use super::prepare::Prepared;
use super::report::JobReport;
use super::view::JobView;
use super::watermarks::WatermarkHold;
use super::worker::Running;
use crate::clock::Stopwatch;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::NodeKind;
use crate::time::{CheckpointId, Watermark};
use std::net::SocketAddr;
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
    view: JobView,
    #[cfg(feature = "http")]
    http: Option<crate::http::HttpServer>,
}

impl JobHandle {
    pub(super) fn new(running: Running) -> Self {
        JobHandle {
            job: running.job,
            control: running.control,
            workers: Some(running.workers),
            watchers: running.watchers,
            view: running.view,
            #[cfg(feature = "http")]
            http: running.http,
        }
    }

    /// Where metrics are served, if they are: the address of the setting `metrics_addr`, with the port that the
    /// system chose when that was 0.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        #[cfg(feature = "http")]
        return self.http.as_ref().map(crate::http::HttpServer::addr);
        #[cfg(not(feature = "http"))]
        None
    }

    /// A look at the job for other threads.
    pub fn view(&self) -> JobView {
        self.view.clone()
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
        self.view.report()
    }

    /// Who holds whose watermark: for every operator and worker its watermark, and the source split or
    /// operator that keeps it from rising.
    pub fn watermarks(&self) -> Vec<WatermarkHold> {
        self.view.watermarks()
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
