//! The table of bad input: one row for each thing that users, disks and files do wrong. Each row is tried in both
//! modes and gets an error that names its thing, or its bad records are dead letters with position and reason
//! and no good record is lost. A row that hangs fails.

mod checkpoints;
mod code;
mod connectors;
mod records;
mod settings;

use crate::harness::{MODES, failure};
use millstream::prelude::*;
use std::path::Path;

/// Something that keeps a job from starting, or ends it.
pub struct Wrong {
    pub name: &'static str,
    /// Starts the job in a directory of its own.
    pub start: fn(&Path, JobConfig) -> Result<JobHandle>,
    pub kind: ErrorKind,
    /// What the error says.
    pub says: &'static [&'static str],
}

pub fn check(rows: &[Wrong]) {
    let mut wrong = Vec::new();
    for row in rows {
        for mode in MODES {
            let dir = tempfile::tempdir().unwrap();
            let config = JobConfig {
                mode,
                ..JobConfig::default()
            };
            println!("{} ({mode})", row.name);
            let error = failure((row.start)(dir.path(), config));
            let text = error.to_string();
            let says = row.says.iter().all(|name| text.contains(name));
            if error.kind() != row.kind || !says {
                wrong.push(format!("{} ({mode}): {text}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A job of the numbers below 100.
pub fn numbers() -> (Job, Stream<i64>) {
    let job = Job::new("numbers");
    let source = Collection::timed((0..100).map(|n| (n, n)).collect());
    let stream = job.timed_source("numbers", source.batch(10), WatermarkStrategy::ascending());
    (job, stream)
}

/// A hundred rows at least; those of flags and settings files are in the runtime's own table.
#[test]
fn there_are_more_than_a_hundred() {
    let errors =
        settings::ROWS.len() + checkpoints::ROWS.len() + connectors::ROWS.len() + code::ROWS.len();
    let records: usize = records::ROWS.iter().map(|row| row.bad.len().max(1)).sum();
    println!("{errors} errors, {records} records");
    assert!(errors + records >= 100, "{errors} + {records}");
}
