//! The hash of a contender's output, so that a fast wrong answer shows.
//!
//! Every output row is mixed to 64 bits and the rows are summed: the order in which rows come out,
//! and the worker they come out on, do not matter; a missing, doubled or wrong row does.

use std::fmt;

/// The sum over the output rows seen so far, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    sum: u64,
    rows: u64,
}

impl Answer {
    /// Adds the row `(a, b)`.
    #[inline]
    pub fn add_pair(&mut self, a: u64, b: u64) {
        self.sum = self.sum.wrapping_add(mix(a, b));
        self.rows += 1;
    }

    /// Adds the row `(a, b, c)`.
    #[inline]
    pub fn add_triple(&mut self, a: u64, b: u64, c: u64) {
        self.add_pair(mix(a, b), c);
    }

    /// Adds the row `(word, count)`.
    #[inline]
    pub fn add_word(&mut self, word: &[u8], count: u64) {
        self.add_pair(hash_bytes(word), count);
    }

    /// Adds all rows of another part of the output.
    pub fn merge(&mut self, other: Answer) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows += other.rows;
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}/{}", self.sum, self.rows)
    }
}

impl std::iter::Sum for Answer {
    fn sum<I: Iterator<Item = Answer>>(parts: I) -> Answer {
        parts.fold(Answer::default(), |mut whole, part| {
            whole.merge(part);
            whole
        })
    }
}

/// A strong mix of two words into one: multiply to 128 bits and fold, twice (as wyhash does).
#[inline]
pub const fn mix(a: u64, b: u64) -> u64 {
    let once = fold(a ^ 0x9E37_79B9_7F4A_7C15, b ^ 0xA076_1D64_78BD_642F);
    fold(once ^ a.rotate_left(32), once ^ 0xE703_7ED1_A0B4_28DB)
}

/// The `index`-th number of a random sequence: wyrand (Wang Yi, 2019), one multiply-fold.
#[inline]
pub const fn draw(index: u64, seed: u64) -> u64 {
    let state = index.wrapping_add(seed).wrapping_mul(0xA076_1D64_78BD_642F);
    fold(state, state ^ 0xE703_7ED1_A0B4_28DB)
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// A 64-bit hash of a string of bytes, eight at a time.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        hash = mix(hash, word);
    }
    mix(hash, little_endian(chunks.remainder()))
}

#[inline]
fn little_endian(few: &[u8]) -> u64 {
    few.iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_every_row_does() {
        let answer_of = |rows: &[(u64, u64)]| {
            let mut answer = Answer::default();
            rows.iter().for_each(|&(a, b)| answer.add_pair(a, b));
            answer
        };
        assert_eq!(answer_of(&[(1, 2), (3, 4)]), answer_of(&[(3, 4), (1, 2)]));
        assert_ne!(answer_of(&[(1, 2), (3, 4)]), answer_of(&[(1, 4), (3, 2)]));
        assert_ne!(answer_of(&[(1, 2)]), answer_of(&[(1, 2), (1, 2)]));
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"a\0"));
    }
}
