//! A set of places in a shard's table, or of rows, a bit each.

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// Empties the set and makes room for this many places.
    pub fn reset(&mut self, places: usize) {
        let words = places.div_ceil(64);
        if words == self.0.len() {
            self.0.fill(0);
        } else {
            self.0 = vec![0; words].into_boxed_slice();
        }
    }

    /// Puts a place in.
    #[inline]
    pub fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Takes a place out; whether it was in.
    #[inline]
    pub fn remove(&mut self, at: usize) -> bool {
        let Some(bits) = self.0.get_mut(at / 64) else {
            return false;
        };
        let was_in = *bits >> (at % 64) & 1 != 0;
        *bits &= !(1 << (at % 64));
        was_in
    }

    /// Takes out the first place that is in the word `word` or a later one.
    #[inline]
    pub fn take_from(&mut self, word: usize) -> Option<usize> {
        let rest = self.0.get_mut(word..)?.iter_mut();
        let (skipped, bits) = rest.enumerate().find(|(_, bits)| **bits != 0)?;
        let at = bits.trailing_zeros() as usize;
        *bits &= *bits - 1;
        Some((word + skipped) * 64 + at)
    }

    /// Whether nothing is in it.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_in_order() {
        let mut bits = Bits::default();
        assert_eq!(bits.take_from(0), None);
        bits.reset(200);
        for at in [199, 0, 64, 63] {
            bits.set(at);
        }
        let mut taken = Vec::new();
        let mut word = 0;
        while let Some(at) = bits.take_from(word) {
            word = at / 64;
            taken.push(at);
        }
        assert_eq!(taken, [0, 63, 64, 199]);
        assert!(bits.is_zero());
        bits.set(3);
        assert!(bits.remove(3) && !bits.remove(3) && !bits.remove(1_000));
        bits.set(3);
        bits.reset(200);
        assert!(bits.is_zero());
    }
}
