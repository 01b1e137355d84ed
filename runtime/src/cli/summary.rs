//! What a job says at its start and at its end.

use super::fit::{cut, table};
use super::human::{bytes, count, duration, rate};
use crate::config::{JobConfig, Resume};
use crate::graph::NodeKind;
use crate::job::{JobReport, LatencyReport, OperatorReport, Outcome};
use crate::time::CheckpointId;
use std::time::Duration;

/// The line at the start.
pub(super) fn greeting(restored: Option<CheckpointId>, config: &JobConfig) -> String {
    let start = match (restored, &config.resume) {
        (None, _) => "starting from the beginning".to_owned(),
        (Some(id), Resume::Savepoint(path)) => {
            format!("restored checkpoint {id} of {}", path.display())
        }
        (Some(id), _) => format!("restored checkpoint {id}"),
    };
    let workers = match config.workers {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    format!(
        "{start}; {workers}, {}, {}",
        config.mode,
        config.effective_guarantee()
    )
}

/// The line after a stop by a signal.
pub(super) fn farewell(report: &JobReport, config: &JobConfig) -> String {
    if report.outcome == Some(Outcome::Finished) {
        return "finished before it could be stopped".into();
    }
    match (&config.checkpoint_dir, &config.resume) {
        (None, _) => "stopped; without a checkpoint directory the next run starts anew".into(),
        (Some(_), Resume::Latest) => "stopped; resume with the same command".into(),
        (Some(_), Resume::Fresh) => "stopped; resume with the same command without --fresh".into(),
        (Some(_), _) => "stopped; resume with the same command and --resume latest".into(),
    }
}

/// The table at the end.
pub(super) fn summary(report: &JobReport) -> String {
    let how = match (&report.failure, report.outcome) {
        (Some(_), _) | (None, None) => "failed",
        (None, Some(Outcome::Stopped)) => "stopped",
        (None, Some(Outcome::Finished)) => "finished",
    };
    let read = report.records_read();
    format!(
        "{how} after {}: {} records read ({}), {} written\n{}{}{}",
        duration(report.elapsed),
        count(read),
        rate(read, report.elapsed),
        count(report.records_written()),
        operators(report),
        latency(&report.latency),
        checkpoints(report)
    )
}

/// The longest operator name that is shown whole.
const LONGEST_NAME: usize = 40;

/// A column: its head, and its cell for an operator.
type Column = (&'static str, fn(&OperatorReport, &JobReport) -> String);

const COLUMNS: [Column; 10] = [
    ("operator", |o, _| cut(&o.name, LONGEST_NAME)),
    ("kind", |o, _| kind(o.kind).into()),
    ("in", |o, _| count(o.records_in)),
    ("out", out),
    ("late", |o, _| count(o.late)),
    ("filtered", |o, _| count(o.filtered)),
    ("skipped", |o, _| count(o.skipped)),
    ("dead", |o, _| count(o.dead)),
    ("busy", busy),
    ("state keys", state_keys),
];

/// What makes an optional column worth its room.
type Worth = (&'static str, fn(&OperatorReport) -> u64);

/// Columns that are left out when they would say nothing.
const OPTIONAL: [Worth; 4] = [
    ("filtered", |o| o.filtered),
    ("skipped", |o| o.skipped),
    ("dead", |o| o.dead),
    ("busy", |o| o.busy.as_nanos() as u64),
];

fn out(operator: &OperatorReport, _: &JobReport) -> String {
    match operator.kind {
        NodeKind::Sink => "-".into(),
        _ => count(operator.records_out),
    }
}

fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Source => "source",
        NodeKind::Step => "step",
        NodeKind::Operator => "operator",
        NodeKind::Sink => "sink",
    }
}

/// The share of the time of all its instances; none for what is chained into another.
fn busy(operator: &OperatorReport, report: &JobReport) -> String {
    if operator.busy.is_zero() {
        return "-".into();
    }
    let all = report.elapsed.as_secs_f64() * operator.instances.len().max(1) as f64;
    let share = 100.0 * operator.busy.as_secs_f64() / all.max(f64::MIN_POSITIVE);
    match share {
        share if share < 1.0 => "<1 %".into(),
        share => format!("{:.0} %", share.min(100.0)),
    }
}

fn state_keys(operator: &OperatorReport, _: &JobReport) -> String {
    match operator.kind {
        NodeKind::Operator => count(operator.state_keys),
        _ => "-".into(),
    }
}

fn operators(report: &JobReport) -> String {
    let is_shown = |head: &str| {
        let optional = OPTIONAL.iter().find(|(name, _)| *name == head);
        optional.is_none_or(|(_, of)| report.operators.iter().any(|o| of(o) > 0))
    };
    let columns = COLUMNS.iter().filter(|(head, _)| is_shown(head));
    let columns: Vec<&Column> = columns.collect();
    let mut rows = vec![columns.iter().map(|(head, _)| (*head).to_owned()).collect()];
    for operator in &report.operators {
        rows.push(
            columns
                .iter()
                .map(|(_, cell)| cell(operator, report))
                .collect(),
        );
    }
    table(&rows, 2)
}

/// Never better than the truth: see docs/metrics.md.
fn latency(latency: &LatencyReport) -> String {
    if latency.records == 0 {
        return String::new();
    }
    let at = |us| duration(Duration::from_micros(us));
    format!(
        "latency at most: p50 {}, p90 {}, p99 {}, p99.9 {}, longest {}\n",
        at(latency.p50_us),
        at(latency.p90_us),
        at(latency.p99_us),
        at(latency.p999_us),
        at(latency.max_us)
    )
}

fn checkpoints(report: &JobReport) -> String {
    let mut text = format!(
        "checkpoints: {} completed, {} failed",
        count(report.checkpoints),
        count(report.failed_checkpoints)
    );
    if report.last_checkpoint != 0 {
        text.push_str(&format!(
            ", the last is {} ({}, {})",
            report.last_checkpoint,
            duration(report.last_checkpoint_duration),
            bytes(report.last_checkpoint_bytes)
        ));
    }
    match report.restored {
        Some(id) => text.push_str(&format!("; restored from {id}")),
        None => text.push_str("; started from the beginning"),
    }
    text
}
