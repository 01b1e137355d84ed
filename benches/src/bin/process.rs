//! Throughput of a keyed process function with a value and an event-time timer per key, beside the same tumbling
//! count as a window and as a twin.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::common::window_events::{KEYS, OUT_OF_ORDER_MS};
use millstream_benches::product;
use millstream_benches::twins::timely_windows::{self, WindowsCase};
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
const CONTENDERS: [Contender<WindowsCase, ThroughputRun>; 3] = [
    Contender::new("twin", timely_windows::run),
    Contender::new("process", product::process),
    Contender::new("window", product::windows),
];

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("process");
    let mut report = Report::open("process", &options)?;
    let events = if options.quick { 2_000_000 } else { 20_000_000 };
    for (name, keys) in [("10k-keys", KEYS), ("1m-keys", 1_000_000)] {
        if options.quick && keys != KEYS {
            continue;
        }
        for workers in [1, 2] {
            let case = WindowsCase {
                events,
                keys,
                out_of_order_ms: OUT_OF_ORDER_MS,
                workers,
            };
            let name = format!("{workers}w-{name}");
            let results = take_turns(&CONTENDERS, &case, &name, &options);
            report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
        }
    }
    Ok(report.finish())
}
