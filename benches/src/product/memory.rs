//! The memory bench: a source ten times as fast as its sink. Records wait at the source, so the memory must
//! stay flat however long it lasts.

use crate::common::process;
use millstream_connectors::generator::Generator;
use millstream_operators::Job;
use millstream_runtime::Result;
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::config::{JobConfig, Mode};
use millstream_runtime::record::Record;
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Records a second that the source has, over all workers.
pub const SOURCE_PER_S: f64 = 1e6;
/// Records a second that the sink takes, over all workers.
pub const SINK_PER_S: f64 = 1e5;
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// A run of the bench.
#[derive(Clone, Copy, Debug)]
pub struct MemoryCase {
    /// Worker threads.
    pub workers: usize,
    /// Continuous or micro-batch.
    pub mode: Mode,
    /// How long it lasts.
    pub time: Duration,
}

/// What was seen, each tenth of a second.
#[derive(Clone, Debug, Default)]
pub struct MemoryRun {
    /// Resident bytes.
    pub resident: Vec<u64>,
    /// Records under way.
    pub in_flight: Vec<u64>,
    /// Records that the sink took.
    pub written: u64,
}

/// Runs Millstream once.
pub fn memory(case: &MemoryCase) -> MemoryRun {
    let job = Job::new("memory");
    let made = Generator::new(|at, _| (at.index % 10_000, [at.index; 8]))
        .rate(SOURCE_PER_S)
        .splits(case.workers);
    job.source("fast", made).keyed().reduce(|_, new| new).sink(
        "slow",
        Slow {
            per_s: SINK_PER_S / case.workers as f64,
        },
    );
    let config = JobConfig {
        workers: case.workers,
        mode: case.mode,
        max_batch_records: 1 << 18,
        ..Default::default()
    };
    let handle = job.start(config).expect("the job starts");
    let started = Stopwatch::start();
    let mut run = MemoryRun::default();
    while started.elapsed() < case.time {
        assert!(
            !handle.wait_for(SAMPLE_EVERY),
            "an endless job does not end"
        );
        run.resident.push(process::resident_bytes());
        run.in_flight.push(handle.report().in_flight);
    }
    run.written = handle.report().records_written();
    drop(handle);
    run
}

/// A sink that takes so many records a second on each worker and keeps none.
struct Slow {
    per_s: f64,
}

type Item = (u64, [u64; 8]);

impl Sink for Slow {
    type Item = Item;

    fn describe(&self) -> String {
        "slow".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<Item>>> {
        Ok(Box::new(SlowWriter {
            per_s: self.per_s,
            started: Stopwatch::start(),
            taken: 0,
            alarm: Alarm::start(context),
        }))
    }
}

struct SlowWriter {
    per_s: f64,
    started: Stopwatch,
    taken: usize,
    alarm: Alarm,
}

impl SinkWriter<Item> for SlowWriter {
    fn write(&mut self, records: &mut Vec<Record<Item>>) -> Result<Written> {
        let allowed = (self.started.elapsed().as_secs_f64() * self.per_s) as usize;
        let count = allowed.saturating_sub(self.taken).min(records.len());
        records.drain(..count);
        self.taken += count;
        Ok(match records.is_empty() {
            true => Written::All,
            false => Written::Full,
        })
    }
}

impl Drop for SlowWriter {
    fn drop(&mut self) {
        self.alarm.stop();
    }
}

/// Wakes the writer every few milliseconds, for a writer must not block.
struct Alarm {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Alarm {
    fn start(context: WriterContext) -> Alarm {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = Builder::new().name("alarm".into()).spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(2));
                context.waker.wake();
            }
        });
        Alarm {
            over,
            thread: Some(thread.expect("a thread can be started")),
        }
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
