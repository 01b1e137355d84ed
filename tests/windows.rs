//! Windows in whole jobs: what is refused before a job starts.

use millstream::prelude::*;
use std::time::Duration;

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// Builds a job around windows and returns the error of its start.
fn refusal<W: millstream::operators::window::Windowing<u64>>(
    cut: impl FnOnce(KeyedStream<u64, u64>) -> WindowedStream<u64, u64, W>,
) -> String {
    let job = Job::new("refused");
    let numbers = Collection::timed(vec![(0, 1u64)]);
    let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
    let windowed = cut(numbers.key_by(|n| *n));
    windowed.count().name("per hour").sink("out", Null::new());
    match job.start(JobConfig::default()) {
        Ok(_) => panic!("the job started"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn windows_that_make_no_sense_are_refused_with_the_operators_name() {
    let cases = [
        (
            refusal(|k| k.window(Tumbling::of(ZERO))),
            "size of a tumbling window must be at least 1 ms",
        ),
        (
            refusal(|k| k.window(Tumbling::of(ZERO).offset(SECOND))),
            "size of a tumbling window",
        ),
        (
            refusal(|k| k.window(Tumbling::of(Duration::from_micros(999)))),
            "at least 1 ms",
        ),
    ];
    for (error, part) in cases {
        assert!(
            error.contains("operator \"per hour\"") && error.contains(part),
            "{part} in: {error}"
        );
    }
}
