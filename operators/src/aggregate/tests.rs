//! Aggregators by example and against naive references. However values are spread over accumulators that are
//! merged, and whatever is stored and restored in between, the result is that of one accumulator.

use super::*;
use millstream_runtime::state::{Codec, Compact};
use std::collections::BTreeSet;
use std::fmt::Debug;

fn restored<A: Data>(accumulator: A) -> A {
    let mut bytes = Vec::new();
    Compact.encode(&accumulator, &mut bytes);
    Compact.decode(&bytes).expect("what was encoded is decoded")
}

/// The result over values with times; `same` says whether two results are.
fn result_by<V: Clone, G: Aggregator<V, Out: Debug>>(
    aggregator: &G,
    values: &[(EventTime, V)],
    same: impl Fn(&G::Out, &G::Out) -> bool,
) -> G::Out {
    let accumulate = |values: &[(EventTime, V)]| {
        let mut accumulator = aggregator.create();
        for (time, value) in values {
            aggregator.add_at(&mut accumulator, value.clone(), *time);
        }
        restored(accumulator)
    };
    let whole = aggregator.result(&accumulate(values));
    for first in 0..values.len() {
        let second = (first + values.len()) / 2;
        let mut merged = accumulate(&values[..first]);
        aggregator.merge(&mut merged, accumulate(&values[first..second]));
        aggregator.merge(&mut merged, accumulate(&values[second..]));
        let merged = aggregator.result(&merged);
        assert!(
            same(&merged, &whole),
            "cut at {first}: {merged:?}, not {whole:?}"
        );
        if G::UNMERGES && first > 0 {
            let mut merged = accumulate(values);
            aggregator.unmerge(&mut merged, &accumulate(&values[..first]));
            let (rest, left) = (aggregator.result(&accumulate(&values[first..])), first);
            let merged = aggregator.result(&merged);
            assert!(
                same(&merged, &rest),
                "{left} taken out: {merged:?}, not {rest:?}"
            );
        }
    }
    whole
}

fn result<V: Clone, G: Aggregator<V, Out: Debug + PartialEq>>(
    aggregator: &G,
    values: &[(EventTime, V)],
) -> G::Out {
    result_by(aggregator, values, PartialEq::eq)
}

fn close(a: &f64, b: &f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(1.0)
}

/// Values at rising times.
fn timed<V: Clone>(values: &[V]) -> Vec<(EventTime, V)> {
    (0..).zip(values.iter().cloned()).collect()
}

#[test]
fn count_reduce_and_fold() {
    let words = timed(&["a", "b", "c"].map(String::from));
    assert_eq!(result(&Count, &words), 3);
    let concatenated = Reduce::new(|a: String, b: String| a + &b);
    assert_eq!(result(&concatenated, &words), "abc");
    let lengths = Fold::new(0, |sum: &mut usize, word: String| *sum += word.len());
    let lengths = lengths.merged_by(|sum, other| *sum += other);
    assert_eq!(result(&lengths, &words), 3);
    let lengths = lengths.unmerged_by(|sum, other| *sum -= other);
    assert_eq!(result(&lengths, &words), 3);
    let xored = Reduce::new(|a: u8, b| a ^ b).unmerged_by(|whole, part| whole ^ part);
    assert_eq!(result(&xored, &timed(&[1, 2, 3, 7])), 7);
    const { assert!(<(Count, Sum<fn(&u8) -> u64, u64>) as Aggregator<u8>>::UNMERGES) };
    const { assert!(!<(Count, Sum<fn(&u8) -> f64, f64>) as Aggregator<u8>>::UNMERGES) };
    const { assert!(!<Fold<u8, fn(&mut u8, u8)> as Aggregator<u8>>::MERGES) };
    const { assert!(!<(Count, Fold<u8, fn(&mut u8, u8)>) as Aggregator<u8>>::MERGES) };
}

#[test]
fn random_numbers_as_the_naive_references_say() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let numbers: Vec<i64> = (0..random.usize(1..40))
            .map(|_| random.i64(-9..9))
            .collect();
        let values = timed(&numbers);
        assert_eq!(
            result(&Sum::of(|n: &i64| *n), &values),
            numbers.iter().sum::<i64>()
        );
        let least_and_greatest = (Min::of(|n: &i64| *n), Max::of(|n: &i64| *n));
        let expected = (
            *numbers.iter().min().unwrap(),
            *numbers.iter().max().unwrap(),
        );
        assert_eq!(result(&least_and_greatest, &values), expected);

        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<i64>() as f64 / count;
        let average = Average::of(|n: &i64| *n as f64);
        assert!(close(&result_by(&average, &values, close), &mean));
        let squares: f64 = numbers.iter().map(|n| (*n as f64 - mean).powi(2)).sum();
        let variance = Variance::of(|n: &i64| *n as f64);
        assert!(close(
            &result_by(&variance, &values, close),
            &(squares / count)
        ));
        if numbers.len() > 1 {
            let deviation = StdDev::of_sample(|n: &i64| *n as f64);
            let expected = (squares / (count - 1.0)).sqrt();
            assert!(close(&result_by(&deviation, &values, close), &expected));
        }

        let different: BTreeSet<i64> = numbers.iter().map(|n| n.abs()).collect();
        let distinct = CountDistinct::of(|n: &i64| n.abs());
        assert_eq!(result(&distinct, &values), different.len() as u64);

        let mut ranked: Vec<(EventTime, i64)> = values.clone();
        ranked.sort_by_key(|(time, n)| (std::cmp::Reverse(n.abs()), *time));
        let n = random.usize(1..8);
        let expected: Vec<i64> = ranked.iter().take(n).map(|(_, n)| *n).collect();
        assert_eq!(result(&Top::of(n, |n: &i64| n.abs()), &values), expected);
    }
}

