//! What a job starts from.

use crate::harness::{
    MODES, Numbers, assert_counted, assert_error, counting, durable, failure, finish, names, until,
};
use millstream::connectors::files::FileSink;
use millstream::prelude::*;
use std::path::Path;
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

/// A job that writes to `out`, with one checkpoint at its end; if it is told to, it dies before.
fn dying(dir: &Path, out: &Path, resume: Resume, dies: bool) -> Result<JobHandle> {
    let job = Job::new("counting");
    let strategy = WatermarkStrategy::ascending();
    job.timed_source("numbers", Numbers::new(COUNT, 2), strategy)
        .inspect(move |n| assert!(!dies || n % 1_000 != 999, "it dies"))
        .key_by(|n| n % 7)
        .count()
        .map(|(key, number)| format!("{key} {number}"))
        .sink("out", FileSink::lines(out).overwrite(true));
    job.start(JobConfig {
        resume,
        retained_checkpoints: 9,
        checkpoint_interval: Duration::from_secs(3_600),
        ..durable(dir)
    })
}

/// A job is resumed from an older checkpoint and dies before its first own one. The next start used to go on from
/// the newer checkpoint, whose results had been taken back.
#[test]
fn an_older_checkpoint_that_dies_before_its_first() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let numbers = Numbers::new(COUNT, 2).held_at(500);
    let config = JobConfig {
        retained_checkpoints: 9,
        ..durable(dir.path())
    };
    let handle = counting(&numbers, &out).start(config.clone()).unwrap();
    until(&handle, "records", || {
        (handle.report().records_written() >= 500).then_some(())
    });
    handle.stop();
    let older = finish(handle).unwrap().last_checkpoint;
    let newer = finish(
        counting(&Numbers::new(COUNT, 2), &out)
            .start(config)
            .unwrap(),
    )
    .unwrap()
    .last_checkpoint;
    assert!(newer > older);

    failure(dying(dir.path(), &out, Resume::Checkpoint(older), true));
    // Twice: the choice holds until a checkpoint of the new life.
    failure(dying(dir.path(), &out, Resume::Latest, true));
    let report = finish(dying(dir.path(), &out, Resume::Latest, false).unwrap()).unwrap();
    assert_eq!(report.restored, Some(older));
    assert_counted(&out, COUNT);
    let report = finish(dying(dir.path(), &out, Resume::Latest, false).unwrap()).unwrap();
    assert!(report.restored > Some(newer));
}

/// A savepoint outlives a fresh start. Until the first checkpoint of the new life it used to be the newest, and
/// a start after a crash went on from it.
#[test]
fn a_savepoint_that_is_older_than_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let numbers = Numbers::new(COUNT, 2).held_at(500);
    let handle = counting(&numbers, &out).start(durable(dir.path())).unwrap();
    until(&handle, "records", || {
        (handle.report().records_written() >= 500).then_some(())
    });
    let savepoint = handle.savepoint().unwrap();
    handle.stop();
    finish(handle).unwrap();

    failure(dying(dir.path(), &out, Resume::Fresh, true));
    let report = finish(dying(dir.path(), &out, Resume::Latest, false).unwrap()).unwrap();
    assert_eq!(report.restored, None);
    assert_eq!(report.records_read(), COUNT);
    assert_counted(&out, COUNT);
    let kept = dir
        .path()
        .join("checkpoints")
        .join(format!("manifest-{savepoint:012}.json"));
    assert!(kept.exists(), "a savepoint stays");
}

/// A job with a directory of its own starts from the savepoint of another one and dies: it goes on from there.
#[test]
fn a_savepoint_elsewhere_that_dies_before_its_first() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("out");
    let numbers = Numbers::new(COUNT, 2).held_at(500);
    let config = durable(elsewhere.path());
    let handle = counting(&numbers, &out).start(config).unwrap();
    until(&handle, "records", || {
        (handle.report().records_written() >= 500).then_some(())
    });
    handle.stop();
    let stopped = finish(handle).unwrap().last_checkpoint;

    let savepoint = Resume::Savepoint(elsewhere.path().join("checkpoints"));
    failure(dying(dir.path(), &out, savepoint, true));
    let report = finish(dying(dir.path(), &out, Resume::Latest, false).unwrap()).unwrap();
    assert_eq!(report.restored, Some(stopped));
    assert_counted(&out, COUNT);
}

/// The same, and the other directory has gone.
#[test]
fn a_savepoint_elsewhere_that_has_gone() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("out");
    let numbers = Numbers::new(COUNT, 2).held_at(500);
    let handle = counting(&numbers, &out)
        .start(durable(elsewhere.path()))
        .unwrap();
    handle.stop();
    finish(handle).unwrap();
    let savepoint = Resume::Savepoint(elsewhere.path().join("checkpoints"));
    failure(dying(dir.path(), &out, savepoint, true));
    std::fs::remove_dir_all(elsewhere.path()).unwrap();
    let error = failure(dying(dir.path(), &out, Resume::Latest, false));
    let directory = elsewhere.path().to_str().unwrap();
    assert_error(
        &error,
        ErrorKind::Restore,
        &["last started from", directory],
    );
}
