//! Assigns event times to records and keeps one generator up to date.
//!
//! Invariants: its watermark never goes back and never comes to the end of time, whatever the generator
//! says; a record whose event time is out of range is never shown to the generator.

use super::generator::AnyGenerator;
use super::{EventTimeRange, Timestamps};
use crate::driver::Position;
use crate::error::BoxError;
use crate::record::Record;
use crate::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};

/// Assigns event times and watermarks: one for each split of a source, or for each instance of an
/// operator in mid-graph.
pub struct WatermarkAssigner<T> {
    pub(super) timestamps: Timestamps<T>,
    pub(super) range: Option<EventTimeRange>,
    pub(super) generator: Box<dyn AnyGenerator<T>>,
    pub(super) watermark: Watermark,
    /// It was said that the generator went back.
    pub(super) went_back: bool,
}

impl<T> WatermarkAssigner<T> {
    /// Sets the event time of each record and shows it to the generator. `now_ms` is processing time; `at`
    /// is told the index of each record before a user's function sees it.
    ///
    /// # Errors
    /// [`OutOfRange`](super::OutOfRange) for the first record whose event time the strategy does not allow.
    pub fn assign(
        &mut self,
        records: &mut [Record<T>],
        now_ms: EventTime,
        at: &Position<'_>,
    ) -> Result<(), BoxError> {
        match &self.timestamps {
            Timestamps::Given => {}
            Timestamps::Ingestion => records.iter_mut().for_each(|r| r.time = now_ms),
            Timestamps::Of(assign) => assign(records, at),
        }
        if let Some(range) = &self.range {
            for (index, record) in records.iter().enumerate() {
                at.set(index);
                range.check(record.time, now_ms)?;
            }
        }
        self.generator.on_batch(records, at);
        self.follow_generator();
        Ok(())
    }

    fn follow_generator(&mut self) {
        // The end of input is for sources to say.
        let watermark = self.generator.watermark().min(WATERMARK_MAX - 1);
        if watermark < self.watermark && !self.went_back {
            self.went_back = true;
            tracing::warn!(
                from = self.watermark,
                to = watermark,
                "a watermark generator went back; this is ignored, and not said again"
            );
        }
        self.watermark = self.watermark.max(watermark);
    }

    /// The watermark now.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// What must be known after a restart.
    pub fn snapshot(&self) -> i64 {
        self.generator.snapshot()
    }

    /// Takes back what [`snapshot`](Self::snapshot) gave.
    pub fn restore(&mut self, snapshot: i64) {
        self.generator.restore(snapshot);
        self.watermark = WATERMARK_MIN;
        self.follow_generator();
    }
}
