//! How event times and watermarks are assigned: strategies, and the generators behind them.
//!
//! A generator looks at each record's event time and says how far event time has come. It runs once
//! per source split (or once per operator instance when assigned in mid-graph); what it knows is part
//! of the snapshot, so that after recovery the same records are late as before.

mod assigner;
mod generator;
mod range;

pub use assigner::WatermarkAssigner;
pub use generator::{BoundedOutOfOrderness, WatermarkGenerator};
pub use range::OutOfRange;

use crate::driver::Position;
use crate::record::Record;
use crate::time::{EventTime, WATERMARK_MIN, Watermark, whole_ms};
use generator::{AnyGenerator, Punctuated};
use range::EventTimeRange;
use std::sync::Arc;
use std::time::Duration;

/// Sets the event times of a batch: one dynamic call per batch.
type AssignTimes<T> = Arc<dyn Fn(&mut [Record<T>], &Position<'_>) + Send + Sync>;

/// Where event times come from.
enum Timestamps<T> {
    /// The records have them.
    Given,
    /// Processing time.
    Ingestion,
    /// A user's function.
    Of(AssignTimes<T>),
}

impl<T> Clone for Timestamps<T> {
    fn clone(&self) -> Self {
        match self {
            Timestamps::Given => Timestamps::Given,
            Timestamps::Ingestion => Timestamps::Ingestion,
            Timestamps::Of(assign) => Timestamps::Of(assign.clone()),
        }
    }
}

type MakeGenerator<T> = Arc<dyn Fn() -> Box<dyn AnyGenerator<T>> + Send + Sync>;

/// How a stream gets its event times and watermarks.
///
/// ```
/// use millstream_runtime::watermark::WatermarkStrategy;
/// use std::time::Duration;
/// // (sensor, milliseconds, value)
/// let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(5))
///     .with_timestamps(|reading: &(u32, i64, f64)| reading.1)
///     .max_future(Duration::from_secs(3_600))
///     .idle_after(Duration::from_secs(60));
/// ```
pub struct WatermarkStrategy<T> {
    timestamps: Timestamps<T>,
    generator: MakeGenerator<T>,
    range: Option<EventTimeRange>,
    /// After this long without a record a split no longer holds the watermark back.
    pub(crate) idle_timeout: Option<Duration>,
    /// A split that runs ahead of the slowest by more than this many milliseconds is paused.
    pub(crate) max_drift_ms: Option<i64>,
    describe: String,
    refusal: Option<&'static str>,
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        WatermarkStrategy {
            timestamps: self.timestamps.clone(),
            generator: self.generator.clone(),
            range: self.range,
            idle_timeout: self.idle_timeout,
            max_drift_ms: self.max_drift_ms,
            describe: self.describe.clone(),
            refusal: self.refusal,
        }
    }
}

impl<T: 'static> WatermarkStrategy<T> {
    fn of<G: WatermarkGenerator<T> + 'static>(
        describe: impl Into<String>,
        make: impl Fn() -> G + Send + Sync + 'static,
    ) -> Self {
        WatermarkStrategy {
            timestamps: Timestamps::Given,
            generator: Arc::new(move || Box::new(make())),
            range: None,
            idle_timeout: None,
            max_drift_ms: None,
            describe: describe.into(),
            refusal: None,
        }
    }

    /// Event times never fall.
    pub fn ascending() -> Self {
        Self::of("ascending", || BoundedOutOfOrderness::new(Duration::ZERO))
    }

    /// Records come at most `bound` behind the highest event time seen.
    pub fn bounded_out_of_orderness(bound: Duration) -> Self {
        Self::of(format!("out of order by at most {bound:?}"), move || {
            BoundedOutOfOrderness::new(bound)
        })
    }

    /// Some records carry the watermark.
    pub fn punctuated(
        extract: impl Fn(&T, EventTime) -> Option<Watermark> + Send + Sync + Clone + 'static,
    ) -> Self {
        Self::of("punctuated", move || Punctuated {
            extract: extract.clone(),
            watermark: WATERMARK_MIN,
        })
    }

    /// Your own generator; `make` is called once per split.
    pub fn custom<G: WatermarkGenerator<T> + 'static>(
        make: impl Fn() -> G + Send + Sync + 'static,
    ) -> Self {
        Self::of("custom", make)
    }

    /// Event time is the processing time at which the source read the record.
    pub fn ingestion_time() -> Self {
        WatermarkStrategy {
            timestamps: Timestamps::Ingestion,
            ..Self::of("ingestion time", || {
                BoundedOutOfOrderness::new(Duration::ZERO)
            })
        }
    }

    /// Takes the event time (milliseconds since the Unix epoch) from the value.
    pub fn with_timestamps(
        mut self,
        timestamp: impl Fn(&T) -> EventTime + Send + Sync + 'static,
    ) -> Self {
        if matches!(self.timestamps, Timestamps::Ingestion) {
            self.refusal =
                Some("event times are ingestion times and are taken from the records: one of both");
        }
        self.timestamps = Timestamps::Of(Arc::new(move |records, at| {
            for (index, record) in records.iter_mut().enumerate() {
                at.set(index);
                record.time = timestamp(&record.value);
            }
        }));
        self
    }

    /// A record whose event time is more than this ahead of processing time, or that has none, is a bad
    /// record: the error policy of the operator (default: the job fails) says what becomes of it.
    /// Default: no bound; a single time in the far future then fires every window, and makes late
    /// what comes after.
    pub fn max_future(mut self, ahead: Duration) -> Self {
        self.range.get_or_insert_default().ahead_ms = Some(whole_ms(ahead));
        self
    }

    /// A record whose event time is more than this behind processing time, or that has none, is a bad
    /// record, as for [`max_future`](Self::max_future). Not for a job that is to read its history again.
    pub fn max_past(mut self, behind: Duration) -> Self {
        self.range.get_or_insert_default().behind_ms = Some(whole_ms(behind));
        self
    }

    /// After `timeout` without a record a split no longer holds back the watermark: it follows the
    /// minimum of the splits that are active.
    pub fn idle_after(mut self, timeout: Duration) -> Self {
        if timeout < Duration::from_millis(1) {
            self.refusal = Some("an idle timeout of less than 1 ms: every split would be idle");
        }
        self.idle_timeout = Some(timeout);
        self
    }

    /// A split whose watermark runs ahead of the slowest split of its source by more than `drift`
    /// is paused until the others have caught up.
    pub fn align_within(mut self, drift: Duration) -> Self {
        self.max_drift_ms = Some(whole_ms(drift));
        self
    }

    /// In words, for explanations.
    pub fn describe(&self) -> String {
        match &self.range {
            Some(range) => format!("{}, {range}", self.describe),
            None => self.describe.clone(),
        }
    }

    /// Why it makes no sense, if it does not.
    pub fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// A fresh assigner for one split.
    pub fn assigner(&self) -> WatermarkAssigner<T> {
        WatermarkAssigner {
            timestamps: self.timestamps.clone(),
            range: self.range,
            generator: (self.generator)(),
            watermark: WATERMARK_MIN,
            went_back: false,
        }
    }
}

#[cfg(test)]
mod tests;
