//! What a job did so far, as data: read from the counters of all operator instances, serialisable.
//!
//! Reading costs a few microseconds and disturbs no worker. Numbers of different operators are not of one
//! moment: an operator's inputs are read before the outputs of those behind which it stands, so that what is
//! under way between two is never negative.

use super::control::{JobControl, Outcome};
use super::prepare::Prepared;
use crate::graph::{Graph, NodeKind};
use crate::metrics::{Latencies, OperatorMetrics, SourceMetrics};
use crate::time::{CheckpointId, EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a job did so far, or in all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JobReport {
    /// The job's name.
    pub job: String,
    /// How it ended; none while it runs, and when it failed.
    pub outcome: Option<Outcome>,
    /// What ended it, if it failed.
    pub failure: Option<String>,
    /// The time since it started.
    #[serde(rename = "elapsed_us", serialize_with = "micros")]
    pub elapsed: Duration,
    /// Processing time when the report was made, in milliseconds since the Unix epoch.
    pub now_ms: EventTime,
    /// The checkpoint it was restored from.
    pub restored: Option<CheckpointId>,
    /// How often it was started again after a failure, by a supervisor; without one 0.
    pub restarts: u64,
    /// Its operators, in graph order.
    pub operators: Vec<OperatorReport>,
    /// Its worker threads, by index.
    pub workers: Vec<WorkerReport>,
    /// Records that sources sent and that are not through the job.
    pub in_flight: u64,
    /// Bytes of them, for sources that count bytes.
    pub in_flight_bytes: u64,
    /// How long the oldest of them has been under way.
    #[serde(rename = "oldest_in_flight_us", serialize_with = "micros")]
    pub oldest_in_flight: Duration,
    /// How long records were in the job, from their source to the last sink.
    pub latency: LatencyReport,
    /// The newest complete checkpoint; 0: none.
    pub last_checkpoint: CheckpointId,
    /// How many checkpoints were completed.
    pub checkpoints: u64,
    /// How many failed.
    pub failed_checkpoints: u64,
    /// How long the last one took, from barrier to manifest.
    #[serde(rename = "last_checkpoint_duration_us", serialize_with = "micros")]
    pub last_checkpoint_duration: Duration,
    /// From its barrier until every worker's part was durable.
    #[serde(rename = "last_checkpoint_parts_us", serialize_with = "micros")]
    pub last_checkpoint_parts: Duration,
    /// From its barrier until every sink had committed it.
    #[serde(rename = "last_checkpoint_commit_us", serialize_with = "micros")]
    pub last_checkpoint_commit: Duration,
    /// The longest alignment of an operator instance in it.
    #[serde(rename = "last_checkpoint_alignment_us", serialize_with = "micros")]
    pub last_checkpoint_alignment: Duration,
    /// The longest snapshot of an operator instance in it.
    #[serde(rename = "last_checkpoint_snapshot_us", serialize_with = "micros")]
    pub last_checkpoint_snapshot: Duration,
    /// How many bytes were written for it.
    pub last_checkpoint_bytes: u64,
    /// When it was complete, in milliseconds since the Unix epoch.
    pub last_checkpoint_ms: Option<EventTime>,
}

/// What one operator did, over all workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorReport {
    /// The operator's name.
    pub name: String,
    /// Its stable name.
    pub uid: String,
    /// What it is.
    pub kind: NodeKind,
    /// Records taken.
    pub records_in: u64,
    /// Records put out at its main output.
    pub records_out: u64,
    /// Records too late to be placed.
    pub late: u64,
    /// Records that were rejected as meant: by a filter.
    pub filtered: u64,
    /// Records passed over on purpose: malformed, under a skip policy.
    pub skipped: u64,
    /// Records that went to the dead-letter stream instead of on.
    pub dead: u64,
    /// Records that it was sent and has not taken yet; none when it reads a side output.
    pub queued: Option<u64>,
    /// Keys in its state.
    pub state_keys: u64,
    /// Bytes that a restore of its state reads, as of the last checkpoint.
    pub state_bytes: u64,
    /// The least watermark of its instances.
    pub watermark: Watermark,
    /// How long its instances ran, together.
    #[serde(rename = "busy_us", serialize_with = "micros")]
    pub busy: Duration,
    /// How long its instances could not go on, together.
    #[serde(rename = "backpressured_us", serialize_with = "micros")]
    pub backpressured: Duration,
    /// The same for each worker.
    pub instances: Vec<InstanceReport>,
}

