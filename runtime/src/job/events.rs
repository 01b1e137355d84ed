//! What a job says in the logs: where it starts from and with what settings, what it finds, when its watermark stands
//! still, and how it ends.
//!
//! Every thread of a job runs within a span that has `job` and, where there is one, `worker` as fields, so that
//! what a user's own functions log has them too. Spans are of level error: they are there whatever the filter.
//! Nothing here is logged per record.

use super::prepare::Prepared;
use super::report::JobReport;
use super::watermarks::WatermarkHold;
use crate::checkpoint::Restored;
use crate::error::{Error, Result};
use std::time::Duration;
use tracing::{Span, error_span, info, warn};

/// The span of a thread that belongs to the whole job.
pub(crate) fn job_span(job: &str) -> Span {
    error_span!("job", job)
}

/// The span of a worker's threads.
pub(crate) fn worker_span(job: &str, worker: usize) -> Span {
    error_span!("worker", job, worker)
}

/// The job is about to start: the settings in force, and what it goes on from.
pub(super) fn starting(job: &Prepared) {
    let config = &job.config;
    info!(
        workers = config.workers,
        mode = %config.mode,
        trigger = ?config.trigger,
        guarantee = %config.effective_guarantee(),
        checkpoint_dir = config.checkpoint_dir.as_deref().map(|dir| tracing::field::display(dir.display())),
        checkpoint_interval = ?config.checkpoint_interval,
        retained_checkpoints = config.retained_checkpoints,
        max_parallelism = config.max_parallelism,
        tick = ?config.tick,
        max_in_flight = config.max_in_flight,
        max_in_flight_bytes = config.max_in_flight_bytes,
        chaining = config.chaining,
        spin = config.spin,
        fingerprint = format_args!("{:016x}", job.description.fingerprint),
        "starting"
    );
    match job.restored.as_deref().map(Restored::manifest) {
        Some(manifest) => info!(
            checkpoint = manifest.checkpoint,
            kind = ?manifest.kind,
            created_ms = manifest.created_ms,
            written_by_workers = manifest.workers,
            bytes = manifest.bytes,
            "restored"
        ),
        None => info!("no checkpoint: starting from the beginning"),
    }
}

/// A look for splits has found some.
pub(super) fn splits_found(operator: &str, uid: &str, new: usize, known: usize) {
    info!(operator, uid, new, known, "splits found");
}

/// An operator's watermark stands still although there is input.
pub(super) fn stalled(hold: &WatermarkHold, still: Duration) {
    warn!(
        operator = hold.operator,
        uid = hold.uid,
        worker = hold.worker,
        watermark = hold.watermark,
        lag_ms = hold.lag_ms,
        holder = %hold.holder,
        still_s = still.as_secs(),
        "the watermark stands still"
    );
}

/// The watermark that stood still moves.
pub(super) fn moves_again(still: Duration) {
    info!(still_s = still.as_secs(), "the watermark moves again");
}

/// The end of the job. A failure is handed to whoever waits for the job, who says it loudly.
pub(super) fn ended(report: &JobReport, failure: Option<&Error>) {
    let sum = |of: fn(&super::OperatorReport) -> u64| report.operators.iter().map(of).sum::<u64>();
    let outcome = match (failure, report.outcome) {
        (Some(_), _) | (None, None) => "failed",
        (None, Some(super::Outcome::Finished)) => "finished",
        (None, Some(super::Outcome::Stopped)) => "stopped",
    };
    info!(
        outcome,
        error = failure.map(tracing::field::display),
        elapsed_s = report.elapsed.as_secs_f64(),
        records_read = report.records_read(),
        records_written = report.records_written(),
        late = sum(|o| o.late),
        filtered = sum(|o| o.filtered),
        skipped = sum(|o| o.skipped),
        dead = sum(|o| o.dead),
        checkpoints = report.checkpoints,
        failed_checkpoints = report.failed_checkpoints,
        last_checkpoint = report.last_checkpoint,
        "ended"
    );
}

/// The job did not even start.
pub(super) fn not_started<T>(result: Result<T>) -> Result<T> {
    result.inspect_err(|error| info!(%error, "not started"))
}
