//! Every kind of windows with every trigger and evictor against the slow way, in every way the contract knows.

mod inside;
mod model;
mod semantics;

use self::model::{Evict, FIRST, Kind, Line, Model, When, gap_of};
use super::{
    AllTrigger, AnyTrigger, ContinuousTrigger, CountEvictor, CountTrigger, CountWindow, Cumulating,
    DeltaEvictor, DeltaTrigger, EventTimeTrigger, Global, OutputMode, ProcessingTimeTrigger,
    PurgingTrigger, Session, Sliding, TimeEvictor, Tumbling, WindowedStream, Windowing,
};
use crate::aggregate::Sum;
use crate::keyed::KeyedStream;
use crate::testing::Harness;
use crate::testing::contract::{Results, Step, in_every_way};
use millstream_runtime::record::Record;
use std::time::Duration;

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms as u64)
}

/// Records out of order and late, watermarks and processing time in between; some of it in leaps.
fn script(seed: u64) -> Vec<Step<u8, u64>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut watermark, mut now) = (-100, 0);
    let mut steps = vec![Step::Watermark(FIRST)];
    for _ in 0..random.usize(..140) {
        let leap = if random.u8(..8) == 0 { 120 } else { 25 };
        let step = match random.u8(..8) {
            0 => {
                watermark += random.i64(0..leap);
                Step::Watermark(watermark)
            }
            1 => {
                now += random.i64(0..leap);
                Step::ProcessingTime(now)
            }
            _ => {
                let time = watermark + random.i64(-50..50);
                Step::Record(time, random.u8(..3), random.u64(..20))
            }
        };
        steps.push(step);
    }
    steps
}

type Cut<'a, W> = &'a dyn Fn(KeyedStream<u8, u64>) -> WindowedStream<u8, u64, W>;

/// The records of windows that fire, by the operator.
fn lines<W: Windowing<u64>>(cut: Cut<'_, W>, script: &[Step<u8, u64>]) -> Results<Line> {
    let make = || {
        Harness::of(|keyed| {
            cut(keyed).process(|at, records, out| {
                let records = records.iter().map(|record| (record.time, record.value));
                let window = (at.window.start, at.window.end);
                out.push((*at.key, window, at.timing, at.pane, records.collect()));
                Ok(())
            })
        })
    };
    in_every_way(make, script)
}

/// What an incremental sum makes of the same.
fn sums<W: Windowing<u64>>(cut: Cut<'_, W>, script: &[Step<u8, u64>]) -> Results<Summed> {
    let make = || {
        Harness::of(|keyed| {
            cut(keyed).aggregate_then(Sum::of(|value: &u64| *value), |at, sum, out| {
                let window = (at.window.start, at.window.end);
                out.push((*at.key, window, at.timing as u8, at.pane, sum));
                Ok(())
            })
        })
    };
    in_every_way(make, script)
}

type Summed = (u8, (i64, i64), u8, u32, u64);

fn summed(record: &Record<Line>) -> Record<Summed> {
    let (key, window, timing, pane, records) = &record.value;
    let sum = records.iter().map(|(_, value)| value).sum();
    Record::new(record.time, (*key, *window, *timing as u8, *pane, sum))
}

fn check<W: Windowing<u64>>(
    model: Model,
    cut: impl Fn(KeyedStream<u8, u64>) -> WindowedStream<u8, u64, W>,
) {
    let mut lines_seen = 0;
    for seed in seeds() {
        let script = script(seed);
        let (expected, late) = model.clone().run(&script);
        lines_seen += expected.iter().flatten().count();
        let found = lines(&cut, &script);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "seed {seed}, watermark {at}, {model:?}");
        }
        let sorted = |records: &Vec<Record<Line>>| {
            let mut records: Vec<_> = records.iter().map(summed).collect();
            records.sort();
            records
        };
        let expected: Vec<_> = expected.iter().map(sorted).collect();
        assert_eq!(
            sums(&cut, &script),
            expected,
            "seed {seed}, sums, {model:?}"
        );
        nothing_is_left(&cut, &script, late.len());
    }
    assert!(lines_seen > 0, "{model:?}");
}

/// `MILLSTREAM_SEEDS=0..100` runs more.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("MILLSTREAM_SEEDS").ok();
    let given = given.and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    given.unwrap_or(0..2)
}

/// Runs a script in one life: counts late records, and finds no state at the end.
fn nothing_is_left<W: Windowing<u64>>(cut: Cut<'_, W>, script: &[Step<u8, u64>], late: usize) {
    let mut harness = Harness::of(|keyed| cut(keyed).count());
    for step in script {
        match *step {
            Step::Record(time, key, value) => harness.record(time, (key, value)),
            Step::Watermark(watermark) => harness.watermark(watermark),
            Step::ProcessingTime(now) => harness.processing_time(now),
        }
    }
    assert_eq!(harness.late(), late as u64);
    harness.end();
    assert_eq!(harness.keys(), 0, "state is freed");
}

