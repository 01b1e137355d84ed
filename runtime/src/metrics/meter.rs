//! How long an operator runs: measured a thousand times a second on average, not at every turn.
//!
//! Reading a clock twice costs as much as a few records, and an operator may have a million turns a second. So each
//! millisecond that goes by is credit for one measurement, and up to 64 can be saved. While there is credit, as always
//! when turns are rare, each turn is measured; else the next one that is counts for those that were not.

use super::OperatorMetrics;
use crate::clock::Stopwatch;
use std::sync::Arc;

/// The price of a measurement, in time that has to go by.
const PRICE_NS: i64 = 1_000_000;
/// The most credit that is saved.
const MOST_NS: i64 = 64 * PRICE_NS;

/// Estimates how long an operator instance was busy.
pub(crate) struct BusyMeter {
    metrics: Arc<OperatorMetrics>,
    /// Turns since the last measured one.
    turns: u32,
    credit_ns: i64,
    before_ns: i64,
}

impl BusyMeter {
    pub fn new(metrics: Arc<OperatorMetrics>) -> Self {
        BusyMeter {
            metrics,
            turns: 0,
            credit_ns: MOST_NS,
            before_ns: 0,
        }
    }

    /// A turn begins at about this time: the begin of the worker's step will do.
    #[inline]
    pub fn begin(&mut self, now_ns: i64) -> Option<Stopwatch> {
        self.turns += 1;
        let passed_ns = now_ns - self.before_ns;
        self.before_ns = now_ns;
        self.credit_ns = MOST_NS.min(self.credit_ns.saturating_add(passed_ns));
        if self.credit_ns < PRICE_NS {
            return None;
        }
        self.credit_ns -= PRICE_NS;
        Some(Stopwatch::start())
    }

    /// The turn is over.
    #[inline]
    pub fn end(&mut self, began: Option<Stopwatch>) {
        if let Some(began) = began {
            let turn_ns = began.elapsed().as_nanos() as u64;
            self.metrics.busy_ns.add(turn_ns * u64::from(self.turns));
            self.turns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_counts_for_all_of_its_millisecond() {
        let metrics = Arc::new(OperatorMetrics::default());
        let mut meter = BusyMeter::new(metrics.clone());
        let mut measured = |turns: std::ops::Range<i64>| {
            turns.fold(0, |measured, turn| {
                let began = meter.begin(turn * 1_000);
                meter.end(began);
                measured + u32::from(began.is_some())
            })
        };
        // What is saved first, then one for each millisecond that goes by.
        assert_eq!(measured(1..1_001), 64);
        assert_eq!(measured(1_001..11_001), 10);
        assert!(metrics.busy_ns.get() > 0);
        assert!(meter.turns < 1_000, "few are not accounted for yet");
    }

    /// Of two turns in a row only the first was measured, and the second took a hundred milliseconds.
    #[test]
    fn rare_turns_are_all_measured() {
        let mut meter = BusyMeter::new(Arc::default());
        for turn in [1, 2, 500_000_000, 500_000_001, 900_000_000] {
            let began = meter.begin(turn);
            assert!(began.is_some(), "{turn}");
            meter.end(began);
        }
    }
}
