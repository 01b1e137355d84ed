//! The built-in operators under the contract kit, against naive references.

use super::Harness;
use super::contract::{Step, in_every_way};
use crate::aggregate::{Count, Sum};
use crate::assign::AssignTimestamps;
use crate::process::{SideTag, SideTags};
use crate::rolling::Rolling;
use crate::window::TumblingOperator;
use crate::{Tumbling, Windowed};
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN};
use millstream_runtime::watermark::WatermarkStrategy;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Records up to 40 ms out of order, some of them late, and watermarks in between.
fn script(seed: u64) -> Vec<Step<u8, u64>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut watermark = 0;
    let mut steps = Vec::new();
    for _ in 0..random.usize(..120) {
        if random.u8(..6) == 0 {
            watermark += random.i64(0..50);
            steps.push(Step::Watermark(watermark));
        } else {
            let time = watermark + random.i64(-30..40);
            steps.push(Step::Record(time, random.u8(..5), random.u64(..100)));
        }
    }
    steps
}

#[test]
fn rolling_is_the_sum_so_far() {
    for seed in 0..12 {
        let script = script(seed);
        let sum = || Arc::new(Sum::<_, u64>::of(|value: &u64| *value));
        let results = in_every_way(|| Harness::new(move || Rolling::new(sum())), &script);
        let mut sums = BTreeMap::new();
        let mut expected = Vec::new();
        for step in &script {
            if let Step::Record(time, key, value) = step {
                let sum: &mut u64 = sums.entry(*key).or_default();
                *sum += value;
                expected.push(Record::new(*time, (*key, *sum)));
            }
        }
        let mut results: Vec<_> = results.into_iter().flatten().collect();
        results.sort();
        expected.sort();
        assert_eq!(results, expected, "seed {seed}");
    }
}

