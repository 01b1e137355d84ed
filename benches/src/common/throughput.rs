//! The figures of a run that goes as fast as it can.

use super::answer::Answer;
use std::time::Instant;

/// The figures of one run.
#[derive(Clone, Copy, Debug)]
pub struct ThroughputRun {
    /// From the start of the engine to the end of its last thread.
    pub seconds: f64,
    /// The hash of all output rows.
    pub answer: Answer,
}

/// Runs `job` and takes its time.
#[allow(clippy::disallowed_methods)] // the benches' own door to the time
pub fn timed(job: impl FnOnce() -> Answer) -> ThroughputRun {
    let start = Instant::now();
    let answer = job();
    ThroughputRun {
        seconds: start.elapsed().as_secs_f64(),
        answer,
    }
}
