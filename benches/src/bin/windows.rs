//! Throughput of tumbling windows: 10,000 keys, 100 ms out of order, windows of one second, count.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::common::window_events::{KEYS, OUT_OF_ORDER_MS};
use millstream_benches::product;
use millstream_benches::twins::bare;
use millstream_benches::twins::timely_windows::{self, WindowsCase};
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
fn contenders(workers: usize) -> Vec<Contender<WindowsCase, ThroughputRun>> {
    let mut contenders = vec![
        Contender::new("twin", timely_windows::run),
        Contender::new("millstream", product::windows),
    ];
    if workers == 1 {
        contenders.push(Contender::new("bare", bare::windows));
    }
    contenders
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("windows");
    let mut report = Report::open("windows", &options)?;
    let events = if options.quick { 2_000_000 } else { 20_000_000 };
    for workers in [1, 2] {
        let case = WindowsCase {
            events,
            keys: KEYS,
            out_of_order_ms: OUT_OF_ORDER_MS,
            workers,
        };
        let name = format!("{workers}w");
        let results = take_turns(&contenders(workers), &case, &name, &options);
        report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
    }
    Ok(report.finish())
}
