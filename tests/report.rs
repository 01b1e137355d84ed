//! What a report says of a job: counts, time, latency, state, checkpoints, in both modes.

use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);
const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];

/// A count per key over a channel, so that a test holds the input in its hand.
fn counting(config: JobConfig) -> (memory::ChannelHandle<u64>, JobHandle) {
    let job = Job::new("counting");
    let (numbers, source) = memory::channel(1_000);
    job.timed_source("numbers", source, WatermarkStrategy::ascending())
        .key_by(|n| n % 10)
        .count()
        .name("count")
        .sink("out", Null::new());
    (numbers, job.start(config).unwrap())
}

/// Waits for a report of which `is` holds.
fn until(handle: &JobHandle, what: &str, is: impl Fn(&JobReport) -> bool) -> JobReport {
    let watch = Stopwatch::start();
    loop {
        let report = handle.report();
        if is(&report) {
            return report;
        }
        assert!(
            watch.elapsed() < DEADLINE,
            "{what} did not come: {report:#?}"
        );
        handle.wait_for(Duration::from_millis(2));
    }
}

#[test]
fn a_running_job_accounts_for_what_is_under_way() {
    for mode in MODES {
        let config = JobConfig {
            workers: 2,
            mode,
            ..JobConfig::default()
        };
        let (numbers, handle) = counting(config);
        for n in 0..500 {
            numbers.send_at(n as i64, n).unwrap();
        }
        let report = until(&handle, "all of it", |r| r.records_written() == 500);
        let count = report.operator("count").unwrap();
        assert_eq!((count.records_in, count.records_out), (500, 500));
        assert_eq!(count.instances.len(), 2);
        assert_eq!(count.queued, Some(0));
        assert_eq!(report.operator("numbers").unwrap().queued, None);
        // What has left the job leaves the account at the next tick, and its latency is known then.
        let report = until(&handle, "an empty account", |r| r.in_flight == 0);
        assert_eq!(report.oldest_in_flight, Duration::ZERO);
        let latency = &report.latency;
        assert_eq!(latency.records, 500);
        assert!(latency.p50_us > 0 && latency.p50_us <= latency.p99_us);
        assert!(latency.max_us < report.elapsed.as_micros() as u64 * 2);
        // No checkpoint says how many keys there are, and yet they are known.
        numbers.close();
        let report = handle.wait().unwrap();
        assert_eq!(report.operator("count").unwrap().state_keys, 10);
        assert_eq!(report.outcome, Some(Outcome::Finished));
    }
}

#[test]
fn time_is_busy_or_idle() {
    let job = Job::new("slow");
    let numbers = Generator::new(|at, _| at.index).total(50);
    job.source("numbers", numbers)
        .rebalance()
        .map(|n| {
            let watch = Stopwatch::start();
            while watch.elapsed() < Duration::from_millis(2) {}
            n
        })
        .name("slow")
        .sink("out", Null::new());
    let report = job.start(JobConfig::default()).unwrap().wait().unwrap();
    // What is chained counts for its host.
    let busy: Duration = report.operators.iter().map(|o| o.busy).sum();
    assert!(busy >= Duration::from_millis(100), "{report:#?}");
    let worker = &report.workers[0];
    assert!(worker.busy >= Duration::from_millis(100), "{worker:?}");
    assert!(worker.busy + worker.idle <= report.elapsed + Duration::from_millis(1));
    // Switched off, nothing is measured and all is counted.
    let job = Job::new("unmeasured");
    job.source("numbers", Generator::new(|at, _| at.index).total(50))
        .sink("out", Null::new());
    let config = JobConfig {
        measure: false,
        ..JobConfig::default()
    };
    let report = job.start(config).unwrap().wait().unwrap();
    assert_eq!(report.records_written(), 50);
    assert_eq!(report.latency.records, 0);
    assert_eq!(report.workers[0].busy, Duration::ZERO);
}

#[test]
fn a_source_that_may_not_read_is_back_pressured() {
    let job = Job::new("narrow");
    job.source("numbers", Generator::new(|at, _| at.index).total(2_000))
        .rebalance()
        .map(|n| {
            let watch = Stopwatch::start();
            while watch.elapsed() < Duration::from_micros(100) {}
            n
        })
        .sink("out", Null::new());
    let config = JobConfig {
        max_in_flight: 10,
        ..JobConfig::default()
    };
    let report = job.start(config).unwrap().wait().unwrap();
    let source = report.operator("numbers").unwrap();
    assert!(source.backpressured > Duration::ZERO, "{source:#?}");
    let instance = source.instances[0].source.as_ref().unwrap();
    assert!(instance.throttled > 0);
    assert!(instance.splits.iter().all(|split| split.finished));
}

#[test]
fn checkpoints_and_state_have_sizes() {
    for mode in MODES {
        let directory = tempfile::tempdir().unwrap();
        let config = JobConfig {
            workers: 2,
            mode,
            checkpoint_dir: Some(directory.path().into()),
            checkpoint_interval: Duration::from_millis(10),
            ..JobConfig::default()
        };
        let (numbers, handle) = counting(config);
        for n in 0..500 {
            numbers.send_at(n as i64, n).unwrap();
        }
        numbers.close();
        let report = handle.wait().unwrap();
        let count = report.operator("count").unwrap();
        assert_eq!(count.state_keys, 10);
        assert!(count.state_bytes > 10, "{count:#?}");
        assert!(report.last_checkpoint_duration >= report.last_checkpoint_parts);
        assert!(report.last_checkpoint_commit >= report.last_checkpoint_duration);
        assert!(report.last_checkpoint_alignment <= report.elapsed);
        let completed_ms = report.last_checkpoint_ms.unwrap();
        assert!(completed_ms <= report.now_ms && completed_ms > report.now_ms - 60_000);
    }
}

/// Two workers tell each other of their progress; counting that is off unless asked for.
#[test]
fn progress_messages_are_counted_on_request() {
    for count_progress in [false, true] {
        let config = JobConfig {
            workers: 2,
            count_progress,
            ..JobConfig::default()
        };
        let (numbers, handle) = counting(config);
        numbers.send_at(1, 1).unwrap();
        until(&handle, "the record", |r| r.records_written() == 1);
        if count_progress {
            until(&handle, "a progress message", |r| {
                r.workers.iter().all(|w| w.progress_sent > 0)
            });
        }
        numbers.close();
        let report = handle.wait().unwrap();
        let sent: u64 = report.workers.iter().map(|w| w.progress_sent).sum();
        assert_eq!(sent > 0, count_progress);
    }
}

#[test]
fn a_report_is_json() {
    let (numbers, handle) = counting(JobConfig::default());
    numbers.send_at(1_000, 7).unwrap();
    numbers.close();
    let report = handle.wait().unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["job"], "counting");
    assert_eq!(json["outcome"], "finished");
    assert_eq!(json["operators"][0]["kind"], "source");
    assert_eq!(json["operators"][0]["records_in"], 1);
    assert_eq!(
        json["operators"][0]["instances"][0]["source"]["splits"][0]["finished"],
        true
    );
    assert!(json["elapsed_us"].as_u64() > Some(0));
    assert!(json["latency"]["p99_us"].is_u64());
}
