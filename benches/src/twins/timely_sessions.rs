//! The session windows twin: exchange by key, counts per session, on timely; otherwise as the
//! [windows twin](super::timely_windows).

use super::session_table::SessionTable;
use super::timely_windows::{WindowsCase, run_with};
use crate::common::throughput::ThroughputRun;

/// A key's session ends when it has had no event for so long.
pub const GAP_MS: i64 = 2_000;

/// Runs the twin once.
pub fn run(case: &WindowsCase) -> ThroughputRun {
    run_with(*case, || SessionTable::new(GAP_MS))
}
