//! The idle bench: a job whose source never ends and has nothing to read.

use crate::common::process;
use crate::common::text::data_folder;
use millstream_connectors::files::TextFiles;
use millstream_connectors::memory::channel;
use millstream_connectors::null::Null;
use millstream_operators::{Job, Stream};
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::config::{JobConfig, Mode};
use std::time::Duration;

/// What the job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A channel into which nothing is sent.
    Channel,
    /// A directory, looked at five times a second, into which no file comes.
    Directory,
}

/// A run of the bench.
#[derive(Clone, Copy, Debug)]
pub struct IdleCase {
    /// What the job waits for.
    pub source: Waiting,
    /// Worker threads, which park.
    pub workers: usize,
    /// Continuous or micro-batch.
    pub mode: Mode,
    /// How long it lasts.
    pub time: Duration,
}

/// Runs Millstream once: the seconds of processor time that it takes a minute.
pub fn idle(case: &IdleCase) -> f64 {
    let job = Job::new("idle");
    // Held until the end: a channel whose handles are gone has ended.
    let mut handle_of_channel = None;
    match case.source {
        Waiting::Channel => {
            let (handle, source) = channel::<String>(1_024);
            handle_of_channel = Some(handle);
            count(&job.source("channel", source));
        }
        Waiting::Directory => {
            let folder = data_folder().join("empty");
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            let path = folder.to_str().expect("the path is text");
            count(&job.source(
                "files",
                TextFiles::new(path).watch(Duration::from_millis(200)),
            ));
        }
    }
    let config = JobConfig {
        workers: case.workers,
        mode: case.mode,
        ..Default::default()
    };
    let job = job.start(config).expect("the job starts");
    job.wait_for(Duration::from_millis(500));
    let (started, before) = (Stopwatch::start(), process::cpu_time());
    assert!(!job.wait_for(case.time), "an endless job does not end");
    let used = process::cpu_time() - before;
    drop(handle_of_channel);
    used.as_secs_f64() * 60.0 / started.elapsed().as_secs_f64()
}

fn count(lines: &Stream<String>) {
    let counts = lines.key_by(|line| line.clone()).count();
    counts.sink("nowhere", Null::new());
}
