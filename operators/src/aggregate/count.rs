//! How many values there are.

use super::Aggregator;

/// Counts values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<V> Aggregator<V> for Count {
    type Acc = u64;
    type Out = u64;
    const UNMERGES: bool = true;
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
    fn unmerge(&self, accumulator: &mut u64, other: &u64) {
        *accumulator -= other;
    }
    #[inline]
    fn result(&self, accumulator: &u64) -> u64 {
        *accumulator
    }
}
