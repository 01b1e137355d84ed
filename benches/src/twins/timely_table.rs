//! The checkpoint bench's twin: the same load on a plain table of large states, without checkpoints.
//! What a checkpoint costs is the difference to this.

use super::growing::Growing;
use super::open_loop::{self, Counted, OpenLoopCase};
use super::route;
use crate::common::latency::LatencyRun;
use crate::common::load::Due;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Operator;

/// The number of keys; all of them are in the table before the first record is due.
pub const KEYS: u64 = 1_000_000;

/// The state of a key: 112 bytes, all of which a snapshot has to hold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Records of this key so far.
    pub count: u64,
    /// The due times of the last thirteen, masked with `WIDE`.
    pub recent: [u64; 13],
}

/// A mask that leaves no small number: a codec that shortens small numbers would make states of a few bytes
/// of it, and nothing could be learned about states of a hundred.
const WIDE: u64 = 0x5555_5555_5555_5555;

impl Account {
    /// The state of a key without records.
    pub const EMPTY: Account = Account {
        count: 0,
        recent: [WIDE; 13],
    };

    /// Takes a record in and returns the new count.
    #[inline]
    pub fn update(&mut self, due_ns: u64) -> u64 {
        self.recent[(self.count % 13) as usize] = due_ns ^ WIDE;
        self.count += 1;
        self.count
    }
}

/// Runs the twin once.
pub fn run(case: &OpenLoopCase) -> LatencyRun {
    open_loop::run(case, update_accounts)
}

fn update_accounts(records: StreamVec<'_, u64, Due>) -> StreamVec<'_, u64, Counted> {
    let by_key =
        ExchangeCore::<Growing<Due>, _>::new_core(|due: &Due| route(stable_hash(&due.key)));
    let (worker, workers) = (
        records.scope().index() as u64,
        records.scope().peers() as u64,
    );
    records.unary(by_key, "update accounts", |_capability, _info| {
        let mut accounts = filled_table(worker, workers);
        move |input, output| {
            input.for_each_time(|time, batches| {
                let mut session = output.session(&time);
                for due in batches.flat_map(|batch| batch.drain(..)) {
                    let account = accounts
                        .find_mut(stable_hash(&due.key), |entry| entry.0 == due.key)
                        .expect("every key is in the table from the start");
                    session.give((due.key, account.1.update(due.due_ns), due.due_ns));
                }
            });
        }
    })
}

/// The accounts of the keys that are routed to this worker.
fn filled_table(worker: u64, workers: u64) -> HashTable<(u64, Account)> {
    let mut table = HashTable::with_capacity((KEYS / workers) as usize);
    let own = (0..KEYS).filter(|key| route(stable_hash(key)) % workers == worker);
    for key in own {
        table.insert_unique(stable_hash(&key), (key, Account::EMPTY), |entry| {
            stable_hash(&entry.0)
        });
    }
    table
}