/// What one operator did on one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// The worker.
    pub worker: usize,
    /// Records taken.
    pub records_in: u64,
    /// Records put out at its main output.
    pub records_out: u64,
    /// Records too late to be placed.
    pub late: u64,
    /// Records that were rejected as meant.
    pub filtered: u64,
    /// Records passed over on purpose.
    pub skipped: u64,
    /// Records that went to the dead-letter stream.
    pub dead: u64,
    /// Records that wait in it, behind a barrier, for the end of their batch, or for a sink's writer.
    pub stashed: u64,
    /// Keys in its state.
    pub state_keys: u64,
    /// Bytes that a restore of its state reads, as of the last checkpoint.
    pub state_bytes: u64,
    /// Its watermark.
    pub watermark: Watermark,
    /// How long it ran; steps that are chained into it included.
    #[serde(rename = "busy_us", serialize_with = "micros")]
    pub busy: Duration,
    /// How long it could not go on: a source because too much was under way, a sink because its writer took no more.
    #[serde(rename = "backpressured_us", serialize_with = "micros")]
    pub backpressured: Duration,
    /// In the last checkpoint: from the first input at the barrier to the last.
    #[serde(rename = "alignment_us", serialize_with = "micros")]
    pub alignment: Duration,
    /// In the last checkpoint: from the barrier until its state was encoded.
    #[serde(rename = "snapshot_us", serialize_with = "micros")]
    pub snapshot: Duration,
    /// What only sources have.
    pub source: Option<SourceReport>,
}

/// What there is to say of a source instance besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Records under way.
    pub in_flight: u64,
    /// Bytes under way.
    pub in_flight_bytes: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Times it stopped reading because too much was under way.
    pub throttled: u64,
    /// Its splits.
    pub splits: Vec<SplitReport>,
}

/// Where a split of a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// Its id.
    pub id: String,
    /// Its watermark.
    pub watermark: Watermark,
    /// It had no record for longer than the idle timeout.
    pub idle: bool,
    /// It has ended.
    pub finished: bool,
}

/// What a worker thread did with its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    /// Its index.
    pub worker: usize,
    /// Steps in which an operator ran.
    #[serde(rename = "busy_us", serialize_with = "micros")]
    pub busy: Duration,
    /// Parked, or spinning with nothing to do.
    #[serde(rename = "idle_us", serialize_with = "micros")]
    pub idle: Duration,
    /// Progress messages sent, if they are counted.
    pub progress_sent: u64,
    /// Progress messages received, if they are counted.
    pub progress_received: u64,
}

/// How long records were in the job, from their source to the last sink: the age of the oldest record of each epoch
/// when the epoch had left the job. So it is never less than the truth, and for the youngest record of an
/// epoch at most a tick more.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyReport {
    /// How many records it counts.
    pub records: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// Nine in ten.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// All of it, in microseconds.
    #[serde(skip)]
    pub histogram: Histogram<u64>,
}

impl Default for LatencyReport {
    fn default() -> Self {
        LatencyReport::of(Latencies::sum([]))
    }
}

impl LatencyReport {
    /// What a histogram of microseconds says.
    pub fn of(histogram: Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        LatencyReport {
            records: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
            histogram,
        }
    }
}

