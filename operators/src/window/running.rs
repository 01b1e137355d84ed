//! The aggregate over a window that moves over slices, without merging all of them again each time.
//!
//! Two stacks, as in Tangwongsan, Hirzel, Schneider: "Low-latency sliding-window aggregation in worst-case
//! constant time" (DEBS 2017), who trace them to functional queues. The slices up to a split are aggregated
//! backwards: each entry of the front has its slice and all behind it up to the split, so that a window that
//! begins later takes a later entry. Those behind the split are aggregated forwards, in one accumulator, the
//! back. Front and back together are the window. When it begins behind the split, what is the back by then is
//! aggregated anew as the front. So each slice is merged twice in its life: once forwards, once backwards; and
//! a result merges once.

use crate::aggregate::Aggregator;
use millstream_runtime::record::Data;
use serde::{Deserialize, Serialize};

/// What was added in one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slice<A> {
    pub number: i64,
    pub accumulator: A,
}

/// The aggregate over the slices of a window. It holds nothing that cannot be had from the slices.
#[derive(Clone, Debug)]
pub(super) struct Running<A> {
    /// Each with all that follow up to the split; the oldest last.
    front: Vec<Slice<A>>,
    /// The newest slice of the front.
    split: i64,
    /// What follows the split.
    back: Option<A>,
}

impl<A> Default for Running<A> {
    fn default() -> Self {
        Running {
            front: Vec::new(),
            split: i64::MIN,
            back: None,
        }
    }
}

impl<A: Data> Running<A> {
    /// Whether a window that begins with this slice can do without [`begin`](Self::begin).
    #[inline]
    pub fn reaches(&self, first: i64) -> bool {
        first <= self.split
    }

    /// Whether there is a split, and a slice lies behind it.
    pub fn is_behind_split(&self, slice: i64) -> bool {
        self.split != i64::MIN && slice > self.split
    }

    /// Whether anything is left in front of the split.
    #[inline]
    pub fn has_front(&self) -> bool {
        !self.front.is_empty()
    }

    /// Reads what the next window reads first, so that it is in the cache.
    #[inline]
    pub fn warm(&self) -> usize {
        self.front.last().map_or(0, |slice| slice.number as usize)
    }

    /// Aggregates the slices of a window anew; returns how many.
    pub fn begin<'a, V, G: Aggregator<V, Acc = A>>(
        &mut self,
        newest_first: impl Iterator<Item = &'a Slice<A>>,
        aggregator: &G,
    ) -> usize
    where
        A: 'a,
    {
        self.front.clear();
        self.back = None;
        for Slice {
            number,
            accumulator,
        } in newest_first
        {
            let mut accumulator = accumulator.clone();
            match self.front.last() {
                Some(later) => aggregator.merge(&mut accumulator, later.accumulator.clone()),
                None => self.split = *number,
            }
            let number = *number;
            self.front.push(Slice {
                number,
                accumulator,
            });
        }
        self.front.len()
    }

    /// The window begins with this slice now.
    #[inline]
    pub fn evict_before(&mut self, first: i64) {
        while let Some(oldest) = self.front.last()
            && oldest.number < first
        {
            self.front.pop();
        }
    }

    /// The window grows by a slice behind all others.
    #[inline]
    pub fn push<V, G: Aggregator<V, Acc = A>>(&mut self, slice: &A, aggregator: &G) {
        let slice = slice.clone();
        match &mut self.back {
            Some(back) => aggregator.merge(back, slice),
            None => self.back = Some(slice),
        }
    }

    /// What is aggregated behind the split, for changing.
    pub fn back_mut(&mut self, create: impl FnOnce() -> A) -> &mut A {
        self.back.get_or_insert_with(create)
    }

    /// The result over the window.
    ///
    /// # Panics
    /// When the window is empty.
    #[inline]
    pub fn result<V, G: Aggregator<V, Acc = A>>(&self, aggregator: &G) -> G::Out {
        let front = self.front.last().map(|slice| &slice.accumulator);
        match (front, &self.back) {
            (Some(front), Some(back)) => {
                let mut whole = front.clone();
                aggregator.merge(&mut whole, back.clone());
                aggregator.result(&whole)
            }
            (Some(part), None) | (None, Some(part)) => aggregator.result(part),
            (None, None) => unreachable!("a window with a result has a slice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Reduce;

    #[test]
    fn a_window_that_moves_is_the_concatenation_of_its_slices() {
        let concatenation = Reduce::new(|a: String, b: String| a + &b);
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let slices: Vec<Slice<Option<String>>> = (0..200)
                .filter(|_| random.u8(..4) > 0)
                .map(|number| Slice {
                    number,
                    accumulator: Some(format!("{number} ")),
                })
                .collect();
            let of = |from: i64, until: i64| {
                let within = move |slice: &&Slice<_>| (from..until).contains(&slice.number);
                slices.iter().filter(within)
            };
            let mut running = Running::default();
            let (mut first, mut until) = (0, 0);
            while until < 200 {
                let next = until + random.i64(1..5);
                let later = random.i64(first..next.min(first + 9)).max(next - 20);
                if of(later, next).next().is_none() {
                    continue;
                }
                first = later;
                if running.reaches(first) {
                    running.evict_before(first);
                    of(until, next)
                        .for_each(|slice| running.push(&slice.accumulator, &concatenation));
                } else {
                    running.begin(of(first, next).rev(), &concatenation);
                }
                until = next;
                let expected: String = of(first, until)
                    .filter_map(|s| s.accumulator.clone())
                    .collect();
                assert_eq!(running.result(&concatenation), expected, "seed {seed}");
            }
        }
    }
}
