//! The metrics bench: what it costs that a job tells of itself. One job with all of it switched out, at its
//! defaults, and asked ten times as often as anybody would.

use super::{spinning, windows_with, word_updates_with};
use crate::common::throughput::ThroughputRun;
use crate::twins::timely_windows::WindowsCase;
use crate::twins::timely_wordcount::WordCountCase;
use millstream_runtime::config::JobConfig;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

/// How a job tells of itself.
#[derive(Clone, Copy, PartialEq)]
enum Telling {
    /// Counters only, and no log line.
    Off,
    /// As it comes: busy time, latency, log lines from `warn` on.
    Defaults,
    /// The same, and `/metrics` is read ten times a second.
    Scraped,
}

/// The windows job, telling nothing.
pub fn windows_off(case: &WindowsCase) -> ThroughputRun {
    run(case.workers, Telling::Off, |config| {
        windows_with(case, config)
    })
}

/// The windows job at its defaults.
pub fn windows_defaults(case: &WindowsCase) -> ThroughputRun {
    run(case.workers, Telling::Defaults, |config| {
        windows_with(case, config)
    })
}

/// The windows job, asked all the time.
pub fn windows_scraped(case: &WindowsCase) -> ThroughputRun {
    run(case.workers, Telling::Scraped, |config| {
        windows_with(case, config)
    })
}

/// The word count, telling nothing.
pub fn words_off(case: &WordCountCase) -> ThroughputRun {
    run(case.workers, Telling::Off, |config| {
        word_updates_with(case, config)
    })
}

/// The word count at its defaults.
pub fn words_defaults(case: &WordCountCase) -> ThroughputRun {
    run(case.workers, Telling::Defaults, |config| {
        word_updates_with(case, config)
    })
}

/// The word count, asked all the time.
pub fn words_scraped(case: &WordCountCase) -> ThroughputRun {
    run(case.workers, Telling::Scraped, |config| {
        word_updates_with(case, config)
    })
}

fn run(
    workers: usize,
    telling: Telling,
    job: impl FnOnce(JobConfig) -> ThroughputRun,
) -> ThroughputRun {
    set_log_level(match telling {
        Telling::Off => LevelFilter::OFF,
        Telling::Defaults | Telling::Scraped => LevelFilter::WARN,
    });
    let addr = (telling == Telling::Scraped).then(free_address);
    let scraper = addr.map(Scraper::start);
    let run = job(JobConfig {
        measure: telling != Telling::Off,
        metrics_addr: addr,
        ..spinning(workers)
    });
    drop(scraper);
    run
}

/// Log lines go to standard error as in a job's binary, from this level on.
fn set_log_level(level: LevelFilter) {
    static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();
    let handle = LEVEL.get_or_init(|| {
        let (filter, handle) = reload::Layer::new(level);
        let lines = fmt::layer().with_writer(std::io::stderr);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
        handle
    });
    handle
        .reload(level)
        .expect("the subscriber is there for good");
}

/// An address that nobody uses at the moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("a bound address is known")
}

/// Reads `/metrics` again and again until it is dropped.
struct Scraper {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    fn start(addr: SocketAddr) -> Self {
        let (end, ended) = channel::<()>();
        let scrapes = move || {
            let pause = Duration::from_millis(100);
            while ended.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // The job may not have begun, or have ended.
                let _ = scrape(addr);
            }
        };
        let thread = std::thread::Builder::new().name("scraper".into());
        Scraper {
            end: Some(end),
            thread: Some(thread.spawn(scrapes).expect("the system has a thread left")),
        }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the scraper does not panic");
        }
    }
}

fn scrape(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
