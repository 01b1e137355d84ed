//! What a job says at its start and at its end.

use super::human::{bytes, count, duration, rate};
use crate::config::{JobConfig, Resume};
use crate::graph::NodeKind;
use crate::job::{JobReport, OperatorReport, Outcome};
use crate::time::CheckpointId;

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
    let how = match report.outcome {
        Some(Outcome::Stopped) => "stopped",
        _ => "finished",
    };
    let read = report.records_read();
    format!(
        "{how} after {}: {} records read ({}), {} written\n{}{}",
        duration(report.elapsed),
        count(read),
        rate(read, report.elapsed),
        count(report.records_written()),
        table(&report.operators),
        checkpoints(report)
    )
}

const HEAD: [&str; 7] = [
    "operator",
    "kind",
    "in",
    "out",
    "late",
    "skipped",
    "state keys",
];

fn row(operator: &OperatorReport) -> [String; 7] {
    let (kind, has_state) = match operator.kind {
        NodeKind::Source => ("source", false),
        NodeKind::Step => ("step", false),
        NodeKind::Operator => ("operator", true),
        NodeKind::Sink => ("sink", false),
    };
    [
        operator.name.clone(),
        kind.into(),
        count(operator.records_in),
        count(operator.records_out),
        count(operator.late),
        count(operator.skipped),
        if has_state {
            count(operator.state_keys)
        } else {
            "-".into()
        },
    ]
}

/// Words to the left, numbers to the right of their columns.
fn table(operators: &[OperatorReport]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(operators.iter().map(row));
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str("  ");
            if column < 2 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("{cell:>width$}"));
            }
        }
        text.push('\n');
    }
    text
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
