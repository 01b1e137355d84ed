//! Aggregators by example: parts that are merged give what one accumulator gives.

use super::*;

/// The result over all values, which must be the same however they are spread over accumulators.
fn result<V: Clone, G: Aggregator<V>>(aggregator: &G, values: &[V]) -> G::Out
where
    G::Out: PartialEq + std::fmt::Debug,
{
    let accumulate = |values: &[V]| {
        let mut accumulator = aggregator.create();
        for (time, value) in values.iter().enumerate() {
            aggregator.add_at(&mut accumulator, value.clone(), time as EventTime);
        }
        accumulator
    };
    let whole = aggregator.result(&accumulate(values));
    for cut in 0..=values.len() {
        let mut merged = accumulate(&values[..cut]);
        aggregator.merge(&mut merged, accumulate(&values[cut..]));
        assert_eq!(aggregator.result(&merged), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn count_reduce_and_fold() {
    let words = ["a", "b", "c"].map(String::from);
    assert_eq!(result(&Count, &words), 3);
    let concatenated = Reduce::new(|a: String, b: String| a + &b);
    assert_eq!(result(&concatenated, &words), "abc");
    let lengths = Fold::new(0, |sum: &mut usize, word: String| *sum += word.len());
    let lengths = lengths.merged_by(|sum, other| *sum += other);
    assert_eq!(result(&lengths, &words), 3);
    const { assert!(!<Fold<u8, fn(&mut u8, u8)> as Aggregator<u8>>::MERGES) };
}
