//! The timestamp of every message: one value carries the watermark and the barrier.
//!
//! A timely timestamp here is `Time { epoch, watermark }`, ordered as a *product*:
//! `a <= b` iff `a.epoch <= b.epoch` and `a.watermark <= b.watermark`. A message sent at
//! watermark `w` promises that its sender will send no more on-time records whose event time is
//! below `w`; a message whose epoch lies in checkpoint `c` is part of checkpoint `c`.
//!
//! Why a product and not a pair in lexicographic order: a source that has passed a barrier while
//! its watermark is 50 would be hidden behind one that has not passed it at watermark 100, and
//! windows would fire too early. `product_order_shows_both_sources` shows the case.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use timely::PartialOrder;
use timely::progress::Timestamp;
use timely::progress::timestamp::{PathSummary, Refines};

/// Event time in milliseconds since the Unix epoch (negative before 1970).
pub type EventTime = i64;

/// A watermark: no more on-time records with event time **below** this value will follow.
///
/// Exclusive, as a timely frontier is. Flink's watermark `w` ("no more records with time at or
/// below `w`") is `w + 1` here; a window fires when its end is at or below the watermark.
pub type Watermark = i64;

/// The watermark before any record.
pub const WATERMARK_MIN: Watermark = i64::MIN;
/// The watermark after the end of input: every window and event-time timer fires.
pub const WATERMARK_MAX: Watermark = i64::MAX;

/// A duration in whole milliseconds; one that is too long is as long as can be.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in nanoseconds; one that is too long is as long as can be.
pub(crate) fn whole_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The number of a checkpoint, counted from 1 in the life of a job, across restarts.
pub type CheckpointId = u64;

const TICK_BITS: u32 = 32;

/// A position in the sequence of barriers: the checkpoint a message belongs to (high 32 bits) and
/// the tick within it (low 32 bits). One integer comparison tells whether a message lies behind a
/// barrier.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The first epoch whose messages belong to checkpoint `checkpoint`.
    pub const fn first_of(checkpoint: CheckpointId) -> Epoch {
        Epoch(checkpoint << TICK_BITS)
    }

    /// The checkpoint that messages of this epoch are part of.
    pub const fn checkpoint(self) -> CheckpointId {
        self.0 >> TICK_BITS
    }

    /// The tick within the checkpoint.
    pub const fn tick(self) -> u64 {
        self.0 & ((1 << TICK_BITS) - 1)
    }

    /// The next tick of the same checkpoint.
    pub const fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }

    /// The epoch after every other.
    pub const MAX: Epoch = Epoch(u64::MAX);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.checkpoint(), self.tick())
    }
}

/// The timestamp of a message: see the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time {
    /// Which checkpoint and tick the message belongs to.
    pub epoch: Epoch,
    /// The sender's watermark when it sent the message.
    pub watermark: Watermark,
}

impl Time {
    /// A timestamp of these two parts.
    pub const fn new(epoch: Epoch, watermark: Watermark) -> Time {
        Time { epoch, watermark }
    }

    /// The greatest lower bound of two timestamps.
    pub fn meet(self, other: Time) -> Time {
        Time {
            epoch: self.epoch.min(other.epoch),
            watermark: self.watermark.min(other.watermark),
        }
    }

    /// Later than every message.
    pub const MAX: Time = Time::new(Epoch::MAX, WATERMARK_MAX);
    /// Earlier than every message.
    pub const MIN: Time = Time::new(Epoch(0), WATERMARK_MIN);
}

impl Default for Time {
    fn default() -> Self {
        Time::MIN
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, ", self.epoch)?;
        match self.watermark {
            WATERMARK_MIN => write!(f, "min)"),
            WATERMARK_MAX => write!(f, "max)"),
            w => write!(f, "{w})"),
        }
    }
}

impl PartialOrder for Time {
    #[inline]
    fn less_equal(&self, other: &Self) -> bool {
        self.epoch <= other.epoch && self.watermark <= other.watermark
    }
}

impl Timestamp for Time {
    type Summary = Unchanged;
    fn minimum() -> Self {
        Time::MIN
    }
}

impl Refines<()> for Time {
    fn to_inner(_: ()) -> Self {
        Time::MIN
    }
    fn to_outer(self) {}
    fn summarize(_: Unchanged) {}
}

/// The only way a timestamp changes from an input to an output: not at all. Job graphs have no
/// cycles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Unchanged;

impl PartialOrder for Unchanged {
    fn less_equal(&self, _: &Self) -> bool {
        true
    }
}

impl PathSummary<Time> for Unchanged {
    #[inline]
    fn results_in(&self, source: &Time) -> Option<Time> {
        Some(*source)
    }
    #[inline]
    fn followed_by(&self, _: &Self) -> Option<Self> {
        Some(Unchanged)
    }
}

/// Year, month and day in UTC of a day counted from 1970-01-01, after Howard Hinnant's `civil_from_days`: years begin
/// in March, so that the leap day is their last.
pub fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timely::progress::frontier::{Antichain, MutableAntichain};

    #[test]
    fn epoch_splits_into_checkpoint_and_tick() {
        let epoch = Epoch::first_of(7).next().next();
        assert_eq!((epoch.checkpoint(), epoch.tick()), (7, 2));
        assert!(epoch < Epoch::first_of(8));
    }

    #[test]
    fn product_order_shows_both_sources() {
        let behind_barrier = Time::new(Epoch::first_of(1), 100);
        let past_barrier = Time::new(Epoch::first_of(2), 50);
        let mut frontier = MutableAntichain::new();
        frontier.update_iter([(behind_barrier, 1), (past_barrier, 1)]);
        assert_eq!(frontier.frontier().len(), 2);
        let meet = frontier
            .frontier()
            .iter()
            .fold(Time::MAX, |a, b| a.meet(*b));
        assert_eq!(meet, Time::new(Epoch::first_of(1), 50));
    }

    #[test]
    fn meet_is_a_lower_bound() {
        let a = Time::new(Epoch(3), 10);
        let b = Time::new(Epoch(5), 4);
        let meet = a.meet(b);
        assert!(meet.less_equal(&a) && meet.less_equal(&b));
        assert!(Antichain::from_elem(meet).less_equal(&a));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = civil_date(-800_000);
        for days in -799_999..800_000 {
            let date = civil_date(days);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let follows = [next_day, next_month, (before.0 + 1, 1, 1)].contains(&date);
            assert!(follows, "{date:?} follows {before:?}");
            before = date;
        }
    }
}
