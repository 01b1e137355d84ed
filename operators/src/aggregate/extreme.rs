//! The least and the greatest.

use super::Aggregator;
use millstream_runtime::record::Data;
use std::marker::PhantomData;

macro_rules! extreme {
    ($name:ident, $what:literal, $better:tt) => {
        #[doc = concat!("The ", $what, " of what a function takes from each value.")]
        ///
        /// What does not compare with itself (`NaN`) counts only where there is nothing else.
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
                let is_better = |best: &N| value $better *best || !compares(best);
                if accumulator.as_ref().is_none_or(is_better) {
                    *accumulator = Some(value);
                }
            }
            fn merge(&self, accumulator: &mut Option<N>, other: Option<N>) {
                let Some(other) = other else {
                    return;
                };
                let is_better = |best: &N| other $better *best || !compares(best);
                if accumulator.as_ref().is_none_or(is_better) {
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

/// Whether a value compares with itself: `NaN` does not.
#[inline]
fn compares<N: PartialOrd>(value: &N) -> bool {
    value.partial_cmp(value).is_some()
}

extreme!(Min, "least", <);
extreme!(Max, "greatest", >);
