//! User functions that fail or panic at some records, under each policy: the results are those of the same job
//! over the good records alone, and the bad ones are counted or are dead letters.

use crate::harness::{MODES, assert_error, failure, finish};
use millstream::prelude::*;
use millstream::runtime::operator::UserResult;

pub const COUNT: i64 = 2_000;
const TOLERANT: [ErrorPolicy; 2] = [ErrorPolicy::Skip, ErrorPolicy::DeadLetter];

pub fn is_bad(n: i64) -> bool {
    n % 100 == 37
}

pub fn check(n: i64) {
    assert!(!is_bad(n), "boom at {n}");
}

/// Thousands of panics that are meant are not printed.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with("boom at ")) {
                before(info);
            }
        }));
    });
}

fn check_error(n: i64) -> Result<i64, String> {
    match is_bad(n) {
        true => Err(format!("boom at {n}")),
        false => Ok(n),
    }
}

/// A job in which the operator named `bad` fails at bad numbers: its results as text.
pub type Build = fn(Stream<i64>, ErrorPolicy) -> Stream<String>;

pub struct Case {
    pub name: &'static str,
    pub kind: DeadLetterKind,
    pub build: Build,
}

/// The numbers, or the good ones only, through the job: sorted results, the report and the dead letters.
fn run(
    case: &Case,
    policy: ErrorPolicy,
    all: bool,
    config: JobConfig,
) -> (Vec<String>, JobReport, Vec<DeadLetter>) {
    let job = Job::new("functions");
    let numbers = (0..COUNT).filter(|n| all || !is_bad(*n));
    let numbers = Collection::timed(numbers.map(|n| (n, n)).collect());
    let numbers = numbers.splits(3).batch(50);
    let (sink, results) = Collect::new();
    let ascending = WatermarkStrategy::ascending();
    (case.build)(job.timed_source("numbers", numbers, ascending), policy).sink("out", sink);
    let (letters, dead) = Collect::new();
    if let Some(stream) = job.dead_letters() {
        stream.sink("dead", letters);
    }
    let report = finish(job.start(config).unwrap()).unwrap();
    let mut results = results.take();
    results.sort();
    (results, report, dead.take())
}

fn configs() -> Vec<JobConfig> {
    let mut configs = Vec::new();
    for mode in MODES {
        for (workers, chaining) in [(1, true), (2, false)] {
            configs.push(JobConfig {
                mode,
                workers,
                chaining,
                ..JobConfig::default()
            });
        }
    }
    configs
}

pub fn as_if_they_had_not_been_there(case: &Case) {
    quiet();
    let bad = (0..COUNT).filter(|n| is_bad(*n)).count() as u64;
    for config in configs() {
        for policy in TOLERANT {
            let what = format!("{}, {policy}, {config:?}", case.name);
            let (expected, ..) = run(case, ErrorPolicy::Fail, false, config.clone());
            let (found, report, dead) = run(case, policy, true, config.clone());
            assert!(!expected.is_empty(), "{what}");
            let missing: Vec<_> = expected.iter().filter(|e| !found.contains(e)).collect();
            let extra: Vec<_> = found.iter().filter(|e| !expected.contains(e)).collect();
            assert!(
                found == expected,
                "{what}: missing {missing:?}, extra {extra:?}"
            );

            let operator = report.operator("bad").unwrap();
            let counted = (operator.skipped, operator.dead);
            match policy {
                ErrorPolicy::Skip => assert_eq!(counted, (bad, 0), "{what}"),
                _ => assert_eq!(counted, (0, bad), "{what}"),
            }
            assert_eq!(dead.len() as u64, operator.dead, "{what}");
            for letter in dead {
                assert_eq!(letter.operator, "bad");
                assert_eq!(letter.kind, case.kind, "{what}: {letter:?}");
                let time = letter.event_time.unwrap();
                assert!(is_bad(time), "{letter:?}");
                assert!(letter.reason.contains(&format!("boom at {time}")));
                assert!(letter.payload.contains(&time.to_string()), "{letter:?}");
                assert!(letter.position.starts_with("record "));
            }
        }
    }
}

fn named(stream: Stream<i64>, policy: ErrorPolicy) -> Stream<String> {
    stream.name("bad").on_error(policy).map(|n| n.to_string())
}

