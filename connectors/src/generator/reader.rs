//! Makes the records of one split that have become due.

use super::{EventTimes, Scheduled, VERSION};
use crate::position;
use millstream_runtime::Result;
use millstream_runtime::clock::SharedClock;
use millstream_runtime::record::Record;
use millstream_runtime::source::{Batch, ReadStatus, SplitReader};
use std::time::Duration;

/// When each record is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub start_ns: i64,
    pub period_ns: f64,
    /// Whether records wait until they are due.
    pub paced: bool,
}

impl Schedule {
    #[inline]
    pub fn scheduled_ns(&self, index: u64) -> i64 {
        self.start_ns
            .saturating_add((index as f64 * self.period_ns) as i64)
    }

    /// How many records are due at `now_ns`: the index of the first that is not.
    pub fn due_at(&self, now_ns: i64) -> u64 {
        if now_ns < self.start_ns {
            return 0;
        }
        let mut due = ((now_ns - self.start_ns) as f64 / self.period_ns) as u64;
        // The division rounds: the schedule itself has the last word.
        while due > 0 && self.scheduled_ns(due - 1) > now_ns {
            due -= 1;
        }
        while self.scheduled_ns(due) <= now_ns {
            due += 1;
        }
        due
    }
}

pub(super) struct Reader<F, E> {
    pub make: F,
    pub event_times: E,
    pub seed: u64,
    pub schedule: Schedule,
    pub next: u64,
    pub stride: u64,
    /// The index before which the split ends.
    pub end: u64,
    pub clock: SharedClock,
}

impl<F, E: EventTimes> Reader<F, E> {
    /// Makes at most `max` records of those before index `end`.
    fn fill<T>(&mut self, batch: &mut Batch<T>, max: usize, end: u64)
    where
        F: Fn(Scheduled, &mut fastrand::Rng) -> T,
    {
        let count = end
            .saturating_sub(self.next)
            .div_ceil(self.stride)
            .min(max as u64);
        let (first, stride) = (self.next, self.stride);
        batch.records.extend((0..count).map(|step| {
            let index = first + step * stride;
            let scheduled_ns = self.schedule.scheduled_ns(index);
            let at = Scheduled {
                index,
                scheduled_ns,
            };
            let mut rng = fastrand::Rng::with_seed(mix(self.seed, index));
            Record::new(self.event_times.event_time(at), (self.make)(at, &mut rng))
        }));
        self.next = first.saturating_add(count.saturating_mul(stride));
    }
}

impl<T, F, E> SplitReader<T> for Reader<F, E>
where
    F: Fn(Scheduled, &mut fastrand::Rng) -> T,
    E: EventTimes,
{
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        if !self.schedule.paced {
            self.fill(batch, max, self.end);
            return Ok(match self.next < self.end {
                true => ReadStatus::More,
                false => ReadStatus::Finished,
            });
        }
        let now_ns = self.clock.now_ns();
        let due = self.schedule.due_at(now_ns);
        self.fill(batch, max, due.min(self.end));
        Ok(if self.next >= self.end {
            ReadStatus::Finished
        } else if self.next < due {
            ReadStatus::More
        } else {
            let wait_ns = self.schedule.scheduled_ns(self.next) - now_ns;
            ReadStatus::WaitFor(Duration::from_nanos(wait_ns.max(0) as u64))
        })
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.next, self.schedule.start_ns as u64])
    }
}

/// A seed for record `index`: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014), so that neighbours
/// share nothing.
#[inline]
fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
