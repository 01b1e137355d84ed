//! The latency twin: exchange by key, count per key, on timely.

use super::growing::Growing;
use super::open_loop::{self, Counted, OpenLoopCase};
use super::route;
use crate::common::latency::LatencyRun;
use crate::common::load::Due;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Operator;

/// Runs the twin once.
pub fn run(case: &OpenLoopCase) -> LatencyRun {
    open_loop::run(case, count_per_key)
}

fn count_per_key(records: StreamVec<'_, u64, Due>) -> StreamVec<'_, u64, Counted> {
    let by_key =
        ExchangeCore::<Growing<Due>, _>::new_core(|due: &Due| route(stable_hash(&due.key)));
    records.unary(by_key, "count per key", |_capability, _info| {
        let mut counts = Counts::default();
        move |input, output| {
            input.for_each_time(|time, batches| {
                let mut session = output.session(&time);
                for due in batches.flat_map(|batch| batch.drain(..)) {
                    session.give((due.key, counts.add(due.key), due.due_ns));
                }
            });
        }
    })
}

/// Counts by key: a table whose hash is that of the exchange.
#[derive(Default)]
struct Counts {
    table: HashTable<(u64, u64)>,
}

impl Counts {
    #[inline]
    fn add(&mut self, key: u64) -> u64 {
        let hash = stable_hash(&key);
        let entry = self
            .table
            .entry(hash, |entry| entry.0 == key, |entry| stable_hash(&entry.0));
        let mut slot = entry.or_insert((key, 0));
        let count = &mut slot.get_mut().1;
        *count += 1;
        *count
    }
}
