//! Functions of the user that return an error or panic, everywhere a function can be given.

use super::{Wrong, check, numbers};
use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use std::time::Duration;

const FUNCTION: ErrorKind = ErrorKind::UserFunction;

fn boom(n: i64) -> i64 {
    assert!(n != 42, "boom at {n}");
    n
}

fn look(n: i64) {
    boom(n);
}

fn bad(n: i64) -> Result<i64, String> {
    match n {
        42 => Err("boom at 42".into()),
        n => Ok(n),
    }
}

fn stream<T: Data>(
    config: JobConfig,
    build: impl FnOnce(Stream<i64>) -> Stream<T>,
) -> Result<JobHandle> {
    let (job, numbers) = numbers();
    build(numbers).sink("out", Null::new());
    job.start(config)
}

fn keyed<T: Data>(
    config: JobConfig,
    build: impl FnOnce(KeyedStream<i64, i64>) -> Stream<T>,
) -> Result<JobHandle> {
    stream(config, |numbers| build(numbers.key_by(|n| n % 7)))
}

fn fold(total: &mut i64, n: i64) {
    boom(n);
    *total += n;
}

struct Failing {
    at_record: bool,
}

impl KeyedProcess for Failing {
    type Key = i64;
    type In = i64;
    type Out = i64;

    fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        if self.at_record {
            boom(n);
        } else {
            ctx.register_event_timer(n);
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, _: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        boom(timer.time);
        Ok(())
    }
}

struct Erratic;

impl WatermarkGenerator<i64> for Erratic {
    fn on_record(&mut self, n: &i64, _: i64) {
        boom(*n);
    }
    fn watermark(&self) -> i64 {
        0
    }
    fn restore(&mut self, _: i64) {}
}

pub const ROWS: &[Wrong] = &[
    Wrong {
        name: "map",
        start: |_, config| stream(config, |numbers| numbers.map(boom)),
        kind: FUNCTION,
        says: &["operator \"map\" on worker 0: panic at record 42: boom at 42"],
    },
    Wrong {
        name: "try_map",
        start: |_, config| stream(config, |numbers| numbers.try_map(bad)),
        kind: FUNCTION,
        says: &["operator \"map\" on worker 0: record 42: boom at 42"],
    },
    Wrong {
        name: "filter",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.filter(|n| {
                    boom(*n);
                    true
                })
            })
        },
        kind: FUNCTION,
        says: &["\"filter\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "filter_map",
        start: |_, config| stream(config, |numbers| numbers.filter_map(|n| Some(boom(n)))),
        kind: FUNCTION,
        says: &["\"filter_map\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "flat_map",
        start: |_, config| stream(config, |numbers| numbers.flat_map(|n| [boom(n)])),
        kind: FUNCTION,
        says: &["\"flat_map\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "the iterator of flat_map",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.flat_map(|n| std::iter::once(n).inspect(|n| look(*n)))
            })
        },
        kind: FUNCTION,
        says: &["\"flat_map\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "flat_map_with",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.flat_map_with(|n, out| out.push(boom(n)))
            })
        },
        kind: FUNCTION,
        says: &["\"flat_map\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "inspect",
        start: |_, config| stream(config, |numbers| numbers.inspect(|n| look(*n))),
        kind: FUNCTION,
        says: &["\"inspect\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "key_by",
        start: |_, config| {
            stream(config, |numbers| {
                let keyed = numbers.key_by(|n| {
                    boom(*n);
                    0
                });
                keyed.count()
            })
        },
        kind: FUNCTION,
        says: &["\"key_by\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "reduce",
        start: |_, config| {
            keyed(config, |keyed| {
                keyed.reduce(|a, b| {
                    boom(b);
                    a + b
                })
            })
        },
        kind: FUNCTION,
        says: &["\"reduce\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "fold",
        start: |_, config| keyed(config, |keyed| keyed.fold(0, fold)),
        kind: FUNCTION,
        says: &["\"fold\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "map_with_state",
        start: |_, config| {
            keyed(config, |keyed| {
                keyed.map_with_state(0, |_, n| {
                    boom(n);
                    n
                })
            })
        },
        kind: FUNCTION,
        says: &["\"map_with_state\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "process",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.process("mine", || {
                    |n: i64, _: &mut ProcessContext<'_, i64>| Ok(bad(n).map(|_| ())?)
                })
            })
        },
        kind: FUNCTION,
        says: &["operator \"mine\" on worker 0: record 42: boom at 42"],
    },
    Wrong {
        name: "a keyed process function",
        start: |_, config| {
            keyed(config, |keyed| {
                keyed.process("mine", |_| Failing { at_record: true })
            })
        },
        kind: FUNCTION,
        says: &["\"mine\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "a timer",
        start: |_, config| {
            keyed(config, |keyed| {
                keyed.process("mine", |_| Failing { at_record: false })
            })
        },
        kind: FUNCTION,
        says: &["\"mine\"", "panic when time came to", "boom at 42"],
    },
    Wrong {
        name: "a window's aggregate",
        start: |_, config| {
            let windows = Tumbling::of(Duration::from_millis(10));
            keyed(config, move |keyed| keyed.window(windows).fold(0, fold))
        },
        kind: FUNCTION,
        says: &["\"window\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "a sliding window's aggregate",
        start: |_, config| {
            let windows = Sliding::of(Duration::from_millis(30), Duration::from_millis(10));
            keyed(config, move |keyed| keyed.window(windows).fold(0, fold))
        },
        kind: FUNCTION,
        says: &["\"window\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "a count window's aggregate",
        start: |_, config| {
            keyed(config, |keyed| {
                keyed.window(CountWindow::of(3)).fold(0, fold)
            })
        },
        kind: FUNCTION,
        says: &["\"window\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "timestamps",
        start: |_, config| {
            let job = Job::new("times");
            let strategy = WatermarkStrategy::ascending().with_timestamps(|n| {
                boom(*n);
                *n
            });
            let numbers = Collection::new((0..100).collect());
            job.timed_source("numbers", numbers, strategy)
                .sink("out", Null::new());
            job.start(config)
        },
        kind: FUNCTION,
        says: &["\"numbers\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "timestamps in mid-graph",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.assign_timestamps(WatermarkStrategy::ascending().with_timestamps(|n| {
                    boom(*n);
                    *n
                }))
            })
        },
        kind: FUNCTION,
        says: &["\"assign_timestamps\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "a watermark generator",
        start: |_, config| {
            stream(config, |numbers| {
                numbers.assign_timestamps(WatermarkStrategy::custom(|| Erratic))
            })
        },
        kind: FUNCTION,
        says: &["\"assign_timestamps\"", "panic at record 42: boom"],
    },
    Wrong {
        name: "a sink's function",
        start: |_, config| {
            let (job, numbers) = numbers();
            numbers.sink("out", ForEach::new(look));
            job.start(config)
        },
        kind: FUNCTION,
        says: &["operator \"out\" on worker 0: panic at record 42: boom at 42"],
    },
    Wrong {
        name: "a generator",
        start: |_, config| {
            let job = Job::new("generator");
            let numbers = Generator::new(|at, _| boom(at.index as i64)).total(100);
            job.source("numbers", numbers).sink("out", Null::new());
            job.start(config)
        },
        kind: FUNCTION,
        says: &["\"numbers\"", "panic while it was reading", "boom at 42"],
    },
];

#[test]
fn code() {
    check(ROWS);
}