fn counts<K: Key + std::fmt::Debug, V: Data + std::fmt::Debug>(
    stream: Stream<(K, V)>,
    policy: ErrorPolicy,
) -> Stream<String> {
    let stream = stream.name("bad").on_error(policy);
    stream.map(|pair| format!("{pair:?}"))
}

pub const PANIC: DeadLetterKind = DeadLetterKind::Panic;

const STATELESS: &[Case] = &[
    Case {
        name: "map",
        kind: PANIC,
        build: |numbers, policy| {
            let stream = numbers.map(|n| {
                check(n);
                n
            });
            named(stream, policy)
        },
    },
    Case {
        name: "try_map",
        kind: DeadLetterKind::Error,
        build: |numbers, policy| named(numbers.try_map(check_error), policy),
    },
    Case {
        name: "filter",
        kind: PANIC,
        build: |numbers, policy| {
            let stream = numbers.filter(|n| {
                check(*n);
                n % 2 == 1
            });
            named(stream, policy)
        },
    },
    Case {
        name: "filter_map",
        kind: PANIC,
        build: |numbers, policy| {
            let stream = numbers.filter_map(|n| {
                check(n);
                (n % 3 > 0).then_some(n)
            });
            named(stream, policy)
        },
    },
    // Fails after its first results: these are taken back.
    Case {
        name: "flat_map",
        kind: PANIC,
        build: |numbers, policy| {
            let stream = numbers.flat_map(|n| (0..3).inspect(move |i| check(n + 100 * (i / 2))));
            named(stream, policy)
        },
    },
    Case {
        name: "flat_map_with",
        kind: PANIC,
        build: |numbers, policy| {
            let stream = numbers.flat_map_with(|n, out| {
                out.push(n);
                check(n);
                out.push(n);
            });
            named(stream, policy)
        },
    },
    Case {
        name: "inspect",
        kind: PANIC,
        build: |numbers, policy| named(numbers.inspect(|n| check(*n)), policy),
    },
    Case {
        name: "key_by",
        kind: PANIC,
        build: |numbers, policy| {
            let keyed = numbers.key_by(|n| {
                check(*n);
                n % 7
            });
            let keyed = keyed.pairs().name("bad").keyed().on_error(policy);
            keyed.pairs().map(|pair| format!("{pair:?}"))
        },
    },
    Case {
        name: "process",
        kind: DeadLetterKind::Error,
        build: |numbers, policy| {
            let stream = numbers.process("bad", || {
                |n: i64, ctx: &mut ProcessContext<'_, i64>| {
                    ctx.emit(n);
                    check_error(n)?;
                    Ok(())
                }
            });
            named(stream, policy)
        },
    },
];

#[test]
fn stateless() {
    STATELESS.iter().for_each(as_if_they_had_not_been_there);
}

/// Writes no state before it fails.
struct Sum {
    sum: ValueState<i64>,
    late: bool,
}

impl KeyedProcess for Sum {
    type Key = i64;
    type In = i64;
    type Out = i64;

    fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.emit(-n);
        let sum = ctx.value(self.sum).get().copied().unwrap_or(0) + n;
        if self.late {
            ctx.value(self.sum).set(sum);
        }
        check_error(n)?;
        ctx.value(self.sum).set(sum);
        ctx.emit(sum);
        Ok(())
    }
}

impl ConnectedProcess for Sum {
    type Key = i64;
    type Left = i64;
    type Right = i64;
    type Out = i64;

    fn on_left(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.emit(n);
        check(n);
        Ok(())
    }

    fn on_right(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        if !is_bad(n) {
            ctx.emit(-n);
        }
        Ok(())
    }
}

