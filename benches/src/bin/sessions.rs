//! Throughput of session windows of 1,000,000 keys.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::common::window_events::OUT_OF_ORDER_MS;
use millstream_benches::product;
use millstream_benches::twins::timely_sessions;
use millstream_benches::twins::timely_windows::WindowsCase;
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
const CONTENDERS: [Contender<WindowsCase, ThroughputRun>; 2] = [
    Contender::new("twin", timely_sessions::run),
    Contender::new("millstream", product::sessions),
];

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("sessions");
    let mut report = Report::open("sessions", &options)?;
    let (events, keys) = match options.quick {
        true => (1_000_000, 50_000),
        false => (20_000_000, 1_000_000),
    };
    for workers in [1, 2] {
        let case = WindowsCase {
            events,
            keys,
            out_of_order_ms: OUT_OF_ORDER_MS,
            workers,
        };
        let name = format!("{workers}w");
        let results = take_turns(&CONTENDERS, &case, &name, &options);
        report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
    }
    Ok(report.finish())
}
