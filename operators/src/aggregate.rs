//! Incremental aggregation: what rolling aggregates and windows compute, one value at a time.

use millstream_runtime::record::Data;
use std::marker::PhantomData;
use std::ops::AddAssign;

/// Aggregates values one at a time into an accumulator, from which the result is taken.
///
/// Accumulators are state: they are in snapshots, and must not depend on the order of merges.
pub trait Aggregator<V>: Send + Sync + 'static {
    /// What is kept per key (and window).
    type Acc: Data;
    /// What comes out.
    type Out: Data;

    /// The accumulator before any value.
    fn create(&self) -> Self::Acc;
    /// Adds a value.
    fn add(&self, accumulator: &mut Self::Acc, value: V);
    /// Adds what another accumulator has seen.
    fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc);
    /// The result so far.
    fn result(&self, accumulator: &Self::Acc) -> Self::Out;
}

/// Counts values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<V> Aggregator<V> for Count {
    type Acc = u64;
    type Out = u64;
    #[inline]
    fn create(&self) -> u64 {
        0
    }
    #[inline]
    fn add(&self, accumulator: &mut u64, _: V) {
        *accumulator += 1;
    }
    fn merge(&self, accumulator: &mut u64, other: u64) {
        *accumulator += other;
    }
    #[inline]
    fn result(&self, accumulator: &u64) -> u64 {
        *accumulator
    }
}

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

/// Folds values into an accumulator; cannot be merged, so it serves where nothing merges.
pub struct Fold<A, F> {
    initial: A,
    fold: F,
}

impl<A, F> Fold<A, F> {
    /// Starts as `initial`.
    pub fn new(initial: A, fold: F) -> Self {
        Fold { initial, fold }
    }
}

impl<V, A, F> Aggregator<V> for Fold<A, F>
where
    A: Data + Sync,
    F: Fn(&mut A, V) + Send + Sync + 'static,
{
    type Acc = A;
    type Out = A;
    fn create(&self) -> A {
        self.initial.clone()
    }
    fn add(&self, accumulator: &mut A, value: V) {
        (self.fold)(accumulator, value);
    }
    fn merge(&self, _: &mut A, _: A) {
        unreachable!("a fold is not used where accumulators merge");
    }
    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}

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

macro_rules! extreme {
    ($name:ident, $what:literal, $better:tt) => {
        #[doc = concat!("The ", $what, " of what a function takes from each value.")]
        pub struct $name<F, N>(F, PhantomData<fn() -> N>);

        impl<F, N> $name<F, N> {
            #[doc = concat!("The ", $what, " `of` all values.")]
            pub fn of(of: F) -> Self {
                $name(of, PhantomData)
            }
        }

        impl<V, N, F> Aggregator<V> for $name<F, N>
        where
            N: Data + PartialOrd,
            F: Fn(&V) -> N + Send + Sync + 'static,
        {
            type Acc = Option<N>;
            type Out = N;
            fn create(&self) -> Option<N> {
                None
            }
            fn add(&self, accumulator: &mut Option<N>, value: V) {
                let value = (self.0)(&value);
                if accumulator.as_ref().is_none_or(|best| value $better *best) {
                    *accumulator = Some(value);
                }
            }
            fn merge(&self, accumulator: &mut Option<N>, other: Option<N>) {
                if let Some(other) = other
                    && accumulator.as_ref().is_none_or(|best| other $better *best)
                {
                    *accumulator = Some(other);
                }
            }
            fn result(&self, accumulator: &Option<N>) -> N {
                accumulator
                    .clone()
                    .expect("a result is asked for after the first value")
            }
        }
    };
}

extreme!(Min, "least", <);
extreme!(Max, "greatest", >);

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
