//! What metrics and logs cost: throughput at their defaults against that with all of it switched out. More than 3 % fails the
//! process, but for a quick run.

use millstream_benches::common::contest::{Contender, Runs, median, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::text::text_file;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::common::window_events::{KEYS, OUT_OF_ORDER_MS};
use millstream_benches::product::metrics;
use millstream_benches::twins::timely_windows::WindowsCase;
use millstream_benches::twins::timely_wordcount::WordCountCase;
use serde_json::json;
use std::process::ExitCode;

/// The most that the defaults may cost, in percent.
const LIMIT_PERCENT: f64 = 3.0;

/// The contender that the limit is for.
const DEFAULTS: &str = "defaults";

/// Prints what each contender costs against the first; whether the defaults stay within the limit.
fn costs(
    report: &mut Report,
    case: &str,
    results: &[Runs<ThroughputRun>],
) -> std::io::Result<bool> {
    let seconds = |runs: &Runs<ThroughputRun>| median(runs.runs.iter().map(|run| run.seconds));
    let Some((off, others)) = results.split_first() else {
        return Ok(true);
    };
    let mut within = true;
    for other in others {
        let percent = (seconds(other) / seconds(off) - 1.0) * 100.0;
        within &= other.name != DEFAULTS || percent <= LIMIT_PERCENT;
        let figures = json!({ "cost_percent": (percent * 100.0).round() / 100.0 });
        report.figures(case, other.name, 0, figures)?;
    }
    Ok(within)
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("metrics");
    let mut report = Report::open("metrics", &options)?;
    let mut within = true;
    let events = if options.quick { 2_000_000 } else { 40_000_000 };
    let path = text_file(if options.quick { 20 } else { 500 })?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    for workers in [1, 2] {
        let case = WindowsCase {
            events,
            keys: KEYS,
            out_of_order_ms: OUT_OF_ORDER_MS,
            workers,
        };
        let name = format!("windows-{workers}w");
        let contenders = [
            Contender::new("off", metrics::windows_off),
            Contender::new(DEFAULTS, metrics::windows_defaults),
            Contender::new("scraped", metrics::windows_scraped),
        ];
        let results = take_turns(&contenders, &case, &name, &options);
        report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
        within &= costs(&mut report, &name, &results)?;

        let case = WordCountCase {
            path: path.clone(),
            workers,
        };
        let name = format!("words-{workers}w");
        let contenders = [
            Contender::new("off", metrics::words_off),
            Contender::new(DEFAULTS, metrics::words_defaults),
            Contender::new("scraped", metrics::words_scraped),
        ];
        let results = take_turns(&contenders, &case, &name, &options);
        report.throughput(&name, megabytes, "MB/s", &results)?;
        within &= costs(&mut report, &name, &results)?;
    }
    let agreed = report.finish();
    if !within && !options.quick {
        eprintln!("metrics and logs at their defaults cost more than {LIMIT_PERCENT} %");
        return Ok(ExitCode::FAILURE);
    }
    Ok(agreed)
}
