//! Approximate aggregates in little memory: how many different values, and quantiles.
//!
//! The sketches are those of well-kept crates: HyperLogLog of Apache DataSketches, DDSketch as Datadog
//! published it (Masson, Rim, Lee, VLDB 2019). Both are merged without loss, and their results do not
//! depend on the order of values or merges.

use super::Aggregator;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sketches_ddsketch::{Config, DDSketch};
use std::hash::Hash;
use std::marker::PhantomData;

/// Registers of a sketch, as a power of two.
const LG_REGISTERS: u8 = 12;

/// Counts the different values of a function, approximately, in 4 KiB at most.
///
/// The standard error is 1.6 %; a few dozen different values are counted exactly. With few values the sketch
/// takes a few bytes for each. Adding one costs a hash.
pub struct ApproxDistinct<F, N>(F, PhantomData<fn() -> N>);

impl<F, N> ApproxDistinct<F, N> {
    /// Counts what differs in `of`.
    pub fn of(of: F) -> Self {
        ApproxDistinct(of, PhantomData)
    }
}

/// A HyperLogLog sketch as state, in the format of Apache DataSketches.
#[derive(Clone, Debug)]
pub struct DistinctSketch(HllSketch);

impl Serialize for DistinctSketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DistinctSketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::deserialize(deserializer)?;
        let sketch = HllSketch::deserialize(&bytes).map_err(de::Error::custom)?;
        Ok(DistinctSketch(sketch))
    }
}

impl<V, N, F> Aggregator<V> for ApproxDistinct<F, N>
where
    N: Hash + 'static,
    F: Fn(&V) -> N + Send + Sync + 'static,
{
    type Acc = DistinctSketch;
    type Out = u64;
    fn create(&self) -> DistinctSketch {
        let sketch = HllSketch::new(LG_REGISTERS, HllType::Hll8);
        DistinctSketch(sketch.expect("the number of registers is within bounds"))
    }
    fn add(&self, accumulator: &mut DistinctSketch, value: V) {
        accumulator.0.update((self.0)(&value));
    }
    fn merge(&self, accumulator: &mut DistinctSketch, other: DistinctSketch) {
        let union = HllUnion::new(LG_REGISTERS);
        let mut union = union.expect("the number of registers is within bounds");
        union.update(&accumulator.0);
        union.update(&other.0);
        accumulator.0 = union.to_sketch(HllType::Hll8);
    }
    fn result(&self, accumulator: &DistinctSketch) -> u64 {
        // Of the estimators, the one that does not depend on the order of values.
        accumulator.0.composite_estimate().round() as u64
    }
}

/// Quantiles of what a function takes from each value, approximately.
///
/// Each is within a relative error of the exact one: 1 %, or as set by [`within`](Self::within). The result has
/// one number for each quantile asked for, in the order asked for; `NaN` when no value was finite, as values
/// that are not finite are left out. The state is a few bytes for each percent by which values differ, 16 KiB
/// at most for values of either sign; past that the smallest ones are told apart no longer.
///
/// ```
/// # use millstream_operators::{ApproxQuantiles, KeyedStream, Stream, Tumbling, Windowed};
/// # use std::time::Duration;
/// /// Median and 99th percentile of each minute's latencies.
/// fn latencies(micros: &KeyedStream<String, f64>) -> Stream<Windowed<String, Vec<f64>>> {
///     let quantiles = ApproxQuantiles::of([0.5, 0.99], |micros: &f64| *micros);
///     micros.window(Tumbling::of(Duration::from_secs(60))).aggregate(quantiles)
/// }
/// ```
pub struct ApproxQuantiles<F> {
    quantiles: Vec<f64>,
    config: Config,
    of: F,
}

impl<F> ApproxQuantiles<F> {
    /// The `quantiles`, each from 0 (the least) to 1 (the greatest), `of` all values.
    ///
    /// # Panics
    /// When a quantile is not from 0 to 1.
    pub fn of(quantiles: impl IntoIterator<Item = f64>, of: F) -> Self {
        let quantiles: Vec<f64> = quantiles.into_iter().collect();
        for quantile in &quantiles {
            let is_sound = (0.0..=1.0).contains(quantile);
            assert!(is_sound, "a quantile is from 0 to 1, not {quantile}");
        }
        let config = Config::defaults();
        ApproxQuantiles {
            quantiles,
            config,
            of,
        }
    }

    /// Sets the relative error: 0.01 is 1 %. Half the error takes twice the memory.
    ///
    /// # Panics
    /// When it is not between 0 and 1.
    pub fn within(mut self, relative_error: f64) -> Self {
        let is_sound = relative_error > 0.0 && relative_error < 1.0;
        assert!(
            is_sound,
            "a relative error is between 0 and 1, not {relative_error}"
        );
        let Config { max_num_bins, .. } = self.config;
        let least = self.config.min_possible();
        self.config = Config::new(relative_error, max_num_bins, least);
        self
    }
}

impl<V, F: Fn(&V) -> f64 + Send + Sync + 'static> Aggregator<V> for ApproxQuantiles<F> {
    type Acc = DDSketch;
    type Out = Vec<f64>;
    fn create(&self) -> DDSketch {
        DDSketch::new(self.config)
    }
    fn add(&self, accumulator: &mut DDSketch, value: V) {
        let value = (self.of)(&value);
        if value.is_finite() {
            accumulator.add(value);
        }
    }
    fn merge(&self, accumulator: &mut DDSketch, other: DDSketch) {
        let merged = accumulator.merge(&other);
        merged.expect("both have the settings of this aggregator");
    }
    fn result(&self, accumulator: &DDSketch) -> Vec<f64> {
        let quantile = |quantile: &f64| {
            let value = accumulator.quantile(*quantile);
            let value = value.expect("quantiles are from 0 to 1");
            value.unwrap_or(f64::NAN)
        };
        self.quantiles.iter().map(quantile).collect()
    }
}
