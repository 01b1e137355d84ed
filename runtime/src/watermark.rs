//! How event times and watermarks are assigned: strategies, and the generators behind them.
//!
//! A generator looks at each record's event time and says how far event time has come. It runs once
//! per source split (or once per operator instance when assigned in mid-graph); what it knows is part
//! of the snapshot, so that after recovery the same records are late as before.

use crate::record::Record;
use crate::time::{EventTime, WATERMARK_MIN, Watermark};
use std::sync::Arc;
use std::time::Duration;

/// Says how far event time has come, from the records seen.
pub trait WatermarkGenerator<T>: Send {
    /// Called for each record, with its event time.
    fn on_record(&mut self, value: &T, time: EventTime);

    /// Called once for a batch of records; the default calls [`on_record`](Self::on_record) for each.
    fn on_batch(&mut self, records: &[Record<T>]) {
        for record in records {
            self.on_record(&record.value, record.time);
        }
    }

    /// The watermark now: no more on-time records below it will come. A value that goes back is
    /// ignored.
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
            bound_ms: bound.as_millis() as i64,
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
pub struct Punctuated<F> {
    extract: F,
    watermark: Watermark,
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

/// Assigns event times to a batch and keeps the generator up to date: one dynamic call per batch.
pub trait WatermarkAssigner<T>: Send {
    /// Sets the event time of each record and shows it to the generator. `now_ms` is processing
    /// time.
    fn assign(&mut self, records: &mut [Record<T>], now_ms: EventTime);
    /// The watermark now.
    fn watermark(&self) -> Watermark;
    /// See [`WatermarkGenerator::snapshot`].
    fn snapshot(&self) -> i64;
    /// See [`WatermarkGenerator::restore`].
    fn restore(&mut self, snapshot: i64);
}

struct Assigner<G, F> {
    generator: G,
    timestamp: F,
}

impl<T, G, F> WatermarkAssigner<T> for Assigner<G, F>
where
    G: WatermarkGenerator<T>,
    F: Fn(&T, EventTime, EventTime) -> EventTime + Send,
{
    fn assign(&mut self, records: &mut [Record<T>], now_ms: EventTime) {
        for record in records.iter_mut() {
            record.time = (self.timestamp)(&record.value, record.time, now_ms);
        }
        self.generator.on_batch(records);
    }

    fn watermark(&self) -> Watermark {
        self.generator.watermark()
    }

    fn snapshot(&self) -> i64 {
        self.generator.snapshot()
    }

    fn restore(&mut self, snapshot: i64) {
        self.generator.restore(snapshot);
    }
}

type AssignerFactory<T> = Arc<dyn Fn() -> Box<dyn WatermarkAssigner<T>> + Send + Sync>;
type GeneratorFactory<T> = Arc<dyn Fn() -> Box<dyn WatermarkGenerator<T>> + Send + Sync>;

/// How a stream gets its event times and watermarks.
///
/// ```
/// use millstream_runtime::watermark::WatermarkStrategy;
/// use std::time::Duration;
/// // (sensor, milliseconds, value)
/// let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(5))
///     .with_timestamps(|reading: &(u32, i64, f64)| reading.1)
///     .idle_after(Duration::from_secs(60));
/// ```
pub struct WatermarkStrategy<T> {
    factory: AssignerFactory<T>,
    generator: Option<GeneratorFactory<T>>,
    /// After this long without a record a split no longer holds the watermark back.
    pub(crate) idle_timeout: Option<Duration>,
    /// A split that runs ahead of the slowest by more than this many milliseconds is paused.
    pub(crate) max_drift_ms: Option<i64>,
    pub(crate) describe: String,
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        WatermarkStrategy {
            factory: self.factory.clone(),
            generator: self.generator.clone(),
            idle_timeout: self.idle_timeout,
            max_drift_ms: self.max_drift_ms,
            describe: self.describe.clone(),
        }
    }
}

impl<T> WatermarkGenerator<T> for Box<dyn WatermarkGenerator<T>> {
    fn on_record(&mut self, value: &T, time: EventTime) {
        (**self).on_record(value, time);
    }
    fn on_batch(&mut self, records: &[Record<T>]) {
        (**self).on_batch(records);
    }
    fn watermark(&self) -> Watermark {
        (**self).watermark()
    }
    fn snapshot(&self) -> i64 {
        (**self).snapshot()
    }
    fn restore(&mut self, snapshot: i64) {
        (**self).restore(snapshot);
    }
}

impl<T: 'static> WatermarkStrategy<T> {
    fn from_generator<G>(
        describe: String,
        generator: impl Fn() -> G + Send + Sync + Clone + 'static,
    ) -> Self
    where
        G: WatermarkGenerator<T> + 'static,
    {
        let boxed = generator.clone();
        WatermarkStrategy {
            factory: Arc::new(move || {
                Box::new(Assigner {
                    generator: generator(),
                    timestamp: |_: &T, time: EventTime, _: EventTime| time,
                })
            }),
            generator: Some(Arc::new(move || Box::new(boxed()))),
            idle_timeout: None,
            max_drift_ms: None,
            describe,
        }
    }

