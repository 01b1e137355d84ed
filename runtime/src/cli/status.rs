//! The status line: what a running job did so far, in one line that fits the terminal.

use super::fit::{Part, line};
use super::human::{bytes, count, duration, rate, seconds, utc};
use crate::job::{JobReport, StallWatch, WatermarkHold, slowest_hold};
use crate::time::{CheckpointId, EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use std::time::Duration;

/// A watermark that has stood still this long although there is input is worth a word.
const STALLED: Duration = Duration::from_secs(3);

/// Makes the line, and remembers what it needs from one to the next.
#[derive(Default)]
pub(super) struct StatusLine {
    /// The last two observations of the records read, the newer one first.
    read: [(u64, Duration); 2],
    checkpoint: Since<CheckpointId>,
    stalls: StallWatch,
    /// For how long the watermark has stood still.
    still: Option<Duration>,
}

/// A value, and since when the job has had it.
#[derive(Default)]
struct Since<T> {
    value: T,
    since: Duration,
}

impl<T: PartialEq> Since<T> {
    /// Whether the value is a new one.
    fn observe(&mut self, value: T, now: Duration) -> bool {
        let changed = self.value != value;
        if changed {
            *self = Since { value, since: now };
        }
        changed
    }
}

impl StatusLine {
    /// Takes notice of a report; whether the watermark stands still although there is input.
    pub fn observe(&mut self, report: &JobReport) -> bool {
        let (now, read) = (report.elapsed, report.records_read());
        self.read = [(read, now), self.read[0]];
        self.checkpoint.observe(report.last_checkpoint, now);
        self.still = self
            .stalls
            .observe(report)
            .filter(|still| *still >= STALLED);
        self.still.is_some()
    }

    fn read_lately(&self) -> u64 {
        self.read[0].0.saturating_sub(self.read[1].0)
    }

    /// The line, in at most `columns`. `holds` says who holds the watermark, when it stands still.
    pub fn text(
        &self,
        report: &JobReport,
        holds: &[WatermarkHold],
        now_ms: EventTime,
        columns: Option<usize>,
    ) -> String {
        let mut parts = vec![
            Part::new(100, seconds(report.elapsed)),
            Part::new(
                80,
                format!("read {} ({})", count(self.read[0].0), self.rate()),
            )
            .or(self.rate()),
            Part::new(40, format!("in flight {}", count(report.in_flight))),
            watermark_part(report.watermark(), now_ms),
        ];
        parts.extend(self.checkpoint_part(report));
        parts.extend(losses(report));
        if let (Some(hold), Some(still)) = (slowest_hold(holds), self.still) {
            let still = seconds(still);
            parts.push(
                Part::new(90, format!("watermark held for {still} by {}", hold.holder))
                    .or(format!("held {still} by {}", hold.holder)),
            );
        }
        line(parts, columns)
    }

    fn rate(&self) -> String {
        rate(
            self.read_lately(),
            self.read[0].1.saturating_sub(self.read[1].1),
        )
    }

    fn checkpoint_part(&self, report: &JobReport) -> Option<Part> {
        if report.last_checkpoint == 0 {
            return None;
        }
        let age = seconds(report.elapsed.saturating_sub(self.checkpoint.since));
        let long = format!(
            "checkpoint {} {age} ago ({}, {})",
            report.last_checkpoint,
            duration(report.last_checkpoint_duration),
            bytes(report.last_checkpoint_bytes),
        );
        Some(Part::new(50, long).or(format!("checkpoint {age} ago")))
    }
}

fn watermark_part(watermark: Watermark, now_ms: EventTime) -> Part {
    let text = match watermark {
        WATERMARK_MIN => "watermark none yet".into(),
        WATERMARK_MAX => "end of input".into(),
        at => {
            let lag = u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0);
            let lag = duration(Duration::from_millis(lag));
            let long = format!("watermark {} (lag {lag})", utc(at));
            return Part::new(60, long).or(format!("lag {lag}"));
        }
    };
    Part::new(60, text)
}

/// What went wrong or was left out so far, if anything.
fn losses(report: &JobReport) -> Vec<Part> {
    let (late, skipped, dead) = report.lost();
    let failed = report.failed_checkpoints;
    let failed_text = match failed {
        1 => "1 checkpoint failed".to_owned(),
        n => format!("{} checkpoints failed", count(n)),
    };
    let all = [
        (late, 30, format!("{} late", count(late))),
        (skipped, 65, format!("{} skipped", count(skipped))),
        (dead, 70, format!("{} dead", count(dead))),
        (failed, 75, failed_text),
    ];
    all.into_iter()
        .filter(|(number, _, _)| *number > 0)
        .map(|(_, rank, text)| Part::new(rank, text))
        .collect()
}
