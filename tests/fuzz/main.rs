//! Arbitrary and mutated bytes for everything that reads what others may have written: checkpoints, codecs, input
//! files. Nothing panics, nothing hangs, and no length that is read makes for a large allocation.
//!
//! `MILLSTREAM_SEEDS=0..10000` tries more.

mod allocations;
mod checkpoints;
mod codecs;
mod input;
mod mutate;
mod resume;

use std::ops::Range;

/// The seeds of a run: as many as `default`, or those that the environment names.
pub fn seeds(default: u64) -> Range<u64> {
    let Ok(text) = std::env::var("MILLSTREAM_SEEDS") else {
        return 0..default;
    };
    let (from, to) = text.split_once("..").expect("MILLSTREAM_SEEDS=0..1000");
    from.parse().unwrap()..to.parse().unwrap()
}
