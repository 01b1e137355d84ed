//! The mean.

use super::Aggregator;

/// The mean of what a function takes from each value.
pub struct Average<F>(F);

impl<F> Average<F> {
    /// The mean `of` all values.
    pub fn of(of: F) -> Self {
        Average(of)
    }
}

impl<V, F: Fn(&V) -> f64 + Send + Sync + 'static> Aggregator<V> for Average<F> {
    type Acc = (f64, u64);
    type Out = f64;
    fn create(&self) -> (f64, u64) {
        (0.0, 0)
    }
    fn add(&self, accumulator: &mut (f64, u64), value: V) {
        accumulator.0 += (self.0)(&value);
        accumulator.1 += 1;
    }
    fn merge(&self, accumulator: &mut (f64, u64), other: (f64, u64)) {
        accumulator.0 += other.0;
        accumulator.1 += other.1;
    }
    fn result(&self, accumulator: &(f64, u64)) -> f64 {
        accumulator.0 / accumulator.1 as f64
    }
}
