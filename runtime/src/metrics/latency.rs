//! How long records are in a job: an HDR histogram (Tene) per source instance, fed once per epoch.
//!
//! A source knows when it sent the first record of an epoch, and a probe behind the sinks when the last one of it
//! had left the job. The time between is at least the latency of every record of the epoch, and more than that
//! of its last one by at most a tick. So percentiles are never better than the truth, at no cost per record.

use hdrhistogram::Histogram;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Longer ones count as this long: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// Two digits that count: values differ from what was recorded by less than 1 %.
const DIGITS: u8 = 2;

/// A histogram of latencies in microseconds.
pub struct Latencies(Mutex<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Mutex::new(empty()))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({} records)", self.snapshot().len())
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds are sound")
}

impl Latencies {
    /// `records` were in the job for this long.
    pub fn record(&self, latency_ns: i64, records: u64) {
        let latency_us = u64::try_from(latency_ns / 1_000).unwrap_or(0).max(1);
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record_n(latency_us, records);
    }

    /// A copy as of now.
    pub fn snapshot(&self) -> Histogram<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All of these together.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Latencies>) -> Histogram<u64> {
        let mut sum = empty();
        for one in all {
            let one = one.0.lock().unwrap_or_else(PoisonError::into_inner);
            sum.add(&*one).expect("all have the same bounds");
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_over_all_sources() {
        let (fast, slow) = (Latencies::default(), Latencies::default());
        fast.record(2_000_000, 90);
        slow.record(500_000_000, 10);
        let sum = Latencies::sum([&fast, &slow]);
        assert_eq!(sum.len(), 100);
        assert!(sum.value_at_quantile(0.5).abs_diff(2_000) <= 20);
        assert!(sum.value_at_quantile(0.99).abs_diff(500_000) <= 5_000);
    }

    #[test]
    fn what_is_out_of_bounds_is_counted() {
        let latencies = Latencies::default();
        latencies.record(-5, 1); // a clock of another instance
        latencies.record(i64::MAX, 1);
        assert_eq!(latencies.snapshot().len(), 2);
    }
}