fn micros<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
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

    /// Records that did not go on, over all operators: too late, passed over, and to dead-letter streams.
    pub fn lost(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&OperatorReport) -> u64| self.operators.iter().map(of).sum();
        (sum(|o| o.late), sum(|o| o.skipped), sum(|o| o.dead))
    }
}

impl OperatorReport {
    /// An operator that did nothing yet.
    pub fn new(name: impl Into<String>, uid: impl Into<String>, kind: NodeKind) -> Self {
        OperatorReport {
            name: name.into(),
            uid: uid.into(),
            kind,
            records_in: 0,
            records_out: 0,
            late: 0,
            filtered: 0,
            skipped: 0,
            dead: 0,
            queued: None,
            state_keys: 0,
            state_bytes: 0,
            watermark: WATERMARK_MAX,
            busy: Duration::ZERO,
            backpressured: Duration::ZERO,
            instances: Vec::new(),
        }
    }

    /// The instance on a worker joins.
    fn add(&mut self, instance: InstanceReport) {
        self.records_in += instance.records_in;
        self.records_out += instance.records_out;
        self.late += instance.late;
        self.filtered += instance.filtered;
        self.skipped += instance.skipped;
        self.dead += instance.dead;
        self.state_keys += instance.state_keys;
        self.state_bytes += instance.state_bytes;
        self.watermark = self.watermark.min(instance.watermark);
        self.busy += instance.busy;
        self.backpressured += instance.backpressured;
        self.instances.push(instance);
    }
}

impl InstanceReport {
    fn of(worker: usize, metrics: &OperatorMetrics, source: Option<&SourceMetrics>) -> Self {
        InstanceReport {
            worker,
            records_in: metrics.records_in.get(),
            records_out: metrics.records_out.get(),
            late: metrics.late.get(),
            filtered: metrics.filtered.get(),
            skipped: metrics.skipped.get(),
            dead: metrics.dead.get(),
            stashed: metrics.stashed.get(),
            state_keys: metrics.state_keys.get(),
            state_bytes: metrics.state_bytes.get(),
            watermark: metrics.watermark.get(),
            busy: Duration::from_nanos(metrics.busy_ns.get()),
            backpressured: Duration::from_nanos(metrics.backpressured_ns.get()),
            alignment: Duration::from_micros(metrics.alignment_us.get()),
            snapshot: Duration::from_micros(metrics.snapshot_us.get()),
            source: source.map(SourceReport::of),
        }
    }
}

impl SourceReport {
    fn of(metrics: &SourceMetrics) -> Self {
        let splits = metrics.splits();
        SourceReport {
            in_flight: metrics.in_flight.get(),
            in_flight_bytes: metrics.in_flight_bytes.get(),
            bytes: metrics.bytes.get(),
            throttled: metrics.throttled.get(),
            splits: splits
                .iter()
                .map(|split| SplitReport {
                    id: split.id.clone(),
                    watermark: split.watermark.get(),
                    idle: split.idle.load(Ordering::Relaxed),
                    finished: split.finished.load(Ordering::Relaxed),
                })
                .collect(),
        }
    }
}

