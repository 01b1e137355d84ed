//! Bounded memory behind a slow sink; idle splits; splits that run ahead.

use crate::harness::{DEADLINE, MODES, finish, until};
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use millstream::runtime::operator::BATCH_RECORDS;
use millstream::runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use millstream::runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader, Waker,
};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A sink that takes as many records as it was granted.
#[derive(Clone, Default)]
struct Granted {
    granted: Arc<AtomicI64>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    sum: Arc<AtomicU64>,
}

impl Granted {
    fn grant(&self, records: i64) {
        self.granted.fetch_add(records, Ordering::SeqCst);
        self.wakers.lock().unwrap().iter().for_each(Waker::wake);
    }
}

impl Sink for Granted {
    type Item = u64;

    fn describe(&self) -> String {
        "granted".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<u64>>> {
        self.wakers.lock().unwrap().push(context.waker);
        Ok(Box::new(self.clone()))
    }
}

impl SinkWriter<u64> for Granted {
    fn write(&mut self, records: &mut Vec<Record<u64>>) -> Result<Written> {
        let wanted = records.len() as i64;
        let before = self.granted.fetch_sub(wanted, Ordering::SeqCst);
        let taken = before.clamp(0, wanted);
        self.granted.fetch_add(wanted - taken, Ordering::SeqCst);
        let taken = records.drain(..taken as usize).map(|record| record.value);
        self.sum.fetch_add(taken.sum(), Ordering::SeqCst);
        Ok(if records.is_empty() {
            Written::All
        } else {
            Written::Full
        })
    }
}

/// The source is as fast as memory, and has many splits: the limit holds for all of them together.
#[test]
fn memory_is_bounded() {
    const LIMIT: usize = 2_000;
    const COUNT: u64 = 60_000;
    for splits in [1, 64] {
        for workers in [1, 2] {
            let job = Job::new("bounded");
            let sink = Granted::default();
            let numbers = Collection::timed((0..COUNT).map(|n| (n as i64, n)).collect());
            job.timed_source(
                "numbers",
                numbers.splits(splits),
                WatermarkStrategy::ascending(),
            )
            .map(|n| n)
            .sink("out", sink.clone());
            let config = JobConfig {
                workers,
                max_in_flight: LIMIT,
                ..JobConfig::default()
            };
            let handle = job.start(config).unwrap();
            let watch = Stopwatch::start();
            let (mut highest, mut full) = (0, 0);
            loop {
                let report = handle.report();
                highest = highest.max(report.in_flight);
                // What is read and not written is what is under way, whatever the source says.
                let between = report.records_read() - report.records_written();
                highest = highest.max(between.min(COUNT));
                full += u32::from(report.in_flight >= LIMIT as u64);
                sink.grant(97);
                if handle.wait_for(Duration::from_micros(200)) {
                    break;
                }
                assert!(watch.elapsed() < 2 * DEADLINE, "{report:#?}");
            }
            finish(handle).unwrap();
            assert_eq!(sink.sum.load(Ordering::SeqCst), COUNT * (COUNT - 1) / 2);
            let bound = ((LIMIT + BATCH_RECORDS) * workers) as u64;
            assert!(
                highest <= bound,
                "{highest} under way, {splits} splits, {workers} workers"
            );
            assert!(full > 0, "the source was never held back");
        }
    }
}

/// Two splits of ascending times, each with a gate of its own; it tells when it is paused.
#[derive(Clone, Default)]
struct Pair {
    gates: [Arc<AtomicI64>; 2],
    paused: [Arc<AtomicBool>; 2],
    pauses: Arc<AtomicU64>,
    read: [Arc<AtomicI64>; 2],
}

const END: i64 = 100_000;

impl Pair {
    fn open(&self, split: usize, gate: i64) {
        self.gates[split].store(gate, Ordering::SeqCst);
    }
}

impl Source for Pair {
    type Item = i64;
    type Split = String;

    fn describe(&self) -> String {
        "pair".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = ["left".to_owned(), "right".to_owned()];
        Ok(Box::new(FixedSplits(splits.to_vec())))
    }

    fn open(
        &self,
        split: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<i64>>> {
        let index = usize::from(split == "right");
        Ok(Box::new(PairReader(self.clone(), index, 0)))
    }
}

struct PairReader(Pair, usize, i64);

impl SplitReader<i64> for PairReader {
    fn poll(&mut self, batch: &mut Batch<i64>, _: usize) -> Result<ReadStatus> {
        let PairReader(pair, index, next) = self;
        assert!(
            !pair.paused[*index].load(Ordering::SeqCst),
            "polled while it is paused"
        );
        let gate = pair.gates[*index].load(Ordering::SeqCst);
        if *next < gate.min(END) {
            batch.push(*next, *next);
            *next += 10;
            pair.read[*index].store(*next, Ordering::SeqCst);
        }
        Ok(if *next >= END {
            ReadStatus::Finished
        } else if *next >= gate {
            ReadStatus::WaitFor(Duration::from_millis(1))
        } else {
            ReadStatus::More
        })
    }

    fn position(&self) -> Vec<u8> {
        Vec::new()
    }

