//! An aggregate whose result goes through a function.

use super::Aggregator;
use millstream_runtime::record::Data;
use millstream_runtime::time::EventTime;

/// An aggregator's result, mapped. The accumulator stays what it is.
///
/// ```
/// # use millstream_operators::{Count, KeyedStream, Mapped, Stream, Sum, Tumbling, Windowed};
/// # use std::time::Duration;
/// /// Euros per order.
/// fn mean_order(cents: &KeyedStream<String, u64>) -> Stream<Windowed<String, f64>> {
///     let total_and_number = (Sum::of(|cents: &u64| *cents), Count);
///     let euros = Mapped::new(total_and_number, |(total, number): (u64, u64)| {
///         total as f64 / 100.0 / number as f64
///     });
///     cents.window(Tumbling::of(Duration::from_secs(60))).aggregate(euros)
/// }
/// ```
pub struct Mapped<G, F> {
    aggregator: G,
    map: F,
}

impl<G, F> Mapped<G, F> {
    /// `map` of the result of `aggregator`.
    pub fn new(aggregator: G, map: F) -> Self {
        Mapped { aggregator, map }
    }
}

impl<V, G, R, F> Aggregator<V> for Mapped<G, F>
where
    G: Aggregator<V>,
    R: Data,
    F: Fn(G::Out) -> R + Send + Sync + 'static,
{
    type Acc = G::Acc;
    type Out = R;
    const MERGES: bool = G::MERGES;
    const UNMERGES: bool = G::UNMERGES;
    fn create(&self) -> G::Acc {
        self.aggregator.create()
    }
    fn add(&self, accumulator: &mut G::Acc, value: V) {
        self.aggregator.add(accumulator, value);
    }
    fn add_at(&self, accumulator: &mut G::Acc, value: V, time: EventTime) {
        self.aggregator.add_at(accumulator, value, time);
    }
    fn merge(&self, accumulator: &mut G::Acc, other: G::Acc) {
        self.aggregator.merge(accumulator, other);
    }
    fn unmerge(&self, accumulator: &mut G::Acc, other: &G::Acc) {
        self.aggregator.unmerge(accumulator, other);
    }
    fn result(&self, accumulator: &G::Acc) -> R {
        (self.map)(self.aggregator.result(accumulator))
    }
}
