//! The lines people see, from fabricated reports.

use crate::cli::status::StatusLine;
use crate::cli::summary::{farewell, greeting, summary};
use crate::config::{JobConfig, Mode, Resume};
use crate::graph::NodeKind;
use crate::job::{Holder, JobReport, LatencyReport, OperatorReport, Outcome, WatermarkHold};
use crate::metrics::Latencies;
use crate::time::{WATERMARK_MAX, WATERMARK_MIN, Watermark};
use std::time::Duration;

/// 2024-05-01 12:00:03 UTC.
const AT: Watermark = 1_714_564_803_000;

fn operator(name: &str, kind: NodeKind, records: u64, watermark: Watermark) -> OperatorReport {
    OperatorReport {
        records_in: records,
        records_out: records / 2,
        late: records / 1000,
        skipped: 3,
        state_keys: 1_200_000,
        watermark,
        ..OperatorReport::new(name, name, kind)
    }
}

fn report(seconds: u64, read: u64, watermark: Watermark) -> JobReport {
    JobReport {
        elapsed: Duration::from_secs(seconds),
        operators: vec![
            operator("clicks", NodeKind::Source, read, watermark),
            operator("count", NodeKind::Operator, read, watermark),
            operator("out", NodeKind::Sink, read / 2, watermark),
        ],
        in_flight: 3_100,
        last_checkpoint_duration: Duration::from_millis(3),
        last_checkpoint_bytes: 1_234_567,
        ..JobReport::default()
    }
}

fn held_by_a_split() -> WatermarkHold {
    WatermarkHold {
        operator: "count".into(),
        uid: "count".into(),
        worker: 0,
        watermark: AT,
        lag_ms: Some(1_000),
        holder: Holder::Split {
            source: "clicks".into(),
            worker: 1,
            split: "3".into(),
        },
    }
}

#[test]
fn a_job_under_way() {
    let mut line = StatusLine::default();
    let mut first = report(11, 1_125_000, AT - 1000);
    first.last_checkpoint = 12;
    line.observe(&first);
    let mut second = report(14, 1_431_000, AT);
    second.last_checkpoint = 12;
    assert!(!line.observe(&second), "the watermark moves");
    assert_eq!(
        line.text(&second, &[], AT + 1_250, None),
        "14 s | read 1.43 M (102 k/s) | in flight 3.10 k | \
         watermark 2024-05-01 12:00:03 (lag 1.2 s) | checkpoint 12 3 s ago (3 ms, 1.23 MB) | 3.58 k late | 9 skipped"
    );
}

#[test]
fn a_job_that_has_just_begun_and_fails_its_checkpoints() {
    let mut line = StatusLine::default();
    let mut report = report(1, 0, WATERMARK_MIN);
    report.failed_checkpoints = 2;
    line.observe(&report);
    assert_eq!(
        line.text(&report, &[], AT, None),
        "1 s | read 0 (0/s) | in flight 3.10 k | watermark none yet | 9 skipped | 2 checkpoints failed"
    );
}

#[test]
fn who_holds_a_watermark_that_stands_still_although_there_is_input() {
    let mut line = StatusLine::default();
    assert!(!line.observe(&report(1, 100, AT)));
    assert!(!line.observe(&report(2, 200, AT)));
    assert!(!line.observe(&report(3, 300, AT)));
    let now = report(4, 400, AT);
    assert!(line.observe(&now));
    let text = line.text(&now, &[held_by_a_split()], AT, None);
    let end = " | watermark held for 3 s by split 3 of source \"clicks\" on worker 1";
    assert!(text.ends_with(end), "{text}");
    assert!(!line.observe(&report(5, 500, AT + 1)), "it has moved");
}

#[test]
fn a_watermark_without_input_or_without_event_time_holds_nobody_up() {
    let mut idle = StatusLine::default();
    let mut timeless = StatusLine::default();
    for second in 1..20 {
        let mut quiet = report(second, 100, AT);
        quiet.in_flight = 0;
        assert!(!idle.observe(&quiet), "no input for {second} s");
        let flowing = report(second, 100 * second, WATERMARK_MIN);
        assert!(!timeless.observe(&flowing), "no event times");
    }
}

#[test]
fn one_source_without_a_watermark_holds_up_the_others() {
    let mut line = StatusLine::default();
    let stalled = (1..6).map(|second| {
        let mut report = report(second, 100 * second, WATERMARK_MIN);
        report.operators[0].watermark = AT;
        line.observe(&report)
    });
    assert_eq!(
        stalled.collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
}

#[test]
fn the_end_of_input() {
    let mut line = StatusLine::default();
    let report = report(5, 500, WATERMARK_MAX);
    line.observe(&report);
    assert!(
        line.text(&report, &[], AT, None)
            .contains(" | end of input")
    );
}

#[test]
fn the_summary_is_a_table() {
    let mut report = report(10, 12_345_678, WATERMARK_MAX);
    report.outcome = Some(Outcome::Finished);
    report.restored = Some(5);
    report.checkpoints = 9;
    report.operators[1].busy = Duration::from_millis(2_500);
    let latencies = Latencies::default();
    latencies.record(2_000_000, 100);
    report.latency = LatencyReport::of(latencies.snapshot());
    report.last_checkpoint = 14;
    let expected = "\
finished after 10.0 s: 12.3 M records read (1.23 M/s), 6.17 M written
  operator  kind          in     out    late  skipped  busy  state keys
  clicks    source    12.3 M  6.17 M  12.3 k        3     -           -
  count     operator  12.3 M  6.17 M  12.3 k        3  25 %      1.20 M
  out       sink      6.17 M       -  6.17 k        3     -           -
latency at most: p50 2 ms, p90 2 ms, p99 2 ms, p99.9 2 ms, longest 2 ms
checkpoints: 9 completed, 0 failed, the last is 14 (3 ms, 1.23 MB); restored from 5";
    assert_eq!(summary(&report), expected);
}

#[test]
fn the_first_and_the_last_line() {
    let config = JobConfig {
        workers: 2,
        checkpoint_dir: Some("c".into()),
        ..Default::default()
    };
    assert_eq!(
        greeting(Some(12), &config),
        "restored checkpoint 12; 2 workers, continuous, exactly-once"
    );
    let batched = JobConfig {
        mode: Mode::MicroBatch {
            interval: Duration::from_millis(250),
        },
        ..Default::default()
    };
    assert_eq!(
        greeting(None, &batched),
        "starting from the beginning; 1 worker, micro-batch (250ms), at-most-once"
    );
    let mut stopped = report(1, 0, AT);
    stopped.outcome = Some(Outcome::Stopped);
    assert_eq!(
        farewell(&stopped, &config),
        "stopped; resume with the same command"
    );
    let fresh = JobConfig {
        resume: Resume::Fresh,
        ..config
    };
    assert_eq!(
        farewell(&stopped, &fresh),
        "stopped; resume with the same command without --fresh"
    );
    assert_eq!(
        farewell(&stopped, &batched),
        "stopped; without a checkpoint directory the next run starts anew"
    );
}