/// Makes the report.
pub(super) fn report_of(job: &Prepared, control: &JobControl, elapsed: Duration) -> JobReport {
    let checkpoints = &job.registry.checkpoints;
    let sources = job.registry.sources();
    let now_ns = job.clock.now_ns();
    let oldest_ns = sources
        .iter()
        .map(|(_, _, s)| s.oldest_ns.load(Ordering::Relaxed));
    let oldest_ns = oldest_ns.filter(|ns| *ns > 0).min().unwrap_or(now_ns);
    let operators = operators(job);
    let instances = || operators.iter().flat_map(|o| &o.instances);
    let longest =
        |of: fn(&InstanceReport) -> Duration| instances().map(of).max().unwrap_or_default();
    let completed_ms = checkpoints.last_completed_ms.load(Ordering::Relaxed);
    JobReport {
        job: job.graph.name.clone(),
        outcome: control.outcome().map(|(outcome, _)| outcome),
        failure: control.failure_text(),
        elapsed,
        now_ms: now_ns.div_euclid(1_000_000),
        restored: job.restored.as_ref().map(|r| r.checkpoint()),
        restarts: 0,
        in_flight: sources.iter().map(|(_, _, s)| s.in_flight.get()).sum(),
        in_flight_bytes: sources
            .iter()
            .map(|(_, _, s)| s.in_flight_bytes.get())
            .sum(),
        oldest_in_flight: Duration::from_nanos((now_ns - oldest_ns).max(0) as u64),
        latency: LatencyReport::of(Latencies::sum(sources.iter().map(|(_, _, s)| &s.latency))),
        last_checkpoint: checkpoints.last_complete.get(),
        checkpoints: checkpoints.completed.get(),
        failed_checkpoints: checkpoints.failed.get(),
        last_checkpoint_duration: Duration::from_micros(checkpoints.last_duration_us.get()),
        last_checkpoint_parts: Duration::from_micros(checkpoints.last_parts_us.get()),
        last_checkpoint_commit: Duration::from_micros(checkpoints.last_commit_us.get()),
        last_checkpoint_alignment: longest(|i| i.alignment),
        last_checkpoint_snapshot: longest(|i| i.snapshot),
        last_checkpoint_bytes: checkpoints.last_bytes.get(),
        last_checkpoint_ms: (completed_ms > 0).then_some(completed_ms),
        workers: workers(job),
        operators,
    }
}

fn workers(job: &Prepared) -> Vec<WorkerReport> {
    let workers = job.registry.workers();
    let report =
        |(worker, metrics): (usize, &std::sync::Arc<crate::metrics::WorkerMetrics>)| WorkerReport {
            worker,
            busy: Duration::from_nanos(metrics.busy_ns.get()),
            idle: Duration::from_nanos(metrics.idle_ns.get()),
            progress_sent: metrics.progress_sent.get(),
            progress_received: metrics.progress_received.get(),
        };
    workers.iter().enumerate().map(report).collect()
}

fn operators(job: &Prepared) -> Vec<OperatorReport> {
    let nodes = job.graph.nodes().iter().zip(job.uids.iter());
    let mut operators: Vec<OperatorReport> = nodes
        .map(|(node, uid)| OperatorReport::new(&node.name, uid, node.kind))
        .collect();
    let mut all = job.registry.operators();
    let sources = job.registry.sources();
    // Those at the end first: whoever is fed is read before whoever feeds.
    all.sort_by_key(|(node, worker, _)| (std::cmp::Reverse(*node), *worker));
    for (node, worker, metrics) in &all {
        let source = sources.iter().find(|(n, w, _)| (n, w) == (node, worker));
        let source = source.map(|(_, _, metrics)| metrics.as_ref());
        operators[*node].add(InstanceReport::of(*worker, metrics, source));
    }
    for node in 0..operators.len() {
        operators[node].queued = queued(&job.graph, &operators, node);
    }
    operators
}

/// What those before a node have put out, less what it has taken.
fn queued(graph: &Graph, operators: &[OperatorReport], node: usize) -> Option<u64> {
    let inputs = &graph.nodes()[node].inputs;
    if inputs.iter().any(|input| input.from.port != 0) {
        return None;
    }
    let sent: u64 = inputs
        .iter()
        .map(|input| operators[input.from.node].records_out)
        .sum();
    let is_source = inputs.is_empty();
    (!is_source).then(|| sent.saturating_sub(operators[node].records_in))
}

/// How far a watermark is behind `now_ms`; none before the first and after the last.
pub fn lag_ms(watermark: Watermark, now_ms: EventTime) -> Option<i64> {
    let has_one = watermark != WATERMARK_MIN && watermark != WATERMARK_MAX;
    has_one.then(|| now_ms.saturating_sub(watermark))
}