    /// Event times never fall.
    pub fn ascending() -> Self {
        Self::from_generator("ascending".into(), || {
            BoundedOutOfOrderness::new(Duration::ZERO)
        })
    }

    /// Records come at most `bound` behind the highest event time seen.
    pub fn bounded_out_of_orderness(bound: Duration) -> Self {
        Self::from_generator(format!("out of order by at most {bound:?}"), move || {
            BoundedOutOfOrderness::new(bound)
        })
    }

    /// Some records carry the watermark.
    pub fn punctuated(
        extract: impl Fn(&T, EventTime) -> Option<Watermark> + Send + Sync + Clone + 'static,
    ) -> Self {
        Self::from_generator("punctuated".into(), move || Punctuated {
            extract: extract.clone(),
            watermark: WATERMARK_MIN,
        })
    }

    /// Your own generator; `make` is called once per split.
    pub fn custom<G: WatermarkGenerator<T> + 'static>(
        make: impl Fn() -> G + Send + Sync + Clone + 'static,
    ) -> Self {
        Self::from_generator("custom".into(), make)
    }

    /// Event time is the processing time at which the source read the record.
    pub fn ingestion_time() -> Self {
        WatermarkStrategy {
            factory: Arc::new(|| {
                Box::new(Assigner {
                    generator: BoundedOutOfOrderness::new(Duration::ZERO),
                    timestamp: |_: &T, _: EventTime, now_ms: EventTime| now_ms,
                })
            }),
            generator: None,
            idle_timeout: None,
            max_drift_ms: None,
            describe: "ingestion time".into(),
        }
    }

    /// Takes the event time (milliseconds since the Unix epoch) from the value.
    pub fn with_timestamps(
        mut self,
        timestamp: impl Fn(&T) -> EventTime + Send + Sync + Clone + 'static,
    ) -> Self {
        if let Some(make) = self.generator.clone() {
            self.factory = Arc::new(move || {
                let timestamp = timestamp.clone();
                Box::new(Assigner {
                    generator: make(),
                    timestamp: move |value: &T, _: EventTime, _: EventTime| timestamp(value),
                })
            });
        }
        self
    }

    /// After `timeout` without a record a split no longer holds back the watermark: it follows the
    /// minimum of the splits that are active.
    pub fn idle_after(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// A split whose watermark runs ahead of the slowest split of its source by more than `drift`
    /// is paused until the others have caught up.
    pub fn align_within(mut self, drift: Duration) -> Self {
        self.max_drift_ms = Some(drift.as_millis() as i64);
        self
    }

    /// A fresh assigner for one split.
    pub fn assigner(&self) -> Box<dyn WatermarkAssigner<T>> {
        (self.factory)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_is_exclusive_and_survives_a_restart() {
        let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(100))
            .with_timestamps(|value: &i64| *value);
        let mut assigner = strategy.assigner();
        assert_eq!(assigner.watermark(), WATERMARK_MIN);
        let mut records = vec![Record::new(0, 1_000), Record::new(0, 900)];
        assigner.assign(&mut records, 0);
        assert_eq!(records[1].time, 900);
        assert_eq!(assigner.watermark(), 900);

        let mut restored = strategy.assigner();
        restored.restore(assigner.snapshot());
        assert_eq!(restored.watermark(), 900);
    }

    #[test]
    fn punctuated_takes_what_records_carry() {
        let strategy =
            WatermarkStrategy::punctuated(|value: &i64, time| (*value == 0).then_some(time));
        let mut assigner = strategy.assigner();
        assigner.assign(&mut [Record::new(5, 1)], 0);
        assert_eq!(assigner.watermark(), WATERMARK_MIN);
        assigner.assign(&mut [Record::new(7, 0)], 0);
        assert_eq!(assigner.watermark(), 7);
    }
}
