//! What the tests of several connectors need: contexts, and a loop that reads a split by hand.

use millstream_runtime::clock::SystemClock;
use millstream_runtime::config::{Guarantee, Mode};
use millstream_runtime::record::Record;
use millstream_runtime::sink::WriterContext;
use millstream_runtime::source::{
    BadRecord, Batch, ReadStatus, ReaderContext, Source, SplitReader, Waker,
};
use millstream_runtime::{Result, clock::Stopwatch};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long a test waits for something before it fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The context of the only worker.
pub fn reader_context() -> ReaderContext {
    ReaderContext {
        worker: 0,
        workers: 1,
        available_now: false,
        clock: SystemClock::shared(),
        waker: Waker::noop(),
    }
}

/// The context of worker `worker` of `workers`.
pub fn writer_context(
    worker: usize,
    workers: usize,
    guarantee: Guarantee,
    restored: u64,
) -> WriterContext {
    WriterContext {
        uid: "sink".into(),
        worker,
        workers,
        guarantee,
        mode: Mode::Continuous,
        restored,
        clock: SystemClock::shared(),
        waker: Waker::noop(),
    }
}

/// Calls `done` until it gives something; fails after [`DEADLINE`].
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(watch.elapsed() < DEADLINE, "timed out: {what}");
        std::thread::yield_now();
    }
}

/// Starts a thread.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().spawn(work).unwrap()
}

/// Reads until the reader says that it has ended, or has nothing for now.
pub fn drain<T>(
    reader: &mut dyn SplitReader<T>,
    max: usize,
) -> Result<(Vec<Record<T>>, ReadStatus)> {
    let mut batch = Batch::default();
    loop {
        match reader.poll(&mut batch, max)? {
            ReadStatus::More => {}
            ReadStatus::WaitFor(wait) if wait.is_zero() => {}
            status => return Ok((batch.records, status)),
        }
    }
}

/// Reads every split of a bounded source to its end, one split after the other. There must be no bad
/// record.
pub fn read_all<S: Source>(source: &S) -> Result<Vec<Record<S::Item>>> {
    let (records, bad) = read_good_and_bad(source)?;
    assert_eq!(bad, []);
    Ok(records)
}

/// Records, and what could not be read.
pub type GoodAndBad<T> = (Vec<Record<T>>, Vec<BadRecord>);

/// Reads every split of a bounded source to its end, one split after the other.
pub fn read_good_and_bad<S: Source>(source: &S) -> Result<GoodAndBad<S::Item>> {
    let mut batch = Batch::default();
    for split in source.enumerator()?.discover()? {
        let mut reader = source.open(&split, None, &reader_context())?;
        while reader.poll(&mut batch, 7)? != ReadStatus::Finished {}
    }
    Ok((batch.records, batch.bad))
}

/// The error of `result`, as its text.
pub fn error_of<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.to_string(),
    }
}

/// Stops a split at each of its positions and opens it again there: the same records follow, good and bad.
pub fn resumes_everywhere<S: Source>(source: &S)
where
    S::Item: PartialEq + std::fmt::Debug,
{
    let read = |reader: &mut dyn SplitReader<S::Item>, batch: &mut Batch<S::Item>| {
        let mut quiet = 0; // a reader may wait between two records
        while quiet < 3 {
            let before = batch.records.len() + batch.bad.len();
            let status = reader.poll(batch, 3).unwrap();
            let idle =
                status != ReadStatus::More && batch.records.len() + batch.bad.len() == before;
            quiet = if idle { quiet + 1 } else { 0 };
        }
    };
    for split in source.enumerator().unwrap().discover().unwrap() {
        let mut expected = Batch::default();
        read(
            &mut *source.open(&split, None, &reader_context()).unwrap(),
            &mut expected,
        );
        let count = expected.records.len() + expected.bad.len();
        for stop in 0..=count {
            let mut first = source.open(&split, None, &reader_context()).unwrap();
            let mut batch = Batch::default();
            while batch.records.len() + batch.bad.len() < stop {
                first.poll(&mut batch, 1).unwrap();
            }
            let position = first.position();
            let mut second = source
                .open(&split, Some(&position), &reader_context())
                .unwrap();
            assert_eq!(second.position(), position, "opening moves nothing");
            read(&mut *second, &mut batch);
            assert_eq!(batch.records, expected.records, "resumed after {stop}");
            assert_eq!(batch.bad, expected.bad, "resumed after {stop}");
        }
    }
}
