//! Values folded into an accumulator by a function.

use super::Aggregator;
use millstream_runtime::record::Data;

/// Folds values into an accumulator.
///
/// It does not say how two accumulators become one, so it serves where nothing merges; with
/// [`merged_by`](Self::merged_by) it serves everywhere.
pub struct Fold<A, F> {
    initial: A,
    fold: F,
}

impl<A, F> Fold<A, F> {
    /// Starts as `initial`.
    pub fn new(initial: A, fold: F) -> Self {
        Fold { initial, fold }
    }

    /// Says how an accumulator takes in another, which started as `initial` too.
    pub fn merged_by<M: Fn(&mut A, A)>(self, merge: M) -> MergingFold<A, F, M> {
        MergingFold { fold: self, merge }
    }
}

impl<V, A, F> Aggregator<V> for Fold<A, F>
where
    A: Data + Sync,
    F: Fn(&mut A, V) + Send + Sync + 'static,
{
    type Acc = A;
    type Out = A;
    const MERGES: bool = false;
    fn create(&self) -> A {
        self.initial.clone()
    }
    fn add(&self, accumulator: &mut A, value: V) {
        (self.fold)(accumulator, value);
    }
    fn merge(&self, _: &mut A, _: A) {
        unreachable!("nothing merges accumulators of a fold without a merge");
    }
    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}

/// A [`Fold`] whose accumulators can be merged.
pub struct MergingFold<A, F, M> {
    fold: Fold<A, F>,
    merge: M,
}

impl<A, F, M> MergingFold<A, F, M> {
    /// Says how another accumulator, which this one took in first, is taken out of it again, exactly. Sliding windows then do
    /// so with the slice that leaves ([`Aggregator::UNMERGES`]), if there are others.
    pub fn unmerged_by<U: Fn(&mut A, &A)>(self, unmerge: U) -> UnmergingFold<A, F, M, U> {
        UnmergingFold {
            fold: self,
            unmerge,
        }
    }
}

impl<V, A, F, M> Aggregator<V> for MergingFold<A, F, M>
where
    A: Data + Sync,
    F: Fn(&mut A, V) + Send + Sync + 'static,
    M: Fn(&mut A, A) + Send + Sync + 'static,
{
    type Acc = A;
    type Out = A;
    fn create(&self) -> A {
        self.fold.initial.clone()
    }
    fn add(&self, accumulator: &mut A, value: V) {
        (self.fold.fold)(accumulator, value);
    }
    fn merge(&self, accumulator: &mut A, other: A) {
        (self.merge)(accumulator, other);
    }
    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}

/// A [`Fold`] whose accumulators can be merged, and taken out again.
pub struct UnmergingFold<A, F, M, U> {
    fold: MergingFold<A, F, M>,
    unmerge: U,
}

impl<V, A, F, M, U> Aggregator<V> for UnmergingFold<A, F, M, U>
where
    A: Data + Sync,
    F: Fn(&mut A, V) + Send + Sync + 'static,
    M: Fn(&mut A, A) + Send + Sync + 'static,
    U: Fn(&mut A, &A) + Send + Sync + 'static,
{
    type Acc = A;
    type Out = A;
    const UNMERGES: bool = true;
    fn create(&self) -> A {
        Aggregator::<V>::create(&self.fold)
    }
    fn add(&self, accumulator: &mut A, value: V) {
        self.fold.add(accumulator, value);
    }
    fn merge(&self, accumulator: &mut A, other: A) {
        Aggregator::<V>::merge(&self.fold, accumulator, other);
    }
    fn unmerge(&self, accumulator: &mut A, other: &A) {
        (self.unmerge)(accumulator, other);
    }
    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}
