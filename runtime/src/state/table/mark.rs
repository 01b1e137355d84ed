//! When an entry changed, and what of it a checkpoint is owed.

use std::num::NonZeroU32;

/// When an entry changed. Periods, from barrier to barrier, are even numbers that rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(NonZeroU32);

impl Mark {
    /// Of no period.
    pub const OLD: Mark = Mark(NonZeroU32::MIN);
    /// The first period.
    pub const FIRST: Mark = Mark::OLD.plus(1);
    /// The last period that has another after it.
    pub const LAST: Mark = Mark(NonZeroU32::MAX).minus(5);
    /// Of no period, not even a forgotten one.
    pub const NEVER: Mark = Mark(NonZeroU32::MAX);

    const fn plus(self, more: u32) -> Mark {
        Mark(self.0.saturating_add(more))
    }

    const fn minus(self, less: u32) -> Mark {
        match NonZeroU32::new(self.0.get() - less) {
            Some(mark) => Mark(mark),
            None => Mark::OLD,
        }
    }

    /// The period that has so many others before the last.
    #[cfg(test)]
    pub fn before_last(others: u32) -> Mark {
        Mark::LAST.minus(2 * others)
    }

    /// The next period.
    pub fn next(self) -> Mark {
        self.plus(2)
    }

    /// Encoded in this period, and not changed since.
    pub fn encoded(self) -> Mark {
        self.plus(1)
    }

    /// Whether this is the period before `now`.
    pub fn is_just_before(self, now: Mark) -> bool {
        self.next() == now
    }

    /// What becomes of a mark when the period `now` is called the first.
    pub fn counted_anew(self, now: Mark) -> Mark {
        match self {
            Mark::NEVER => Mark::NEVER,
            _ if self == now => Mark::FIRST,
            _ => Mark::OLD,
        }
    }
}

/// What a shard owes to the checkpoint that is being taken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Owed {
    #[default]
    Nothing,
    /// What changed in the period before the barrier.
    Changes,
    /// All that was there at the barrier.
    All,
}

impl Owed {
    /// The barrier: what changed is owed from now on, or all there is.
    pub fn at_barrier(all: bool) -> Owed {
        match all {
            true => Owed::All,
            false => Owed::Changes,
        }
    }

    /// Whether what has this mark is still to be encoded, `now` being the period after the barrier.
    #[inline]
    pub fn holds(self, mark: Mark, now: Mark) -> bool {
        match self {
            Owed::Nothing => false,
            Owed::Changes => mark.is_just_before(now),
            Owed::All => mark < now,
        }
    }
}
