//! Processor time of a job that has nothing to do, over a while (`--seconds`, 20 by default).

use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::product::idle::{IdleCase, Waiting, idle};
use millstream_runtime::config::Mode;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("idle");
    let mut report = Report::open("idle", &options)?;
    let time = Duration::from_secs(
        options
            .seconds
            .unwrap_or(if options.quick { 2 } else { 20 }),
    );
    for (name, case) in cases(time) {
        if options.wants("millstream", &name) {
            let cpu_s = (idle(&case) * 1e3).round() / 1e3;
            report.figures(&name, "millstream", 0, json!({ "cpu_s_per_minute": cpu_s }))?;
        }
    }
    Ok(report.finish())
}

fn cases(time: Duration) -> Vec<(String, IdleCase)> {
    let micro_batch = Mode::MicroBatch {
        interval: Duration::from_millis(100),
    };
    let mut cases = Vec::new();
    for (source_name, source) in [
        ("channel", Waiting::Channel),
        ("directory", Waiting::Directory),
    ] {
        for (mode_name, mode, workers) in [
            ("continuous-1w", Mode::Continuous, 1),
            ("continuous-2w", Mode::Continuous, 2),
            ("micro-batch-1w", micro_batch, 1),
        ] {
            let case = IdleCase {
                source,
                workers,
                mode,
                time,
            };
            cases.push((format!("{source_name}-{mode_name}"), case));
        }
    }
    cases
}
