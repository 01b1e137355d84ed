//! The jobs of the benches written by hand: straight on timely, and as bare loops on one thread.
//!
//! Each is the best code we know for exactly its job. A twin pays for what timely and the job need
//! (channels, progress, an exchange, a hash table) and for nothing that Millstream adds to them, so
//! the ratio to it is the price of Millstream.

pub mod bare;
pub mod growing;
pub mod open_loop;
pub mod session_table;
pub mod slice_table;
pub mod timely_latency;
pub mod timely_sessions;
pub mod timely_sliding;
pub mod timely_table;
pub mod timely_windows;
pub mod timely_wordcount;
pub mod window_table;
pub mod word_table;

use timely::Config;

/// A configuration of `workers` worker threads in this process.
fn config(workers: usize) -> Config {
    match workers {
        1 => Config::thread(),
        _ => Config::process(workers),
    }
}

/// Where a key's record goes: the high bits, as a hash table looks at the low ones.
#[inline]
fn route(hash: u64) -> u64 {
    hash >> 32
}
