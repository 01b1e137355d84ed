//! From the hash of a key to the place of its entry: open addressing in buckets of one cache line.
//!
//! A bucket holds the 32 hash bits and the places of up to seven entries, packed to its front, and in one word a tag of
//! seven bits for each, so that a lookup compares all of them at once. An entry is in its home
//! bucket or, when that was full, in the first one after it that was not. The invariant on which lookups
//! rest: *every bucket from an entry's home to the one before its own is full*. So a lookup ends at the first
//! bucket that is not, and a removal from a full bucket moves an entry up that had to go past it. There are no
//! tombstones, and a resize touches no entry, for the hash bits are here.
//!
//! Tags in a word are those of hashbrown and of Google's Swiss tables, where there is no SIMD.

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Entries in a bucket.
const WIDTH: usize = 7;
/// A bucket takes this many entries on the average before the index is doubled.
const LOAD: usize = 5;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    /// A byte for each entry, the first one lowest: its [`tag`], or zero behind the last entry.
    tags: u64,
    /// Hash and place.
    entries: [(u32, u32); WIDTH],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// From the high bits of a hash: the low ones say which bucket is its home.
#[inline]
fn tag(hash: u32) -> u64 {
    u64::from(hash >> 25 | 0x80)
}

/// The same byte eight times.
const EACH: u64 = 0x0101_0101_0101_0101;

impl Bucket {
    const EMPTY: Bucket = Bucket {
        tags: 0,
        entries: [(0, NOWHERE); WIDTH],
    };

    /// The top bit of each byte whose tag is that of `hash`, and perhaps of one behind such a byte that differs in its lowest bit.
    #[inline]
    fn matches(&self, hash: u32) -> u64 {
        let unlike = self.tags ^ (tag(hash) * EACH);
        unlike.wrapping_sub(EACH) & !unlike & (0x80 * EACH)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.tags >> (8 * (WIDTH - 1)) != 0
    }

    fn len(&self) -> usize {
        (64 - self.tags.leading_zeros() as usize) / 8
    }

    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries.into_iter().take(self.len())
    }

    fn push(&mut self, entry: (u32, u32)) {
        let at = self.len();
        self.entries[at] = entry;
        self.tags |= tag(entry.0) << (8 * at);
    }

    /// Removes the entry at `at`: the last one takes its place.
    fn take(&mut self, at: usize) -> (u32, u32) {
        let last = self.len() - 1;
        let taken = self.entries[at];
        self.entries[at] = self.entries[last];
        self.tags &= !(0xFF << (8 * at));
        self.tags |= tag(self.entries[at].0) << (8 * at);
        self.tags &= !(0xFF << (8 * last));
        self.entries[last] = (0, NOWHERE);
        taken
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Index {
    /// None, or a power of two.
    buckets: Box<[Bucket]>,
}

impl Index {
    /// The number of the last bucket. Without any, a number that is out of bounds everywhere.
    #[inline]
    fn mask(&self) -> usize {
        self.buckets.len().wrapping_sub(1)
    }

    /// The place of an entry with this hash for which `is` says that it is the one. `is` is called for entries with an equal hash
    /// only: nearly always once at most.
    #[inline(always)] // a call would cost a third of it
    pub fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut number = hash as usize & self.mask();
        loop {
            let bucket = self.buckets.get(number)?;
            let mut matches = bucket.matches(hash);
            while matches != 0 {
                let at = (matches.trailing_zeros() / 8) as usize;
                if let Some((other, place)) = bucket.entries.get(at)
                    && *other == hash
                    && is(*place)
                {
                    return Some(*place);
                }
                matches &= matches - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            number = (number + 1) & self.mask();
        }
    }

    /// Adds an entry; `len` others are there.
    pub fn insert(&mut self, hash: u32, place: u32, len: usize) {
        if len >= self.buckets.len() * LOAD {
            self.grow();
        }
        self.put((hash, place));
    }

    fn put(&mut self, entry: (u32, u32)) {
        let mut number = entry.0 as usize & self.mask();
        while self.buckets[number].is_full() {
            number = (number + 1) & self.mask();
        }
        self.buckets[number].push(entry);
    }

    #[cold]
    fn grow(&mut self) {
        let doubled = (self.buckets.len() * 2).max(1);
        let before = std::mem::replace(
            &mut self.buckets,
            vec![Bucket::EMPTY; doubled].into_boxed_slice(),
        );
        for entry in before.iter().flat_map(Bucket::entries) {
            self.put(entry);
        }
    }

    /// Removes an entry that is there.
    pub fn remove(&mut self, hash: u32, place: u32) {
        let mut hole = hash as usize & self.mask();
        let at = loop {
            match self.buckets[hole].entries.iter().position(|e| e.1 == place) {
                Some(at) => break at,
                None => hole = (hole + 1) & self.mask(),
            }
        };
        let mut was_full = self.buckets[hole].is_full();
        self.buckets[hole].take(at);
        // An entry further on that had to go past the bucket, as it was full, comes back to it.
        let mut number = hole;
        while was_full {
            number = (number + 1) & self.mask();
            was_full = self.buckets[number].is_full();
            if let Some(at) = self.passed(hole, number) {
                let entry = self.buckets[number].take(at);
                self.buckets[hole].push(entry);
                hole = number;
            }
        }
    }

    /// An entry of the bucket `number` that is at home in `hole` or before.
    fn passed(&self, hole: usize, number: usize) -> Option<usize> {
        let distance = |from: usize| number.wrapping_sub(from) & self.mask();
        let mut entries = self.buckets[number].entries();
        entries.position(|(hash, _)| distance(hash as usize & self.mask()) >= distance(hole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Few different hashes, so that buckets overflow, runs of full ones wrap around the end, and one hash has
    /// many entries.
    #[test]
    fn an_index_is_a_map_from_hash_to_places() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let hashes = [1, 3, 40, 100_000][random.usize(..4)];
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for step in 0..600 {
                let hash = random.u32(..hashes).wrapping_mul(0x9E37_79B9);
                if random.u8(..5) < 3 {
                    index.insert(hash, step, model.len());
                    model.insert(step, hash);
                } else if let Some((&place, &hash)) = model.range(random.u32(..=step)..).next() {
                    index.remove(hash, place);
                    model.remove(&place);
                }
                for (&place, &hash) in model.iter().take(20) {
                    assert_eq!(index.find(hash, |found| found == place), Some(place));
                }
                let mut seen: Vec<u32> = Vec::new();
                assert_eq!(
                    index.find(hash, |place| {
                        seen.push(place);
                        false
                    }),
                    None
                );
                seen.sort_unstable();
                let expected = model.iter().filter(|(_, h)| **h == hash);
                assert!(
                    expected.map(|(place, _)| *place).eq(seen),
                    "seed {seed}, step {step}"
                );
            }
        }
    }
}
