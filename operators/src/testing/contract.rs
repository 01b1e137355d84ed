//! The operator contract kit: a script gives the same results record by record, in batches, with a snapshot
//! or a restart after every step, and restarted on other numbers of workers.

use super::Harness;
use millstream_runtime::operator::Operator;
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::time::{EventTime, WATERMARK_MAX, Watermark};

/// One thing that happens to an operator.
#[derive(Clone, Debug)]
pub enum Step<K, V> {
    /// A record arrives.
    Record(EventTime, K, V),
    /// The watermark rises.
    Watermark(Watermark),
    /// Processing time goes on.
    ProcessingTime(EventTime),
}

/// How a script is run.
#[derive(Clone, Copy, Debug)]
enum Way {
    OneByOne,
    Batched,
    Snapshots,
    Restarts,
    Rescaled,
}

/// Runs a script in every way and returns its results: what came out by each watermark, sorted.
///
/// # Panics
/// When two ways differ.
pub fn in_every_way<O, K, V>(
    make: impl Fn() -> Harness<O>,
    script: &[Step<K, V>],
) -> Vec<Vec<Record<O::Out>>>
where
    O: Operator<In = (K, V), Out: Ord + std::fmt::Debug>,
    K: Key,
    V: Data,
{
    let expected = run(make(), script, Way::OneByOne);
    for way in [Way::Batched, Way::Snapshots, Way::Restarts, Way::Rescaled] {
        let found = run(make(), script, way);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{way:?}, by watermark number {at}");
        }
        assert_eq!(found.len(), expected.len(), "{way:?}");
    }
    expected
}

fn run<O, K, V>(
    mut harness: Harness<O>,
    script: &[Step<K, V>],
    way: Way,
) -> Vec<Vec<Record<O::Out>>>
where
    O: Operator<In = (K, V), Out: Ord>,
    K: Key,
    V: Data,
{
    let mut results = Vec::new();
    let mut batch = Vec::new();
    for (number, step) in script.iter().enumerate() {
        if !matches!(step, Step::Record(..)) && !batch.is_empty() {
            harness.batch(std::mem::take(&mut batch));
        }
        match step.clone() {
            Step::Record(time, key, value) if matches!(way, Way::Batched) => {
                batch.push((time, (key, value)));
            }
            Step::Record(time, key, value) => harness.record(time, (key, value)),
            Step::ProcessingTime(now) => harness.processing_time(now),
            Step::Watermark(watermark) => {
                harness.watermark(watermark);
                results.push(sorted(harness.take()));
            }
        }
        match way {
            Way::OneByOne | Way::Batched => {}
            Way::Snapshots => harness.snapshot(),
            Way::Restarts if number % 3 == 0 => harness.snapshot(),
            Way::Restarts => harness.restart(),
            Way::Rescaled => harness.restart_on(1 + number % 4),
        }
    }
    harness.batch(batch);
    harness.watermark(WATERMARK_MAX);
    results.push(sorted(harness.take()));
    results
}

fn sorted<T: Ord>(mut records: Vec<Record<T>>) -> Vec<Record<T>> {
    records.sort();
    records
}