    fn pause(&mut self, paused: bool) {
        self.0.paused[self.1].store(paused, Ordering::SeqCst);
        self.0.pauses.fetch_add(u64::from(paused), Ordering::SeqCst);
    }
}

fn windows(
    pair: &Pair,
    strategy: WatermarkStrategy<i64>,
) -> (
    Job,
    millstream::connectors::collect::CollectedHandle<Windowed<i64, u64>>,
) {
    let job = Job::new("pair");
    let (sink, results) = Collect::new();
    job.timed_source("pair", pair.clone(), strategy)
        .key_by(|_| 0)
        .window(Tumbling::of(Duration::from_secs(1)))
        .count()
        .sink("out", sink);
    (job, results)
}

fn each_configuration(run: impl Fn(JobConfig)) {
    for mode in MODES {
        for workers in [1, 2] {
            run(JobConfig {
                mode,
                workers,
                ..JobConfig::default()
            });
        }
    }
}

#[test]
fn a_silent_split_holds_nothing_after_its_timeout() {
    each_configuration(|config| {
        let pair = Pair::default();
        pair.open(0, 5_000);
        let timeout = Duration::from_millis(30);
        let strategy = WatermarkStrategy::ascending().idle_after(timeout);
        let (job, results) = windows(&pair, strategy);
        let handle = job.start(config).unwrap();
        // All windows but the one that is open; the left split falls silent as well.
        until(&handle, "windows", || {
            (results.snapshot().len() >= 4).then_some(())
        });
        pair.open(0, END);
        pair.open(1, END);
        finish(handle).unwrap();
    });
}

#[test]
fn a_silent_split_without_a_timeout_is_named() {
    each_configuration(|config| {
        let pair = Pair::default();
        pair.open(0, 5_000);
        pair.open(1, 1_500);
        let (job, results) = windows(&pair, WatermarkStrategy::ascending());
        let handle = job.start(config).unwrap();
        let holder = until(&handle, "the holder", || {
            let holds = handle.watermarks();
            let mut windows = holds.iter().filter(|hold| hold.operator == "window");
            windows.all(|hold| hold.watermark == 1_490).then(|| {
                let hold = holds.iter().find(|hold| hold.operator == "window");
                hold.map(|hold| hold.holder.to_string())
            })?
        });
        assert!(
            holder.contains("split right of source \"pair\""),
            "{holder}"
        );
        until(&handle, "the first window", || {
            (!results.snapshot().is_empty()).then_some(())
        });
        assert_eq!(results.snapshot().len(), 1);
        pair.open(0, END);
        pair.open(1, END);
        finish(handle).unwrap();
        assert_eq!(results.snapshot().len(), 100);
    });
}

#[test]
fn a_split_that_runs_ahead_is_paused() {
    each_configuration(|config| {
        let pair = Pair::default();
        pair.open(0, END);
        pair.open(1, 1_000);
        let drift = Duration::from_millis(2_000);
        // A batch of one mode or turn of the other is what it may run ahead further.
        let strategy = WatermarkStrategy::ascending().align_within(drift);
        let (job, results) = windows(&pair, strategy);
        let config = JobConfig {
            max_batch_records: 50,
            ..config
        };
        let handle = job.start(config).unwrap();
        until(&handle, "a pause", || {
            pair.paused[0].load(Ordering::SeqCst).then_some(())
        });
        let ahead = pair.read[0].load(Ordering::SeqCst);
        assert!(ahead < END, "the left split was read to its end");
        assert!(!pair.paused[1].load(Ordering::SeqCst));
        // It goes on when the other one does, and both come to their end.
        pair.open(1, 50_000);
        until(&handle, "to go on", || {
            (pair.read[0].load(Ordering::SeqCst) > ahead).then_some(())
        });
        pair.open(1, END);
        finish(handle).unwrap();
        assert_eq!(results.snapshot().len(), 100);
        let counted: u64 = results.snapshot().iter().map(|w| w.value).sum();
        assert_eq!(counted, 2 * END as u64 / 10);
    });
}

/// Finds one more split at each look; each has one record and ends at once.
#[derive(Clone)]
struct OneByOne(u32);

impl Source for OneByOne {
    type Item = i64;
    type Split = String;

    fn describe(&self) -> String {
        "one by one".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        Ok(Box::new(self.clone()))
    }

    fn open(
        &self,
        split: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<i64>>> {
        let number: i64 = split.parse().expect("a number");
        Ok(Box::new(OneRecord(number)))
    }
}

impl SplitEnumerator<String> for OneByOne {
    fn discover(&mut self) -> Result<Vec<String>> {
        self.0 += 1;
        Ok(vec![self.0.to_string()])
    }

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }
}

struct OneRecord(i64);

impl SplitReader<i64> for OneRecord {
    fn poll(&mut self, batch: &mut Batch<i64>, _: usize) -> Result<ReadStatus> {
        batch.push(self.0 * 1_000, self.0);
        Ok(ReadStatus::Finished)
    }

    fn position(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// Splits that were read to their end in one turn once left the watermark where it was, and no window
/// fired before the job ended.
#[test]
fn splits_that_end_at_once_move_the_watermark() {
    each_configuration(|config| {
        let job = Job::new("one by one");
        let (sink, results) = Collect::new();
        job.timed_source("numbers", OneByOne(0), WatermarkStrategy::ascending())
            .key_by(|_| 0)
            .window(Tumbling::of(Duration::from_secs(1)))
            .count()
            .sink("out", sink);
        let handle = job.start(config).unwrap();
        until(&handle, "windows", || {
            (results.snapshot().len() >= 5).then_some(())
        });
        handle.stop();
        finish(handle).unwrap();
    });
}
