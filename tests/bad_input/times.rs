//! Event times that make no sense, and strategies and clocks that do not.

use crate::harness::{MODES, assert_error, failure, finish};
use millstream::prelude::*;
use millstream::runtime::clock::ManualClock;
use millstream::runtime::job::Options;
use millstream::runtime::record::NO_TIME;
use std::sync::Arc;
use std::time::Duration;

const NOW: i64 = 1_700_000_000_000;

fn within_a_day() -> WatermarkStrategy<i64> {
    let day = Duration::from_secs(86_400);
    WatermarkStrategy::ascending()
        .with_timestamps(|n: &i64| *n)
        .max_future(day)
        .max_past(day)
}

fn options() -> Options {
    Options {
        clock: Some(Arc::new(ManualClock::at_ms(NOW))),
        ..Options::default()
    }
}

/// Sound times among absurd ones.
fn times() -> Vec<i64> {
    let absurd = [
        i64::MAX,
        i64::MIN + 1,
        NO_TIME,
        0,
        -1,
        NOW * 1_000,
        NOW + 86_400_001,
    ];
    let sound = (0..700).map(|n| NOW - 3_500 + n * 10);
    sound
        .enumerate()
        .flat_map(|(index, time)| [absurd[index % absurd.len()], time])
        .collect()
}

fn is_sound(time: i64) -> bool {
    (NOW - 86_400_000..=NOW + 86_400_000).contains(&time)
}

/// Counts per window of a second: `(start, count)`.
fn windows(numbers: Stream<i64>) -> Collected {
    let (sink, results) = Collect::new();
    numbers
        .key_by(|_| ())
        .window(Tumbling::of(Duration::from_secs(1)))
        .count()
        .map(|w| (w.window.start, w.value))
        .sink("out", sink);
    results
}

type Collected = millstream::connectors::collect::CollectedHandle<(i64, u64)>;

fn expected() -> Vec<(i64, u64)> {
    let mut windows = std::collections::BTreeMap::new();
    for time in times().into_iter().filter(|t| is_sound(*t)) {
        *windows.entry(time.div_euclid(1_000) * 1_000).or_insert(0) += 1;
    }
    windows.into_iter().collect()
}

/// One time in the far future once fired every window, and what came after was late.
#[test]
fn times_out_of_range_are_set_aside_and_fire_no_window() {
    for mode in MODES {
        for in_mid_graph in [false, true] {
            let config = JobConfig {
                mode,
                ..JobConfig::default()
            };
            let job = Job::new("times");
            let source = Collection::new(times()).batch(40);
            let numbers = match in_mid_graph {
                true => job
                    .source("numbers", source)
                    .assign_timestamps(within_a_day()),
                false => job.timed_source("numbers", source, within_a_day()),
            };
            let (numbers, dead) = numbers.dead_letters();
            let results = windows(numbers);
            let (letters, dead_letters) = Collect::new();
            dead.sink("dead", letters);
            let handle = job.start_with(config, options()).unwrap();
            let report = finish(handle).unwrap();
            let mut results = results.take();
            results.sort();
            assert_eq!(results, expected());
            assert!(report.operators.iter().all(|o| o.late == 0));
            let dead = dead_letters.take();
            assert_eq!(dead.len(), 700);
            for letter in dead {
                assert_eq!(letter.kind, DeadLetterKind::EventTime, "{letter:?}");
                let time: i64 = letter.record().unwrap();
                assert!(!is_sound(time));
                if !in_mid_graph {
                    assert_eq!(letter.event_time, (time != NO_TIME).then_some(time));
                    assert_eq!(letter.split.as_deref(), Some("0"));
                }
            }
        }
    }
}

#[test]
fn times_out_of_range_fail_the_job_by_default() {
    for (time, text) in [
        (i64::MAX, "ahead of processing time"),
        (
            0,
            "event time 0 lies 1700000000000 ms behind processing time",
        ),
        (NO_TIME, "no event time"),
    ] {
        for in_mid_graph in [false, true] {
            let job = Job::new("times");
            let source = Collection::new(vec![NOW, NOW + 1, time]);
            let (name, numbers) = match in_mid_graph {
                true => {
                    let numbers = job.source("numbers", source);
                    (
                        "assign_timestamps",
                        numbers.assign_timestamps(within_a_day()),
                    )
                }
                false => (
                    "numbers",
                    job.timed_source("numbers", source, within_a_day()),
                ),
            };
            numbers.sink("out", Null::new());
            let error = failure(job.start_with(JobConfig::default(), options()));
            let name = format!("operator \"{name}\" on worker 0");
            assert_error(&error, ErrorKind::Record, &[&name, "record 2: ", text]);
        }
    }
}

