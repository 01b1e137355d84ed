//! What checkpoints cost: updates to a million states of 112 bytes on one worker, in the open loop beside a plain
//! table without checkpoints, and at full speed with and without them.

use millstream_benches::common::contest::{Contender, Runs, median, take_turns};
use millstream_benches::common::latency::LatencyRun;
use millstream_benches::common::load::Schedule;
use millstream_benches::common::options::Options;
use millstream_benches::common::report::{Report, print_latency_head};
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::product::checkpoint::{self, CheckpointRun, FullSpeedCase};
use millstream_benches::twins::open_loop::{Idle, OpenLoopCase};
use millstream_benches::twins::timely_table::{self, KEYS};
use serde_json::json;
use std::process::ExitCode;

/// Who takes part in the open loop. The first is the one that the others are compared with.
fn contenders() -> Vec<Contender<OpenLoopCase, CheckpointRun>> {
    vec![
        Contender::new("plain table", |case| CheckpointRun {
            latency: timely_table::run(case),
            checkpoints: Vec::new(),
            bytes_per_key: 0.0,
        }),
        Contender::new("no checkp.", checkpoint::no_checkpoints),
        Contender::new("checkpoints", checkpoint::checkpoints),
    ]
}

type FullSpeed = Vec<Contender<FullSpeedCase, ThroughputRun>>;

/// Who takes part at full speed.
fn fast_contenders() -> FullSpeed {
    vec![
        Contender::new("no checkp.", checkpoint::full_speed),
        Contender::new("checkpoints", checkpoint::full_speed_with_checkpoints),
    ]
}

/// The same with states that are written as they lie in memory.
fn copying_contenders() -> FullSpeed {
    vec![
        Contender::new("no checkp.", checkpoint::full_speed_copied),
        Contender::new(
            "checkpoints",
            checkpoint::full_speed_copied_with_checkpoints,
        ),
    ]
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("checkpoint");
    let mut report = Report::open("checkpoint", &options)?;
    print_latency_head();
    for (name, case) in cases(options.quick) {
        let results = take_turns(&contenders(), &case, &name, &options);
        report.latency(&name, &latencies(&results))?;
        for result in &results {
            report_costs(&mut report, &name, result)?;
        }
    }
    at_full_speed(&mut report, &options)?;
    Ok(report.finish())
}

/// The warm-up covers the opening of all states and the first checkpoint, which holds all of them.
fn cases(quick: bool) -> Vec<(String, OpenLoopCase)> {
    let (warm_up_ms, seconds) = if quick { (3_000, 2) } else { (4_000, 8) };
    [("20k", 20_000), ("100k", 100_000)]
        .into_iter()
        .map(|(rate, rate_per_s)| {
            let case = OpenLoopCase {
                schedule: Schedule::new(rate_per_s, KEYS, warm_up_ms, seconds),
                workers: 1,
                idle: Idle::Spin,
                opened_keys: 0, // each contender opens all of them
            };
            (format!("spin-1w-{rate}"), case)
        })
        .collect()
}

fn latencies(results: &[Runs<CheckpointRun>]) -> Vec<Runs<LatencyRun>> {
    let runs = results.iter().map(|result| Runs {
        name: result.name,
        runs: result.runs.iter().map(|run| run.latency.clone()).collect(),
    });
    runs.collect()
}

/// Duration and size of the checkpoints after the first, which is whole; memory per key.
fn report_costs(
    report: &mut Report,
    case: &str,
    result: &Runs<CheckpointRun>,
) -> std::io::Result<()> {
    for (number, run) in result.runs.iter().enumerate() {
        if run.bytes_per_key == 0.0 {
            continue;
        }
        let mut figures = json!({ "bytes_per_key": run.bytes_per_key.round() });
        if let [first, rest @ ..] = run.checkpoints.as_slice()
            && !rest.is_empty()
        {
            let ms = |at: &(std::time::Duration, u64)| (at.0.as_secs_f64() * 1e4).round() / 10.0;
            let later_ms = rest.iter().map(ms);
            figures["checkpoints"] = run.checkpoints.len().into();
            figures["first_ms"] = ms(first).into();
            figures["first_bytes"] = first.1.into();
            figures["median_ms"] = median(later_ms.clone()).into();
            figures["longest_ms"] = later_ms.fold(0.0, f64::max).into();
            figures["median_bytes"] = median(rest.iter().map(|at| at.1 as f64)).into();
        }
        report.figures(case, result.name, number, figures)?;
    }
    Ok(())
}

fn at_full_speed(report: &mut Report, options: &Options) -> std::io::Result<()> {
    let updates = if options.quick {
        10_000_000
    } else {
        160_000_000
    };
    let case = FullSpeedCase { updates };
    for (name, contenders) in [
        ("unlimited-1w", fast_contenders()),
        ("unlimited-1w-copied", copying_contenders()),
    ] {
        let results = take_turns(&contenders, &case, name, options);
        report.throughput(name, updates as f64 / 1e6, "M/s", &results)?;
        if let [without, with] = results.as_slice() {
            let seconds =
                |runs: &Runs<ThroughputRun>| median(runs.runs.iter().map(|run| run.seconds));
            let loss = (1.0 - seconds(without) / seconds(with)) * 100.0;
            println!("{name}: checkpoints each second cost {loss:.1} % of the rate");
        }
    }
    Ok(())
}
