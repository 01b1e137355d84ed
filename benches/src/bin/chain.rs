//! What a `map` costs: nine of them less one of them, over the unlimited generator.

use millstream_benches::common::contest::{Contender, Runs, median, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::product::chain::{self, ChainCase, MAPS};
use serde_json::json;
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
fn contenders() -> Vec<Contender<ChainCase, ThroughputRun>> {
    vec![
        Contender::new("1 map", chain::one_map),
        Contender::new("9 chained", chain::chained),
        Contender::new("9 unchained", chain::unchained),
    ]
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("chain");
    let mut report = Report::open("chain", &options)?;
    let records = if options.quick { 5_000_000 } else { 50_000_000 };
    let case = ChainCase { records };
    let results = take_turns(&contenders(), &case, "1w", &options);
    report.throughput("1w", records as f64 / 1e6, "M/s", &results)?;
    if let Some((one, others)) = results.split_first() {
        for other in others {
            let more_s = seconds(other) - seconds(one);
            let ns = more_s * 1e9 / records as f64 / (MAPS - 1) as f64;
            let figures = json!({ "ns_per_map_and_record": (ns * 100.0).round() / 100.0 });
            report.figures("1w", other.name, 0, figures)?;
        }
    }
    Ok(report.finish())
}

fn seconds(runs: &Runs<ThroughputRun>) -> f64 {
    median(runs.runs.iter().map(|run| run.seconds))
}
