//! The open loop: record `i` is due at a time fixed beforehand, whether or not the contender keeps
//! up, and its latency counts from that time. A stall therefore shows in every record that was due
//! during it (no coordinated omission).

use super::answer::draw;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How long after the clock's start the first record is due: the dataflow is up by then.
const LEAD_NS: u64 = 50_000_000;

/// Nanoseconds since the start of a run; the same on every thread.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    #[allow(clippy::disallowed_methods)] // the benches' own door to the time
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// One record of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The record's key, below the schedule's number of keys.
    pub key: u64,
    /// When it is due, on the run's clock.
    pub due_ns: u64,
}

/// Which records are due when: a function of these numbers only.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Records per second, over all workers.
    pub rate_per_s: u64,
    /// The number of records, over all workers.
    pub records: u64,
    /// Keys are drawn evenly from `0..keys`.
    pub keys: u64,
    /// Records due in this first stretch are processed but not measured.
    pub warm_up_ns: u64,
}

impl Schedule {
    /// The load of `seconds` of measurement after `warm_up_ms`.
    pub fn new(rate_per_s: u64, keys: u64, warm_up_ms: u64, seconds: u64) -> Schedule {
        Schedule {
            rate_per_s,
            records: rate_per_s * (seconds * 1_000 + warm_up_ms) / 1_000,
            keys,
            warm_up_ns: warm_up_ms * 1_000_000,
        }
    }

    /// When record `index` is due.
    #[inline]
    pub fn due_ns(&self, index: u64) -> u64 {
        LEAD_NS + index * 1_000_000_000 / self.rate_per_s
    }

    /// The key of record `index`.
    #[inline]
    pub fn key(&self, index: u64) -> u64 {
        reduce(draw(index, 0x6D69_6C6C), self.keys)
    }

    /// From when on records are measured.
    pub fn measured_from_ns(&self) -> u64 {
        LEAD_NS + self.warm_up_ns
    }

    /// The records that worker `worker` of `workers` sends: every `workers`-th.
    pub fn share(&self, worker: usize, workers: usize) -> Share {
        Share {
            schedule: *self,
            next: worker as u64,
            step: workers as u64,
            next_due_ns: self.due_ns(worker as u64),
        }
    }
}

/// The part of a schedule that one worker sends, and how far it has come.
#[derive(Clone, Debug)]
pub struct Share {
    schedule: Schedule,
    next: u64,
    step: u64,
    next_due_ns: u64,
}

impl Share {
    /// The next record if it is due by `now_ns`.
    #[inline]
    pub fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        if self.next_due_ns > now_ns || self.is_over() {
            return None;
        }
        let due = Due {
            key: self.schedule.key(self.next),
            due_ns: self.next_due_ns,
        };
        self.next += self.step;
        self.next_due_ns = self.schedule.due_ns(self.next);
        Some(due)
    }

    /// When the next record is due; `None` when all were taken.
    #[inline]
    pub fn next_due_ns(&self) -> Option<u64> {
        (!self.is_over()).then_some(self.next_due_ns)
    }

    /// Whether all records were taken.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.next >= self.schedule.records
    }
}

/// Maps an evenly spread 64-bit number to `0..range` without a division.
#[inline]
pub const fn reduce(hash: u64, range: u64) -> u64 {
    ((hash as u128 * range as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_up_the_schedule() {
        let schedule = Schedule::new(1_000, 10, 0, 1);
        let mut taken = Vec::new();
        for worker in 0..3 {
            let mut share = schedule.share(worker, 3);
            taken.extend(std::iter::from_fn(|| share.take_due(u64::MAX)));
            assert!(share.is_over());
        }
        taken.sort_by_key(|due| due.due_ns);
        let whole: Vec<Due> = (0..1_000)
            .map(|i| Due {
                key: schedule.key(i),
                due_ns: schedule.due_ns(i),
            })
            .collect();
        assert_eq!(taken, whole);
    }

    #[test]
    fn nothing_is_due_early() {
        let schedule = Schedule::new(10, 10, 0, 1);
        let mut share = schedule.share(0, 1);
        assert_eq!(share.take_due(schedule.due_ns(0) - 1), None);
        assert!(share.take_due(schedule.due_ns(0)).is_some());
        assert_eq!(share.take_due(schedule.due_ns(1) - 1), None);
    }
}
