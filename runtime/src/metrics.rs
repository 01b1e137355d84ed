//! Counters of every operator instance, written by its worker and read by anyone.
//!
//! Written with relaxed atomics once per batch, never once per record. Each has one writer, its worker, so that
//! adding is a load and a store and no locked instruction.

mod latency;
mod meter;

pub use latency::Latencies;
pub(crate) use meter::BusyMeter;

use crate::time::{WATERMARK_MIN, Watermark};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One counter. It has one writer at a time.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }
    /// Replaces the value.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A watermark that others may read.
#[derive(Debug)]
pub struct WatermarkGauge(AtomicI64);

impl Default for WatermarkGauge {
    fn default() -> Self {
        WatermarkGauge(AtomicI64::new(WATERMARK_MIN))
    }
}

impl WatermarkGauge {
    /// Replaces the value.
    pub fn set(&self, watermark: Watermark) {
        self.0.store(watermark, Ordering::Relaxed);
    }
    /// The value now.
    pub fn get(&self) -> Watermark {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one operator instance (one operator on one worker).
#[derive(Default, Debug)]
pub struct OperatorMetrics {
    /// Records taken.
    pub records_in: Counter,
    /// Records put out.
    pub records_out: Counter,
    /// Records that came too late to be placed.
    pub late: Counter,
    /// Records that were rejected as meant: by a filter.
    pub filtered: Counter,
    /// Records passed over: those that failed under a skip policy, and what a source leaves out on purpose.
    pub skipped: Counter,
    /// Records that went to the dead-letter stream instead of on.
    pub dead: Counter,
    /// Records that wait in the operator: behind a barrier, or for the end of their batch.
    pub stashed: Counter,
    /// The operator's watermark.
    pub watermark: WatermarkGauge,
    /// Keys in its state; one that is in several of its states counts in each.
    pub state_keys: Counter,
    /// Bytes that a restore of its state reads, as of its last snapshot; 0 without checkpoints.
    pub state_bytes: Counter,
    /// How long it ran, in nanoseconds: estimated from measured turns.
    pub busy_ns: Counter,
    /// How long it could not go on, in nanoseconds: a source because too much is under way, a sink because its
    /// writer takes no more.
    pub backpressured_ns: Counter,
    /// From the first input at the barrier of the last checkpoint to the last, in microseconds.
    pub alignment_us: Counter,
    /// From the barrier of the last checkpoint until its state was encoded, in microseconds.
    pub snapshot_us: Counter,
}

/// The state of one split of a source.
#[derive(Debug)]
pub struct SplitMetrics {
    /// The split's id.
    pub id: String,
    /// Its watermark.
    pub watermark: WatermarkGauge,
    /// It had no record for longer than the idle timeout.
    pub idle: AtomicBool,
    /// It has ended.
    pub finished: AtomicBool,
}

/// The counters of a source instance beyond those of an operator.
#[derive(Default, Debug)]
pub struct SourceMetrics {
    /// Its splits.
    pub splits: Mutex<Vec<Arc<SplitMetrics>>>,
    /// Its own watermark: the minimum of its active splits.
    pub watermark: WatermarkGauge,
    /// It has no active split.
    pub idle: AtomicBool,
    /// All its splits have ended and no more will come.
    pub finished: AtomicBool,
    /// Records under way: sent and not yet through the job.
    pub in_flight: Counter,
    /// Bytes under way, for sources that count bytes.
    pub in_flight_bytes: Counter,
    /// When the oldest record under way was sent, in nanoseconds since the Unix epoch; 0: none is.
    pub oldest_ns: AtomicI64,
    /// How long records were in the job.
    pub latency: Latencies,
    /// Bytes read.
    pub bytes: Counter,
    /// Times it stopped reading because too many records were under way.
    pub throttled: Counter,
}

impl SourceMetrics {
    /// The splits now.
    pub fn splits(&self) -> Vec<Arc<SplitMetrics>> {
        self.splits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What a worker thread did with its time.
#[derive(Default, Debug)]
pub struct WorkerMetrics {
    /// Steps in which an operator ran, in nanoseconds.
    pub busy_ns: Counter,
    /// Parked, or spinning with nothing to do, in nanoseconds.
    pub idle_ns: Counter,
    /// Progress messages sent to other workers, if they are counted (`count_progress`).
    pub progress_sent: Counter,
    /// Progress messages received, if they are counted.
    pub progress_received: Counter,
}

/// The counters of a job's checkpoints.
#[derive(Default, Debug)]
pub struct CheckpointMetrics {
    /// The newest complete one; 0: none yet.
    pub last_complete: Counter,
    /// How many were completed since the start.
    pub completed: Counter,
    /// How many failed since the start.
    pub failed: Counter,
    /// From barrier to completion, in microseconds, of the last complete one.
    pub last_duration_us: Counter,
    /// Bytes written for the last complete one.
    pub last_bytes: Counter,
    /// Of `last_duration_us`, from barrier until every worker's part was durable.
    pub last_parts_us: Counter,
    /// From barrier until every sink had committed it.
    pub last_commit_us: Counter,
    /// When it was completed, in milliseconds since the Unix epoch; 0: never.
    pub last_completed_ms: AtomicI64,
}

/// The registry of a process: every operator instance of the job.
#[derive(Default, Debug)]
pub struct Registry {
    operators: Mutex<Vec<(usize, usize, Arc<OperatorMetrics>)>>,
    sources: Mutex<Vec<(usize, usize, Arc<SourceMetrics>)>>,
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    /// The checkpoints.
    pub checkpoints: CheckpointMetrics,
}

impl Registry {
    /// The counters of operator `node` on `worker`, made at the first call.
    pub fn operator(&self, node: usize, worker: usize) -> Arc<OperatorMetrics> {
        get_or_make(&self.operators, node, worker)
    }

    /// The source counters of operator `node` on `worker`, made at the first call.
    pub fn source(&self, node: usize, worker: usize) -> Arc<SourceMetrics> {
        get_or_make(&self.sources, node, worker)
    }

    /// The counters of `worker`, made at the first call.
    pub fn worker(&self, worker: usize) -> Arc<WorkerMetrics> {
        let mut all = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= worker {
            all.resize_with(worker + 1, Arc::default);
        }
        all[worker].clone()
    }

    /// The counters of all workers, by index.
    pub fn workers(&self) -> Vec<Arc<WorkerMetrics>> {
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All operator instances: `(node, worker, counters)`.
    pub fn operators(&self) -> Vec<(usize, usize, Arc<OperatorMetrics>)> {
        self.operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All source instances: `(node, worker, counters)`.
    pub fn sources(&self) -> Vec<(usize, usize, Arc<SourceMetrics>)> {
        self.sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn get_or_make<M: Default>(
    all: &Mutex<Vec<(usize, usize, Arc<M>)>>,
    node: usize,
    worker: usize,
) -> Arc<M> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, found)) = all.iter().find(|(n, w, _)| (*n, *w) == (node, worker)) {
        return found.clone();
    }
    let made = Arc::new(M::default());
    all.push((node, worker, made.clone()));
    made
}
