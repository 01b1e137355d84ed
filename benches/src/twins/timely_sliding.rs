//! The sliding windows twin: exchange by key, sliding count per key, on timely; otherwise as the
//! [windows twin](super::timely_windows).

use super::slice_table::SliceTable;
use super::timely_windows::{WindowsCase, run_with};
use crate::common::throughput::ThroughputRun;

/// A run of the sliding windows bench.
#[derive(Clone, Copy, Debug)]
pub struct SlidingCase {
    /// The events and the workers.
    pub load: WindowsCase,
    /// The length of the windows.
    pub size_ms: i64,
    /// How far apart they begin; a divisor of the size.
    pub slide_ms: i64,
}

/// Runs the twin once.
pub fn run(case: &SlidingCase) -> ThroughputRun {
    let SlidingCase {
        load,
        size_ms,
        slide_ms,
    } = *case;
    run_with(load, move || SliceTable::new(size_ms, slide_ms))
}
