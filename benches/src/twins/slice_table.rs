//! Sliding counts by key: a number for each key, then nothing but arrays by that number, one for each slice and
//! one for the window. A count can be taken back, so the window that moves on adds the slice that comes and
//! subtracts the one that goes.

use super::timely_windows::WindowCounts;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;
use std::collections::VecDeque;

/// The counts of the windows of one size and slide; the slide divides the size.
pub struct SliceTable {
    slide_ms: i64,
    /// Slices in a window.
    slices: usize,
    numbers: HashTable<(u64, u32)>,
    keys: Vec<u64>,
    /// The window that is fired next ends with this slice.
    next: i64,
    /// From the first slice of that window on.
    counts: VecDeque<Vec<u32>>,
    /// Over the slices of the window but the last.
    totals: Vec<u32>,
}

impl SliceTable {
    /// A table for windows of `size_ms` that begin every `slide_ms`.
    pub fn new(size_ms: i64, slide_ms: i64) -> Self {
        let slices = (size_ms / slide_ms) as usize;
        SliceTable {
            slide_ms,
            slices,
            numbers: HashTable::new(),
            keys: Vec::new(),
            next: 0,
            counts: VecDeque::from(vec![Vec::new(); slices - 1]),
            totals: Vec::new(),
        }
    }

    #[cold]
    fn add_key(&mut self, key: u64, hash: u64) -> usize {
        let number = self.keys.len();
        self.keys.push(key);
        let entry = (key, number as u32);
        self.numbers
            .insert_unique(hash, entry, |entry| stable_hash(&entry.0));
        number
    }

    #[cold]
    fn fire_next(&mut self, emit: &mut impl FnMut(i64, u64, u64)) {
        self.totals.resize(self.keys.len(), 0);
        if let Some(newest) = self.counts.get(self.slices - 1) {
            self.totals
                .iter_mut()
                .zip(newest)
                .for_each(|(total, count)| *total += count);
        }
        let start_ms = (self.next + 1 - self.slices as i64) * self.slide_ms;
        for (key, total) in self.keys.iter().zip(&self.totals) {
            if *total > 0 {
                emit(start_ms, *key, u64::from(*total));
            }
        }
        if let Some(oldest) = self.counts.pop_front() {
            self.totals
                .iter_mut()
                .zip(&oldest)
                .for_each(|(total, count)| *total -= count);
        }
        self.next += 1;
    }
}

impl WindowCounts for SliceTable {
    #[inline]
    fn add(&mut self, key: u64, time_ms: i64) {
        let behind = time_ms.div_euclid(self.slide_ms) - self.next;
        let place = (behind + self.slices as i64 - 1) as usize;
        let hash = stable_hash(&key);
        let number = match self.numbers.find(hash, |entry| entry.0 == key) {
            Some(entry) => entry.1 as usize,
            None => self.add_key(key, hash),
        };
        if place >= self.counts.len() {
            self.counts.resize(place + 1, Vec::new());
        }
        let counts = &mut self.counts[place];
        if number >= counts.len() {
            counts.resize(self.keys.len(), 0);
        }
        counts[number] += 1;
    }

    #[inline]
    fn fire(&mut self, watermark_ms: i64, mut emit: impl FnMut(i64, u64, u64)) {
        while (self.next + 1).saturating_mul(self.slide_ms) <= watermark_ms {
            if self.counts.iter().all(|counts| counts.is_empty()) {
                return;
            }
            self.fire_next(&mut emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_counts_its_slices() {
        let mut table = SliceTable::new(20, 10);
        let mut rows = Vec::new();
        table.add(7, 5);
        table.add(7, 15);
        table.add(8, 25);
        table.fire(9, |start, key, count| rows.push((start, key, count)));
        assert!(rows.is_empty());
        table.fire(i64::MAX, |start, key, count| rows.push((start, key, count)));
        assert_eq!(
            rows,
            [(-10, 7, 1), (0, 7, 2), (10, 7, 1), (10, 8, 1), (20, 8, 1)]
        );
    }
}
