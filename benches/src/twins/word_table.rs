//! Counts by word. The caller has the word's hash already.

use crate::common::answer::Answer;
use compact_str::CompactString;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;

/// A table of words and their counts.
#[derive(Default)]
pub struct WordTable {
    table: HashTable<(CompactString, u64)>,
}

impl WordTable {
    /// Adds `count` to a word's count and returns the new one.
    #[inline]
    pub fn add(&mut self, hash: u64, word: &str, count: u64) -> u64 {
        let entry = self
            .table
            .entry(hash, |entry| entry.0 == word, |entry| word_hash(&entry.0));
        let mut slot = entry.or_insert_with(|| (CompactString::new(word), 0));
        let total = &mut slot.get_mut().1;
        *total += count;
        *total
    }

    /// Hands out all words and their counts.
    pub fn drain(&mut self) -> impl Iterator<Item = (CompactString, u64)> + '_ {
        self.table.drain()
    }

    /// The hash of all words and their counts.
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::default();
        self.table
            .iter()
            .for_each(|(word, count)| answer.add_word(word.as_bytes(), *count));
        answer
    }
}

/// The hash that routes and places a word.
#[inline]
pub fn word_hash(word: &str) -> u64 {
    stable_hash(word.as_bytes())
}
