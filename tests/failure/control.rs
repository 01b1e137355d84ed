//! Stop, drain and savepoint, at moments when they are inconvenient.

use crate::harness::{
    DEADLINE, MODES, Numbers, assert_counted, assert_error, counting, durable, finish, until,
};
use millstream::prelude::*;
use millstream::runtime::checkpoint::{CheckpointKind, DirectoryStore, Manifest};
use millstream::runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use millstream::runtime::source::Waker;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn written(handle: &JobHandle, n: u64) {
    until(handle, "records", || {
        (handle.report().records_written() >= n).then_some(())
    });
}

/// Resumes [`counting`] and runs it to the end.
fn complete(dir: &Path, count: u64, config: JobConfig) {
    let out = dir.join("out");
    let handle = counting(&Numbers::new(count, 3), &out)
        .start(config)
        .unwrap();
    assert!(handle.report().restored.is_some());
    finish(handle).unwrap();
    assert_counted(&out, count);
}

#[test]
fn an_unbounded_source_is_stopped() {
    for mode in MODES {
        for workers in [1, 2] {
            let dir = tempfile::tempdir().unwrap();
            let config = JobConfig {
                mode,
                workers,
                ..durable(dir.path())
            };
            let numbers = Numbers::unbounded(3).held_at(2_000);
            let job = counting(&numbers, &dir.path().join("out"));
            let handle = job.start(config.clone()).unwrap();
            written(&handle, 2_000);
            handle.stop();
            handle.stop(); // twice is once
            let report = finish(handle).unwrap();
            assert_eq!(report.outcome, Some(Outcome::Stopped));
            assert_counted(&dir.path().join("out"), 2_000);
            complete(dir.path(), 5_000, config);
        }
    }
}

#[test]
fn stopped_before_anything_was_read() {
    for mode in MODES {
        for workers in [1, 4] {
            let dir = tempfile::tempdir().unwrap();
            let config = JobConfig {
                mode,
                workers,
                max_batch_records: 10_000,
                max_in_flight: 10_000,
                ..durable(dir.path())
            };
            let job = counting(&Numbers::unbounded(3), &dir.path().join("out"));
            let handle = job.start(config.clone()).unwrap();
            handle.stop();
            assert_eq!(finish(handle).unwrap().outcome, Some(Outcome::Stopped));

            // Nothing to read at all.
            let dir = tempfile::tempdir().unwrap();
            let config = JobConfig {
                checkpoint_dir: Some(dir.path().join("checkpoints")),
                ..config
            };
            let numbers = Numbers::unbounded(3).held_at(0);
            let handle = counting(&numbers, &dir.path().join("out")).start(config.clone());
            let handle = handle.unwrap();
            handle.stop();
            assert_eq!(finish(handle).unwrap().records_read(), 0);
            complete(dir.path(), 1_000, config);
        }
    }
}

#[test]
fn an_unbounded_source_is_drained() {
    for mode in MODES {
        let job = Job::new("drained");
        let (sink, results) = Collect::new();
        let numbers = Numbers::unbounded(2).held_at(1_000);
        job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
            .key_by(|_| 0)
            .window(Tumbling::of(Duration::from_secs(3_600)))
            .count()
            .sink("out", sink);
        let config = JobConfig {
            mode,
            workers: 2,
            ..JobConfig::default()
        };
        let handle = job.start(config).unwrap();
        until(&handle, "records", || {
            (handle.report().records_read() >= 1_000).then_some(())
        });
        handle.drain();
        handle.drain();
        assert_eq!(finish(handle).unwrap().outcome, Some(Outcome::Finished));
        // The window of an hour is over because the input is.
        let counts: Vec<u64> = results.take().into_iter().map(|w| w.value).collect();
        assert_eq!(counts, [1_000]);
    }
}

#[test]
fn the_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = Numbers::unbounded(3).held_at(1_000);
    let job = counting(&numbers, &dir.path().join("out"));
    let handle = job.start(durable(dir.path())).unwrap();
    written(&handle, 1_000);
    drop(handle); // stops it: its directory is free again
    complete(dir.path(), 2_000, durable(dir.path()));
}

/// A sink that takes nothing until it is opened.
#[derive(Clone, Default)]
struct Door {
    open: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
    wakers: Arc<Mutex<Vec<Waker>>>,
}

impl Door {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.wakers.lock().unwrap().iter().for_each(Waker::wake);
    }
}

impl Sink for Door {
    type Item = u64;

