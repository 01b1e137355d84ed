//! What there is to measure of a barrier: how long an operator waited for its slowest input, how long its
//! snapshot took, and how large its state is.
//!
//! Times are those of the begins of steps, so nothing here reads a clock.

use crate::checkpoint::BlockKind;
use crate::metrics::OperatorMetrics;
use std::collections::HashMap;

/// The times of the barrier under way.
#[derive(Default)]
pub(crate) struct BarrierTimes {
    seen_ns: Option<i64>,
    passed_ns: i64,
}

impl BarrierTimes {
    /// Something from behind the barrier was seen.
    pub fn seen(&mut self, now_ns: i64) {
        self.seen_ns.get_or_insert(now_ns);
    }

    /// All inputs are at the barrier.
    pub fn passed(&mut self, now_ns: i64, metrics: &OperatorMetrics) {
        let seen_ns = self.seen_ns.take().unwrap_or(now_ns);
        self.passed_ns = now_ns;
        metrics.alignment_us.set(micros(now_ns - seen_ns));
    }

    /// The snapshot was handed over.
    pub fn encoded(&self, now_ns: i64, metrics: &OperatorMetrics) {
        metrics.snapshot_us.set(micros(now_ns - self.passed_ns));
    }
}

fn micros(ns: i64) -> u64 {
    u64::try_from(ns / 1_000).unwrap_or(0)
}

/// How many bytes a restore reads of an operator's state: of each state and shard the newest full block and
/// the deltas since.
#[derive(Default)]
pub(crate) struct BlockSizes {
    states: HashMap<String, HashMap<u32, u64>>,
}

impl BlockSizes {
    pub fn add(&mut self, state: &str, kind: BlockKind, shard: u32, bytes: usize) {
        let bytes = bytes as u64;
        let shards = match self.states.get_mut(state) {
            Some(shards) => shards,
            None => self.states.entry(state.to_owned()).or_default(),
        };
        let size = shards.entry(shard).or_default();
        match kind {
            BlockKind::Delta => *size += bytes,
            BlockKind::Full | BlockKind::Blob => *size = bytes,
        }
    }

    pub fn total(&self) -> u64 {
        self.states.values().flat_map(HashMap::values).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_is_from_the_first_input_at_the_barrier_to_the_last() {
        let metrics = OperatorMetrics::default();
        let mut times = BarrierTimes::default();
        for now_ns in [1_000_000, 2_000_000] {
            times.seen(now_ns);
        }
        times.passed(4_000_000, &metrics);
        assert_eq!(metrics.alignment_us.get(), 3_000);
        times.encoded(4_500_000, &metrics);
        assert_eq!(metrics.snapshot_us.get(), 500);
        // The next one has a single input.
        times.passed(9_000_000, &metrics);
        assert_eq!(metrics.alignment_us.get(), 0);
    }

    #[test]
    fn a_full_block_takes_the_place_of_what_was_there() {
        let mut sizes = BlockSizes::default();
        sizes.add("counts", BlockKind::Full, 3, 100);
        sizes.add("counts", BlockKind::Delta, 3, 10);
        sizes.add("timers", BlockKind::Full, 3, 7);
        sizes.add("counts", BlockKind::Full, 4, 50);
        assert_eq!(sizes.total(), 167);
        sizes.add("counts", BlockKind::Full, 3, 60);
        assert_eq!(sizes.total(), 117);
    }
}
