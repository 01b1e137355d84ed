//! The least and the greatest.

use super::Aggregator;
use millstream_runtime::record::Data;
use std::marker::PhantomData;

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
