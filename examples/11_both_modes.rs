//! One job in both modes: the same results, and what each record waits for them.
//!
//! ```text
//! cargo run --release --example 11_both_modes
//! ```
//!
//! The job counts 20,000 clicks a second per page, and puts out the new count for each click. It runs three times: record
//! by record, then as micro-batches back to back, then as micro-batches of 100 ms, as Spark does it. Nothing
//! changes but [`JobConfig::mode`]. Each click carries the time at which it was due (open loop: a job that falls behind
//! does not slow the clicks down), and the sink measures how long after that its count was there.
//!
//! Standard output has the part that is always the same: a checksum of the results. The latencies, which are
//! this machine's, are on standard error. Expect microseconds, then a little more, then about 50 ms at the median and
//! 100 ms at the worst: a record waits for its batch to begin, and the batch for its slowest record.

use hdrhistogram::Histogram;
use millstream::prelude::*;
use millstream::runtime::clock::{SharedClock, SystemClock};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CLICKS: u64 = 60_000;
const RATE: f64 = 20_000.0;
const PAGES: u64 = 500;

/// What the sink has seen.
struct Seen {
    checksum: u64,
    latency_ns: Histogram<u64>,
}

fn main() -> anyhow::Result<()> {
    let batches = |ms| Mode::MicroBatch {
        interval: Duration::from_millis(ms),
    };
    eprintln!("{:28} {:>10} {:>10} {:>10}", "", "median", "p99", "worst");
    for mode in [Mode::Continuous, batches(0), batches(100)] {
        let seen = run(mode)?;
        let at = |quantile| show(seen.latency_ns.value_at_quantile(quantile));
        println!("{:28} checksum {:016x}", mode.to_string(), seen.checksum);
        eprintln!(
            "{:28} {:>10} {:>10} {:>10}",
            mode.to_string(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

fn run(mode: Mode) -> anyhow::Result<Seen> {
    let clock: SharedClock = Arc::new(SystemClock::new());
    let seen = Arc::new(Mutex::new(Seen {
        checksum: 0,
        latency_ns: histogram()?,
    }));

    let job = Job::new("both-modes");
    let clicks = Generator::new(|at, rng| (rng.u64(..PAGES), at.scheduled_ns))
        .rate(RATE)
        .total(CLICKS)
        .start_after(Duration::from_millis(200))
        .clock(clock.clone());
    let sink = seen.clone();
    job.timed_source("clicks", clicks, WatermarkStrategy::ascending())
        .keyed()
        .fold((0u64, 0i64), |(count, due_ns), click_ns| {
            *count += 1;
            *due_ns = click_ns;
        })
        .sink(
            "counts",
            ForEach::new(move |(page, (count, due_ns)): (u64, (u64, i64))| {
                let mut seen = sink.lock().expect("no other user of it panics");
                // The order of the keys is free, so the checksum does not depend on it.
                seen.checksum = seen
                    .checksum
                    .wrapping_add((page << 32 | count).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let waited = (clock.now_ns() - due_ns).max(0) as u64;
                seen.latency_ns.saturating_record(waited);
            }),
        );
    job.start(JobConfig {
        mode,
        ..JobConfig::default()
    })?
    .wait()?;
    let mut seen = seen.lock().expect("the job has ended");
    Ok(Seen {
        checksum: seen.checksum,
        latency_ns: std::mem::replace(&mut seen.latency_ns, histogram()?),
    })
}

/// Up to a minute, to three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

fn show(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.1} µs", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{} µs", ns / 1_000),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}
