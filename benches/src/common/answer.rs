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
///
/// It is what every contender pays for the check. Without branches on the length of a short string: in a bare loop the
/// processor knows it from the search for the end of the word, but behind a queue it would guess it wrong at every other word.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut rest = bytes;
    while rest.len() >= 16 {
        let (word, behind) = rest.split_first_chunk().expect("sixteen bytes are there");
        hash = mix(hash, u64::from_le_bytes(*word));
        rest = behind;
    }
    let (first, second) = little_endian(rest);
    let one = mix(hash, first);
    let two = mix(one, second);
    if rest.len() >= 8 { two } else { one }
}

/// Up to fifteen bytes as two numbers, padded with zeros: from four bytes on, by loads that may overlap.
#[inline]
fn little_endian(few: &[u8]) -> (u64, u64) {
    let Some(last) = few.len().checked_sub(4) else {
        let bytes = few.iter().rev();
        return (bytes.fold(0, |word, byte| word << 8 | u64::from(*byte)), 0);
    };
    let quarter = |begin: usize| {
        let at = begin.min(last);
        let four = few[at..].first_chunk().expect("four bytes are there");
        u64::from(u32::from_le_bytes(*four)) >> (8 * (begin - at)).min(32)
    };
    let word = |begin| quarter(begin) | quarter(begin + 4) << 32;
    (word(0), word(8))
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
    /// All words of eight bytes, and what is left, if only nothing: as published figures have it.
    #[test]
    fn strings_are_hashed_by_words_of_eight() {
        for length in 0..=40 {
            let bytes: Vec<u8> = (1..=length).map(|at: u8| at.wrapping_mul(0x9D)).collect();
            let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
            let words = words.chunks(8).chain([rest]);
            let expected = words.fold(u64::from(length), |hash, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                mix(hash, u64::from_le_bytes(word))
            });
            assert_eq!(hash_bytes(&bytes), expected, "{length} bytes");
        }
    }
}
