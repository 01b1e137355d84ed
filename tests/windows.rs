//! Windows in whole jobs: what is refused before one starts, and what both modes make of the others.

use millstream::operators::window::Windowing;
use millstream::operators::{
    ContinuousTrigger, CountEvictor, CountTrigger, CountWindow, Cumulating, DeltaEvictor,
    DeltaTrigger, EventTimeTrigger, Global, OutputMode, PurgingTrigger, Session, Sliding,
    TimeEvictor, WindowedStream,
};
use millstream::prelude::*;
use std::time::Duration;

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

type Numbers = KeyedStream<u64, u64>;

/// A job of one operator, `per hour`, on the numbers below `count` at as many milliseconds.
fn job<W: Windowing<u64>>(
    count: u64,
    cut: impl FnOnce(Numbers) -> WindowedStream<u64, u64, W>,
) -> (
    Job,
    millstream::connectors::collect::CollectedHandle<Windowed<u64, u64>>,
) {
    let job = Job::new("windows");
    let numbers = Collection::timed((0..count).map(|n| (n as i64, n)).collect());
    let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
    let (sink, results) = Collect::new();
    let counts = cut(numbers.key_by(|n| n % 3)).count();
    counts.name("per hour").sink("out", sink);
    (job, results)
}

/// The error of a start that is refused.
fn refusal<W: Windowing<u64>>(cut: impl FnOnce(Numbers) -> WindowedStream<u64, u64, W>) -> String {
    match job(1, cut).0.start(JobConfig::default()) {
        Ok(_) => panic!("the job started"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Graph);
            error.to_string()
        }
    }
}

#[test]
fn windows_that_make_no_sense_are_refused_with_the_operators_name() {
    let minutes = Tumbling::of(Duration::from_secs(60));
    let distance = |_: &u64, _: &u64| 0.0;
    let cases = [
        (
            refusal(|k| k.window(Tumbling::of(ZERO))),
            "the size of a tumbling window must be at least 1 ms",
        ),
        (
            refusal(|k| k.window(Tumbling::of(ZERO).offset(SECOND))),
            "size of a tumbling window",
        ),
        (
            refusal(|k| k.window(Tumbling::of(Duration::from_micros(999)))),
            "at least 1 ms",
        ),
        (
            refusal(|k| k.window(Tumbling::of(ZERO).processing_time())),
            "size of a tumbling window",
        ),
        (
            refusal(|k| k.window(Sliding::of(ZERO, SECOND))),
            "size of a sliding window",
        ),
        (
            refusal(|k| k.window(Sliding::of(SECOND, ZERO))),
            "slide of a sliding window",
        ),
        (
            refusal(|k| k.window(Cumulating::of(ZERO, SECOND))),
            "greatest size of a cumulating window",
        ),
        (
            refusal(|k| k.window(Cumulating::of(SECOND, ZERO))),
            "step of a cumulating window",
        ),
        (
            refusal(|k| k.window(Cumulating::of(SECOND * 5, SECOND * 2))),
            "multiple of its step",
        ),
        (
            refusal(|k| k.window(Session::with_gap(ZERO))),
            "gap of a session must be at least 1 ms",
        ),
        (
            refusal(|k| k.window(CountWindow::of(0))),
            "size of a count window must be at least 1 record",
        ),
        (
            refusal(|k| k.window(CountWindow::sliding(0, 1))),
            "size of a count window",
        ),
        (
            refusal(|k| k.window(CountWindow::sliding(1, 0))),
            "slide of a count window",
        ),
        (
            refusal(|k| k.window(Global).trigger(CountTrigger::of(0))),
            "count trigger must be at least 1",
        ),
        (
            refusal(|k| {
                k.window(Global)
                    .trigger(PurgingTrigger::of(CountTrigger::of(0)))
            }),
            "count trigger must be at least 1",
        ),
        (
            refusal(|k| {
                let early = EventTimeTrigger.early(ContinuousTrigger::event_time(ZERO));
                k.window(minutes).trigger(early)
            }),
            "interval of a continuous trigger must be at least 1 ms",
        ),
        (
            refusal(|k| {
                k.window(Global)
                    .trigger(DeltaTrigger::of(f64::NAN, distance))
            }),
            "threshold of a delta trigger is not a number",
        ),
        (
            refusal(|k| k.window(minutes).evictor(CountEvictor::of(0))),
            "count evictor must keep at least 1",
        ),
        (
            refusal(|k| k.window(minutes).evictor(TimeEvictor::of(ZERO))),
            "time evictor must keep at least 1 ms",
        ),
        (
            refusal(|k| {
                k.window(minutes)
                    .evictor(DeltaEvictor::of(f64::NAN, distance))
            }),
            "threshold of a delta evictor is not a number",
        ),
        (
            refusal(|k| {
                let triggered = k.window(minutes).trigger(CountTrigger::of(2));
                triggered.output_mode(OutputMode::Append)
            }),
            "a trigger has no say",
        ),
        (
            refusal(|k| k.window(CountWindow::of(2)).output_mode(OutputMode::Append)),
            "windows that end by themselves",
        ),
    ];
    for (error, part) in cases {
        let named = error.contains("operator \"per hour\"");
        assert!(named && error.contains(part), "{part} in: {error}");
    }
}

