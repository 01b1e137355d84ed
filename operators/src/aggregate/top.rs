//! The values that rank highest.

use super::Aggregator;
use millstream_runtime::record::{Data, NO_TIME};
use millstream_runtime::time::EventTime;
use std::cmp::Ordering;
use std::marker::PhantomData;

/// The `n` values for which a function gives the greatest ranks, the greatest first.
///
/// Of equal ranks the value with the earlier event time goes first, of equal times the one that came first. A
/// value whose rank does not compare with itself (`NaN`) is left out. Keeps `n` values at most; adding one costs
/// `log n` ranks and, if it is among the greatest, up to `n` moves.
///
/// ```
/// # use millstream_operators::{KeyedStream, Stream, Top, Tumbling, Windowed};
/// # use std::time::Duration;
/// /// The three largest orders of each shop and hour.
/// fn largest(orders: &KeyedStream<String, u64>) -> Stream<Windowed<String, Vec<u64>>> {
///     orders.window(Tumbling::of(Duration::from_secs(3_600))).aggregate(Top::of(3, |cents: &u64| *cents))
/// }
/// ```
pub struct Top<F, N> {
    n: usize,
    rank: F,
    marker: PhantomData<fn() -> N>,
}

impl<F, N> Top<F, N> {
    /// The `n` values of greatest `rank`.
    ///
    /// # Panics
    /// When `n` is zero.
    pub fn of(n: usize, rank: F) -> Self {
        assert!(n > 0, "the top 0 of anything is nothing");
        let marker = PhantomData;
        Top { n, rank, marker }
    }

    /// Adds a value, unless `n` others go before it; whether it was added.
    fn insert<V>(&self, kept: &mut Vec<(EventTime, V)>, time: EventTime, value: V) -> bool
    where
        N: PartialOrd,
        F: Fn(&V) -> N,
    {
        let rank = (self.rank)(&value);
        let goes_before =
            |(other_time, other): &(EventTime, V)| match (self.rank)(other).partial_cmp(&rank) {
                Some(Ordering::Greater) => true,
                Some(Ordering::Equal) => *other_time <= time,
                _ => false,
            };
        let at = kept.partition_point(goes_before);
        if at == self.n || rank.partial_cmp(&rank).is_none() {
            return false;
        }
        kept.truncate(self.n - 1);
        kept.insert(at, (time, value));
        true
    }
}

impl<V, N, F> Aggregator<V> for Top<F, N>
where
    V: Data,
    N: PartialOrd + 'static,
    F: Fn(&V) -> N + Send + Sync + 'static,
{
    type Acc = Vec<(EventTime, V)>;
    type Out = Vec<V>;
    fn create(&self) -> Self::Acc {
        Vec::new()
    }
    fn add(&self, accumulator: &mut Self::Acc, value: V) {
        self.insert(accumulator, NO_TIME, value);
    }
    fn add_at(&self, accumulator: &mut Self::Acc, value: V, time: EventTime) {
        self.insert(accumulator, time, value);
    }
    fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc) {
        for (time, value) in other {
            if !self.insert(accumulator, time, value) {
                return; // the others go behind this one
            }
        }
    }
    fn result(&self, accumulator: &Self::Acc) -> Vec<V> {
        accumulator.iter().map(|(_, value)| value.clone()).collect()
    }
}
