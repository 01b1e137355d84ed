//! Memory behind a sink that is ten times too slow, for a minute (`--seconds`): it must stay flat.

use millstream_benches::common::contest::median;
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::product::memory::{MemoryCase, MemoryRun, memory};
use millstream_runtime::config::Mode;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// How much higher the second half may reach than the first: pages that the allocator touches late.
const SLACK: f64 = 1.05;

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("memory");
    let mut report = Report::open("memory", &options)?;
    let time = Duration::from_secs(
        options
            .seconds
            .unwrap_or(if options.quick { 5 } else { 60 }),
    );
    let micro_batch = Mode::MicroBatch {
        interval: Duration::from_millis(100),
    };
    for (name, workers, mode) in [
        ("continuous-1w", 1, Mode::Continuous),
        ("continuous-2w", 2, Mode::Continuous),
        ("micro-batch-1w", 1, micro_batch),
    ] {
        if options.wants("millstream", name) {
            let case = MemoryCase {
                workers,
                mode,
                time,
            };
            report_run(&mut report, name, &memory(&case))?;
        }
    }
    Ok(report.finish())
}

fn report_run(report: &mut Report, case: &str, run: &MemoryRun) -> std::io::Result<()> {
    let (first, second) = run.resident.split_at(run.resident.len() / 2);
    let flat = megabytes(second)[2] <= megabytes(first)[2] * SLACK;
    let figures = json!({
        "first_half_mb": megabytes(first),
        "second_half_mb": megabytes(second),
        "flat": flat,
        "most_in_flight": run.in_flight.iter().max(),
        "written": run.written,
    });
    report.figures(case, "millstream", 0, figures)?;
    if !flat {
        report.fail(&format!("{case}: the memory grows"));
    }
    Ok(())
}

/// Least, median and most of some samples, in megabytes (10^6 bytes).
fn megabytes(samples: &[u64]) -> [f64; 3] {
    let mb = |bytes: u64| (bytes as f64 / 1e5).round() / 10.0;
    let least = samples.iter().min().copied().unwrap_or(0);
    let most = samples.iter().max().copied().unwrap_or(0);
    [
        mb(least),
        median(samples.iter().map(|bytes| mb(*bytes))),
        mb(most),
    ]
}
