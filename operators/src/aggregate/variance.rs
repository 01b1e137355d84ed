//! Variance and standard deviation.
//!
//! By Welford's method ("Note on a method for calculating corrected sums of squares", Technometrics 1962), which
//! does not lose digits when values are large and close together; parts are merged as Chan, Golub and LeVeque
//! do ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).

use super::Aggregator;
use serde::{Deserialize, Serialize};

/// The number of values, their mean, and the sum of the squares of their distances from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of `(value - mean)²`.
    pub squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn merge(&mut self, other: Moments) {
        let count = self.count + other.count;
        if count == 0 {
            return;
        }
        let (own, others) = (self.count as f64, other.count as f64);
        let apart = other.mean - self.mean;
        self.mean += apart * others / count as f64;
        self.squares += other.squares + apart * apart * own * others / count as f64;
        self.count = count;
    }

    /// The mean square of the distance from the mean.
    pub fn variance(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// The variance of the population that the values are a sample of; `NaN` for a single value.
    pub fn sample_variance(&self) -> f64 {
        self.squares / (self.count as f64 - 1.0)
    }
}

/// Which quantity comes out.
#[derive(Clone, Copy)]
enum Of {
    Population,
    Sample,
}

impl Of {
    fn variance(self, moments: &Moments) -> f64 {
        match self {
            Of::Population => moments.variance(),
            Of::Sample => moments.sample_variance(),
        }
    }
}

macro_rules! spread {
    ($name:ident, $what:literal, $from_variance:expr) => {
        #[doc = concat!("The ", $what, " of what a function takes from each value.")]
        pub struct $name<F> {
            value: F,
            of: Of,
        }

        impl<F> $name<F> {
            #[doc = concat!("The ", $what, " of all values: they are the whole population.")]
            pub fn of(value: F) -> Self {
                let of = Of::Population;
                $name { value, of }
            }

            /// The values are a sample of the population that is meant: divides by one less than their number.
            /// A single value gives `NaN`.
            pub fn of_sample(value: F) -> Self {
                let of = Of::Sample;
                $name { value, of }
            }
        }

        impl<V, F: Fn(&V) -> f64 + Send + Sync + 'static> Aggregator<V> for $name<F> {
            type Acc = Moments;
            type Out = f64;
            fn create(&self) -> Moments {
                Moments::default()
            }
            fn add(&self, accumulator: &mut Moments, value: V) {
                accumulator.add((self.value)(&value));
            }
            fn merge(&self, accumulator: &mut Moments, other: Moments) {
                accumulator.merge(other);
            }
            fn result(&self, accumulator: &Moments) -> f64 {
                let from_variance: fn(f64) -> f64 = $from_variance;
                from_variance(self.of.variance(accumulator))
            }
        }
    };
}

spread!(Variance, "variance", |variance| variance);
spread!(StdDev, "standard deviation", f64::sqrt);
