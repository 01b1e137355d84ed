//! What checkpoints cost: latency of updates to a million states of 112 bytes. So far only the twin
//! without checkpoints, which is the base line.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::latency::LatencyRun;
use millstream_benches::common::load::Schedule;
use millstream_benches::common::options::Options;
use millstream_benches::common::report::{Report, print_latency_head};
use millstream_benches::twins::open_loop::{Idle, OpenLoopCase};
use millstream_benches::twins::timely_table::{self, KEYS};
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
fn contenders() -> Vec<Contender<OpenLoopCase, LatencyRun>> {
    vec![
        Contender::new("plain table", timely_table::run),
        // The product, with and without a checkpoint every second:
        // `Contender::new("millstream", product::checkpoint)`.
    ]
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("checkpoint");
    let mut report = Report::open("checkpoint", &options)?;
    print_latency_head();
    for (name, case) in cases(options.quick) {
        let results = take_turns(&contenders(), &case, &name, &options);
        report.latency(&name, &results)?;
    }
    Ok(report.finish())
}

/// The warm-up covers the time in which the table is filled.
fn cases(quick: bool) -> Vec<(String, OpenLoopCase)> {
    let mut cases = Vec::new();
    for (idle_name, idle) in [("spin", Idle::Spin), ("park", Idle::Park)] {
        for workers in [1, 2] {
            let (warm_up_ms, seconds) = if quick { (1_000, 1) } else { (2_000, 8) };
            let schedule = Schedule::new(100_000, KEYS, warm_up_ms, seconds);
            let case = OpenLoopCase {
                schedule,
                workers,
                idle,
            };
            cases.push((format!("{idle_name}-{workers}w-100k"), case));
        }
    }
    cases
}
