//! Temperatures: sliding averages, and the day's highest with early results.
//!
//! ```text
//! cargo run --release --example 03_temperatures
//! ```
//!
//! Three sensors report each second, up to three seconds out of order. Two questions are asked of the same stream:
//!
//! - The mean of the last minute, every twenty seconds: sliding windows. They overlap, so each reading belongs
//!   to three of them; it is added once all the same, to the slice of twenty seconds that the three share.
//! - The highest temperature of each two minutes, and how it stands meanwhile: a trigger that fires early, here after each
//!   fifty readings, and at the end of the window in full. Each result says whether it is early or on time.
//!
//! Prints a line per result. Nobody is left out for being three seconds late: the watermark follows the
//! readings at that distance, and a window fires when the watermark has passed its end.

use millstream::operators::window::{CountTrigger, EventTimeTrigger, Timing};
use millstream::prelude::*;
use std::process::ExitCode;
use std::time::Duration;

const SENSORS: [&str; 3] = ["attic", "cellar", "kitchen"];

fn main() -> ExitCode {
    let program = Program::new("temperatures").about("sliding averages and early results");
    millstream::main(program, |job, _| {
        let readings = Generator::new(|at, rng| {
            let sensor = at.index as usize % SENSORS.len();
            let warming = (at.index as f64 / 115.0 - 1.57).sin();
            let celsius = 12.0 + 5.0 * sensor as f64 + 3.0 * warming + rng.f64();
            (SENSORS[sensor].to_owned(), celsius)
        })
        .total(360)
        .event_time(second_out_of_order);
        let bound = Duration::from_secs(3);
        let readings = job
            .timed_source(
                "readings",
                readings,
                WatermarkStrategy::bounded_out_of_orderness(bound),
            )
            .keyed();

        readings
            .window(Sliding::of(
                Duration::from_secs(60),
                Duration::from_secs(20),
            ))
            .aggregate(Average::of(|celsius: &f64| *celsius))
            .map(|mean| {
                format!(
                    "{} {:8} {:5.2} on average",
                    clock(mean.window),
                    mean.key,
                    mean.value
                )
            })
            .sink("averages", Console::new());

        readings
            .window(Tumbling::of(Duration::from_secs(120)))
            .trigger(EventTimeTrigger.early(CountTrigger::of(50)))
            .aggregate_then(Max::of(|celsius: &f64| *celsius), |at, highest, out| {
                let when = match at.timing {
                    Timing::Early => "so far",
                    Timing::OnTime | Timing::Late => "in all",
                };
                out.push(format!(
                    "{} {:8} {highest:5.2} at most {when}",
                    clock(at.window),
                    at.key
                ));
                Ok(())
            })
            .sink("highest", Console::new());
        Ok(())
    })
}

/// A reading of each sensor per second; every seventh record comes two seconds late.
fn second_out_of_order(index: u64) -> i64 {
    let second = (index / 3) as i64;
    let late = if index.is_multiple_of(7) { 2 } else { 0 };
    (second - late).max(0) * 1_000
}

/// A window in minutes and seconds since the start.
fn clock(window: Window) -> String {
    let text = |ms: i64| {
        let sign = if ms < 0 { "-" } else { " " };
        format!(
            "{sign}{:02}:{:02}",
            ms.abs() / 60_000,
            ms.abs() / 1_000 % 60
        )
    };
    format!("{} to{}", text(window.start), text(window.end))
}