#[test]
fn tumbling_windows() {
    let kind = Kind::Tumbling {
        size: 20,
        offset: 3,
    };
    let windows = Tumbling::of(ms(20)).offset(ms(3));
    let all = EventTimeTrigger;
    check(Model::of(kind), |k| k.window(windows));
    check(Model::of(kind).lateness(25), |k| {
        k.window(windows).allowed_lateness(ms(25))
    });
    check(Model::of(kind).lateness(25), |k| {
        k.window(windows).trigger(all).allowed_lateness(ms(25))
    });
    check(Model::of(kind).clock(), |k| {
        k.window(windows.processing_time())
    });
}

#[test]
fn sliding_and_cumulating_windows() {
    let kind = Kind::Sliding { size: 30, slide: 8 };
    let windows = Sliding::of(ms(30), ms(8));
    check(Model::of(kind).lateness(20), |k| {
        k.window(windows).allowed_lateness(ms(20))
    });
    check(Model::of(kind).clock(), |k| {
        k.window(windows.processing_time())
    });
    let gaps = Kind::Sliding { size: 8, slide: 30 };
    check(Model::of(gaps), |k| k.window(Sliding::of(ms(8), ms(30))));
    let kind = Kind::Cumulating {
        max_size: 40,
        step: 10,
    };
    let windows = Cumulating::of(ms(40), ms(10));
    check(Model::of(kind).lateness(5), |k| {
        k.window(windows).allowed_lateness(ms(5))
    });
    check(Model::of(kind).clock(), |k| {
        k.window(windows.processing_time())
    });
}

#[test]
fn sessions() {
    let kind = Kind::Session { gap: 12 };
    let windows = Session::with_gap(ms(12));
    check(Model::of(kind), |k| k.window(windows));
    check(Model::of(kind).lateness(30), |k| {
        k.window(windows).allowed_lateness(ms(30))
    });
    check(Model::of(kind).clock(), |k| {
        k.window(windows.processing_time())
    });
    let from_record = || Session::with_gap_of(|value: &u64| ms(gap_of(*value)));
    check(Model::of(Kind::SessionOf).lateness(20), |k| {
        k.window(from_record()).allowed_lateness(ms(20))
    });
    check(Model::of(Kind::SessionOf).clock(), |k| {
        k.window(from_record().processing_time())
    });
}

#[test]
fn windows_by_number() {
    let count = |n| Model::of(Kind::Global).when(When::Count(n));
    let tumbling = Model::of(Kind::Global).when(When::Purging(Box::new(When::Count(4))));
    check(tumbling, |k| k.window(CountWindow::of(4)));
    check(count(2).evict(Evict::Count(5, false)), |k| {
        k.window(CountWindow::sliding(5, 2))
    });
    check(count(5).evict(Evict::Count(2, false)), |k| {
        k.window(CountWindow::sliding(2, 5))
    });
}

/// Combinations of triggers.
#[test]
fn triggers() {
    let boxed = |when: When| Box::new(when);
    let kind = Kind::Tumbling {
        size: 40,
        offset: 0,
    };
    let windows = Tumbling::of(ms(40));
    let session = Kind::Session { gap: 15 };
    let sessions = Session::with_gap(ms(15));
    let count = || CountTrigger::of(3);
    let each = || ContinuousTrigger::event_time(ms(7));
    let each_of_clock = || ContinuousTrigger::processing_time(ms(7));
    let delta = || DeltaTrigger::of(6.0, |a: &u64, b: &u64| a.abs_diff(*b) as f64);
    let lateness = ms(20);

    check(Model::of(kind).when(When::Count(3)).lateness(20), |k| {
        k.window(windows)
            .trigger(count())
            .allowed_lateness(lateness)
    });
    check(Model::of(kind).when(When::Each(7)).lateness(20), |k| {
        k.window(windows).trigger(each()).allowed_lateness(lateness)
    });
    check(
        Model::of(kind).when(When::EachOfClock(7)).lateness(20),
        |k| {
            k.window(windows)
                .trigger(each_of_clock())
                .allowed_lateness(lateness)
        },
    );
    check(Model::of(kind).clock().when(When::EachOfClock(7)), |k| {
        k.window(windows.processing_time()).trigger(each_of_clock())
    });
    check(Model::of(kind).when(When::Delta(6)).lateness(20), |k| {
        k.window(windows)
            .trigger(delta())
            .allowed_lateness(lateness)
    });
    check(Model::of(kind).when(When::ClockEnd).lateness(20), |k| {
        k.window(windows)
            .trigger(ProcessingTimeTrigger)
            .allowed_lateness(lateness)
    });
    let purging = When::Purging(boxed(When::Each(7)));
    check(Model::of(kind).when(purging.clone()).lateness(20), |k| {
        k.window(windows)
            .trigger(PurgingTrigger::of(each()))
            .allowed_lateness(lateness)
    });
    let any = When::Any(boxed(purging), boxed(When::Count(3)));
    check(Model::of(session).when(any).lateness(20), |k| {
        let any = AnyTrigger::of(PurgingTrigger::of(each()), count());
        k.window(sessions).trigger(any).allowed_lateness(lateness)
    });
    let all = When::All(boxed(When::EachOfClock(7)), boxed(When::Count(3)));
    check(Model::of(session).when(all).lateness(20), |k| {
        let all = AllTrigger::of(each_of_clock(), count());
        k.window(sessions).trigger(all).allowed_lateness(lateness)
    });
    let staged = When::Staged(boxed(When::EachOfClock(7)), boxed(When::Count(2)));
    check(Model::of(session).when(staged.clone()).lateness(30), |k| {
        let staged = EventTimeTrigger
            .early(each_of_clock())
            .late(CountTrigger::of(2));
        k.window(sessions).trigger(staged).allowed_lateness(ms(30))
    });
    check(Model::of(kind).clock().when(staged), |k| {
        let staged = EventTimeTrigger
            .early(each_of_clock())
            .late(CountTrigger::of(2));
        k.window(windows.processing_time()).trigger(staged)
    });
}