const STATEFUL: &[Case] = &[
    Case {
        name: "keyed process",
        kind: DeadLetterKind::Error,
        build: |numbers, policy| {
            let keyed = numbers.key_by(|n| *n); // order between splits does not matter
            let stream = keyed.process("bad", |states| Sum {
                sum: states.value("sum"),
                late: false,
            });
            named(stream, policy)
        },
    },
    Case {
        name: "connected process",
        kind: PANIC,
        build: |numbers, policy| {
            let keyed = numbers.key_by(|n| n % 7);
            let stream = keyed.connect(&keyed).process("bad", |states| Sum {
                sum: states.value("sum"),
                late: false,
            });
            named(stream, policy)
        },
    },
    // Half of the change is made when it fails.
    Case {
        name: "reduce",
        kind: PANIC,
        build: |numbers, policy| {
            let keyed = numbers.map(|n| (n, 1)).key_by(|_| ());
            let reduced = keyed.reduce(|(_, seen), (n, one)| {
                check(n);
                (n, seen + one)
            });
            let reduced = reduced.name("bad").on_error(policy);
            reduced.map(|(_, (_, seen))| seen.to_string())
        },
    },
    Case {
        name: "map_with_state",
        kind: PANIC,
        build: |numbers, policy| {
            let keyed = numbers.key_by(|_| ());
            let mapped = keyed.map_with_state(0, |seen, n| {
                *seen += 1;
                check(n);
                *seen
            });
            counts(mapped, policy)
        },
    },
    Case {
        name: "fold",
        kind: PANIC,
        build: |numbers, policy| {
            let keyed = numbers.key_by(|_| ());
            let folded = keyed.fold((0, 0), |(seen, good), n| {
                *seen += 1;
                check(n);
                *good += 1;
            });
            counts(folded, policy)
        },
    },
];

#[test]
fn stateful() {
    STATEFUL.iter().for_each(as_if_they_had_not_been_there);
}

/// What a process function wrote before it failed stays written: the sum counts bad numbers too.
#[test]
fn state_that_a_process_function_wrote_stays() {
    for mode in MODES {
        let job = Job::new("functions");
        let numbers = Collection::timed((0..COUNT).map(|n| (n, n)).collect());
        let (sink, results) = Collect::new();
        let keyed = job.source("numbers", numbers).key_by(|_| 0);
        keyed
            .process("bad", |states| Sum {
                sum: states.value("sum"),
                late: true,
            })
            .on_error(ErrorPolicy::Skip)
            .sink("out", sink);
        let config = JobConfig {
            mode,
            ..JobConfig::default()
        };
        finish(job.start(config).unwrap()).unwrap();
        let results = results.take();
        assert_eq!(results.last(), Some(&(COUNT * (COUNT - 1) / 2)));
        let good = (0..COUNT).filter(|n| !is_bad(*n)).count();
        assert_eq!(results.len(), 2 * good, "no results of those that failed");
    }
}

/// So do timers that it registered.
#[test]
fn timers_that_a_process_function_registered_stay() {
    struct Registers;
    impl KeyedProcess for Registers {
        type Key = i64;
        type In = i64;
        type Out = i64;
        fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
            ctx.register_event_timer(n);
            check_error(n)?;
            Ok(())
        }
        fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
            ctx.emit(timer.time);
            Ok(())
        }
    }
    for mode in MODES {
        let job = Job::new("functions");
        let numbers = Collection::timed((0..COUNT).map(|n| (n, n)).collect());
        let (sink, results) = Collect::new();
        job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
            .key_by(|n| n % 7)
            .process("bad", |_| Registers)
            .on_error(ErrorPolicy::Skip)
            .sink("out", sink);
        let config = JobConfig {
            mode,
            ..JobConfig::default()
        };
        finish(job.start(config).unwrap()).unwrap();
        let mut fired = results.take();
        fired.sort();
        assert_eq!(fired, (0..COUNT).collect::<Vec<_>>());
    }
}

/// A timer has no record that could be set aside: its failure ends the job, whatever the policy.
#[test]
fn a_timer_that_fails_ends_the_job() {
    struct Timers;
    impl KeyedProcess for Timers {
        type Key = i64;
        type In = i64;
        type Out = i64;
        fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
            ctx.register_event_timer(n + 10);
            Ok(())
        }
        fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
            check_error(*ctx.key())?;
            Ok(())
        }
    }
    let job = Job::new("functions");
    let numbers = Collection::timed((0..COUNT).map(|n| (n, n)).collect());
    job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
        .key_by(|n| *n)
        .process("bad", |_| Timers)
        .on_error(ErrorPolicy::Skip)
        .sink("out", Null::new());
    let error = failure(job.start(JobConfig::default()));
    assert_error(
        &error,
        ErrorKind::UserFunction,
        &[
            "operator \"bad\" on worker 0",
            "when time came to",
            "boom at",
        ],
    );
}
