//! Whole jobs in one process.
use millstream::connectors::collect::Collect;
use millstream::connectors::memory::Collection;
use millstream::operators::{Job, Tumbling};
use millstream::runtime::config::{JobConfig, Mode};
use millstream::runtime::watermark::WatermarkStrategy;
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
