//! Throughput of sliding windows that overlap a hundred times, beside the same windows end to end; of counts, and of a
//! fold that counts, of which nothing can be taken out as windows move on.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::common::window_events::{KEYS, OUT_OF_ORDER_MS};
use millstream_benches::product;
use millstream_benches::twins::timely_sliding::{self, SlidingCase};
use millstream_benches::twins::timely_windows::WindowsCase;
use std::process::ExitCode;

/// Who takes part. The first is the one that the others are compared with.
const CONTENDERS: [Contender<SlidingCase, ThroughputRun>; 3] = [
    Contender::new("twin", timely_sliding::run),
    Contender::new("millstream", product::sliding),
    Contender::new("merged", product::sliding_merged),
];

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("sliding");
    let mut report = Report::open("sliding", &options)?;
    let events = if options.quick { 2_000_000 } else { 20_000_000 };
    let loads = [
        (1, KEYS, OUT_OF_ORDER_MS, ""),
        (2, KEYS, OUT_OF_ORDER_MS, ""),
        (1, 1_000, OUT_OF_ORDER_MS, "-1k-keys"),
        (1, 100_000, OUT_OF_ORDER_MS, "-100k-keys"),
        (1, KEYS, 1_000, "-1s-behind"),
    ];
    for (workers, keys, out_of_order_ms, of) in loads {
        let load = WindowsCase {
            events,
            keys,
            out_of_order_ms,
            workers,
        };
        for (slide, slide_ms) in [("10s", 10_000), ("1s", 1_000), ("100ms", 100)] {
            let case = SlidingCase {
                load,
                size_ms: 10_000,
                slide_ms,
            };
            let name = format!("{workers}w-10s-by-{slide}{of}");
            let results = take_turns(&CONTENDERS, &case, &name, &options);
            report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
        }
    }
    Ok(report.finish())
}
