//! The window bench on Renoir: 10,000 keys, 100 ms out of order, windows of one second, count.
//!
//! `renoir` has windows aligned to the epoch and must give the twin's answer; `renoir stock` has its
//! own `EventTimeWindow`, whose answer is another one.

use millstream_rivals::common::contest::{Contender, take_turns};
use millstream_rivals::common::options::Options;
use millstream_rivals::common::report::Report;
use millstream_rivals::common::throughput::{ThroughputRun, timed};
use millstream_rivals::common::window_events::{Event, WINDOW_MS, event, watermark_ms};
use millstream_rivals::epoch_window::EpochWindow;
use millstream_rivals::{local, shared_answer};
use renoir::operator::window::WindowDescription;
use renoir::prelude::*;
use std::process::ExitCode;

struct Case {
    events: u64,
    workers: usize,
}

/// An event and its place in the stream, from which the watermark follows.
type Placed = (u64, Event);

/// Places between two watermarks: 100 ms of event time. At each watermark Renoir visits every key,
/// so a shorter distance would cost it more.
const WATERMARK_EVERY: u64 = 100_000;
/// The best of 128 to 16,384.
const BATCH: usize = 16_384;

fn aligned() -> Vec<Contender<Case, ThroughputRun>> {
    vec![Contender::new("renoir", |case| {
        run(case, EpochWindow { size: WINDOW_MS })
    })]
}

fn stock() -> Vec<Contender<Case, ThroughputRun>> {
    vec![Contender::new("renoir stock", |case| {
        run(case, EventTimeWindow::tumbling(WINDOW_MS))
    })]
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("renoir_windows");
    let mut report = Report::open("windows", &options)?;
    let events = if options.quick { 2_000_000 } else { 20_000_000 };
    for workers in [1, 2] {
        let case = Case { events, workers };
        // The answer of Renoir's own windows differs from run to run at parallelism 2.
        let stock = if workers == 1 { stock() } else { Vec::new() };
        for (name, contenders) in [("", aligned()), ("-stock", stock)] {
            let name = format!("{workers}w{name}");
            let results = take_turns(&contenders, &case, &name, &options);
            report.throughput(&name, events as f64 / 1e6, "M/s", &results)?;
        }
    }
    Ok(report.finish())
}

fn run<W: WindowDescription<Event> + 'static>(case: &Case, windows: W) -> ThroughputRun {
    timed(|| {
        let env = local(case.workers);
        let (answer, mut part) = shared_answer();
        let (events, workers) = (case.events, case.workers as u64);
        env.stream_par_iter(move |worker, workers| {
            (worker..events)
                .step_by(workers as usize)
                .map(|place| (place, event(place)))
        })
        .batch_mode(BatchMode::fixed(BATCH))
        .add_timestamps(
            |placed: &Placed| placed.1.time_ms,
            // Each replica has one of the first few places.
            move |placed, _time_ms| {
                (placed.0 % WATERMARK_EVERY < workers).then(|| watermark_ms(placed.0))
            },
        )
        .map(|placed| placed.1)
        .group_by(|event| event.key)
        .window::<Event, _>(windows)
        .fold((0, 0), |window: &mut (i64, u64), event| {
            window.0 = event.time_ms.div_euclid(WINDOW_MS) * WINDOW_MS;
            window.1 += 1;
        })
        .for_each(move |(key, (start_ms, count))| {
            part.add(|answer| answer.add_triple(start_ms as u64, key, count));
        });
        env.execute_blocking();
        answer.sum()
    })
}
