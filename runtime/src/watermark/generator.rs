//! Generators: how far event time has come, from the records seen.

use crate::driver::Position;
use crate::record::Record;
use crate::time::{EventTime, WATERMARK_MIN, Watermark, whole_ms};
use std::time::Duration;

/// Says how far event time has come, from the records seen.
pub trait WatermarkGenerator<T>: Send {
    /// Called for each record, with its event time.
    fn on_record(&mut self, value: &T, time: EventTime);

    /// The watermark now: no more on-time records below it will come. One that goes back is ignored (and
    /// said in the log, once); the end of input is not for a generator to say: its watermark stays below
    /// [`WATERMARK_MAX`](crate::time::WATERMARK_MAX).
    fn watermark(&self) -> Watermark;

    /// What the generator must know after a restart: one number. Default: the watermark.
    fn snapshot(&self) -> i64 {
        self.watermark()
    }

    /// Takes back what [`snapshot`](Self::snapshot) gave.
    fn restore(&mut self, snapshot: i64);
}

/// Event times that are out of order by at most a bound: the watermark is the highest event time
/// seen less the bound. A bound of zero is for ascending times.
pub struct BoundedOutOfOrderness {
    bound_ms: i64,
    highest: EventTime,
}

impl BoundedOutOfOrderness {
    /// Records come at most `bound` (whole milliseconds) behind the highest event time.
    pub fn new(bound: Duration) -> Self {
        BoundedOutOfOrderness {
            bound_ms: whole_ms(bound),
            highest: WATERMARK_MIN,
        }
    }
}

impl<T> WatermarkGenerator<T> for BoundedOutOfOrderness {
    #[inline]
    fn on_record(&mut self, _: &T, time: EventTime) {
        self.highest = self.highest.max(time);
    }

    fn watermark(&self) -> Watermark {
        match self.highest {
            WATERMARK_MIN => WATERMARK_MIN,
            // Equal times may still follow: exclusive, so no `- 1` as in Flink.
            highest => highest.saturating_sub(self.bound_ms),
        }
    }

    fn snapshot(&self) -> i64 {
        self.highest
    }

    fn restore(&mut self, snapshot: i64) {
        self.highest = snapshot;
    }
}

/// A watermark that some records carry: `extract` returns it for those that do.
pub(super) struct Punctuated<F> {
    pub extract: F,
    pub watermark: Watermark,
}

impl<T, F: Fn(&T, EventTime) -> Option<Watermark> + Send> WatermarkGenerator<T> for Punctuated<F> {
    fn on_record(&mut self, value: &T, time: EventTime) {
        if let Some(watermark) = (self.extract)(value, time) {
            self.watermark = self.watermark.max(watermark);
        }
    }

    fn watermark(&self) -> Watermark {
        self.watermark
    }

    fn restore(&mut self, snapshot: i64) {
        self.watermark = snapshot;
    }
}

/// A generator whose type is hidden: one dynamic call per batch.
pub(super) trait AnyGenerator<T>: Send {
    /// Shows it a batch; `at` is told each record before it sees it.
    fn on_batch(&mut self, records: &[Record<T>], at: &Position<'_>);
    fn watermark(&self) -> Watermark;
    fn snapshot(&self) -> i64;
    fn restore(&mut self, snapshot: i64);
}

impl<T, G: WatermarkGenerator<T>> AnyGenerator<T> for G {
    fn on_batch(&mut self, records: &[Record<T>], at: &Position<'_>) {
        for (index, record) in records.iter().enumerate() {
            at.set(index);
            self.on_record(&record.value, record.time);
        }
    }

    fn watermark(&self) -> Watermark {
        WatermarkGenerator::watermark(self)
    }

    fn snapshot(&self) -> i64 {
        WatermarkGenerator::snapshot(self)
    }

    fn restore(&mut self, snapshot: i64) {
        WatermarkGenerator::restore(self, snapshot);
    }
}
