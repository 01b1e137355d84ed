//! The operator contract kit: a script gives the same results record by record, in batches (as
//! micro-batches do), with a snapshot or a restart after every step, and restarted on other numbers of workers.
//!
//! ```
//! use millstream_operators::testing::contract::{Step, in_every_way};
//! use millstream_operators::{KeyedStream, Tumbling, testing::Harness};
//! use std::time::Duration;
//!
//! let counts = || Harness::of(|clicks: KeyedStream<u8, u32>| {
//!     clicks.window(Tumbling::of(Duration::from_millis(10))).count()
//! });
//! let script = [
//!     Step::Record(1, 7, 100), // event time, key, value
//!     Step::Record(4, 7, 100),
//!     Step::Watermark(10),
//!     Step::Record(12, 7, 100),
//! ];
//! let by_watermark = in_every_way(counts, &script);
//! assert_eq!(by_watermark[0][0].value.value, 2);
//! assert_eq!(by_watermark[1][0].value.value, 1); // the end of the script is the end of the input
//! ```

use super::Harness;
use millstream_runtime::operator::{Operator, OperatorCore, TwoInputOperator};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::time::{EventTime, WATERMARK_MAX, Watermark};
use std::fmt::Debug;

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

/// A value of one of two inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<A, B> {
    /// Of the first.
    Left(A),
    /// Of the second.
    Right(B),
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

const OTHERS: [Way; 4] = [Way::Batched, Way::Snapshots, Way::Restarts, Way::Rescaled];

/// What came out by each watermark of a script, and after its end; each part sorted, for the order between keys
/// is free.
pub type Results<T> = Vec<Vec<Record<T>>>;

/// Runs a script in every way and returns its results.
///
/// # Panics
/// When two ways differ.
pub fn in_every_way<O, K, V>(
    make: impl Fn() -> Harness<O>,
    script: &[Step<K, V>],
) -> Results<O::Out>
where
    O: Operator<In = (K, V), Out: Ord + Debug>,
    K: Key,
    V: Data,
{
    compare(make, script, Harness::batch)
}

/// [`in_every_way`] for an operator with two inputs.
///
/// # Panics
/// When two ways differ.
pub fn two_inputs_in_every_way<O, K, A, B>(
    make: impl Fn() -> Harness<O>,
    script: &[Step<K, Input<A, B>>],
) -> Results<O::Out>
where
    O: TwoInputOperator<Left = (K, A), Right = (K, B), Out: Ord + Debug>,
    K: Key,
    A: Data,
    B: Data,
{
    compare(make, script, |harness, batch| {
        for (time, (key, value)) in batch {
            match value {
                Input::Left(value) => harness.left([(time, (key, value))]),
                Input::Right(value) => harness.right([(time, (key, value))]),
            }
        }
    })
}

/// Records of a script that arrive together.
pub(crate) type Records<K, V> = Vec<(EventTime, (K, V))>;

/// [`in_every_way`] for an operator that `feed` feeds.
pub(crate) fn compare<O, K, V>(
    make: impl Fn() -> Harness<O>,
    script: &[Step<K, V>],
    feed: impl Fn(&mut Harness<O>, Records<K, V>),
) -> Results<O::Out>
where
    O: OperatorCore<Out: Ord + Debug>,
    K: Clone,
    V: Clone,
{
    let expected = run(make(), script, Way::OneByOne, &feed);
    for way in OTHERS {
        let found = run(make(), script, way, &feed);
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
    feed: impl Fn(&mut Harness<O>, Records<K, V>),
) -> Results<O::Out>
where
    O: OperatorCore<Out: Ord>,
    K: Clone,
    V: Clone,
{
    let mut results = Vec::new();
    let mut batch = Vec::new();
    for (number, step) in script.iter().enumerate() {
        if !matches!(step, Step::Record(..)) && !batch.is_empty() {
            feed(&mut harness, std::mem::take(&mut batch));
        }
        match step.clone() {
            Step::Record(time, key, value) if matches!(way, Way::Batched) => {
                batch.push((time, (key, value)));
            }
            Step::Record(time, key, value) => feed(&mut harness, vec![(time, (key, value))]),
            Step::ProcessingTime(now) => harness.processing_time(now),
            Step::Watermark(watermark) => {
                harness.watermark(watermark);
                harness.settle();
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
    feed(&mut harness, batch);
    harness.watermark(WATERMARK_MAX);
    harness.settle();
    results.push(sorted(harness.take()));
    results
}

fn sorted<T: Ord>(mut records: Vec<Record<T>>) -> Vec<Record<T>> {
    records.sort();
    records
}
