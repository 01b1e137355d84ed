//! The sum.

use super::Aggregator;
use millstream_runtime::record::Data;
use std::marker::PhantomData;
use std::ops::AddAssign;

/// Adds up what a function takes from each value.
pub struct Sum<F, N>(F, PhantomData<fn() -> N>);

impl<F, N> Sum<F, N> {
    /// Adds up `of` each value.
    pub fn of(of: F) -> Self {
        Sum(of, PhantomData)
    }
}

impl<V, N, F> Aggregator<V> for Sum<F, N>
where
    N: Data + Default + AddAssign,
    F: Fn(&V) -> N + Send + Sync + 'static,
{
    type Acc = N;
    type Out = N;
    fn create(&self) -> N {
        N::default()
    }
    fn add(&self, accumulator: &mut N, value: V) {
        *accumulator += (self.0)(&value);
    }
    fn merge(&self, accumulator: &mut N, other: N) {
        *accumulator += other;
    }
    fn result(&self, accumulator: &N) -> N {
        accumulator.clone()
    }
}
