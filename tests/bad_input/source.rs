//! Records that a source cannot read, under each policy.

use crate::harness::{MODES, Numbers, assert_error, durable, failure, finish, lines, until};
use crate::rubbish::{Rubbish, bytes, is_bad};
use millstream::connectors::files::FileSink;
use millstream::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const COUNT: u64 = 5_000;

fn configs() -> impl Iterator<Item = JobConfig> {
    MODES.into_iter().flat_map(|mode| {
        [1, 2, 4].into_iter().map(move |workers| JobConfig {
            mode,
            workers,
            max_in_flight: 500,
            max_batch_records: 300,
            ..JobConfig::default()
        })
    })
}

fn rubbish(count: u64) -> Rubbish {
    Rubbish(Numbers::new(count, 3))
}

fn good() -> Vec<u64> {
    (0..COUNT).filter(|n| !is_bad(*n)).collect()
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

#[test]
fn fails_by_default_and_names_the_place() {
    for config in configs() {
        let job = Job::new("rubbish");
        job.source("numbers", rubbish(COUNT))
            .sink("out", Null::new());
        let error = failure(job.start(config));
        assert_error(
            &error,
            ErrorKind::Record,
            &[
                "operator \"numbers\" on worker ",
                "split ",
                ": number ",
                "3: ends in three",
            ],
        );
    }
}

#[test]
fn skips_and_counts() {
    for config in configs() {
        let job = Job::new("rubbish");
        let (sink, results) = Collect::new();
        job.source("numbers", rubbish(COUNT))
            .on_error(ErrorPolicy::Skip)
            .sink("out", sink);
        let report = finish(job.start(config).unwrap()).unwrap();
        assert_eq!(sorted(results.take()), good());
        let source = report.operator("numbers").unwrap();
        assert_eq!(
            (source.records_in, source.skipped, source.dead),
            (COUNT, COUNT / 10, 0)
        );
        assert_eq!(source.records_out + source.skipped, source.records_in);
    }
}

#[test]
fn dead_letters_say_what_where_and_why() {
    for config in configs() {
        let job = Job::new("rubbish");
        let (sink, results) = Collect::new();
        let (letters, dead) = Collect::new();
        let (numbers, rubbish) = job
            .source("numbers", rubbish(COUNT))
            .uid("n")
            .dead_letters();
        numbers.sink("out", sink);
        rubbish.filter(|_| true).sink("dead", letters);
        let report = finish(job.start(config).unwrap()).unwrap();
        assert_eq!(sorted(results.take()), good());
        let source = report.operator("numbers").unwrap();
        assert_eq!(
            (source.records_in, source.skipped, source.dead),
            (COUNT, 0, COUNT / 10)
        );

        let mut dead = dead.take();
        dead.sort_by_key(|letter| letter.position[7..].parse::<u64>().unwrap());
        let bad: Vec<u64> = (0..COUNT).filter(|n| is_bad(*n)).collect();
        assert_eq!(dead.len(), bad.len());
        for (letter, n) in dead.iter().zip(bad) {
            assert_eq!(letter.bytes().unwrap(), bytes(n));
            assert_eq!(
                (letter.operator.as_str(), letter.uid.as_str()),
                ("numbers", "n")
            );
            assert_eq!(letter.position, format!("number {n}"));
            assert_eq!(letter.reason, "ends in three");
            assert_eq!(letter.split, Some((n % 3).to_string()));
            assert_eq!(letter.kind, DeadLetterKind::Malformed);
            assert_eq!(letter.event_time, None);
        }
    }
}

/// A source that has only rubbish goes on and ends, whatever the limits of what is under way.
#[test]
fn nothing_but_rubbish() {
    for mode in MODES {
        let job = Job::new("rubbish");
        let all_bad = Rubbish(Numbers::new(100_003, 10)); // split 3 has those that end in 3
        let (numbers, dead) = job.source("numbers", all_bad).dead_letters();
        numbers.filter(|n| *n == 3).sink("out", Null::new());
        dead.sink("dead", Null::new());
        let config = JobConfig {
            mode,
            max_in_flight: 8,
            max_batch_records: 1_000,
            ..JobConfig::default()
        };
        let report = finish(job.start(config).unwrap()).unwrap();
        assert_eq!(report.operator("dead").unwrap().records_in, 10_000);
    }
}

/// A job fails in the middle, between checkpoints, and is resumed on another number of workers: each dead
/// letter is in the files once.
#[test]
fn dead_letters_are_exactly_once() {
    for (mode, workers) in MODES.into_iter().zip([1, 4]) {
        let dir = tempfile::tempdir().unwrap();
        let (good_dir, dead_dir) = (dir.path().join("good"), dir.path().join("dead"));
        let numbers = Numbers::new(COUNT, 3).held_at(COUNT / 2);
        let broken = Arc::new(AtomicBool::new(false));
        let job = || {
            let job = Job::new("rubbish");
            let (good, dead) = job
                .source("numbers", Rubbish(numbers.clone()))
                .dead_letters();
            let broken = broken.clone();
            good.inspect(move |n| assert!(*n < COUNT / 2 || !broken.load(Ordering::SeqCst)))
                .sink("good", FileSink::lines(&good_dir));
            dead.map(|letter| letter.position)
                .sink("dead", FileSink::lines(&dead_dir));
            job
        };
        let config = |workers| JobConfig {
            mode,
            workers,
            ..durable(dir.path())
        };
        let handle = job().start(config(2)).unwrap();
        until(&handle, "a checkpoint with dead letters", || {
            (!lines(&dead_dir).is_empty()).then_some(())
        });
        broken.store(true, Ordering::SeqCst);
        numbers.open(u64::MAX);
        let error = finish(handle).unwrap_err();
        assert_error(&error, ErrorKind::UserFunction, &["operator \"inspect\""]);
        broken.store(false, Ordering::SeqCst);
        finish(job().start(config(workers)).unwrap()).unwrap();

        let expect = |keep: &dyn Fn(u64) -> bool, text: &dyn Fn(u64) -> String| {
            sorted((0..COUNT).filter(|n| keep(*n)).map(text).collect())
        };
        assert_eq!(
            lines(&good_dir),
            expect(&|n| !is_bad(n), &|n| n.to_string())
        );
        assert_eq!(
            lines(&dead_dir),
            expect(&is_bad, &|n| format!("number {n}"))
        );
    }
}

/// Dead letters that go nowhere would be lost without a word.
#[test]
fn unread_dead_letters_are_refused() {
    let job = Job::new("rubbish");
    let numbers = job
        .source("numbers", rubbish(10))
        .on_error(ErrorPolicy::DeadLetter);
    numbers.sink("out", Null::new());
    let error = failure(job.start(JobConfig::default()));
    assert_error(
        &error,
        ErrorKind::Graph,
        &["\"numbers\"", "nobody reads the dead letters"],
    );

    let dead = job.dead_letters().unwrap();
    dead.sink("dead", Null::new());
    finish(job.start(JobConfig::default()).unwrap()).unwrap();
}

/// One place for the letters of a whole job: of the source and of two functions, one of them chained.
#[test]
fn all_dead_letters_of_a_job() {
    for config in configs() {
        for chaining in [true, false] {
            let job = Job::new("rubbish");
            assert!(job.dead_letters().is_none());
            job.source("numbers", rubbish(COUNT))
                .on_error(ErrorPolicy::DeadLetter)
                .try_map(|n| if n % 10 == 4 { Err("four") } else { Ok(n) })
                .on_error(ErrorPolicy::DeadLetter)
                .key_by(|n| n % 7)
                .count()
                .map(|(_, n)| n)
                .filter(|n| {
                    assert!(n % 10 != 5, "five");
                    true
                })
                .on_error(ErrorPolicy::DeadLetter)
                .sink("out", Null::new());
            let (letters, dead) = Collect::new();
            job.dead_letters().unwrap().sink("dead", letters);
            let config = JobConfig {
                chaining,
                ..config.clone()
            };
            let report = finish(job.start(config).unwrap()).unwrap();
            let dead = dead.take();
            let of = |name: &str| dead.iter().filter(|d| d.operator == name).count() as u64;
            assert_eq!((of("numbers"), of("map")), (COUNT / 10, COUNT / 10));
            assert!(of("filter") > 0);
            let all: u64 = report.operators.iter().map(|o| o.dead).sum();
            assert_eq!(all, dead.len() as u64);
            for operator in &report.operators {
                if operator.kind != millstream::runtime::graph::NodeKind::Sink {
                    let accounted = operator.records_out + operator.dead;
                    assert_eq!(operator.records_in, accounted, "{operator:?}");
                }
            }
        }
    }
}
