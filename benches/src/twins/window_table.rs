//! Tumbling counts by key: one hash table per open window.
//!
//! Invariant: windows below `first` have fired and take no more events.

use super::timely_windows::WindowCounts;
use crate::common::window_events::WINDOW_MS;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;
use std::collections::VecDeque;

/// The counts of the open windows.
#[derive(Default)]
pub struct WindowTable {
    first: i64,
    open: VecDeque<Counts>,
    /// Emptied tables, so that a new window does not have to grow one.
    spare: Vec<Counts>,
}

type Counts = HashTable<(u64, u64)>;

impl WindowCounts for WindowTable {
    #[inline]
    fn add(&mut self, key: u64, time_ms: i64) {
        let place = (time_ms.div_euclid(WINDOW_MS) - self.first) as usize;
        if place >= self.open.len() {
            self.open_up_to(place);
        }
        let counts = &mut self.open[place];
        let hash = stable_hash(&key);
        let entry = counts.entry(hash, |entry| entry.0 == key, |entry| stable_hash(&entry.0));
        entry.or_insert((key, 0)).get_mut().1 += 1;
    }

    #[inline]
    fn fire(&mut self, watermark_ms: i64, emit: impl FnMut(i64, u64, u64)) {
        if (self.first + 1).saturating_mul(WINDOW_MS) <= watermark_ms {
            self.fire_due(watermark_ms, emit);
        }
    }
}

impl WindowTable {
    #[cold]
    fn open_up_to(&mut self, place: usize) {
        while self.open.len() <= place {
            self.open.push_back(self.spare.pop().unwrap_or_default());
        }
    }

    #[cold]
    fn fire_due(&mut self, watermark_ms: i64, mut emit: impl FnMut(i64, u64, u64)) {
        while (self.first + 1).saturating_mul(WINDOW_MS) <= watermark_ms {
            let Some(mut counts) = self.open.pop_front() else {
                self.first = watermark_ms.div_euclid(WINDOW_MS);
                return;
            };
            let start_ms = self.first * WINDOW_MS;
            counts
                .drain()
                .for_each(|(key, count)| emit(start_ms, key, count));
            self.spare.push(counts);
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fire_once_and_in_order() {
        let mut table = WindowTable::default();
        let mut rows = Vec::new();
        table.add(7, 999);
        table.add(7, 1_000);
        table.add(7, 0);
        table.fire(999, |start, key, count| rows.push((start, key, count)));
        assert!(rows.is_empty());
        table.fire(1_000, |start, key, count| rows.push((start, key, count)));
        assert_eq!(rows, [(0, 7, 2)]);
        table.fire(i64::MAX, |start, key, count| rows.push((start, key, count)));
        assert_eq!(rows, [(0, 7, 2), (1_000, 7, 1)]);
    }
}
