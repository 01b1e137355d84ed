//! Sources and sinks that fail, at each call of their contracts.

use crate::harness::{MODES, Numbers, assert_error, durable, failure, finish};
use millstream::prelude::*;
use millstream::runtime::sink::{Ready, Sink, SinkWriter, WriterContext, Written};
use millstream::runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream::runtime::time::CheckpointId;
use std::time::Duration;

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    for pattern in ["missing.txt", "missing/*.txt", "*.log"] {
        let path = dir.path().join(pattern);
        let path = path.to_str().unwrap();
        let job = Job::new("missing");
        job.source("lines", TextFiles::new(path))
            .sink("out", Null::new());
        let error = failure(job.start(JobConfig::default()));
        assert_error(&error, ErrorKind::Source, &["operator \"lines\"", path]);
    }
}

/// Where a source fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SourceFault {
    Enumerator,
    FirstDiscovery,
    LaterDiscovery,
    LaterDiscoveryPanics,
    Open,
    OpenPanics,
    Read,
    ReadPanics,
    /// It reports positions that it does not know again.
    Position,
}

#[derive(Clone, Copy)]
struct BadSource(SourceFault);

fn broken<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Source, "it is broken"))
}

impl BadSource {
    fn fails<T>(&self, at: SourceFault, otherwise: T) -> Result<T> {
        if self.0 == at {
            broken()
        } else {
            Ok(otherwise)
        }
    }

    fn panics(&self, at: SourceFault) {
        assert!(self.0 != at, "it is broken");
    }
}

impl Source for BadSource {
    type Item = u64;
    type Split = String;

    fn describe(&self) -> String {
        format!("{:?}", self.0)
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        self.fails(SourceFault::Enumerator, ())?;
        Ok(match self.0 {
            SourceFault::Position => Box::new(FixedSplits(vec!["a".to_owned()])),
            _ => Box::new(BadEnumerator(*self, 0)),
        })
    }

    fn open(
        &self,
        _: &String,
        position: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<u64>>> {
        self.panics(SourceFault::OpenPanics);
        if position.is_some() {
            return Err(Error::new(ErrorKind::Restore, "no such position"));
        }
        self.fails(SourceFault::Open, Box::new(BadReader(*self, 0)) as _)
    }
}

struct BadEnumerator(BadSource, u32);

impl SplitEnumerator<String> for BadEnumerator {
    fn discover(&mut self) -> Result<Vec<String>> {
        self.1 += 1;
        if self.1 > 3 {
            self.0.panics(SourceFault::LaterDiscoveryPanics);
            self.0.fails(SourceFault::LaterDiscovery, ())?;
        }
        self.0.fails(
            SourceFault::FirstDiscovery,
            vec!["a".to_owned(), "b".to_owned()],
        )
    }

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }
}

struct BadReader(BadSource, u64);

impl SplitReader<u64> for BadReader {
    fn poll(&mut self, batch: &mut Batch<u64>, _: usize) -> Result<ReadStatus> {
        batch.push(self.1 as i64, self.1);
        self.1 += 1;
        if self.1 < 100 {
            return Ok(ReadStatus::More);
        }
        self.0.panics(SourceFault::ReadPanics);
        self.0.fails(
            SourceFault::Read,
            ReadStatus::WaitFor(Duration::from_millis(1)),
        )
    }

    fn position(&self) -> Vec<u8> {
        vec![7]
    }
}

fn reading(source: BadSource) -> Job {
    let job = Job::new("bad source");
    // Two of them: the other one must not go on when one has failed.
    let good = Numbers::unbounded(2).held_at(100);
    let good = job.timed_source("good", good, WatermarkStrategy::ascending());
    let bad = job.timed_source("bad", source, WatermarkStrategy::ascending());
    bad.union([good]).map(|n| n).sink("out", Null::new());
    job
}

#[test]
fn sources() {
    use SourceFault::*;
    for (fault, names) in [
        (Enumerator, vec!["operator \"bad\""]),
        (FirstDiscovery, vec!["operator \"bad\""]),
        (LaterDiscovery, vec!["operator \"bad\""]),
        (LaterDiscoveryPanics, vec!["operator \"bad\"", "panic"]),
        (Open, vec!["operator \"bad\" on worker", "split "]),
        (OpenPanics, vec!["operator \"bad\" on worker", "panic"]),
        (Read, vec!["operator \"bad\" on worker", "split "]),
        (ReadPanics, vec!["operator \"bad\" on worker", "panic"]),
    ] {
        for mode in MODES {
            for workers in [1, 2] {
                let error = failure(reading(BadSource(fault)).start(JobConfig {
                    mode,
                    workers,
                    ..JobConfig::default()
                }));
                let panics = matches!(fault, OpenPanics | ReadPanics);
                let kind = if panics {
                    ErrorKind::UserFunction
                } else {
                    ErrorKind::Source
                };
                assert_error(&error, kind, &[&names[..], &["it is broken"]].concat());
            }
        }
    }
}