#[test]
fn a_slide_longer_than_the_size_is_a_warning() {
    let warned = |job: Job| {
        let graph = job.graph();
        let node = graph.nodes().iter().find(|node| node.name == "per hour");
        node.unwrap().warnings.clone()
    };
    let warning = warned(job(9, |k| k.window(Sliding::of(SECOND, SECOND * 2))).0);
    assert_eq!(
        warning,
        ["windows of 1s slide by 2s: records in between belong to no window"]
    );
    let warning = warned(job(9, |k| k.window(CountWindow::sliding(1, 2))).0);
    assert_eq!(
        warning,
        ["windows of 1 records slide by 2: records in between are in no result"]
    );
    assert!(warned(job(9, |k| k.window(Sliding::of(SECOND, SECOND))).0).is_empty());
}

#[test]
fn a_gap_that_makes_no_sense_ends_the_job_at_its_record() {
    let gap = |n: &u64| Duration::from_millis(7 - n);
    let (job, _results) = job(9, |k| k.window(Session::with_gap_of(gap)));
    let error = job.start(JobConfig::default()).unwrap().wait().unwrap_err();
    let text = error.to_string();
    let parts = [
        "operator \"per hour\"",
        "record 7",
        "session gap of this record is 0ns",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn a_gap_that_makes_no_sense_goes_by_the_error_policy() {
    let job = Job::new("gaps");
    let numbers = Collection::timed((0..9).map(|n| (n, n as u64)).collect());
    let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
    let gap = |n: &u64| Duration::from_millis(if *n == 7 { 0 } else { 100 });
    let sessions = numbers.key_by(|_| 0).window(Session::with_gap_of(gap));
    let (sink, results) = Collect::new();
    let counts = sessions.count().on_error(ErrorPolicy::Skip);
    counts.sink("out", sink);
    job.start(JobConfig::default()).unwrap().wait().unwrap();
    assert_eq!(results.take()[0].value, 8);
}

/// Window, key and count of each result, in both modes and on several workers.
fn in_both_modes<W: Windowing<u64>>(
    cut: impl Fn(Numbers) -> WindowedStream<u64, u64, W>,
    check: impl Fn(Vec<Windowed<u64, u64>>),
) {
    let batches = Mode::MicroBatch {
        interval: Duration::ZERO,
    };
    for mode in [Mode::Continuous, batches] {
        for workers in [1, 3] {
            let (job, results) = job(3_000, &cut);
            let config = JobConfig {
                workers,
                mode,
                ..JobConfig::default()
            };
            job.start(config).unwrap().wait().unwrap();
            let mut results: Vec<_> = results.take();
            results.sort();
            check(results);
        }
    }
}

#[test]
fn windows_by_number_in_both_modes() {
    in_both_modes(
        |k| k.window(CountWindow::of(64)),
        |results| {
            assert_eq!(results.len(), 3 * (1000 / 64));
            let full = |w: &Windowed<u64, u64>| {
                w.value == 64 && w.window.end - w.window.start == 63 * 3 + 1
            };
            assert!(results.iter().all(full), "{results:?}");
        },
    );
}

/// The clock of a worker decides where a record goes, but each goes somewhere, and is put out at the end of input at
/// the latest.
#[test]
fn windows_of_processing_time_in_both_modes() {
    in_both_modes(
        |k| k.window(Tumbling::of(Duration::from_millis(5)).processing_time()),
        |results| {
            assert_eq!(results.iter().map(|w| w.value).sum::<u64>(), 3_000);
            assert!(results.iter().all(|w| w.window.start % 5 == 0));
        },
    );
}

#[test]
fn complete_mode_in_both_modes() {
    in_both_modes(
        |k| {
            let global = k.window(Global).trigger(EventTimeTrigger);
            global.output_mode(OutputMode::Complete)
        },
        |results| {
            let rows: Vec<_> = results.iter().map(|w| (w.key, w.value)).collect();
            assert_eq!(rows, [(0, 1000), (1, 1000), (2, 1000)]);
        },
    );
}

#[test]
fn one_window_over_the_whole_stream() {
    for workers in [1, 2] {
        let job = Job::new("all");
        let numbers = Collection::timed((0..1000).map(|n| (n, n as u64)).collect()).splits(2);
        let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
        let (sink, results) = Collect::new();
        let windows = numbers.window_all(Tumbling::of(Duration::from_millis(400)));
        windows.count().sink("out", sink);
        let config = JobConfig {
            workers,
            ..JobConfig::default()
        };
        job.start(config).unwrap().wait().unwrap();
        let mut rows: Vec<_> = results
            .take()
            .iter()
            .map(|w| (w.window.start, w.value))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [(0, 400), (400, 400), (800, 200)]);
    }
}

/// A window function that fails ends the job with the operator's name, whenever it is called.
#[test]
fn a_window_function_that_fails_ends_the_job() {
    let job = Job::new("fails");
    let numbers = Collection::timed(vec![(0, 1u64)]);
    let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
    let windows = numbers.key_by(|n| *n).window(Tumbling::of(SECOND));
    let failing = windows.process(|_, _, _: &mut Collector<'_, u64>| Err("no luck".into()));
    failing.name("medians").sink("out", Null::new());
    let error = job.start(JobConfig::default()).unwrap().wait().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("operator \"medians\"") && text.contains("no luck"),
        "{text}"
    );
}
