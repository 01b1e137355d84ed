//! The event stream of the window bench: events a microsecond apart, each with a time up to 100 ms, or as
//! much as one likes, behind its place in the stream. A pure function of the index, cheap enough (one multiply-fold)
//! to sit inside every contender.

use super::answer::draw;
use super::load::reduce;
use serde::{Deserialize, Serialize};

/// Keys are drawn evenly from `0..KEYS`. They stand for arbitrary numbers: no contender may use
/// them as an array index.
pub const KEYS: u64 = 10_000;
/// No event's time is further than this behind the place of any event before it, if nothing else is said.
pub const OUT_OF_ORDER_MS: i64 = 100;
/// The length of the tumbling windows, which are aligned to the epoch.
pub const WINDOW_MS: i64 = 1_000;
/// How many events share one millisecond.
pub const EVENTS_PER_MS: u64 = 1_000;

const SEED: u64 = 0x7769_6E64;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The key, to be taken as an arbitrary number.
    pub key: u64,
    /// Event time in milliseconds.
    pub time_ms: i64,
}

/// The event at place `index` of the stream.
#[inline]
pub fn event(index: u64) -> Event {
    event_of(index, KEYS, OUT_OF_ORDER_MS)
}

/// The same with another number of keys, and further out of order or less.
#[inline]
pub fn event_of(index: u64, keys: u64, out_of_order_ms: i64) -> Event {
    let hash = draw(index, SEED);
    let jitter_ms = ((hash & 0xFFFF_FFFF) * (out_of_order_ms as u64 + 1)) >> 32;
    Event {
        key: reduce(hash, keys),
        time_ms: place_ms(index) + out_of_order_ms - jitter_ms as i64,
    }
}

/// The watermark before event `index`: no event from there on has a time below it.
#[inline]
pub fn watermark_ms(index: u64) -> i64 {
    place_ms(index)
}

#[inline]
fn place_ms(index: u64) -> i64 {
    (index / EVENTS_PER_MS) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_behind_the_watermark() {
        let jitters: Vec<i64> = (0..50_000)
            .map(|i| event(i).time_ms - watermark_ms(i))
            .collect();
        assert_eq!(jitters.iter().min(), Some(&0));
        assert_eq!(jitters.iter().max(), Some(&OUT_OF_ORDER_MS));
    }
}