#[test]
fn first_and_last_go_by_event_time_then_by_arrival() {
    let values = [(5, "a"), (3, "b"), (3, "c"), (9, "d"), (9, "e"), (4, "f")];
    let values = values.map(|(time, value)| (time, value.to_string()));
    assert_eq!(result(&First, &values), "b");
    assert_eq!(result(&Last, &values), "e");
    let mut accumulator = Aggregator::<u8>::create(&Last);
    Last.add(&mut accumulator, 1);
    Last.add(&mut accumulator, 2);
    assert_eq!(
        Last.result(&accumulator),
        2,
        "by arrival when there is no time"
    );
}

#[test]
fn equal_ranks_go_by_event_time_then_by_arrival() {
    let values = [
        (7, 'a', 1),
        (5, 'b', 1),
        (9, 'c', 2),
        (5, 'd', 1),
        (8, 'e', 0),
    ];
    let values = values.map(|(time, name, rank)| (time, (name, rank)));
    let names = Top::of(3, |(_, rank): &(char, u8)| *rank);
    let names = Mapped::new(names, |top: Vec<(char, u8)>| {
        top.into_iter().map(|(name, _)| name).collect::<String>()
    });
    assert_eq!(result(&names, &values), "cbd");
}

/// `NaN` first made every later number smaller and larger than nothing.
#[test]
fn what_does_not_compare_is_left_aside() {
    let numbers = timed(&[f64::NAN, 3.0, 1.0, f64::NAN, 2.0]);
    assert_eq!(result(&Min::of(|n: &f64| *n), &numbers), 1.0);
    assert_eq!(result(&Max::of(|n: &f64| *n), &numbers), 3.0);
    assert_eq!(result(&Top::of(9, |n: &f64| *n), &numbers), [3.0, 2.0, 1.0]);
    let nothing = timed(&[f64::NAN]);
    let least = result_by(&Min::of(|n: &f64| *n), &nothing, |a, b| {
        a.is_nan() && b.is_nan()
    });
    assert!(least.is_nan());
}

/// A release build used to wrap around.
#[test]
#[should_panic(expected = "a sum is too large for u8")]
fn a_sum_that_does_not_fit_is_an_error() {
    result(&Sum::of(|n: &u8| *n), &timed(&[200_u8, 56]));
}

#[test]
#[should_panic(expected = "a sum is too large for i64")]
fn so_is_a_sum_of_sums() {
    let sum = Sum::of(|n: &i64| *n);
    let mut accumulator = i64::MAX;
    Aggregator::<i64>::merge(&sum, &mut accumulator, 1);
}

#[test]
fn variance_keeps_its_digits_when_values_are_large_and_close() {
    let values = timed(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
    let variance = Variance::of_sample(|n: &f64| *n);
    assert!(close(&result_by(&variance, &values, close), &30.0));
    let one = result_by(&variance, &values[..1], |a, b| a.is_nan() && b.is_nan());
    assert!(one.is_nan());
}

#[cfg(feature = "sketches")]
mod sketches {
    use super::*;

    #[test]
    fn few_different_values_are_counted_exactly_and_many_within_five_percent() {
        let distinct = ApproxDistinct::of(|n: &u64| *n);
        for different in [0, 1, 20, 5_000] {
            let values: Vec<u64> = (0..different * 2).map(|n| n % different).collect();
            let count = count_in_parts(&distinct, &values);
            let off = count.abs_diff(different);
            assert!(off * 20 <= different, "{count} of {different}");
            assert!(different > 20 || off == 0, "{count} of {different}");
        }
    }

    /// Counts in one sketch and in three that are merged, which must not differ.
    fn count_in_parts(distinct: &impl Aggregator<u64, Out = u64>, values: &[u64]) -> u64 {
        let sketch = |values: &[u64]| {
            let mut sketch = distinct.create();
            values
                .iter()
                .for_each(|value| distinct.add(&mut sketch, *value));
            restored(sketch)
        };
        let mut merged = distinct.create();
        for part in values.chunks(values.len().div_ceil(3).max(1)) {
            distinct.merge(&mut merged, sketch(part));
        }
        let count = distinct.result(&merged);
        assert_eq!(count, distinct.result(&sketch(values)));
        count
    }

    #[test]
    fn quantiles_are_within_their_error() {
        for (error, seed) in [(0.01, 1), (0.05, 2)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut values: Vec<f64> = (0..200)
                .map(|_| 1e4 * random.f64().powi(3) - 10.0)
                .collect();
            let asked = [0.0, 0.5, 0.99, 1.0];
            let quantiles = ApproxQuantiles::of(asked, |value: &f64| *value).within(error);
            let found = result(&quantiles, &timed(&values));
            values.sort_by(f64::total_cmp);
            for (quantile, found) in asked.iter().zip(found) {
                let exact = values[(quantile * (values.len() - 1) as f64) as usize];
                let off = (found - exact).abs();
                assert!(
                    off <= error * exact.abs() + 1e-9,
                    "{quantile}: {found}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn quantiles_leave_out_what_is_not_finite() {
        let median = ApproxQuantiles::of([0.5], |value: &f64| *value);
        let values = timed(&[f64::NAN, f64::INFINITY, 0.0]);
        assert_eq!(result(&median, &values), [0.0]);
        let none = result_by(&median, &values[..2], |a, b| a[0].is_nan() && b[0].is_nan());
        assert!(none[0].is_nan());
    }
}
