//! The status line: what a running job did so far, in one line.

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

    /// The line. `holds` says who holds the watermark, when it stands still.
    pub fn text(&self, report: &JobReport, holds: &[WatermarkHold], now_ms: EventTime) -> String {
        let mut parts = vec![
            seconds(report.elapsed),
            format!("read {} ({})", count(self.read[0].0), self.rate()),
            format!("in flight {}", count(report.in_flight)),
            watermark_text(report.watermark(), now_ms),
            self.checkpoint_text(report),
        ];
        parts.retain(|part| !part.is_empty());
        match report.failed_checkpoints {
            0 => {}
            1 => parts.push("1 checkpoint failed".into()),
            n => parts.push(format!("{} checkpoints failed", count(n))),
        }
        if let (Some(hold), Some(still)) = (slowest_hold(holds), self.still) {
            parts.push(format!(
                "watermark held for {} by {}",
                seconds(still),
                hold.holder
            ));
        }
        parts.join(" | ")
    }

    fn rate(&self) -> String {
        rate(
            self.read_lately(),
            self.read[0].1.saturating_sub(self.read[1].1),
        )
    }

    fn checkpoint_text(&self, report: &JobReport) -> String {
        if report.last_checkpoint == 0 {
            return String::new();
        }
        let age = report.elapsed.saturating_sub(self.checkpoint.since);
        format!(
            "checkpoint {} {} ago ({}, {})",
            report.last_checkpoint,
            seconds(age),
            duration(report.last_checkpoint_duration),
            bytes(report.last_checkpoint_bytes),
        )
    }
}

fn watermark_text(watermark: Watermark, now_ms: EventTime) -> String {
    match watermark {
        WATERMARK_MIN => "watermark none yet".into(),
        WATERMARK_MAX => "end of input".into(),
        at => {
            let lag = u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0);
            let lag = duration(Duration::from_millis(lag));
            format!("watermark {} (lag {lag})", utc(at))
        }
    }
}
