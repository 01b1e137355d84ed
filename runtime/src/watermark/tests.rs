use super::*;
use crate::error::BoxError;
use crate::record::NO_TIME;
use crate::time::WATERMARK_MAX;

fn assign(
    assigner: &mut WatermarkAssigner<i64>,
    records: &mut [Record<i64>],
) -> Result<(), BoxError> {
    Position::detached(|at| assigner.assign(records, 0, at))
}

#[test]
fn bounded_is_exclusive_and_survives_a_restart() {
    let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(100))
        .with_timestamps(|value: &i64| *value);
    let mut assigner = strategy.assigner();
    assert_eq!(assigner.watermark(), WATERMARK_MIN);
    let mut records = vec![Record::new(0, 1_000), Record::new(0, 900)];
    assign(&mut assigner, &mut records).unwrap();
    assert_eq!(records[1].time, 900);
    assert_eq!(assigner.watermark(), 900);

    let mut restored = strategy.assigner();
    restored.restore(assigner.snapshot());
    assert_eq!(restored.watermark(), 900);
}

#[test]
fn punctuated_takes_what_records_carry() {
    let strategy = WatermarkStrategy::punctuated(|value: &i64, time| (*value == 0).then_some(time));
    let mut assigner = strategy.assigner();
    assign(&mut assigner, &mut [Record::new(5, 1)]).unwrap();
    assert_eq!(assigner.watermark(), WATERMARK_MIN);
    assign(&mut assigner, &mut [Record::new(7, 0)]).unwrap();
    assert_eq!(assigner.watermark(), 7);
}

/// Says whatever the last record says.
struct Erratic(Watermark);

impl WatermarkGenerator<i64> for Erratic {
    fn on_record(&mut self, value: &i64, _: EventTime) {
        self.0 = *value;
    }
    fn watermark(&self) -> Watermark {
        self.0
    }
    fn restore(&mut self, snapshot: i64) {
        self.0 = snapshot;
    }
}

/// A watermark at the end of time was once taken for the end of input.
#[test]
fn a_generator_that_talks_nonsense_neither_goes_back_nor_ends_the_input() {
    let mut assigner = WatermarkStrategy::custom(|| Erratic(WATERMARK_MIN)).assigner();
    let mut last = WATERMARK_MIN;
    for watermark in [5, 3, i64::MIN, 7, -1, i64::MAX, 0] {
        assign(&mut assigner, &mut [Record::new(0, watermark)]).unwrap();
        assert!(assigner.watermark() >= last);
        assert!(assigner.watermark() < WATERMARK_MAX);
        last = assigner.watermark();
    }
    assert_eq!(last, WATERMARK_MAX - 1);
    assigner.restore(i64::MAX);
    assert_eq!(assigner.watermark(), WATERMARK_MAX - 1);
}

#[test]
fn an_absurd_bound_holds_the_watermark_back() {
    // As milliseconds of 64 bits it would be negative.
    let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::MAX);
    let mut assigner = strategy.assigner();
    assign(
        &mut assigner,
        &mut [Record::new(5, 0), Record::new(i64::MAX, 0)],
    )
    .unwrap();
    assert!(assigner.watermark() <= 0);
}

#[test]
fn event_times_out_of_range_are_not_shown_to_the_generator() {
    let strategy = WatermarkStrategy::ascending()
        .max_future(Duration::from_millis(10))
        .max_past(Duration::from_millis(1_000));
    assert_eq!(
        strategy.describe(),
        "ascending, at most 1000 ms in the past, at most 10 ms in the future"
    );
    let mut assigner = strategy.assigner();
    assign(
        &mut assigner,
        &mut [Record::new(-1_000, 0), Record::new(10, 0)],
    )
    .unwrap();
    assert_eq!(assigner.watermark(), 10);
    for (time, text) in [
        (11, "event time 11 lies 11 ms ahead of processing time"),
        (i64::MAX, "ms ahead of processing time"),
        (
            -1_001,
            "event time -1001 lies 1001 ms behind processing time",
        ),
        (i64::MIN + 1, "ms behind processing time"),
        (NO_TIME, "no event time"),
    ] {
        let error = assign(&mut assigner, &mut [Record::new(time, 0)]).unwrap_err();
        assert!(error.is::<OutOfRange>());
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(assigner.watermark(), 10);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let idle = WatermarkStrategy::<i64>::ascending().idle_after(Duration::ZERO);
    assert!(idle.refusal().unwrap().contains("idle timeout"));
    let both = WatermarkStrategy::ingestion_time().with_timestamps(|n: &i64| *n);
    assert!(both.refusal().unwrap().contains("ingestion"));
    assert!(WatermarkStrategy::<i64>::ascending().refusal().is_none());
}
