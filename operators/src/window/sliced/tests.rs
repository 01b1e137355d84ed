//! Sliced windows against windows computed the slow way, each from all its records, in every way that the
//! contract kit knows.

use super::SlicedOperator;
use crate::aggregate::{Aggregator, Count, Reduce, Sum};
use crate::process::{Collected, SideRecords, SideTag, SideTags};
use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use crate::window::slicing::Slicing;
use crate::window::{Window, Windowed};
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN};
use std::collections::BTreeMap;
use std::sync::Arc;

type Late = SideRecords<(u8, u64)>;

fn harness<G: Aggregator<u64>>(
    slicing: Slicing,
    lateness: i64,
    aggregator: G,
) -> (Harness<SlicedOperator<u8, u64, G>>, Late) {
    let (late, records) = SideTag::new("late").collect();
    let aggregator = Arc::new(aggregator);
    let make = move || {
        let late = late.clone().into_output();
        SlicedOperator::new(slicing, lateness, aggregator.clone(), late)
    };
    (Harness::new(make), records)
}

fn sum() -> Sum<fn(&u64) -> u64, u64> {
    Sum::of(|value| *value)
}

/// Windows as a user describes them.
#[derive(Clone, Copy, Debug)]
enum Windows {
    Sliding { size: i64, slide: i64, offset: i64 },
    Cumulating { max: i64, step: i64, offset: i64 },
}

impl Windows {
    fn any(random: &mut fastrand::Rng) -> Windows {
        let size = random.i64(1..60);
        if random.u8(..4) == 0 {
            let (max, step) = (size * random.i64(1..8), size);
            let offset = random.i64(0..max);
            return Windows::Cumulating { max, step, offset };
        }
        let slide = random.i64(1..=size + 5);
        let offset = random.i64(0..slide);
        Windows::Sliding {
            size,
            slide,
            offset,
        }
    }

    fn slicing(self) -> Slicing {
        match self {
            Windows::Sliding {
                size,
                slide,
                offset,
            } => Slicing::sliding(size, slide, offset),
            Windows::Cumulating { max, step, offset } => Slicing::cumulating(max, step, offset),
        }
    }

    /// All windows that hold a time, by looking at each that could.
    fn of(self, time: EventTime) -> Vec<Window> {
        let begin =
            |offset: i64, every: i64| move |start: &i64| (start - offset).rem_euclid(every) == 0;
        match self {
            Windows::Sliding {
                size,
                slide,
                offset,
            } => {
                let starts = (time - size + 1..=time).filter(begin(offset, slide));
                starts
                    .map(|start| Window {
                        start,
                        end: start + size,
                    })
                    .collect()
            }
            Windows::Cumulating { max, step, offset } => {
                let starts = (time - max + 1..=time).filter(begin(offset, max));
                let grown = |start| (1..=max / step).map(move |n| (start, start + n * step));
                let windows = starts.flat_map(grown).filter(|(_, end)| time < *end);
                windows.map(|(start, end)| Window { start, end }).collect()
            }
        }
    }
}

/// Records out of order, now and then far behind, and watermarks in between.
fn script(random: &mut fastrand::Rng) -> Vec<Step<u8, u64>> {
    let mut watermark = random.i64(-200..200);
    let mut steps = Vec::new();
    let rise = random.i64(2..80);
    for _ in 0..random.usize(..150) {
        if random.u8(..6) == 0 {
            watermark += random.i64(0..rise);
            steps.push(Step::Watermark(watermark));
        } else {
            let behind = if random.u8(..8) == 0 { 120 } else { 15 };
            let time = watermark + random.i64(-behind..40);
            steps.push(Step::Record(time, random.u8(..4), random.u64(..100)));
        }
    }
    steps
}

type Results = Vec<Vec<Record<Windowed<u8, u64>>>>;

/// Sums windows as Flink's window operator does: a record goes into each of its windows that is not over,
/// allowed lateness included; a window whose end has passed is put out with each record.
fn the_slow_way(windows: Windows, lateness: i64, script: &[Step<u8, u64>]) -> (Results, u64) {
    let mut sums: BTreeMap<(Window, u8), u64> = BTreeMap::new();
    let mut watermark = WATERMARK_MIN;
    let mut results = vec![Vec::new()];
    let mut late = 0;
    let end = Step::Watermark(WATERMARK_MAX);
    for step in script.iter().chain([&end]) {
        let last = results.last_mut().unwrap();
        let mut put_out = |window: Window, key, value| {
            last.push(Record::new(window.end - 1, Windowed { window, key, value }));
        };
        match *step {
            Step::Record(time, key, value) => {
                let all = windows.of(time);
                let open = all
                    .iter()
                    .filter(|window| window.end + lateness > watermark);
                let open: Vec<_> = open.collect();
                late += u64::from(open.is_empty() && !all.is_empty());
                for window in open {
                    let sum = sums.entry((*window, key)).or_default();
                    *sum += value;
                    if window.end <= watermark {
                        put_out(*window, key, *sum);
                    }
                }
            }
            Step::Watermark(to) => {
                for ((window, key), sum) in &sums {
                    if window.end > watermark && window.end <= to {
                        put_out(*window, *key, *sum);
                    }
                }
                watermark = to;
                last.sort();
                results.push(Vec::new());
            }
            Step::ProcessingTime(_) => {}
        }
    }
    results.pop();
    (results, late)
}

