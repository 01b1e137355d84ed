//! A user's function panics or returns an error: the job ends, and names operator, worker and record.

use crate::harness::{MODES, assert_error, failure};
use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use millstream::runtime::sink::{Sink, SinkWriter, WriterContext, Written};

const COUNT: i64 = 1_000;
/// The number at which the function fails.
const BAD: i64 = 700;

fn panics(n: i64) {
    assert!(n != BAD, "boom at {n}");
}

fn errs(n: i64) -> Result<i64, String> {
    match n {
        BAD => Err(format!("boom at {n}")),
        n => Ok(n),
    }
}

/// Runs the job on several workers, in both modes, with and without chaining; each run must fail and
/// name `operator`; on one worker it must also say `at`.
fn each(operator: &str, at: &str, build: impl Fn(&Job, Stream<i64>)) {
    with_strategy(operator, at, WatermarkStrategy::ascending(), build);
}

fn with_strategy(
    operator: &str,
    at: &str,
    strategy: WatermarkStrategy<i64>,
    build: impl Fn(&Job, Stream<i64>),
) {
    for workers in [1, 2, 4] {
        for mode in MODES {
            for chaining in [true, false] {
                let job = Job::new("failing");
                let numbers = Collection::timed((0..COUNT).map(|n| (n, n)).collect());
                let numbers = numbers.splits(workers).batch(64);
                build(&job, job.timed_source("numbers", numbers, strategy.clone()));
                let error = failure(job.start(JobConfig {
                    workers,
                    mode,
                    chaining,
                    ..JobConfig::default()
                }));
                let operator = format!("operator \"{operator}\" on worker ");
                let at = if workers == 1 { at } else { "" };
                assert_error(
                    &error,
                    ErrorKind::UserFunction,
                    &[&operator, at, "boom at "],
                );
            }
        }
    }
}

#[test]
fn map() {
    each("bad", "panic at record 700", |_, numbers| {
        let bad = numbers
            .map(|n| n + 1)
            .inspect(|n| panics(*n - 1))
            .name("bad");
        bad.filter(|_| true).sink("out", Null::new());
    });
    each("bad", ": record 700: boom", |_, numbers| {
        numbers
            .try_map(errs)
            .name("bad")
            .map(|n| n)
            .sink("out", Null::new());
    });
}

/// Behind a fork a step stands alone whatever the configuration says.
#[test]
fn step_that_stands_alone() {
    each("bad", "record 700", |_, numbers| {
        numbers.clone().sink("all", Null::new());
        numbers.try_map(errs).name("bad").sink("out", Null::new());
    });
}

#[test]
fn filter_and_key() {
    each("bad", "panic at record 700", |_, numbers| {
        let even = |n: &i64| {
            panics(*n);
            n % 2 == 0
        };
        numbers.filter(even).name("bad").sink("out", Null::new());
    });
    each("key_by", "panic at record 700", |_, numbers| {
        let key = |n: &i64| {
            panics(*n);
            n % 7
        };
        numbers.key_by(key).count().sink("out", Null::new());
    });
}

#[test]
fn aggregates() {
    let add = |total: &mut i64, n: i64| {
        panics(n);
        *total += n;
    };
    each("fold", "panic at record 700", move |_, numbers| {
        numbers
            .key_by(|n| n % 7)
            .fold(0, add)
            .sink("out", Null::new());
    });
    each("window", "panic at record 700", move |_, numbers| {
        let windows = Tumbling::of(std::time::Duration::from_millis(100));
        let keyed = numbers.key_by(|n| n % 7);
        keyed.window(windows).fold(0, add).sink("out", Null::new());
    });
}

/// It was once said to be at whatever record an operator had seen last, then somewhere in a batch.
#[test]
fn timestamps() {
    let strategy = WatermarkStrategy::ascending().with_timestamps(|n: &i64| {
        panics(*n);
        *n
    });
    let at = "panic at record 700: boom";
    with_strategy("numbers", at, strategy.clone(), |_, numbers| {
        numbers.sink("out", Null::new());
    });
    each("assign_timestamps", at, move |_, numbers| {
        numbers
            .assign_timestamps(strategy.clone())
            .sink("out", Null::new());
    });
}

#[test]
fn watermark_generators() {
    let strategy = WatermarkStrategy::punctuated(|n: &i64, time| {
        panics(*n);
        Some(time)
    });
    let at = "panic at record 700: boom";
    with_strategy("numbers", at, strategy, |_, numbers| {
        numbers.sink("out", Null::new());
    });
}

/// Fails at a record or in a timer.
struct Process {
    at_record: bool,
    panics: bool,
}

impl Process {
    fn fail(&self) -> UserResult {
        assert!(!self.panics, "boom at {BAD}");
        Err(format!("boom at {BAD}").into())
    }
}

impl KeyedProcess for Process {
    type Key = i64;
    type In = i64;
    type Out = i64;

    fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.emit(n);
        if n == BAD && self.at_record {
            return self.fail();
        }
        if n == BAD {
            ctx.register_event_timer(BAD + 10);
        }
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, _: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        self.fail()
    }
}

#[test]
fn process_functions() {
    for (at_record, panics, at) in [
        (true, true, "panic at record 700: boom"),
        (true, false, ": record 700: boom"),
        (false, true, "panic when time came to "),
        (false, false, ": when time came to "),
    ] {
        each("bad", at, move |_, numbers| {
            let keyed = numbers.key_by(|n| n % 7);
            let bad = keyed.process("bad", move |_| Process { at_record, panics });
            bad.map(|n| n).sink("out", Null::new());
        });
    }
}

struct BadSink;

impl Sink for BadSink {
    type Item = i64;

    fn describe(&self) -> String {
        "bad".into()
    }

    fn writer(&self, _: WriterContext) -> millstream::Result<Box<dyn SinkWriter<i64>>> {
        Ok(Box::new(BadSink))
    }
}

impl SinkWriter<i64> for BadSink {
    fn write(&mut self, records: &mut Vec<Record<i64>>) -> millstream::Result<Written> {
        for record in records.drain(..) {
            let failed = |text| Error::new(ErrorKind::UserFunction, text);
            errs(record.value).map_err(failed)?;
        }
        Ok(Written::All)
    }
}

#[test]
fn sinks() {
    each("out", "panic at record 700: boom", |_, numbers| {
        numbers.sink("out", ForEach::new(panics));
    });
    // A writer that does not know at which record it failed.
    each("out", "in the batch of records ", |_, numbers| {
        numbers.sink("out", BadSink)
    });
}
