//! How many different values there are, exactly.

use super::Aggregator;
use millstream_runtime::record::Data;
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// Counts the different values of a function.
///
/// Exact: every different value is state, kept once. Adding one costs a search among them. Where there are
/// many, `ApproxDistinct` (feature `sketches`) counts in 4 KiB.
pub struct CountDistinct<F, N>(F, PhantomData<fn() -> N>);

impl<F, N> CountDistinct<F, N> {
    /// Counts what differs in `of`.
    pub fn of(of: F) -> Self {
        CountDistinct(of, PhantomData)
    }
}

impl<V, N, F> Aggregator<V> for CountDistinct<F, N>
where
    N: Data + Ord,
    F: Fn(&V) -> N + Send + Sync + 'static,
{
    type Acc = BTreeSet<N>;
    type Out = u64;
    fn create(&self) -> BTreeSet<N> {
        BTreeSet::new()
    }
    fn add(&self, accumulator: &mut BTreeSet<N>, value: V) {
        accumulator.insert((self.0)(&value));
    }
    fn merge(&self, accumulator: &mut BTreeSet<N>, mut other: BTreeSet<N>) {
        if other.len() > accumulator.len() {
            std::mem::swap(accumulator, &mut other);
        }
        accumulator.extend(other);
    }
    fn result(&self, accumulator: &BTreeSet<N>) -> u64 {
        accumulator.len() as u64
    }
}