/// Counts tumbling windows of 20 ms the slow way: a window's result is out when its end is at or
/// below the watermark, and again for each record within the allowed lateness.
fn windows_the_slow_way(
    script: &[Step<u8, u64>],
    lateness: i64,
) -> Vec<Vec<Record<Windowed<u8, u64>>>> {
    let windows = Tumbling::of(Duration::from_millis(20));
    let mut counts: BTreeMap<(EventTime, u8), u64> = BTreeMap::new();
    let mut watermark = WATERMARK_MIN;
    let mut results = vec![Vec::new()];
    let result = |start: EventTime, key: u8, value: u64| {
        let window = windows.window_of(start);
        Record::new(window.end - 1, Windowed { window, key, value })
    };
    let end = Step::Watermark(WATERMARK_MAX);
    for step in script.iter().chain([&end]) {
        let last = results.last_mut().unwrap();
        match *step {
            Step::Record(time, key, _) => {
                let window = windows.window_of(time);
                if window.end + lateness <= watermark {
                    continue;
                }
                let count = counts.entry((window.start, key)).or_default();
                *count += 1;
                if window.end <= watermark {
                    last.push(result(window.start, key, *count));
                }
            }
            Step::Watermark(to) => {
                for ((start, key), count) in &counts {
                    let end = windows.window_of(*start).end;
                    if end > watermark && end <= to {
                        last.push(result(*start, *key, *count));
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
    results
}

#[test]
fn tumbling_windows_count_as_the_slow_way_does() {
    for seed in 0..12 {
        let script = script(seed);
        for lateness in [0, 25] {
            let make = || {
                let (late, _) = SideTag::new("late").collect();
                let windows = Tumbling::of(Duration::from_millis(20));
                Harness::new(move || {
                    let late = late.clone().into_output();
                    TumblingOperator::new(windows, lateness, Arc::new(Count), late)
                })
            };
            let results = in_every_way(make, &script);
            let expected = windows_the_slow_way(&script, lateness);
            assert_eq!(results, expected, "seed {seed}, lateness {lateness}");
        }
    }
}

#[test]
fn windows_leave_no_state_and_late_records_are_a_stream() {
    let (late, records) = SideTag::<(u8, u64)>::new("late").collect();
    let windows = Tumbling::of(Duration::from_millis(20));
    let mut harness = Harness::new(move || {
        TumblingOperator::new(windows, 10, Arc::new(Count), late.clone().into_output())
    });
    harness.batch([(5, (1, 0)), (25, (1, 0))]);
    harness.watermark(25);
    assert_eq!(harness.take().len(), 1);
    assert_eq!(
        harness.keys(),
        2,
        "the first window is kept for late records"
    );
    harness.watermark(30);
    assert_eq!(harness.keys(), 1);
    harness.record(6, (1, 7));
    assert_eq!(harness.late(), 1);
    assert_eq!(records.take(), [Record::new(6, (1, 7))]);
    harness.watermark(50);
    assert_eq!(harness.keys(), 0);
}

/// The watermark goes back in a restore to the least of all workers'. A window that has fired for a key does not fire
/// anew: a record of it updates its result.
#[test]
fn a_window_that_has_fired_is_updated_after_its_watermark_went_back() {
    let (late, _) = SideTag::<(u8, u64)>::new("late").collect();
    let windows = Tumbling::of(Duration::from_millis(20));
    let mut harness = Harness::new(move || {
        TumblingOperator::new(windows, 10, Arc::new(Count), late.clone().into_output())
    });
    let counts = |harness: &mut Harness<TumblingOperator<u8, u64, Count>>| -> Vec<(u8, u64)> {
        let rows = harness.take_values().into_iter();
        rows.map(|row| (row.key, row.value)).collect()
    };
    harness.record(5, (1, 0));
    harness.watermark(25);
    assert_eq!(counts(&mut harness), [(1, 1)]);
    harness.instances[0].context.watermark = 15;
    harness.restart();
    harness.batch([(6, (1, 0)), (7, (2, 0)), (8, (1, 0))]);
    assert_eq!(counts(&mut harness), [(1, 2), (1, 3)]);
    harness.watermark(20);
    assert_eq!(counts(&mut harness), [(2, 1)]);
    harness.record(9, (1, 0));
    assert_eq!(counts(&mut harness), [(1, 4)]);
    harness.watermark(30);
    assert!(counts(&mut harness).is_empty());
    assert_eq!(harness.keys(), 0);
}

/// A table of many panes is searched for many records at once: for panes that are there, that are not, and that a
/// record of the same search makes.
#[test]
fn windows_of_many_keys_count_as_those_of_few_do() {
    const KEYS: u64 = 70_000;
    /// So large that this many of them are more than the nearest caches hold.
    type Large = [u64; 16];
    let large = |key: u64| -> Large { [key; 16] };
    let windows = Tumbling::of(Duration::from_millis(20));
    let (late, _) = SideTag::<(Large, u64)>::new("late").collect();
    let mut harness = Harness::new(move || {
        TumblingOperator::new(windows, 0, Arc::new(Count), late.clone().into_output())
    });
    harness.batch((0..KEYS).map(|key| (5, (large(key), 0))));
    let more = (0..KEYS + 100).flat_map(|key| {
        let key = large(key);
        [(6, (key, 0)), (25, (key, 0)), (7, (key, 0))]
    });
    harness.batch(more);
    harness.watermark(20);
    let rows = harness.take();
    assert_eq!(rows.len() as u64, KEYS + 100);
    for row in rows {
        let expected = if row.value.key[0] < KEYS { 3 } else { 2 };
        assert_eq!((row.value.window.start, row.value.value), (0, expected));
    }
    harness.watermark(40);
    assert!(harness.take().iter().all(|row| row.value.value == 1));
    assert_eq!(harness.keys(), 0);
}

#[test]
fn assigned_watermarks_survive_a_restart() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let delay = Duration::from_millis(10);
        let make = move || {
            let strategy = WatermarkStrategy::bounded_out_of_orderness(delay);
            AssignTimestamps::new(&strategy.with_timestamps(|value: &i64| *value))
        };
        let (mut straight, mut restarted) = (Harness::new(make), Harness::new(make));
        let mut greatest = EventTime::MIN;
        for step in 0..40 {
            let value = step * 5 + random.i64(-20..20);
            greatest = greatest.max(value);
            straight.batch_on(0, [(0, value)]);
            restarted.batch_on(0, [(0, value)]);
            restarted.restart();
            assert_eq!(straight.output_watermark(), restarted.output_watermark());
            assert!(straight.output_watermark() <= greatest - 9);
        }
        let records = straight.take();
        assert!(records.iter().all(|record| record.time == record.value));
        assert_eq!(records, restarted.take());
    }
}
