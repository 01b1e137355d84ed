//! Incremental aggregation: what rolling aggregates and windows compute, one value at a time. One idea a file.
//!
//! What an aggregator panics over ends the job, naming the operator.

#[cfg(feature = "sketches")]
mod approximate;
mod average;
mod count;
mod distinct;
mod extreme;
mod first_last;
mod fold;
mod mapped;
mod reduce;
mod sum;
mod top;
mod tuple;
mod variance;

#[cfg(feature = "sketches")]
pub use approximate::{ApproxDistinct, ApproxQuantiles, DistinctSketch};
pub use average::Average;
pub use count::Count;
pub use distinct::CountDistinct;
pub use extreme::{Max, Min};
pub use first_last::{First, Last};
pub use fold::{Fold, MergingFold, UnmergingFold};
pub use mapped::Mapped;
pub use reduce::{Reduce, UnmergingReduce};
pub use sum::{Sum, Summable};
pub use top::Top;
pub use variance::{Moments, StdDev, Variance};

use millstream_runtime::record::Data;
use millstream_runtime::time::EventTime;

/// Aggregates values one at a time into an accumulator, from which the result is taken.
///
/// Accumulators are state: they are in snapshots. The result may depend on the order in which values of one
/// accumulator were added, but not on how values were spread over accumulators that were merged: merging
/// must be associative, and adding a value the same as merging an accumulator that has seen only this one.
pub trait Aggregator<V>: Send + Sync + 'static {
    /// What is kept per key (and window).
    type Acc: Data;
    /// What comes out.
    type Out: Data;

    /// Whether accumulators can be merged. Where they cannot, each sliding window keeps an accumulator of its
    /// own instead of sharing slices with the others, and session windows, which merge, do not compile.
    const MERGES: bool = true;

    /// Whether what was merged can be taken out again, with [`unmerge`](Self::unmerge). Then a sliding window that moves on
    /// merges the slice that comes and takes out the one that leaves, which is less work than for other
    /// aggregates.
    const UNMERGES: bool = false;

    /// The accumulator before any value.
    fn create(&self) -> Self::Acc;

    /// Adds a value.
    fn add(&self, accumulator: &mut Self::Acc, value: V);

    /// Adds a value with its event time. This is what operators call; by default the time does not matter.
    #[inline]
    fn add_at(&self, accumulator: &mut Self::Acc, value: V, time: EventTime) {
        let _ = time;
        self.add(accumulator, value);
    }

    /// Adds what another accumulator has seen. Slices are merged in order of time, the later one into the
    /// earlier one; sessions in any order.
    fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc);

    /// Takes out of an accumulator what was merged into it before: exactly, as if it never had been. It is always what was merged
    /// first of what is there, and never all of it. Called only if it [can be](Self::UNMERGES).
    fn unmerge(&self, accumulator: &mut Self::Acc, other: &Self::Acc) {
        let _ = (accumulator, other);
        unreachable!("an aggregator that unmerges says how");
    }

    /// The result so far; asked for after the first value.
    fn result(&self, accumulator: &Self::Acc) -> Self::Out;
}

#[cfg(test)]
mod tests;
