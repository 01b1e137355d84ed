//! What all cases need: jobs whose results can be predicted, a source that a test holds in hand, and
//! waiting with a deadline.

use millstream::connectors::files::FileSink;
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use millstream::runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest that a job may take to end, or to come to a state that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];

/// Waits for the end of a job; a job that does not end fails the test.
pub fn finish(handle: JobHandle) -> Result<JobReport> {
    if !handle.wait_for(DEADLINE) {
        let report = handle.report();
        std::mem::forget(handle); // dropping it would wait for the end that does not come
        panic!("the job does not end: {report:#?}");
    }
    handle.wait()
}

/// The error that ends a job, also one that keeps it from starting.
pub fn failure(started: Result<JobHandle>) -> Error {
    match started.and_then(finish) {
        Ok(report) => panic!("the job did not fail: {report:#?}"),
        Err(error) => error,
    }
}

/// Waits while the job runs until `done` gives something.
pub fn until<T>(handle: &JobHandle, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = done() {
            return value;
        }
        let ended = handle.wait_for(Duration::from_millis(2));
        if ended || watch.elapsed() > DEADLINE {
            // One more look: it may have come with the end.
            return done().unwrap_or_else(|| panic!("{what} did not come: {:#?}", handle.report()));
        }
    }
}

/// Checks the kind of an error and that it names all of this.
#[track_caller]
pub fn assert_error(error: &Error, kind: ErrorKind, names: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for name in names {
        assert!(text.contains(name), "\"{name}\" is not in: {text}");
    }
}

/// A source of the numbers below `count`, dealt out to `splits` splits in turn. Number `n` has event time
/// `n`. Those from the gate on are held back until it is opened further.
#[derive(Clone)]
pub struct Numbers {
    pub count: u64,
    pub splits: u64,
    pub gate: Arc<AtomicU64>,
}

impl Numbers {
    pub fn new(count: u64, splits: u64) -> Self {
        let gate = Arc::new(AtomicU64::new(u64::MAX));
        Numbers {
            count,
            splits,
            gate,
        }
    }

    /// Numbers that never end.
    pub fn unbounded(splits: u64) -> Self {
        Numbers::new(u64::MAX, splits)
    }

    pub fn held_at(self, gate: u64) -> Self {
        self.open(gate);
        self
    }

    pub fn open(&self, gate: u64) {
        self.gate.store(gate, Ordering::SeqCst);
    }
}

impl Source for Numbers {
    type Item = u64;
    type Split = String;

    fn describe(&self) -> String {
        format!("numbers below {}", self.count)
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = (0..self.splits).map(|split| split.to_string()).collect();
        Ok(Box::new(FixedSplits::<String>(splits)))
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<u64>>> {
        let next = match position.map(<[u8; 8]>::try_from) {
            None => split.parse().expect("a split of numbers is a number"),
            Some(Ok(bytes)) => u64::from_le_bytes(bytes),
            Some(Err(_)) => {
                let what = format!("{:?} is no position in numbers", position.unwrap_or(&[]));
                return Err(Error::new(ErrorKind::Restore, what));
            }
        };
        Ok(Box::new(NumberReader {
            numbers: self.clone(),
            next,
        }))
    }
}

struct NumberReader {
    numbers: Numbers,
    next: u64,
}

impl SplitReader<u64> for NumberReader {
    fn poll(&mut self, batch: &mut Batch<u64>, max: usize) -> Result<ReadStatus> {
        let Numbers { count, splits, .. } = self.numbers;
        let until = count.min(self.numbers.gate.load(Ordering::SeqCst));
        for _ in 0..max.min(64) {
            if self.next >= until {
                break;
            }
            batch.push(self.next as i64, self.next);
            self.next += splits;
        }
        Ok(if self.next >= count {
            ReadStatus::Finished
        } else if self.next >= until {
            ReadStatus::WaitFor(Duration::from_millis(1))
        } else {
            ReadStatus::More
        })
    }

    fn position(&self) -> Vec<u8> {
        self.next.to_le_bytes().to_vec()
    }
}

/// Numbers the records of each of seven keys, into files: `key number`.
pub fn counting(numbers: &Numbers, out: &Path) -> Job {
    let job = Job::new("counting");
    job.timed_source("numbers", numbers.clone(), WatermarkStrategy::ascending())
        .key_by(|n| n % 7)
        .count()
        .map(|(key, number)| format!("{key} {number}"))
        .sink("out", FileSink::lines(out));
    job
}

/// What [`counting`] comes to, sorted.
pub fn counted(count: u64) -> Vec<String> {
    let mut lines: Vec<String> = (0..count)
        .map(|n| format!("{} {}", n % 7, n / 7 + 1))
        .collect();
    lines.sort();
    lines
}

/// The lines of all visible files of a directory, sorted.
pub fn lines(out: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in std::fs::read_dir(out).into_iter().flatten() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().starts_with('.') {
            let text = std::fs::read_to_string(file.path()).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// Checks results without printing thousands of lines.
#[track_caller]
pub fn assert_counted(out: &Path, count: u64) {
    let (found, expected) = (lines(out), counted(count));
    if found != expected {
        let missing: Vec<_> = expected
            .iter()
            .filter(|l| !found.contains(l))
            .take(5)
            .collect();
        let extra: Vec<_> = found
            .iter()
            .filter(|l| !expected.contains(l))
            .take(5)
            .collect();
        panic!(
            "{} lines, expected {}; missing {missing:?}; extra {extra:?}",
            found.len(),
            expected.len()
        );
    }
}

/// A configuration with checkpoints every few milliseconds.
pub fn durable(dir: &Path) -> JobConfig {
    JobConfig {
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(2),
        ..JobConfig::default()
    }
}

/// Copies the files of a directory.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The names of the files in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
