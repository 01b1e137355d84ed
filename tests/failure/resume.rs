//! What a job starts from.

use crate::harness::{
    MODES, Numbers, assert_counted, assert_error, counting, durable, failure, finish, names, until,
};
use millstream::connectors::files::FileSink;
use millstream::prelude::*;
use std::time::Duration;

const COUNT: u64 = 3_000;

/// Resuming a finished job ends at once and adds nothing, in either mode and on any number of workers.
#[test]
fn a_finished_job() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let job = || counting(&Numbers::new(COUNT, 2), &out);
    finish(job().start(durable(dir.path())).unwrap()).unwrap();
    assert_counted(&out, COUNT);
    for mode in MODES {
        for workers in [1, 2, 4] {
            let config = JobConfig {
                mode,
                workers,
                ..durable(dir.path())
            };
            let report = finish(job().start(config).unwrap()).unwrap();
            assert_eq!(report.outcome, Some(Outcome::Finished));
            assert!(report.restored.is_some());
            assert_eq!(report.records_read(), 0);
            assert_counted(&out, COUNT);
        }
    }
}

#[test]
fn fresh() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let numbers = Numbers::new(COUNT, 2);
    finish(counting(&numbers, &out).start(durable(dir.path())).unwrap()).unwrap();
    let place = dir.path().join("checkpoints");
    let before = names(&place);
    let config = JobConfig {
        resume: Resume::Fresh,
        retained_checkpoints: 5,
        checkpoint_interval: Duration::from_secs(3_600),
        ..durable(dir.path())
    };
    // Its results are there: they are not written over unasked.
    let error = failure(counting(&numbers, &out).start(config.clone()));
    assert_error(
        &error,
        ErrorKind::Sink,
        &["operator \"out\"", out.to_str().unwrap()],
    );
    assert_eq!(
        names(&place),
        before,
        "an attempt that failed removes nothing"
    );

    let job = Job::new("counting");
    job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
        .key_by(|n| n % 7)
        .count()
        .map(|(key, number)| format!("{key} {number}"))
        .sink("out", FileSink::lines(&out).overwrite(true));
    let report = finish(job.start(config).unwrap()).unwrap();
    assert_eq!(report.restored, None);
    assert_eq!(report.records_read(), COUNT);
    assert_counted(&out, COUNT);
    let after = names(&place);
    assert!(
        after
            .iter()
            .all(|name| name == "LOCK" || !before.contains(name)),
        "{before:?} before, {after:?} after"
    );
}

/// A fresh start wipes the results of the life before. When it died before its first checkpoint, the next
/// start used to go on from the checkpoint of that life: everything counted as done, with no results.
#[test]
fn fresh_that_dies_before_its_first_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let start = |resume: Resume, dies: bool| {
        let job = Job::new("counting");
        job.timed_source(
            "numbers",
            Numbers::new(COUNT, 2),
            WatermarkStrategy::ascending(),
        )
        .inspect(move |n| assert!(!dies || n % 1_000 != 999, "it dies"))
        .key_by(|n| n % 7)
        .count()
        .map(|(key, number)| format!("{key} {number}"))
        .sink("out", FileSink::lines(&out).overwrite(true));
        job.start(JobConfig {
            resume,
            checkpoint_interval: Duration::from_secs(3_600),
            ..durable(dir.path())
        })
    };
    finish(start(Resume::Latest, false).unwrap()).unwrap();
    assert_counted(&out, COUNT);
    let error = failure(start(Resume::Fresh, true));
    assert_error(&error, ErrorKind::UserFunction, &["inspect", "it dies"]);
    let report = finish(start(Resume::Latest, false).unwrap()).unwrap();
    assert_eq!(report.restored, None);
    assert_counted(&out, COUNT);
}

#[test]
fn a_checkpoint_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = Numbers::new(COUNT, 2);
    let job = || counting(&numbers, &dir.path().join("out"));
    let config = JobConfig {
        resume: Resume::Checkpoint(99),
        ..durable(dir.path())
    };
    let place = dir.path().join("checkpoints");
    let place = place.to_str().unwrap();
    let error = failure(job().start(config.clone()));
    assert_error(
        &error,
        ErrorKind::Restore,
        &["no checkpoint 99", place, "none"],
    );
    let report = finish(job().start(durable(dir.path())).unwrap()).unwrap();
    let last = format!("it has {}", report.last_checkpoint);
    let error = failure(job().start(config));
    assert_error(
        &error,
        ErrorKind::Restore,
        &["no checkpoint 99", place, &last],
    );
}

#[test]
fn a_savepoint_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let config = JobConfig {
        resume: Resume::Savepoint(nowhere.clone()),
        ..durable(dir.path())
    };
    let job = counting(&Numbers::new(COUNT, 2), &dir.path().join("out"));
    let error = failure(job.start(config));
    assert_error(&error, ErrorKind::Restore, &[nowhere.to_str().unwrap()]);
}

/// Work off what is there, again and again: nothing twice and nothing left out, also what was open in
/// between.
#[test]
fn a_drained_job_goes_on() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let config = JobConfig {
            mode,
            ..durable(dir.path())
        };
        let numbers = Numbers::new(COUNT, 2).held_at(1_000);
        let handle = counting(&numbers, &out).start(config.clone()).unwrap();
        until(&handle, "records", || {
            (handle.report().records_written() >= 1_000).then_some(())
        });
        handle.drain();
        assert_eq!(finish(handle).unwrap().outcome, Some(Outcome::Finished));
        assert_counted(&out, 1_000);
        let report = finish(
            counting(&Numbers::new(COUNT, 2), &out)
                .start(config)
                .unwrap(),
        );
        assert_eq!(report.unwrap().records_read(), COUNT - 1_000);
        assert_counted(&out, COUNT);
    }
}
