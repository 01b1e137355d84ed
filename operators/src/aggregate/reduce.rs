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

    /// Says how a value is taken out again: `inverse(reduce(a, b), a)` is `b`, exactly. Sliding windows then do so with the
    /// slice that leaves ([`Aggregator::UNMERGES`]), if there are others. Spark's inverse function.
    pub fn unmerged_by<V, I: Fn(V, V) -> V>(self, inverse: I) -> UnmergingReduce<F, I> {
        UnmergingReduce {
            reduce: self,
            inverse,
        }
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

/// A [`Reduce`] that can take values out again.
pub struct UnmergingReduce<F, I> {
    reduce: Reduce<F>,
    inverse: I,
}

impl<V, F, I> Aggregator<V> for UnmergingReduce<F, I>
where
    V: Data,
    F: Fn(V, V) -> V + Send + Sync + 'static,
    I: Fn(V, V) -> V + Send + Sync + 'static,
{
    type Acc = Option<V>;
    type Out = V;
    const UNMERGES: bool = true;
    fn create(&self) -> Option<V> {
        self.reduce.create()
    }
    fn add(&self, accumulator: &mut Option<V>, value: V) {
        self.reduce.add(accumulator, value);
    }
    fn merge(&self, accumulator: &mut Option<V>, other: Option<V>) {
        self.reduce.merge(accumulator, other);
    }
    fn unmerge(&self, accumulator: &mut Option<V>, other: &Option<V>) {
        let Some(other) = other else { return };
        let whole = accumulator.take();
        *accumulator = whole.map(|whole| (self.inverse)(whole, other.clone()));
    }
    fn result(&self, accumulator: &Option<V>) -> V {
        self.reduce.result(accumulator)
    }
}