/// What a reader reported is first seen to be wrong when the job is resumed.
#[test]
fn a_wrong_position() {
    let dir = tempfile::tempdir().unwrap();
    let job = reading(BadSource(SourceFault::Position));
    let handle = job.start(durable(dir.path())).unwrap();
    handle.wait_for_checkpoints(2);
    handle.stop();
    finish(handle).unwrap();
    let error = failure(job.start(durable(dir.path())));
    let names = [
        "operator \"bad\" on worker 0",
        "split a",
        "no such position",
    ];
    assert_error(&error, ErrorKind::Restore, &names);
}

/// Where a sink fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SinkFault {
    Check,
    Writer,
    WriterPanics,
    Settle,
    Write,
    Flush,
    Prepare,
    Prepared,
    Commit,
    Committed,
    CommitPanics,
}

#[derive(Clone, Copy)]
struct BadSink(SinkFault);

impl BadSink {
    fn fails(&self, at: SinkFault) -> Result<()> {
        if self.0 == at {
            return Err(Error::new(ErrorKind::Sink, "it is broken"));
        }
        Ok(())
    }

    fn panics(&self, at: SinkFault) {
        assert!(self.0 != at, "it is broken");
    }
}

impl Sink for BadSink {
    type Item = u64;

    fn describe(&self) -> String {
        format!("{:?}", self.0)
    }

    fn check(&self) -> Result<()> {
        self.fails(SinkFault::Check)
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<u64>>> {
        self.panics(SinkFault::WriterPanics);
        self.fails(SinkFault::Writer)?;
        Ok(Box::new(*self))
    }
}

impl SinkWriter<u64> for BadSink {
    fn write(&mut self, records: &mut Vec<Record<u64>>) -> Result<Written> {
        records.clear();
        self.fails(SinkFault::Write)?;
        Ok(Written::All)
    }

    fn flush(&mut self) -> Result<()> {
        self.fails(SinkFault::Flush)
    }

    fn prepare(&mut self, _: CheckpointId) -> Result<()> {
        self.fails(SinkFault::Prepare)
    }

    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        self.fails(SinkFault::Prepared)?;
        Ok(Ready::Yes(vec![1]))
    }

    fn commit(&mut self, _: CheckpointId) -> Result<()> {
        self.panics(SinkFault::CommitPanics);
        self.fails(SinkFault::Commit)
    }

    fn poll_committed(&mut self) -> Result<Ready<()>> {
        self.fails(SinkFault::Committed)?;
        Ok(Ready::Yes(()))
    }

    fn settle(&mut self, _: Vec<Vec<u8>>) -> Result<()> {
        self.fails(SinkFault::Settle)
    }
}

#[test]
fn sinks() {
    use SinkFault::*;
    for fault in [
        Check,
        Writer,
        WriterPanics,
        Settle,
        Write,
        Flush,
        Prepare,
        Prepared,
        Commit,
        Committed,
        CommitPanics,
    ] {
        for mode in MODES {
            for workers in [1, 2] {
                let dir = tempfile::tempdir().unwrap();
                let job = Job::new("bad sink");
                let numbers = Numbers::unbounded(2).held_at(100);
                let numbers = job.timed_source("numbers", numbers, WatermarkStrategy::ascending());
                numbers.sink("bad", BadSink(fault));
                numbers.sink("good", Null::new());
                let error = failure(job.start(JobConfig {
                    mode,
                    workers,
                    ..durable(dir.path())
                }));
                let on = if fault == Check { "" } else { " on worker " };
                let operator = format!("operator \"bad\"{on}");
                let kind = match fault {
                    WriterPanics | CommitPanics => ErrorKind::UserFunction,
                    _ => ErrorKind::Sink,
                };
                assert_error(&error, kind, &[&operator, "it is broken"]);
            }
        }
    }
}

/// An attempt that does not start leaves nothing behind: no thread that still looks for splits.
#[test]
fn a_start_that_fails_ends_what_it_began() {
    use std::sync::Arc;

    /// It is alive as long as what it holds.
    #[derive(Clone)]
    struct Watched(#[allow(dead_code)] Arc<()>);

    impl Source for Watched {
        type Item = u64;
        type Split = String;

        fn describe(&self) -> String {
            "watched".into()
        }

        fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
            Ok(Box::new(self.clone()))
        }

        fn open(
            &self,
            _: &String,
            _: Option<&[u8]>,
            _: &ReaderContext,
        ) -> Result<Box<dyn SplitReader<u64>>> {
            unreachable!("there is no split")
        }
    }

    impl SplitEnumerator<String> for Watched {
        fn discover(&mut self) -> Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn interval(&self) -> Option<Duration> {
            Some(Duration::from_millis(1))
        }
    }

    let alive = Arc::new(());
    {
        let job = Job::new("does not start");
        let watched = job.source("watched", Watched(alive.clone()));
        let bad = job.source("bad", BadSource(SourceFault::FirstDiscovery));
        watched.union([bad]).sink("out", Null::new());
        assert!(job.start(JobConfig::default()).is_err());
    }
    let watch = millstream::runtime::clock::Stopwatch::start();
    while Arc::strong_count(&alive) > 1 {
        assert!(
            watch.elapsed() < crate::harness::DEADLINE,
            "a thread goes on"
        );
        std::thread::yield_now();
    }
}
