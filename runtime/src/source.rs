//! The contract of a source: what a connector that reads must provide.
//!
//! A [`Source`] knows its *splits*: parts that can be read on their own, each in order and each from
//! a position (a file, a Kafka partition, a shard). An *enumerator* finds them, once or again and
//! again; the job assigns them to its workers; a *reader* reads one split without ever blocking.
//!
//! What the job does for a connector: it assigns splits, keeps one watermark generator per split,
//! pauses splits that run ahead, stops reading when too many records are under way, puts
//! positions into every checkpoint and hands them back after a restart. A source is exactly-once when
//! a reader that is opened at a position returns the same records as the one that reported it.

use crate::clock::SharedClock;
use crate::error::Result;
use crate::record::{Data, Record};
use crate::time::EventTime;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A part of a source that is read on its own.
pub trait Split: Data + Sync + fmt::Debug {
    /// A name that is unique in its source and stays the same across restarts.
    fn id(&self) -> String;
}

impl Split for String {
    fn id(&self) -> String {
        self.clone()
    }
}

/// A source: how to find its splits and how to read one. Shared by all workers.
pub trait Source: Send + Sync + 'static {
    /// What it reads.
    type Item: Data;
    /// What it is made of.
    type Split: Split;

    /// What it is, for `--explain` and error messages: `text files logs/*.txt`.
    fn describe(&self) -> String;

    /// Finds the splits. Called once per job start, before anything flows, so that a missing file or a
    /// wrong pattern is an error at the start.
    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<Self::Split>>>;

    /// Opens `split` at `position` (as a reader of it once reported it; none: from the start).
    /// Called on the worker that will read it; must not block for long.
    fn open(
        &self,
        split: &Self::Split,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Self::Item>>>;
}

/// Finds the splits of a source.
pub trait SplitEnumerator<S>: Send {
    /// The splits that exist now; those whose id is known already are ignored. Runs on a thread of
    /// its own and may block.
    fn discover(&mut self) -> Result<Vec<S>>;

    /// How long until [`discover`](Self::discover) is called again. `None`: there will be no further
    /// splits; when all have been read the source has ended. A job that works off what is available now
    /// calls once only, whatever this says.
    fn interval(&self) -> Option<Duration>;
}

/// An enumerator of splits that are known from the start.
pub struct FixedSplits<S>(pub Vec<S>);

impl<S: Clone + Send> SplitEnumerator<S> for FixedSplits<S> {
    fn discover(&mut self) -> Result<Vec<S>> {
        Ok(self.0.clone())
    }
    fn interval(&self) -> Option<Duration> {
        None
    }
}

/// Wakes the worker that a reader or a sink's writer runs on. Cheap to clone, may be used from any
/// thread.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Waker(Arc::new(wake))
    }

    /// Wakes the worker: the reader (or writer) is polled again soon.
    pub fn wake(&self) {
        (self.0)();
    }

    /// A waker that does nothing, for tests.
    pub fn noop() -> Self {
        Waker::new(|| {})
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// What a reader is told when it is opened.
#[derive(Clone, Debug)]
pub struct ReaderContext {
    /// The index of the worker that reads.
    pub worker: usize,
    /// The number of workers.
    pub workers: usize,
    /// Read what is there now, then report [`ReadStatus::Finished`] (`Trigger::AvailableNow`).
    pub available_now: bool,
    /// Processing time: the job's clock.
    pub clock: SharedClock,
    /// Wakes the worker when there is something to read after [`ReadStatus::Waiting`].
    pub waker: Waker,
}

/// Input of which a reader could make no record. What becomes of it is for the
/// [`ErrorPolicy`](crate::dead_letter::ErrorPolicy) of the source to say: the job fails, or it is counted, or it
/// goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Where it is in the split, in words: `line 17`, `offset 4711`.
    pub position: String,
    /// Why it is no record, in words: `column "price": invalid float literal`.
    pub reason: String,
    /// The bytes as they were read. Of a record that is longer than the source accepts, its beginning.
    pub payload: Vec<u8>,
}

/// Where a reader puts what it read.
pub struct Batch<T> {
    /// The records, in order. Event times may be left at [`NO_TIME`](crate::record::NO_TIME) for the
    /// watermark strategy to assign.
    pub records: Vec<Record<T>>,
    /// How many bytes they were read from, for sources that count bytes.
    pub bytes: u64,
    /// Input that was read and passed over by the source's own policy (malformed, filtered).
    pub skipped: u64,
    /// Input of which no record could be made. The reader goes on behind it: its
    /// [`position`](SplitReader::position) lies after the last of `records` and `bad`.
    pub bad: Vec<BadRecord>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch {
            records: Vec::new(),
            bytes: 0,
            skipped: 0,
            bad: Vec::new(),
        }
    }
}

impl<T> Batch<T> {
    /// Adds a record.
    #[inline]
    pub fn push(&mut self, time: EventTime, value: T) {
        self.records.push(Record { time, value });
    }

    /// Adds input of which no record could be made: its position in the split, why, and the bytes.
    pub fn push_bad(
        &mut self,
        position: impl Into<String>,
        reason: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) {
        self.bad.push(BadRecord {
            position: position.into(),
            reason: reason.into(),
            payload: payload.into(),
        });
    }
}

/// What a reader has to say after it was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There is more: poll again.
    More,
    /// Nothing now; the reader calls its waker when there is.
    Waiting,
    /// Nothing now; poll again after this long.
    WaitFor(Duration),
    /// The split has ended.
    Finished,
}

/// Reads one split.
pub trait SplitReader<T> {
    /// Adds up to about `max` records to `batch`, without blocking. Input of which no record can be made
    /// is no error: it goes to [`Batch::push_bad`] and counts towards `max`.
    ///
    /// # Errors
    /// When reading cannot go on.
    /// Ends the job, with the operator's and the split's name put in front.
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus>;

    /// The position after the last record handed out: opened there, a reader goes on with the next
    /// one.
    fn position(&self) -> Vec<u8>;

    /// The job will not poll until it calls with `false`: an outside buffer should stop filling.
    fn pause(&mut self, _paused: bool) {}

    /// A checkpoint that holds `position` is complete: it can be reported to the outside (an offset
    /// committed for lag monitors).
    fn checkpoint_complete(&mut self, _position: &[u8]) {}
}
