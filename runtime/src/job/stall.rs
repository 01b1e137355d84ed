//! Notices a watermark that stands still although there is input.

use super::report::JobReport;
use crate::graph::NodeKind;
use crate::time::{WATERMARK_MAX, WATERMARK_MIN, Watermark};
use std::time::Duration;

/// Takes reports in the order of time and knows since when the job's watermark has not moved.
#[derive(Debug, Default)]
pub struct StallWatch {
    watermark: Option<Watermark>,
    since: Duration,
    /// Records read when the watermark last moved, and at the last report.
    read_then: u64,
    read_before: u64,
}

impl StallWatch {
    /// Takes notice of a report; for how long the watermark has stood still although there was input since it
    /// last moved and there still is. None when it moves, when there is nothing to wait for, and at the end of
    /// input.
    pub fn observe(&mut self, report: &JobReport) -> Option<Duration> {
        let (now, read) = (report.elapsed, report.records_read());
        let reads = read > self.read_before;
        self.read_before = read;
        let watermark = report.watermark();
        if self.watermark != Some(watermark) {
            self.watermark = Some(watermark);
            self.since = now;
            self.read_then = read;
        }
        // A job none of whose sources has event times has no watermark to wait for.
        let has_event_time = report
            .operators
            .iter()
            .any(|o| o.watermark != WATERMARK_MIN && o.watermark != WATERMARK_MAX);
        let has_input = read > self.read_then && (reads || report.in_flight > 0);
        (has_event_time && has_input && watermark != WATERMARK_MAX)
            .then(|| now.saturating_sub(self.since))
    }
}

impl JobReport {
    /// The job's watermark: the least of its operators and sinks, else of its sources.
    pub fn watermark(&self) -> Watermark {
        let of = |kinds: &[NodeKind]| {
            let operators = self.operators.iter().filter(|o| kinds.contains(&o.kind));
            operators.map(|o| o.watermark).min()
        };
        of(&[NodeKind::Operator, NodeKind::Sink])
            .or_else(|| of(&[NodeKind::Source]))
            .unwrap_or(WATERMARK_MIN)
    }
}
