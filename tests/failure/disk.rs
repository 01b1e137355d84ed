//! The disk is full, or fails, while checkpoints are written: the job goes on, and its results and its
//! later checkpoints are whole.

use crate::harness::{
    MODES, Numbers, assert_counted, assert_error, counting, durable, failure, finish, until,
};
use millstream::prelude::*;
use millstream::runtime::checkpoint::testing::MemoryStore;
use millstream::runtime::job::Options;
use std::path::Path;
use std::sync::Arc;

const COUNT: u64 = 6_000;

fn start(
    numbers: &Numbers,
    out: &Path,
    store: &MemoryStore,
    config: JobConfig,
) -> Result<JobHandle> {
    let options = Options {
        store: Some(Arc::new(store.clone())),
        ..Options::default()
    };
    // The directory only says that there are checkpoints; they go into the store.
    counting(numbers, out).start_with(config, options)
}

/// Waits until `n` more checkpoints were completed.
fn complete(handle: &JobHandle, n: u64) {
    let before = handle.report().checkpoints;
    until(handle, "checkpoints", || {
        (handle.report().checkpoints >= before + n).then_some(())
    });
}

fn written(handle: &JobHandle, n: u64) {
    until(handle, "records", || {
        (handle.report().records_written() >= n).then_some(())
    });
}

type Fault = fn(&MemoryStore);

const FAULTS: [(&str, Fault); 4] = [
    ("full at once", |store| store.fail_after_bytes(0)),
    ("full in the middle", |store| store.fail_after_bytes(700)),
    ("one write fails", |store| store.fail_next_writes(1)),
    ("one manifest fails", |store| store.fail_next_publishes(1)),
];

/// Fails checkpoints in the middle, goes on, stops, and resumes from the first checkpoint after.
#[test]
fn a_checkpoint_fails_and_the_job_goes_on() {
    for mode in MODES {
        for workers in [1, 2] {
            for (what, fault) in FAULTS {
                fails_and_goes_on(mode, workers, what, fault);
            }
        }
    }
}

fn fails_and_goes_on(mode: Mode, workers: usize, what: &str, fault: Fault) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let store = MemoryStore::new();
    let config = JobConfig {
        mode,
        workers,
        ..durable(dir.path())
    };
    let numbers = Numbers::new(COUNT, 3).held_at(1_000);
    let handle = start(&numbers, &out, &store, config.clone()).unwrap();
    written(&handle, 1_000);
    numbers.open(1_500); // in micro-batch mode checkpoints go with batches
    complete(&handle, 1);
    fault(&store);
    numbers.open(2_000);
    let mut gate = 2_000;
    until(&handle, what, || {
        gate += 10;
        numbers.open(gate.min(3_000));
        (handle.report().failed_checkpoints > 0).then_some(())
    });
    assert!(handle.is_running(), "{what}");
    store.heal();
    numbers.open(4_000);
    written(&handle, 4_000);
    let completed = handle.report().checkpoints;
    handle.stop();
    let report = finish(handle).unwrap();
    assert!(report.checkpoints > completed, "{what}: {report:#?}");
    // What was made on the way is gone, or named: nothing of the failed ones is resumed from.
    let numbers = Numbers::new(COUNT, 3);
    let handle = start(&numbers, &out, &store, config).unwrap();
    assert!(handle.report().restored.is_some());
    finish(handle).unwrap();
    assert_counted(&out, COUNT);
}

/// The next checkpoint after one that failed is complete in itself: what changed in the failed period is
/// in no other.
#[test]
fn the_next_one_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let store = MemoryStore::new();
    let config = JobConfig {
        retained_checkpoints: 1,
        ..durable(dir.path())
    };
    let numbers = Numbers::new(COUNT, 1).held_at(1_000);
    let handle = start(&numbers, &out, &store, config.clone()).unwrap();
    written(&handle, 1_000);
    complete(&handle, 2);
    // Everything changes in periods that fail; then nothing changes any more.
    store.fail_after_bytes(0);
    let failed = handle.report().failed_checkpoints;
    numbers.open(2_000);
    written(&handle, 2_000);
    until(&handle, "failures", || {
        (handle.report().failed_checkpoints >= failed + 3).then_some(())
    });
    store.heal();
    complete(&handle, 1);
    handle.stop();
    finish(handle).unwrap();
    finish(start(&Numbers::new(COUNT, 1), &out, &store, config).unwrap()).unwrap();
    assert_counted(&out, COUNT);
}

#[test]
fn the_last_checkpoint_fails() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let store = MemoryStore::new();
        let config = JobConfig {
            mode,
            workers: 2,
            checkpoint_interval: std::time::Duration::from_secs(3_600),
            ..durable(dir.path())
        };
        store.fail_after_bytes(100);
        let numbers = Numbers::new(COUNT, 2);
        let error = failure(start(&numbers, &out, &store, config.clone()));
        let names = ["the last checkpoint, ", "part-", "memory"];
        assert_error(&error, ErrorKind::Checkpoint, &names);

        // The same when it is stopped.
        let held = Numbers::new(COUNT, 2).held_at(100);
        let handle = start(&held, &out, &store, config.clone()).unwrap();
        handle.stop();
        let error = failure(Ok(handle));
        assert_error(&error, ErrorKind::Checkpoint, &names);

        store.heal();
        finish(start(&numbers, &out, &store, config).unwrap()).unwrap();
        assert_counted(&out, COUNT);
    }
}

/// A disk that hangs holds up checkpoints, never records.
#[test]
fn a_disk_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let store = MemoryStore::new();
    let numbers = Numbers::new(COUNT, 2).held_at(1_000);
    let handle = start(&numbers, &out, &store, durable(dir.path())).unwrap();
    written(&handle, 1_000);
    complete(&handle, 1);
    store.hold();
    let before = handle.report().checkpoints;
    numbers.open(COUNT - 1);
    written(&handle, COUNT - 1);
    assert!(handle.report().checkpoints <= before + 1);
    store.release();
    numbers.open(COUNT);
    finish(handle).unwrap();
    assert_counted(&out, COUNT);
}
