//! Word count from a socket: lines come over TCP, and event time is in the lines.
//!
//! ```text
//! cargo run --release --example 02_socket_word_count
//! ```
//!
//! Needs no server: without an argument a thread of the program plays one, sends a few minutes' worth of headlines, each
//! with the second in which it was written, and hangs up. The source reads lines of text and knows nothing of times;
//! so they are parsed first, and event times and watermarks are assigned in mid-graph. Windows are ten seconds of the
//! headlines' time, however fast they come.
//!
//! Prints `[start, end) word count` for words that occur at least twice in a window.
//!
//! With an address it counts what a server sends, by the time of its arrival. In another terminal:
//!
//! ```text
//! nc -lk 9999
//! cargo run --release --example 02_socket_word_count -- localhost:9999
//! ```
//!
//! and type. The connection is tried again when it breaks. TCP has no positions: what is sent while the job is down is
//! lost. Put files or Kafka in between where that matters.

use millstream::connectors::tcp::TcpSource;
use millstream::prelude::*;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

const HEADLINES: [&str; 7] = [
    "river rises again in the north",
    "mill by the river to grind again",
    "north wind turns the mill",
    "old mill finds new miller",
    "miller sells flour by the river",
    "flour price rises in the north",
    "wind and water turn the old mill",
];

fn main() -> ExitCode {
    let program = Program::new("socket-word-count")
        .about("counts the words of lines that come over TCP, in windows of ten seconds")
        .argument(
            "ADDRESS",
            "a server that sends lines; default: one of its own",
        );
    millstream::main(program, |job, args| {
        let windows = Tumbling::of(Duration::from_secs(10));
        let counts = match args.positional(0) {
            // Lines by the time at which they arrive: windows of the clock.
            Some(address) => words(&job.source("lines", TcpSource::connect(address)))
                .window(windows.processing_time())
                .count(),
            None => words(&by_dateline(job, headline_server()?))
                .window(windows)
                .count(),
        };
        counts
            .filter(|count| count.value >= 2)
            .map(|count| format!("{} {} {}", count.window, count.key, count.value))
            .sink("counts", Console::new());
        Ok(())
    })
}

fn words(lines: &Stream<String>) -> KeyedStream<String, String> {
    lines
        .flat_map(|line: String| {
            let words = line.split_whitespace().map(str::to_lowercase);
            words.collect::<Vec<_>>()
        })
        .key_by(|word: &String| word.clone())
}

/// Lines that begin with the second in which they were written.
fn by_dateline(job: &Job, server: SocketAddr) -> Stream<String> {
    let lines = TcpSource::connect(server.to_string()).until_closed();
    let written = WatermarkStrategy::ascending()
        .with_timestamps(|(second, _): &(i64, String)| second * 1_000);
    job.source("lines", lines)
        .try_map(|line: String| {
            let (second, text) = line.split_once(' ').ok_or("a line without a second")?;
            let second: i64 = second.parse().map_err(|_| "the second is no number")?;
            Ok::<_, &str>((second, text.to_owned()))
        })
        .name("parse")
        .assign_timestamps(written)
        .map(|(_, text)| text)
}

/// A server on this machine that sends headlines, one a second by their datelines, to the first who connects.
fn headline_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serve = move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        for second in 0..60 {
            writeln!(
                connection,
                "{second} {}",
                HEADLINES[second * second % HEADLINES.len()]
            )?;
        }
        Ok(())
    };
    std::thread::Builder::new().spawn(move || {
        if let Err(error) = serve() {
            eprintln!("the headline server: {error}");
        }
    })?;
    Ok(address)
}
