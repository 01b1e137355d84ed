//! Values combined pairwise by a function.

use super::Aggregator;
use millstream_runtime::record::Data;

/// Combines values pairwise.
pub struct Reduce<F>(F);

impl<F> Reduce<F> {
    /// Combines by `reduce`, which must be associative.
    pub fn new(reduce: F) -> Self {
        Reduce(reduce)
    }
}

impl<V: Data, F: Fn(V, V) -> V + Send + Sync + 'static> Aggregator<V> for Reduce<F> {
    type Acc = Option<V>;
    type Out = V;
    fn create(&self) -> Option<V> {
        None
    }
    fn add(&self, accumulator: &mut Option<V>, value: V) {
        *accumulator = Some(match accumulator.take() {
            Some(before) => (self.0)(before, value),
            None => value,
        });
    }
    fn merge(&self, accumulator: &mut Option<V>, other: Option<V>) {
        if let Some(other) = other {
            self.add(accumulator, other);
        }
    }
    fn result(&self, accumulator: &Option<V>) -> V {
        accumulator
            .clone()
            .expect("a result is asked for after the first value")
    }
}
