//! Latency as a histogram: nanoseconds, three digits, from the scheduled time to the sink.

use super::answer::Answer;
use super::load::Schedule;
use hdrhistogram::Histogram;

const LONGEST_NS: u64 = 60_000_000_000;

/// What a run's sink instance keeps: the latencies after the warm-up, and the answer.
#[derive(Clone, Debug)]
pub struct Recorder {
    histogram: Histogram<u64>,
    measured_from_ns: u64,
    last_ns: u64,
    answer: Answer,
}

impl Recorder {
    /// A recorder that leaves out the schedule's warm-up.
    pub fn new(schedule: &Schedule) -> Recorder {
        Recorder {
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds are sound"),
            measured_from_ns: schedule.measured_from_ns(),
            last_ns: 0,
            answer: Answer::default(),
        }
    }

    /// Takes the output row `(key, count)`, due at `due_ns`, that reached the sink at `now_ns`.
    #[inline]
    pub fn record(&mut self, key: u64, count: u64, due_ns: u64, now_ns: u64) {
        self.answer.add_pair(key, count);
        if due_ns >= self.measured_from_ns {
            self.histogram
                .saturating_record(now_ns.saturating_sub(due_ns));
            self.last_ns = now_ns;
        }
    }

    /// Adds what another sink instance of the same run recorded.
    pub fn merge(&mut self, other: &Recorder) {
        self.histogram.add(&other.histogram).expect("same bounds");
        self.last_ns = self.last_ns.max(other.last_ns);
        self.answer.merge(other.answer);
    }

    /// The run's figures, once all instances are merged.
    pub fn finish(&self) -> LatencyRun {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        let measured_ns = self.last_ns.saturating_sub(self.measured_from_ns).max(1);
        let samples = self.histogram.len();
        LatencyRun {
            samples,
            achieved_per_s: samples as f64 * 1e9 / measured_ns as f64,
            ns: [
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                at(0.9999),
                self.histogram.max(),
            ],
            answer: self.answer,
        }
    }
}

/// The percentiles of a run, in the order of [`LatencyRun::ns`].
pub const PERCENTILES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct LatencyRun {
    /// How many records were measured.
    pub samples: u64,
    /// Measured records over the time until the last of them reached the sink.
    pub achieved_per_s: f64,
    /// Nanoseconds at each of [`PERCENTILES`].
    pub ns: [u64; 6],
    /// The hash of all output rows, those of the warm-up too.
    pub answer: Answer,
}