/// A timestamp function that panics is a user function like any other.
#[test]
fn timestamps_that_cannot_be_taken() {
    for mode in MODES {
        let job = Job::new("times");
        let strategy = WatermarkStrategy::ascending().with_timestamps(|n: &i64| {
            assert!(n % 10 != 3, "boom at {n}");
            *n
        });
        let source = Collection::new((0..1_000).collect()).splits(3);
        let (numbers, dead) = job.timed_source("numbers", source, strategy).dead_letters();
        let (sink, results) = Collect::new();
        numbers.sink("out", sink);
        let (letters, dead_letters) = Collect::new();
        dead.sink("dead", letters);
        let config = JobConfig {
            mode,
            workers: 2,
            ..JobConfig::default()
        };
        let report = finish(job.start(config).unwrap()).unwrap();
        assert_eq!(report.operator("numbers").unwrap().dead, 100);
        assert_eq!(results.take().len(), 900);
        for letter in dead_letters.take() {
            assert_eq!(letter.kind, DeadLetterKind::Panic);
            let n: i64 = letter.record().unwrap();
            assert_eq!(letter.reason, format!("boom at {n}"));
            assert_eq!(letter.split, Some((n % 3).to_string()));
        }
    }
}

/// Says whatever the last record says.
struct Erratic(i64);

impl WatermarkGenerator<i64> for Erratic {
    fn on_record(&mut self, value: &i64, _: i64) {
        self.0 = *value;
    }
    fn watermark(&self) -> i64 {
        self.0
    }
    fn restore(&mut self, snapshot: i64) {
        self.0 = snapshot;
    }
}

/// A generator that goes back is not followed; one that says `i64::MAX` does not end the input: what comes after is
/// processed, and windows at the end of time fire when the input ends.
#[test]
fn a_generator_that_talks_nonsense() {
    for mode in MODES {
        for in_mid_graph in [false, true] {
            let job = Job::new("times");
            let said = vec![
                (0, 500),
                (600, 300),
                (700, i64::MIN),
                (1_500, i64::MAX),
                (i64::MAX, 0),
            ];
            let source = Collection::timed(said).batch(1);
            let strategy = WatermarkStrategy::custom(|| Erratic(i64::MIN));
            let numbers = match in_mid_graph {
                true => job.source("numbers", source).assign_timestamps(strategy),
                false => job.timed_source("numbers", source, strategy),
            };
            let results = windows(numbers);
            let config = JobConfig {
                mode,
                ..JobConfig::default()
            };
            let report = finish(job.start(config).unwrap()).unwrap();
            let late: u64 = report.operators.iter().map(|o| o.late).sum();
            let counted: u64 = results.take().iter().map(|r| r.1).sum();
            assert_eq!((late, counted), (0, 5));
        }
    }
}

#[test]
fn strategies_without_sense_are_refused() {
    let idle = || WatermarkStrategy::<i64>::ascending().idle_after(Duration::ZERO);
    let both = || WatermarkStrategy::ingestion_time().with_timestamps(|n: &i64| *n);
    for (strategy, text) in [(idle(), "idle timeout"), (both(), "ingestion")] {
        let job = Job::new("times");
        job.timed_source("numbers", Collection::new(vec![1]), strategy.clone())
            .sink("out", Null::new());
        let error = failure(job.start(JobConfig::default()));
        assert_error(&error, ErrorKind::Graph, &["\"numbers\"", text]);
        let job = Job::new("times");
        job.source("numbers", Collection::new(vec![1]))
            .assign_timestamps(strategy)
            .name("times")
            .sink("out", Null::new());
        let error = failure(job.start(JobConfig::default()));
        assert_error(&error, ErrorKind::Graph, &["\"times\"", text]);
    }
}