#[test]
fn windows_sum_as_the_slow_way_does() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let windows = Windows::any(&mut random);
        let lateness = if random.bool() { 0 } else { random.i64(1..80) };
        let script = script(&mut random);
        let make = || harness(windows.slicing(), lateness, sum()).0;
        let results = in_every_way(make, &script);
        let (expected, late) = the_slow_way(windows, lateness, &script);
        for (at, (found, expected)) in results.iter().zip(&expected).enumerate() {
            let what = format!("seed {seed}: {windows:?}, lateness {lateness}, watermark {at}");
            assert_eq!(found, expected, "{what}");
        }

        let (mut straight, late_records) = harness(windows.slicing(), lateness, sum());
        for step in script {
            match step {
                Step::Record(time, key, value) => straight.record(time, (key, value)),
                Step::Watermark(watermark) => straight.watermark(watermark),
                Step::ProcessingTime(_) => {}
            }
        }
        assert_eq!(
            straight.late(),
            late,
            "seed {seed}: {windows:?}, lateness {lateness}"
        );
        assert_eq!(late_records.take().len() as u64, late, "seed {seed}");
        straight.end();
        assert_eq!(straight.keys(), 0, "seed {seed}: state is left");
    }
}

/// What a restore rebuilds must merge in the same order as what it replaces.
#[test]
fn results_do_not_depend_on_restarts_when_the_order_of_values_matters() {
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let windows = Windows::any(&mut random);
        let lateness = if random.bool() { 0 } else { random.i64(1..80) };
        let script = script(&mut random);
        let last = || Reduce::new(|_: u64, last: u64| last);
        in_every_way(|| harness(windows.slicing(), lateness, last()).0, &script);
    }
}

#[test]
fn state_is_freed_as_windows_end() {
    let slicing = Slicing::sliding(100, 10, 0);
    let (mut windows, _) = harness(slicing, 0, Count);
    windows.batch((0..100).map(|key| (i64::from(key), (key, 0))));
    windows.watermark(140);
    assert_eq!(windows.keys(), 50);
    windows.watermark(189);
    assert_eq!(windows.keys(), 10);
    windows.watermark(190);
    assert_eq!(windows.keys(), 0);

    let (mut windows, late) = harness(slicing, 50, Count);
    windows.record(5, (1, 0));
    windows.watermark(100);
    assert_eq!(windows.take().len(), 10);
    windows.watermark(149);
    assert_eq!(windows.keys(), 1);
    windows.record(6, (1, 0));
    let counts = windows.take_values().into_iter();
    assert_eq!(
        counts.map(|w| w.value).collect::<Vec<_>>(),
        [2],
        "only the last is kept"
    );
    windows.watermark(150);
    assert_eq!(windows.keys(), 0);
    windows.record(7, (1, 9));
    assert_eq!(late.take(), [Record::new(7, (1, 9))]);
    assert_eq!(windows.keys(), 0);
}

/// A watermark that fires much returns now and then; a record that comes in between is late for the windows
/// that are over, although its key has still to fire them.
#[test]
fn a_record_between_two_pieces_of_work_is_not_in_windows_that_are_over() {
    use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, Work};
    let (late, _) = SideTag::<(u64, u64)>::new("late").collect();
    let slicing = Slicing::sliding(20, 10, 0);
    let mut operator = SlicedOperator::new(slicing, 0, Arc::new(Count), late.into_output());
    let put_out = Collected::<Windowed<u64, u64>>::default();
    let mut out = Output::new(Box::new(put_out.clone()));
    let mut context = OperatorContext::detached();
    for key in 0..5_000 {
        operator
            .on_record(Record::new(5, (key, 0)), &mut context, &mut out)
            .unwrap();
    }
    context.watermark = 10;
    let work = operator.on_watermark(&mut context, &mut out).unwrap();
    assert_eq!(work, Work::More);
    for key in 0..5_000 {
        operator
            .on_record(Record::new(6, (key, 0)), &mut context, &mut out)
            .unwrap();
    }
    while operator.on_watermark(&mut context, &mut out).unwrap() == Work::More {}
    out.flush().unwrap();
    let counts = put_out.take();
    assert_eq!(counts.len(), 5_000);
    assert!(counts.iter().all(|record| record.value.value == 1));
}

#[test]
fn the_ends_of_time() {
    for watermark in [WATERMARK_MIN, i64::MIN + 1] {
        let (mut windows, _) = harness(Slicing::sliding(100, 30, 7), 10, Count);
        windows.watermark(watermark);
        windows.record(i64::MIN + 1, (1, 0));
        windows.record(i64::MAX, (1, 0));
        windows.restart_on(2);
        windows.end();
        let results = windows.take();
        assert!(results.iter().all(|record| record.value.value == 1));
        assert!(results.len() >= 2, "{results:?}");
        assert_eq!(windows.keys(), 0);
    }
}

#[test]
fn a_record_without_event_time_is_refused() {
    let (mut windows, _) = harness(Slicing::sliding(100, 30, 7), 10, Count);
    let error = windows.try_batch([(i64::MIN, (1, 0))]).unwrap_err();
    assert!(error.to_string().contains("no event time"), "{error}");
}

#[test]
fn records_between_windows_are_counted_as_left_out() {
    let (mut windows, late) = harness(Slicing::sliding(10, 30, 0), 0, Count);
    windows.batch([(9, (1, 0)), (10, (1, 0)), (29, (1, 0)), (30, (1, 0))]);
    windows.end();
    assert_eq!(windows.take().len(), 2);
    assert_eq!((windows.late(), late.take().len()), (0, 0));
}
