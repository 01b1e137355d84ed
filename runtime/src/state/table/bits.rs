//! A bit for each cell of a shard. All bits are zero until they are set.

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// Makes room for this many cells.
    pub fn grow(&mut self, cells: usize) {
        let mut words = std::mem::take(&mut self.0).into_vec();
        words.resize(cells.div_ceil(64).max(words.len()), 0);
        self.0 = words.into_boxed_slice();
    }

    #[inline]
    pub fn get(&self, at: u32) -> bool {
        self.0[at as usize / 64] >> (at % 64) & 1 != 0
    }

    #[inline]
    pub fn set(&mut self, at: u32) {
        self.0[at as usize / 64] |= 1 << (at % 64);
    }

    /// Whether it was set.
    #[inline]
    pub fn clear(&mut self, at: u32) -> bool {
        let was = self.get(at);
        self.0[at as usize / 64] &= !(1 << (at % 64));
        was
    }

    /// Sets the bits that `other`, of the same length, has set, and no others.
    pub fn copy_from(&mut self, other: &Bits) {
        self.0.copy_from_slice(&other.0);
    }

    /// The first bit that is set, from word `word` on.
    #[inline]
    pub fn first_from(&self, word: usize) -> Option<u32> {
        let rest = self.0.get(word..)?.iter();
        let (skipped, bits) = rest.enumerate().find(|(_, bits)| **bits != 0)?;
        Some((word + skipped) as u32 * 64 + bits.trailing_zeros())
    }

    /// Whether no bit is set.
    pub fn is_zero(&self) -> bool {
        self.first_from(0).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_found_in_order() {
        let mut bits = Bits::default();
        assert_eq!(bits.first_from(0), None);
        bits.grow(200);
        for at in [199, 0, 64, 63] {
            bits.set(at);
        }
        let mut found = Vec::new();
        let mut word = 0;
        while let Some(at) = bits.first_from(word) {
            assert!(bits.clear(at) && !bits.clear(at));
            word = at as usize / 64;
            found.push(at);
        }
        assert_eq!(found, [0, 63, 64, 199]);
        assert!(bits.is_zero());
    }
}
