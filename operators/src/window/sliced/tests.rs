//! Sliced windows against windows computed the slow way, each from all its records, in every way that the
//! contract kit knows.

use super::SlicedOperator;
use crate::aggregate::{Aggregator, Count, Reduce, Sum};
use crate::process::{Collected, SideRecords, SideTag, SideTags};
use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use crate::window::slicing::Slicing;
use crate::window::{Window, Windowed};
use millstream_runtime::hash::stable_hash;
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

mod failures;

type Late = SideRecords<(u8, u64)>;

fn harness<G: Aggregator<u64>>(
    slicing: Slicing,
    lateness: i64,
    aggregator: G,
) -> (Harness<SlicedOperator<u8, u64, G, 2>>, Late) {
    harness_holding(slicing, lateness, aggregator)
}

/// The rows of its table hold so many slices.
fn harness_holding<G: Aggregator<u64>, const H: usize>(
    slicing: Slicing,
    lateness: i64,
    aggregator: G,
) -> (Harness<SlicedOperator<u8, u64, G, H>>, Late) {
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

/// Sums are taken out again as windows move on. Reduced, the same numbers cannot be.
#[test]
fn windows_sum_as_the_slow_way_does() {
    check::<_, 0>(sum, 0..25);
    check::<_, 2>(sum, 25..75);
    check::<_, 2>(
        || Reduce::new(|a: u64, b: u64| a + b).unmerged_by(|a, b| a - b),
        0..10,
    );
    let reduced = || Reduce::new(|a: u64, b: u64| a + b);
    check::<_, 0>(reduced, 0..50);
    check::<_, 2>(reduced, 50..75);
}

fn check<G: Aggregator<u64, Out = u64>, const H: usize>(aggregator: fn() -> G, seeds: Range<u64>) {
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let windows = Windows::any(&mut random);
        let lateness = if random.bool() { 0 } else { random.i64(1..80) };
        let script = script(&mut random);
        let make = move || harness_holding::<_, H>(windows.slicing(), lateness, aggregator()).0;
        let results = in_every_way(make, &script);
        let (expected, late) = the_slow_way(windows, lateness, &script);
        for (at, (found, expected)) in results.iter().zip(&expected).enumerate() {
            let what = format!("seed {seed}: {windows:?}, lateness {lateness}, watermark {at}");
            assert_eq!(found, expected, "{what}");
        }

        let (mut straight, late_records) =
            harness_holding::<_, H>(windows.slicing(), lateness, aggregator());
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

/// What has no neutral element cannot be taken out of itself.
#[test]
fn the_last_slice_of_a_key_is_not_taken_out() {
    let sum = Reduce::new(|a: u64, b: u64| a + b).unmerged_by(|whole, part| {
        assert!(whole > part);
        whole - part
    });
    let (mut windows, _) = harness(Slicing::sliding(20, 10, 0), 0, sum);
    windows.batch([(5, (1, 3)), (15, (1, 4)), (55, (1, 5))]);
    windows.end();
    let sums = windows.take_values().into_iter().map(|sum| sum.value);
    assert_eq!(sums.collect::<Vec<_>>(), [3, 7, 4, 5, 5]);
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
    let mut operator =
        SlicedOperator::<_, _, _, 2>::new(slicing, 0, Arc::new(Count), late.into_output());
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

/// Workers whose watermarks differ: what one of them has fired is fired no more after a restore, whose watermark is the
/// least of all, not even on another number of workers; and what was late for it is late.
#[test]
fn a_watermark_that_is_set_back_fires_nothing_twice() {
    use millstream_runtime::hash::{DEFAULT_KEY_GROUPS, KeyGroups};
    for (lateness, workers) in [(0, 3), (0, 2), (30, 3), (30, 1)] {
        let (mut windows, late) = harness(Slicing::sliding(20, 10, 0), lateness, Count);
        windows.restart_on(2);
        windows.batch((0..200).map(|key| (5, (key, 0))));
        windows.watermark_of(0, 25);
        let fired: Vec<u8> = windows
            .take_values()
            .iter()
            .map(|count| count.key)
            .collect();
        let groups = KeyGroups::new(DEFAULT_KEY_GROUPS, 2);
        let is_first = |key: &u8| groups.worker_of_hash(stable_hash(key)) == 0;
        let firsts: Vec<u8> = (0..200).filter(is_first).collect();
        assert_eq!(fired.len(), 2 * firsts.len(), "both windows, of one worker");
        windows.restart_on(workers);
        let (early, other) = (firsts[0], (0..200).find(|key| !is_first(key)).unwrap());
        windows.batch([(6, (early, 0)), (6, (other, 0))]);
        let again = windows.take_values().into_iter();
        let again: Vec<(u8, i64, u64)> = again.map(|c| (c.key, c.window.end, c.value)).collect();
        match lateness {
            0 => assert_eq!(
                (again, late.take()),
                (vec![], vec![Record::new(6, (early, 0))])
            ),
            _ => assert_eq!(again, [(early, 10, 2), (early, 20, 2)]),
        }
        windows.watermark(25);
        let mut rest: Vec<u8> = windows
            .take_values()
            .iter()
            .map(|count| count.key)
            .collect();
        rest.sort_unstable();
        rest.dedup();
        let seconds: Vec<u8> = (0..200).filter(|key| !is_first(key)).collect();
        assert_eq!(rest, seconds, "the others fire now");
        windows.end();
        assert_eq!(windows.keys(), 0);
    }
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
