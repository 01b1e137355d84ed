//! A checkpoint that is sound but does not fit the job, and one that is made to fit.

use crate::harness::{assert_error, durable, failure, finish};
use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use millstream::runtime::record::{Data, Key};
use std::path::Path;

const COUNT: u64 = 2_000;

fn numbers(job: &Job) -> Stream<u64> {
    let numbers = Collection::timed((0..COUNT).map(|n| (n as i64, n)).collect());
    job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
}

/// Counts by `key`, under the uid `counts`.
fn counts<K: Key>(key: fn(&u64) -> K) -> Job {
    let job = Job::new("fit");
    let counts = numbers(&job).key_by(key).count().uid("counts");
    counts.sink("out", Null::new());
    job
}

fn run(job: &Job, dir: &Path) -> Result<JobReport> {
    job.start(durable(dir)).and_then(finish)
}

#[test]
fn an_operator_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    run(&counts(|n| n % 7), dir.path()).unwrap();
    let job = Job::new("fit");
    numbers(&job).sink("out", Null::new());
    let error = failure(job.start(durable(dir.path())));
    let names = ["\"counts\"", "\"accumulators\"", "--allow-dropped-state"];
    assert_error(&error, ErrorKind::Incompatible, &names);
    let config = JobConfig {
        allow_dropped_state: true,
        ..durable(dir.path())
    };
    let report = job.start(config).and_then(finish).unwrap();
    assert!(report.restored.is_some());
}

#[test]
fn max_parallelism_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let job = counts(|n| n % 7);
    run(&job, dir.path()).unwrap();
    let config = JobConfig {
        max_parallelism: 512,
        ..durable(dir.path())
    };
    let error = failure(job.start(config));
    assert_error(
        &error,
        ErrorKind::Incompatible,
        &["4096", "512", "max-parallelism"],
    );
}

/// Its keys were numbers; they become texts, then pairs: either they do not decode, or they are not where
/// they belong.
#[test]
fn a_key_type_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    run(&counts(|n| n % 7), dir.path()).unwrap();
    let names = [
        "operator \"count\" on worker 0",
        "state \"accumulators\"",
        "key",
    ];
    for error in [
        failure(counts(|n| n.to_string()).start(durable(dir.path()))),
        failure(counts(|n| (*n, *n)).start(durable(dir.path()))),
        failure(counts(|n| *n as i32 % 7).start(durable(dir.path()))),
    ] {
        assert_error(&error, ErrorKind::Restore, &names);
    }
}

/// A function with one state of type `S`.
struct Keeper<S> {
    state: ValueState<S>,
}

impl<S: Data + Default> KeyedProcess for Keeper<S> {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        ctx.value(self.state).get_or_default();
        ctx.emit(n);
        Ok(())
    }
}

fn keeper<S: Data + Default>(spec: impl Fn() -> StateSpec<S> + Send + Sync + 'static) -> Job {
    let job = Job::new("fit");
    numbers(&job)
        .key_by(|n| n % 7)
        .process("keeper", move |states| Keeper {
            state: states.value(spec()),
        })
        .sink("out", Null::new());
    job
}

#[test]
fn a_state_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let first = keeper(|| StateSpec::<u64>::new("kept"));
    run(&first, dir.path()).unwrap();
    let operator = "operator \"keeper\" on worker 0";

    let raised = keeper(|| StateSpec::<String>::new("kept").with_version(2));
    let error = failure(raised.start(durable(dir.path())));
    let names = [operator, "\"kept\"", "version 1", "version 2"];
    assert_error(&error, ErrorKind::Incompatible, &names);

    let same = keeper(|| StateSpec::<(u64, u64)>::new("kept"));
    let error = failure(same.start(durable(dir.path())));
    assert_error(
        &error,
        ErrorKind::Restore,
        &[operator, "state \"kept\"", "(u64, u64)"],
    );

    let renamed = keeper(|| StateSpec::<u64>::new("held"));
    let error = failure(renamed.start(durable(dir.path())));
    let names = ["operator \"keeper\"", "\"kept\"", "--allow-dropped-state"];
    assert_error(&error, ErrorKind::Incompatible, &names);

    let migrated = || {
        let spec = StateSpec::<String>::new("kept").with_version(2);
        spec.with_migration(1, |old: u64| old.to_string())
    };
    let report = run(&keeper(migrated), dir.path()).unwrap();
    assert!(report.restored.is_some());
}
