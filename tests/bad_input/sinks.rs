//! Records that a sink cannot write, under each policy.

use crate::functions::{COUNT, check, is_bad};
use crate::harness::{MODES, assert_error, failure, finish};
use millstream::prelude::*;

fn sink_job(sink: impl Fn(Stream<i64>)) -> Job {
    let job = Job::new("functions");
    let numbers = Collection::timed((0..COUNT).map(|n| (n, n)).collect());
    sink(job.source("numbers", numbers.batch(64)));
    job
}

/// A panic in a sink's function was once said to be somewhere in a batch.
#[test]
fn a_sink_names_the_record() {
    let job = sink_job(|numbers| numbers.sink("out", ForEach::new(check)));
    let error = failure(job.start(JobConfig::default()));
    let names = [
        "operator \"out\" on worker 0",
        "panic at record 37: boom at 37",
    ];
    assert_error(&error, ErrorKind::UserFunction, &names);

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let job = sink_job(|numbers| nested(&numbers).sink("out", FileSink::csv(&out)));
    let error = failure(job.start(JobConfig::default()));
    let names = [
        "operator \"out\"",
        "at record 37: ",
        "cannot be written as CSV",
    ];
    assert_error(&error, ErrorKind::Record, &names);
}

/// Bad numbers have no form as a row of CSV.
fn nested(numbers: &Stream<i64>) -> Stream<Row> {
    numbers.map(|n| Row {
        first: n,
        second: match is_bad(n) {
            true => Cell::Nested(std::collections::BTreeMap::from([(n, n)])),
            false => Cell::Plain(n),
        },
    })
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Row {
    first: i64,
    second: Cell,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
enum Cell {
    Plain(i64),
    Nested(std::collections::BTreeMap<i64, i64>),
}

#[test]
fn what_a_sink_cannot_write() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let (called, seen) = std::sync::mpsc::channel();
        let (letters, dead) = Collect::new();
        let letters = std::sync::Mutex::new(Some(letters));
        let job = sink_job(|numbers| {
            let called = called.clone();
            let call = ForEach::new(move |n| {
                check(n);
                called.send(n).unwrap();
            });
            let dead = numbers.sink_with_dead_letters("call", call);
            dead.sink("dead", letters.lock().unwrap().take().unwrap());
            let files = FileSink::csv(&out);
            nested(&numbers).sink_on_error("files", files, ErrorPolicy::Skip);
        });
        drop(called);
        let config = JobConfig {
            mode,
            ..crate::harness::durable(dir.path())
        };
        let report = finish(job.start(config).unwrap()).unwrap();
        let good: Vec<i64> = (0..COUNT).filter(|n| !is_bad(*n)).collect();
        drop(job);
        assert_eq!(seen.iter().collect::<Vec<_>>(), good);
        let bad = COUNT as u64 - good.len() as u64;
        assert_eq!(report.operator("call").unwrap().dead, bad);
        assert_eq!(report.operator("files").unwrap().skipped, bad);
        let mut letters: Vec<i64> = dead.take().iter().map(|d| d.record().unwrap()).collect();
        letters.sort();
        assert_eq!(
            letters,
            (0..COUNT).filter(|n| is_bad(*n)).collect::<Vec<_>>()
        );

        let mut rows = crate::harness::lines(&out);
        rows.retain(|row| row != "first,second");
        rows.sort_by_key(|row| row.split(',').next().unwrap().parse::<i64>().unwrap());
        let expected: Vec<String> = good.iter().map(|n| format!("{n},{n}")).collect();
        assert_eq!(rows, expected);
    }
}
