//! Whole jobs in one process.
use millstream::connectors::collect::Collect;
use millstream::connectors::memory::Collection;
use millstream::operators::{Job, Tumbling};
use millstream::runtime::Result;
use millstream::runtime::config::{JobConfig, Mode};
use millstream::runtime::operator::BATCH_RECORDS;
use millstream::runtime::record::Record;
use millstream::runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use millstream::runtime::watermark::WatermarkStrategy;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn run(config: JobConfig) -> Vec<(i64, u64, u64)> {
    let job = Job::new("count");
    let records: Vec<(i64, u64)> = (0..10_000).map(|i| (i, (i % 7) as u64)).collect();
    let (sink, results) = Collect::new();
    job.timed_source(
        "numbers",
        Collection::timed(records).splits(3),
        WatermarkStrategy::ascending(),
    )
    .key_by(|n: &u64| *n)
    .window(Tumbling::of(Duration::from_secs(1)))
    .count()
    .sink("out", sink);
    let report = job.start(config).unwrap().wait().unwrap();
    assert_eq!(report.records_read(), 10_000);
    let mut rows: Vec<_> = results
        .take()
        .into_iter()
        .map(|w| (w.window.start, w.key, w.value))
        .collect();
    rows.sort();
    rows
}

#[test]
fn counts_windows_in_both_modes() {
    let mut expected = std::collections::BTreeMap::new();
    for i in 0..10_000i64 {
        *expected
            .entry((i / 1000 * 1000, (i % 7) as u64))
            .or_insert(0u64) += 1;
    }
    let expected: Vec<_> = expected.into_iter().map(|((s, k), n)| (s, k, n)).collect();
    for workers in [1, 2] {
        for mode in [
            Mode::Continuous,
            Mode::MicroBatch {
                interval: Duration::ZERO,
            },
        ] {
            let rows = run(JobConfig {
                workers,
                mode,
                ..Default::default()
            });
            assert_eq!(rows, expected, "{mode} on {workers}");
        }
    }
}

/// A source without a watermark strategy gives no event times. Its records used to fall into one window at the
/// beginning of time.
#[test]
fn a_window_over_records_without_event_time_is_an_error() {
    let job = Job::new("timeless");
    let (sink, _results) = Collect::new();
    job.source("numbers", Collection::new(vec![1u64, 2, 3]))
        .key_by(|n: &u64| *n)
        .window(Tumbling::of(Duration::from_secs(1)))
        .count()
        .sink("out", sink);
    let error = job.start(JobConfig::default()).unwrap().wait().unwrap_err();
    let text = error.to_string();
    for part in [
        "operator \"window\"",
        "record 0",
        "no event time",
        "watermark strategy",
    ] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

/// Collects the batches of records as they come.
#[derive(Clone, Default)]
struct Batches(Arc<Mutex<Vec<Vec<u64>>>>);

impl Sink for Batches {
    type Item = u64;

    fn describe(&self) -> String {
        "batches".into()
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<u64>>> {
        Ok(Box::new(self.clone()))
    }
}

impl SinkWriter<u64> for Batches {
    fn write(&mut self, records: &mut Vec<Record<u64>>) -> Result<Written> {
        let batch = records.drain(..).map(|record| record.value).collect();
        self.0.lock().unwrap().push(batch);
        Ok(Written::All)
    }
}

/// A step that makes many records of one used to put out those of a whole batch at once: a batch of lines became
/// megabytes of words before anybody saw the first.
#[test]
fn what_a_step_makes_of_a_batch_is_handed_on_batch_by_batch() {
    const EACH: u64 = 100;
    let job = Job::new("many of one");
    let batches = Batches::default();
    job.source("numbers", Collection::new((0..10_000u64).collect()))
        .flat_map_with(|n, out| (0..EACH).for_each(|i| out.push(n * EACH + i)))
        .filter(|n| n % 10 != 7)
        .sink("out", batches.clone());
    let report = job.start(JobConfig::default()).unwrap().wait().unwrap();
    assert_eq!(report.records_read(), 10_000);
    let batches = batches.0.lock().unwrap();
    let expected = (0..10_000 * EACH).filter(|n| n % 10 != 7);
    assert!(batches.iter().flatten().copied().eq(expected));
    let large = batches.iter().filter(|batch| batch.len() > BATCH_RECORDS);
    assert!(large.count() <= 1, "only before it is known how many");
}

#[test]
fn a_record_is_named_that_fails_in_the_middle_of_a_batch_that_grows() {
    let job = Job::new("many of one");
    job.source("numbers", Collection::new((0..10_000u64).collect()))
        .flat_map_with(|n, out| {
            assert_ne!(n, 4_711, "boom");
            (0..100).for_each(|i| out.push(n + i));
        })
        .sink("out", Batches::default());
    let error = job.start(JobConfig::default()).unwrap().wait().unwrap_err();
    assert!(error.to_string().contains("record 4711"), "{error}");
}
