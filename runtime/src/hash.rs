//! Where a key lives: a hash that is the same in every process, build and run, and the key groups
//! that it assigns keys to.
//!
//! The hash is part of the checkpoint format (version 1): it multiplies to 128 bits and folds the
//! halves, as wyhash does (Wang Yi, 2019). Changing a constant here moves every key to another
//! group; the tests pin known values.

use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The default number of key groups of a job (`max_parallelism`): the most workers it can ever
/// run on without losing its state.
pub const DEFAULT_KEY_GROUPS: u32 = 4096;

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const MULTIPLIER: u64 = 0xA076_1D64_78BD_642F;
const MULTIPLIER_2: u64 = 0xE703_7ED1_A0B4_28DB;

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// One to seven bytes as a little-endian number. Two loads that may overlap: cheaper than a copy of a length that is not known
/// before.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    let last = bytes.len() - 1;
    if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (head, tail) = (u32::from_le_bytes(*head), u32::from_le_bytes(*tail));
        return u64::from(head) | u64::from(tail) << (8 * (last - 3));
    }
    let middle = bytes.len() / 2;
    u64::from(bytes[0])
        | u64::from(bytes[middle]) << (8 * middle)
        | u64::from(bytes[last]) << (8 * last)
}

/// A [`Hasher`] without random state. Integers are taken in little-endian order.
#[derive(Clone, Copy)]
pub struct StableHasher(u64);

impl Default for StableHasher {
    #[inline]
    fn default() -> Self {
        StableHasher(SEED)
    }
}

impl Hasher for StableHasher {
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.0 ^ MULTIPLIER_2, MULTIPLIER)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
            self.write_u64(word);
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            self.write_u64(short_word(rest));
        }
        self.write_u64(bytes.len() as u64);
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, MULTIPLIER_2);
    }
    #[inline]
    fn write_u8(&mut self, i: u8) {
        self.write_u64(u64::from(i));
    }
    #[inline]
    fn write_u16(&mut self, i: u16) {
        self.write_u64(u64::from(i));
    }
    #[inline]
    fn write_u32(&mut self, i: u32) {
        self.write_u64(u64::from(i));
    }
    #[inline]
    fn write_usize(&mut self, i: usize) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_i8(&mut self, i: i8) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_i16(&mut self, i: i16) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_i32(&mut self, i: i32) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_i64(&mut self, i: i64) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_isize(&mut self, i: isize) {
        self.write_u64(i as u64);
    }
    #[inline]
    fn write_u128(&mut self, i: u128) {
        self.write_u64(i as u64);
        self.write_u64((i >> 64) as u64);
    }
}

/// The stable 64-bit hash of a key.
#[inline]
pub fn stable_hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = StableHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// How a job's key groups are spread over its workers: worker `w` of `n` owns one contiguous range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    groups: u32,
    workers: u32,
}

impl KeyGroups {
    /// `groups` key groups spread over `workers` workers.
    ///
    /// # Panics
    /// When there are more workers than groups; a job's configuration is checked before.
    pub fn new(groups: u32, workers: usize) -> Self {
        assert!(
            workers >= 1 && workers as u64 <= u64::from(groups),
            "{workers} workers for {groups} key groups"
        );
        KeyGroups {
            groups,
            workers: workers as u32,
        }
    }

    /// The number of key groups.
    pub fn count(&self) -> u32 {
        self.groups
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers as usize
    }

    /// The group of a key with this hash. Taken from bits 20 to 51, so that keys of one group
    /// still differ in the bits a hash table looks at.
    #[inline]
    pub fn group_of(&self, hash: u64) -> u32 {
        ((((hash >> 20) & 0xFFFF_FFFF) * u64::from(self.groups)) >> 32) as u32
    }

    /// The worker that owns a group.
    #[inline]
    pub fn worker_of(&self, group: u32) -> usize {
        ((u64::from(group) * u64::from(self.workers)) / u64::from(self.groups)) as usize
    }

    /// The worker that owns the key with this hash.
    #[inline]
    pub fn worker_of_hash(&self, hash: u64) -> usize {
        if self.workers == 1 {
            return 0;
        }
        self.worker_of(self.group_of(hash))
    }

    /// The groups that worker `worker` owns.
    pub fn range(&self, worker: usize) -> Range<u32> {
        let bound = |w: u64| (w * u64::from(self.groups)).div_ceil(u64::from(self.workers)) as u32;
        bound(worker as u64)..bound(worker as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash is part of the checkpoint format. If this test fails, keys would be looked for in
    /// other groups than those they were filed under.
    #[test]
    fn hash_is_pinned() {
        assert_eq!(stable_hash(&0u64), stable_hash(&0u32));
        assert_eq!(stable_hash(&42u64), 5752252527801120545);
        assert_eq!(stable_hash("millstream"), 4563015961103732056);
        assert_eq!(stable_hash(&("a", 7i32)), 16429948171362955891);
    }

    #[test]
    fn short_words_are_padded_with_zeros() {
        for length in 1..8 {
            let bytes: Vec<u8> = (0..length as u8).map(|at| 0xF1 + at).collect();
            let mut word = [0; 8];
            word[..length].copy_from_slice(&bytes);
            assert_eq!(short_word(&bytes), u64::from_le_bytes(word));
        }
    }

    /// The format in plain words: all words of eight bytes, the last one padded, and the length.
    #[test]
    fn bytes_are_hashed_by_words_of_eight_and_their_length() {
        for length in 0..=70 {
            let bytes: Vec<u8> = (0..length as u8).map(|at| at.wrapping_mul(0x9D)).collect();
            let mut expected = StableHasher::default();
            for chunk in bytes.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                expected.write_u64(u64::from_le_bytes(word));
            }
            expected.write_u64(length);
            let mut hasher = StableHasher::default();
            hasher.write(&bytes);
            assert_eq!(hasher.finish(), expected.finish(), "{length} bytes");
        }
    }

    #[test]
    fn ranges_agree_with_owners() {
        for groups in [1, 7, 128, 4096] {
            for workers in 1..=groups.min(9) as usize {
                let spread = KeyGroups::new(groups, workers);
                let mut seen = 0;
                for worker in 0..workers {
                    for group in spread.range(worker) {
                        assert_eq!(spread.worker_of(group), worker);
                        seen += 1;
                    }
                }
                assert_eq!(seen, groups);
            }
        }
    }

    #[test]
    fn sequential_keys_spread_evenly() {
        let spread = KeyGroups::new(128, 4);
        let mut counts = [0u32; 128];
        for key in 0..128_000u64 {
            counts[spread.group_of(stable_hash(&key)) as usize] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 800 && *most < 1_200, "{least}..{most}");
    }
}
