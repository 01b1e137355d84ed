//! Latency from the scheduled time to the sink: 10,000 keys -> exchange -> count per key -> sink.
//!
//! All keys are opened before the warm-up, but in the cases `cold`: there nearly every record at 1,000 a second is the first of its
//! key, and what is measured at p99 is how state gets its memory.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::latency::LatencyRun;
use millstream_benches::common::load::Schedule;
use millstream_benches::common::options::Options;
use millstream_benches::common::report::{Report, print_latency_head};
use millstream_benches::product;
use millstream_benches::twins::open_loop::{Idle, OpenLoopCase};
use millstream_benches::twins::timely_latency;
use std::process::ExitCode;

const KEYS: u64 = 10_000;

/// Who takes part. The first is the one that the others are compared with.
fn contenders() -> Vec<Contender<OpenLoopCase, LatencyRun>> {
    vec![
        Contender::new("twin", timely_latency::run),
        Contender::new("millstream", product::latency),
    ]
}

/// The same and, with a checkpoint each second, Millstream.
fn contenders_with_checkpoints() -> Vec<Contender<OpenLoopCase, LatencyRun>> {
    let mut contenders = contenders();
    contenders.push(Contender::new(
        "checkpoints",
        product::latency_with_checkpoints,
    ));
    contenders
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("latency");
    let mut report = Report::open("latency", &options)?;
    print_latency_head();
    for (name, case) in cases(options.quick) {
        let contenders = match name.ends_with("10k") {
            true => contenders_with_checkpoints(),
            false => contenders(),
        };
        let results = take_turns(&contenders, &case, &name, &options);
        report.latency(&name, &results)?;
    }
    Ok(report.finish())
}

fn cases(quick: bool) -> Vec<(String, OpenLoopCase)> {
    let (warm_up_ms, seconds) = if quick { (200, 1) } else { (1_000, 5) };
    let case = |rate_per_s, workers, idle, opened_keys| OpenLoopCase {
        schedule: Schedule::new(rate_per_s, KEYS, warm_up_ms, seconds),
        workers,
        idle,
        opened_keys,
    };
    let mut cases = vec![("spin-1w-10k".into(), case(10_000, 1, Idle::Spin, KEYS))];
    for (idle_name, idle) in [("spin", Idle::Spin), ("park", Idle::Park)] {
        for workers in [1, 2] {
            for (rate_name, rate_per_s) in [("1k", 1_000), ("100k", 100_000), ("1M", 1_000_000)] {
                let name = format!("{idle_name}-{workers}w-{rate_name}");
                cases.push((name, case(rate_per_s, workers, idle, KEYS)));
            }
        }
        let name = format!("{idle_name}-1w-1k-cold");
        cases.push((name, case(1_000, 1, idle, 0)));
    }
    cases
}