    fn describe(&self) -> String {
        "door".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<u64>>> {
        self.wakers.lock().unwrap().push(context.waker);
        Ok(Box::new(self.clone()))
    }
}

impl SinkWriter<u64> for Door {
    fn write(&mut self, records: &mut Vec<Record<u64>>) -> Result<Written> {
        if !self.open.load(Ordering::SeqCst) {
            return Ok(Written::Full);
        }
        self.taken.fetch_add(records.len() as u64, Ordering::SeqCst);
        records.clear();
        Ok(Written::All)
    }
}

/// What was read before the stop is in its checkpoint, so it has to go through first.
#[test]
fn stopped_while_a_sink_is_full() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let job = Job::new("full");
        let door = Door::default();
        let numbers = Numbers::unbounded(2).held_at(500);
        job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
            .sink("out", door.clone());
        let config = JobConfig {
            mode,
            workers: 2,
            ..durable(dir.path())
        };
        let handle = job.start(config).unwrap();
        until(&handle, "records", || {
            (handle.report().records_read() >= 500).then_some(())
        });
        handle.stop();
        assert!(
            !handle.wait_for(Duration::from_millis(20)),
            "{mode}: the sink is full"
        );
        door.open();
        assert_eq!(finish(handle).unwrap().outcome, Some(Outcome::Stopped));
        assert_eq!(door.taken.load(Ordering::SeqCst), 500);
    }
}

#[test]
fn a_savepoint_and_on() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let config = JobConfig {
            mode,
            workers: 2,
            retained_checkpoints: 1,
            ..durable(dir.path())
        };
        let numbers = Numbers::unbounded(3).held_at(1_000);
        let handle = counting(&numbers, &out).start(config.clone()).unwrap();
        written(&handle, 1_000);
        let savepoint = handle.savepoint().unwrap();
        let second = handle.savepoint().unwrap();
        assert!(second > savepoint);
        // It stays although newer checkpoints come.
        numbers.open(2_000);
        written(&handle, 2_000);
        let before = handle.report().checkpoints;
        until(&handle, "checkpoints", || {
            numbers.gate.fetch_add(1, Ordering::SeqCst); // batches, and with them checkpoints
            (handle.report().checkpoints >= before + 3).then_some(())
        });
        handle.stop();
        finish(handle).unwrap();
        let store = DirectoryStore::open_existing(dir.path().join("checkpoints")).unwrap();
        let manifest = Manifest::load(&store, savepoint).unwrap();
        assert_eq!(manifest.kind, CheckpointKind::Savepoint);

        for workers in [1, 4] {
            let config = JobConfig {
                workers,
                resume: Resume::Checkpoint(savepoint),
                ..config.clone()
            };
            complete(dir.path(), 4_000, config);
        }
    }
}

/// A copy of a savepoint starts another job, in a directory of its own.
#[test]
fn a_savepoint_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = Numbers::unbounded(3).held_at(1_000);
    let job = counting(&numbers, &dir.path().join("out"));
    let handle = job.start(durable(dir.path())).unwrap();
    written(&handle, 1_000);
    let savepoint = handle.savepoint().unwrap();
    handle.stop();
    let report = finish(handle).unwrap();
    assert!(report.last_checkpoint > savepoint);
    let other = tempfile::tempdir().unwrap();
    crate::harness::copy(&dir.path().join("out"), &other.path().join("out"));
    let config = JobConfig {
        workers: 4,
        resume: Resume::Savepoint(dir.path().join("checkpoints")),
        ..durable(other.path())
    };
    complete(other.path(), 3_000, config);
}

#[test]
fn a_savepoint_that_cannot_be() {
    let job = Job::new("no directory");
    let numbers = Numbers::unbounded(1).held_at(10);
    job.source("numbers", numbers).sink("out", Null::new());
    let handle = job.start(JobConfig::default()).unwrap();
    let error = handle.savepoint().unwrap_err();
    assert_error(&error, ErrorKind::Config, &["checkpoint directory"]);
    handle.stop();
    finish(handle).unwrap();
}

/// It once waited for ever: that the workers were gone was only known when somebody joined them.
#[test]
fn a_savepoint_of_a_job_that_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let job = counting(&Numbers::new(100, 1), &dir.path().join("out"));
    let handle = job.start(durable(dir.path())).unwrap();
    assert!(handle.wait_for(DEADLINE));
    let error = handle.savepoint().unwrap_err();
    assert_error(
        &error,
        ErrorKind::Checkpoint,
        &["ended before the savepoint"],
    );
    finish(handle).unwrap();
}

/// Savepoints while the job comes to its end: each call returns, with one or with an error.
#[test]
fn savepoints_at_the_end() {
    for gate in [50, 400, 3_000] {
        let dir = tempfile::tempdir().unwrap();
        let numbers = Numbers::new(3_000, 2).held_at(gate);
        let job = counting(&numbers, &dir.path().join("out"));
        let handle = job.start(durable(dir.path())).unwrap();
        numbers.open(u64::MAX);
        while let Ok(savepoint) = handle.savepoint() {
            assert!(handle.report().last_checkpoint >= savepoint);
        }
        finish(handle).unwrap();
        assert_counted(&dir.path().join("out"), 3_000);
    }
}