#[test]
fn triggers_of_global_windows() {
    let boxed = |when: When| Box::new(when);
    let global = || Model::of(Kind::Global);
    check(global(), |k| k.window(Global).trigger(EventTimeTrigger));
    check(global().when(When::Each(9)), |k| {
        k.window(Global)
            .trigger(ContinuousTrigger::event_time(ms(9)))
    });
    let purging = When::Purging(boxed(When::EachOfClock(9)));
    check(global().when(purging), |k| {
        let each = ContinuousTrigger::processing_time(ms(9));
        k.window(Global).trigger(PurgingTrigger::of(each))
    });
    let delta = When::Purging(boxed(When::Delta(5)));
    check(global().when(delta), |k| {
        let delta = DeltaTrigger::of(5.0, |a: &u64, b: &u64| a.abs_diff(*b) as f64);
        k.window(Global).trigger(PurgingTrigger::of(delta))
    });
}

#[test]
fn evictors() {
    let kind = Kind::Tumbling {
        size: 40,
        offset: 0,
    };
    let tumbling = || Model::of(kind).when(When::Count(3)).lateness(20);
    let session = || Model::of(Kind::Session { gap: 15 }).lateness(20);
    let delta = || DeltaEvictor::of(6.0, |a: &u64, b: &u64| a.abs_diff(*b) as f64);
    for after in [false, true] {
        check(tumbling().evict(Evict::Count(4, after)), |k| {
            let keep = CountEvictor::of(4);
            let windowed = k.window(Tumbling::of(ms(40))).trigger(CountTrigger::of(3));
            let keep = if after { keep.after_function() } else { keep };
            windowed.evictor(keep).allowed_lateness(ms(20))
        });
        check(tumbling().evict(Evict::Time(10, after)), |k| {
            let keep = TimeEvictor::of(ms(10));
            let windowed = k.window(Tumbling::of(ms(40))).trigger(CountTrigger::of(3));
            let keep = if after { keep.after_function() } else { keep };
            windowed.evictor(keep).allowed_lateness(ms(20))
        });
        check(session().evict(Evict::Delta(6, after)), |k| {
            let keep = if after {
                delta().after_function()
            } else {
                delta()
            };
            k.window(Session::with_gap(ms(15)))
                .evictor(keep)
                .allowed_lateness(ms(20))
        });
    }
}

#[test]
fn output_modes() {
    use OutputMode::{Append, Update};
    let kind = Kind::Tumbling {
        size: 20,
        offset: 0,
    };
    let windows = Tumbling::of(ms(20));
    let lateness = ms(25);
    for mode in [Append, Update] {
        check(Model::of(kind).mode(mode).lateness(25), |k| {
            k.window(windows)
                .allowed_lateness(lateness)
                .output_mode(mode)
        });
        check(Model::of(kind).mode(mode), |k| {
            k.window(windows).output_mode(mode)
        });
        check(
            Model::of(Kind::Session { gap: 15 }).mode(mode).lateness(25),
            |k| {
                k.window(Session::with_gap(ms(15)))
                    .allowed_lateness(lateness)
                    .output_mode(mode)
            },
        );
        check(Model::of(kind).clock().mode(mode), |k| {
            k.window(windows.processing_time()).output_mode(mode)
        });
    }
    check(
        Model::of(kind)
            .when(When::Each(7))
            .mode(Update)
            .lateness(25),
        |k| {
            let each = ContinuousTrigger::event_time(ms(7));
            k.window(windows)
                .trigger(each)
                .allowed_lateness(lateness)
                .output_mode(Update)
        },
    );
}
