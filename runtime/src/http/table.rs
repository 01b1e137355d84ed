//! What is exported of a report: a table, one entry a metric.

use crate::job::{InstanceReport, JobReport, OperatorReport, SourceReport, WorkerReport, lag_ms};
use crate::time::{WATERMARK_MAX, WATERMARK_MIN};
use std::time::Duration;

/// A metric: its name, what it is, and where it is found in a report.
pub struct Metric {
    /// Its name, without the `_total` that counters have behind it.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    pub(super) of: Of,
}

/// Whom a metric has a value for. None: there is no value now.
pub(super) enum Of {
    /// The job.
    Job(Kind, fn(&JobReport) -> Option<f64>),
    /// Each operator on each worker.
    Instance(Kind, fn(&InstanceReport, &JobReport) -> Option<f64>),
    /// Each operator.
    Operator(Kind, fn(&OperatorReport) -> Option<f64>),
    /// Each source on each worker.
    Source(Kind, fn(&SourceReport) -> f64),
    /// Each worker.
    Worker(Kind, fn(&WorkerReport) -> f64),
    /// The latency histogram.
    Latency,
}

/// How a value behaves.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

use Kind::{Counter, Gauge};

const fn metric(name: &'static str, help: &'static str, of: Of) -> Metric {
    Metric { name, help, of }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn from_ms(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// All metrics, in the order in which they are exported.
pub static METRICS: &[Metric] = &[
    metric(
        "millstream_uptime_seconds",
        "Time since the job started",
        Of::Job(Gauge, |r| Some(seconds(r.elapsed))),
    ),
    metric(
        "millstream_restarts",
        "Times a supervisor started the job again",
        Of::Job(Counter, |r| Some(r.restarts as f64)),
    ),
    metric(
        "millstream_in_flight_records",
        "Records that sources sent and that are not through the job",
        Of::Job(Gauge, |r| Some(r.in_flight as f64)),
    ),
    metric(
        "millstream_oldest_in_flight_seconds",
        "How long the oldest record under way has been in the job",
        Of::Job(Gauge, |r| Some(seconds(r.oldest_in_flight))),
    ),
    metric(
        "millstream_latency_seconds",
        "Time from source to last sink, at most a tick too long, by record",
        Of::Latency,
    ),
    metric(
        "millstream_watermark_seconds",
        "The job's watermark, as Unix time",
        Of::Job(Gauge, |r| watermark(r.watermark())),
    ),
    metric(
        "millstream_watermark_lag_seconds",
        "How far the job's watermark is behind the clock",
        Of::Job(Gauge, |r| lag_ms(r.watermark(), r.now_ms).map(from_ms)),
    ),
    metric(
        "millstream_checkpoints_completed",
        "Checkpoints completed since the start",
        Of::Job(Counter, |r| Some(r.checkpoints as f64)),
    ),
    metric(
        "millstream_checkpoints_failed",
        "Checkpoints that failed since the start",
        Of::Job(Counter, |r| Some(r.failed_checkpoints as f64)),
    ),
    metric(
        "millstream_checkpoint_last_id",
        "The newest complete checkpoint",
        Of::Job(Gauge, |r| Some(r.last_checkpoint as f64)),
    ),
    metric(
        "millstream_checkpoint_last_completed_timestamp_seconds",
        "When it was complete, as Unix time",
        Of::Job(Gauge, |r| r.last_checkpoint_ms.map(from_ms)),
    ),
    metric(
        "millstream_checkpoint_last_duration_seconds",
        "Its time from barrier to manifest",
        Of::Job(Gauge, |r| Some(seconds(r.last_checkpoint_duration))),
    ),
    metric(
        "millstream_checkpoint_last_parts_seconds",
        "Its time from barrier until every worker's part was durable",
        Of::Job(Gauge, |r| Some(seconds(r.last_checkpoint_parts))),
    ),
    metric(
        "millstream_checkpoint_last_commit_seconds",
        "Its time from barrier until every sink had committed",
        Of::Job(Gauge, |r| Some(seconds(r.last_checkpoint_commit))),
    ),
    metric(
        "millstream_checkpoint_last_bytes",
        "Bytes written for it",
        Of::Job(Gauge, |r| Some(r.last_checkpoint_bytes as f64)),
    ),
    metric(
        "millstream_operator_records_in",
        "Records taken",
        Of::Instance(Counter, |i, _| Some(i.records_in as f64)),
    ),
    metric(
        "millstream_operator_records_out",
        "Records put out at the main output",
        Of::Instance(Counter, |i, _| Some(i.records_out as f64)),
    ),
    metric(
        "millstream_operator_late_records",
        "Records too late to be placed",
        Of::Instance(Counter, |i, _| Some(i.late as f64)),
    ),
    metric(
        "millstream_operator_filtered_records",
        "Records rejected as meant",
        Of::Instance(Counter, |i, _| Some(i.filtered as f64)),
    ),
    metric(
        "millstream_operator_skipped_records",
        "Records passed over under a skip policy",
        Of::Instance(Counter, |i, _| Some(i.skipped as f64)),
    ),
    metric(
        "millstream_operator_dead_records",
        "Records sent to a stream of dead letters",
        Of::Instance(Counter, |i, _| Some(i.dead as f64)),
    ),
    metric(
        "millstream_operator_queued_records",
        "Records sent to an operator that it has not taken",
        Of::Operator(Gauge, |o| o.queued.map(|q| q as f64)),
    ),
    metric(
        "millstream_operator_stashed_records",
        "Records that wait in an operator: behind a barrier, for the end of their batch, or for a sink's writer",
        Of::Instance(Gauge, |i, _| Some(i.stashed as f64)),
    ),
    metric(
        "millstream_operator_watermark_seconds",
        "Its watermark, as Unix time",
        Of::Instance(Gauge, |i, _| watermark(i.watermark)),
    ),
    metric(
        "millstream_operator_watermark_lag_seconds",
        "How far its watermark is behind the clock",
        Of::Instance(Gauge, |i, r| lag_ms(i.watermark, r.now_ms).map(from_ms)),
    ),
    metric(
        "millstream_operator_busy_seconds",
        "Time it ran, chained steps included",
        Of::Instance(Counter, |i, _| Some(seconds(i.busy))),
    ),
    metric(
        "millstream_operator_backpressured_seconds",
        "Time it could not go on: a source with too much under way, a sink whose writer is full",
        Of::Instance(Counter, |i, _| Some(seconds(i.backpressured))),
    ),
    metric(
        "millstream_operator_state_keys",
        "Keys in its state",
        Of::Instance(Gauge, |i, _| Some(i.state_keys as f64)),
    ),
    metric(
        "millstream_operator_state_bytes",
        "Bytes that a restore reads for it, as of the last checkpoint",
        Of::Instance(Gauge, |i, _| Some(i.state_bytes as f64)),
    ),
    metric(
        "millstream_operator_alignment_seconds",
        "In the last checkpoint: from the first input at the barrier to the last",
        Of::Instance(Gauge, |i, _| Some(seconds(i.alignment))),
    ),
    metric(
        "millstream_operator_snapshot_seconds",
        "In the last checkpoint: from the barrier until its state was encoded",
        Of::Instance(Gauge, |i, _| Some(seconds(i.snapshot))),
    ),
    metric(
        "millstream_source_in_flight_records",
        "Records under way",
        Of::Source(Gauge, |s| s.in_flight as f64),
    ),
    metric(
        "millstream_source_in_flight_bytes",
        "Bytes under way",
        Of::Source(Gauge, |s| s.in_flight_bytes as f64),
    ),
    metric(
        "millstream_source_read_bytes",
        "Bytes read",
        Of::Source(Counter, |s| s.bytes as f64),
    ),
    metric(
        "millstream_source_throttled",
        "Times it stopped reading because too much was under way",
        Of::Source(Counter, |s| s.throttled as f64),
    ),
    metric(
        "millstream_source_splits",
        "Splits it reads",
        Of::Source(Gauge, |s| {
            s.splits.iter().filter(|split| !split.finished).count() as f64
        }),
    ),
    metric(
        "millstream_source_idle_splits",
        "Of those, splits that are idle",
        Of::Source(Gauge, |s| {
            s.splits
                .iter()
                .filter(|split| split.idle && !split.finished)
                .count() as f64
        }),
    ),
    metric(
        "millstream_worker_busy_seconds",
        "Steps in which an operator ran",
        Of::Worker(Counter, |w| seconds(w.busy)),
    ),
    metric(
        "millstream_worker_idle_seconds",
        "Parked, or spinning with nothing to do",
        Of::Worker(Counter, |w| seconds(w.idle)),
    ),
    metric(
        "millstream_worker_progress_sent",
        "Progress messages sent, if they are counted (--count-progress)",
        Of::Worker(Counter, |w| w.progress_sent as f64),
    ),
    metric(
        "millstream_worker_progress_received",
        "Progress messages received, if they are counted",
        Of::Worker(Counter, |w| w.progress_received as f64),
    ),
];

fn watermark(watermark: i64) -> Option<f64> {
    let has_one = watermark != WATERMARK_MIN && watermark != WATERMARK_MAX;
    has_one.then(|| from_ms(watermark))
}

impl Metric {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.of {
            Of::Job(kind, _)
            | Of::Instance(kind, _)
            | Of::Operator(kind, _)
            | Of::Source(kind, _)
            | Of::Worker(kind, _) => Some(kind),
            Of::Latency => None,
        }
    }

    /// The name of its lines: counters end in `_total`.
    pub fn exported_name(&self) -> String {
        match self.kind() {
            Some(Counter) => format!("{}_total", self.name),
            _ => self.name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// `docs/metrics.md` explains every metric, and none that there is not.
    #[test]
    fn the_manual_has_every_metric() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let found: BTreeSet<String> = words
            .filter(|word| word.starts_with("millstream_"))
            .map(str::to_owned)
            .collect();
        let expected: BTreeSet<String> = METRICS.iter().map(Metric::exported_name).collect();
        assert_eq!(found, expected);
    }
}
