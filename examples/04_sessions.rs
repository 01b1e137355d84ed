//! Sessions of a click stream: windows that end when the user does.
//!
//! ```text
//! cargo run --release --example 04_sessions
//! ```
//!
//! A session is a run of clicks with no pause of half a minute in it. Nobody knows in advance when one ends, so each click
//! opens a window of its own, `[click, click + 30 s)`, and windows of a user that touch become one; also when a click
//! that comes late closes the gap between two. A session fires when the watermark has passed its end, with all
//! its clicks in the order of their event time, whatever the order in which they came.
//!
//! Prints a line per session: who, from when to when, how many clicks, and the path through the shop. The end is the
//! last click's time plus the gap. Ada's first session is two until 00:25 arrives, out of order.

use millstream::prelude::*;
use std::process::ExitCode;
use std::time::Duration;

/// Seconds, user, page; in order of arrival.
const CLICKS: [(i64, &str, &str); 16] = [
    (0, "ada", "home"),
    (5, "ben", "home"),
    (8, "ada", "kettles"),
    (50, "ada", "cart"),
    (12, "ben", "lamps"),
    (25, "ada", "kettle 3"), // late, but not too late: 00:08 and 00:50 belong together after all
    (52, "cleo", "lamps"),
    (58, "ada", "paid"),
    (61, "ben", "lamps"),
    (80, "ben", "lamp 7"),
    (95, "cleo", "home"),
    (110, "cleo", "chairs"),
    (140, "cleo", "chair 1"), // exactly 30 s later: windows that touch are one
    (150, "ben", "home"),
    (200, "ada", "home"),
    (201, "ada", "orders"),
];

fn main() -> ExitCode {
    let program = Program::new("sessions").about("the sessions of a click stream");
    millstream::main(program, |job, _| {
        let clicks = CLICKS
            .iter()
            .map(|(second, user, page)| (second * 1_000, ((*user).to_owned(), (*page).to_owned())));
        let out_of_order = WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(40));
        job.timed_source("clicks", Collection::timed(clicks.collect()), out_of_order)
            .keyed()
            .window(Session::with_gap(Duration::from_secs(30)))
            .process(|at, clicks, out| {
                let path: Vec<&str> = clicks.iter().map(|click| click.value.as_str()).collect();
                let (start, end) = (clock(at.window.start), clock(at.window.end));
                out.push(format!(
                    "{start} to {end} {:4} {} clicks: {}",
                    at.key,
                    path.len(),
                    path.join(" > ")
                ));
                Ok(())
            })
            .sink("sessions", Console::new());
        Ok(())
    })
}

/// Minutes and seconds since the start.
fn clock(ms: i64) -> String {
    format!("{:02}:{:02}", ms / 60_000, ms / 1_000 % 60)
}
