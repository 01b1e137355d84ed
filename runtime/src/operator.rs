//! The contract of an operator: its logic as a plain struct that knows nothing of timely.
//!
//! The drivers bind such structs to the dataflow and do, once for all of them, what is hard:
//! alignment at barriers, timers, snapshots, both modes, metrics, errors. An operator can be run
//! without a worker: give it records and watermarks and read what it put into its [`Output`].

mod boxed;

pub use boxed::{BoxedOperator, BoxedTwoInput};

use crate::driver::Position;
use crate::error::{BoxError, Error, Result};
use crate::hash::KeyGroups;
use crate::metrics::OperatorMetrics;
use crate::record::{Data, Record};
use crate::source::Waker;
use crate::state::Snapshot;
use crate::time::{EventTime, Time, WATERMARK_MIN, Watermark};
use std::sync::Arc;

/// Whether an operator has finished what it was asked to do, or wants to be called again.
///
/// Long work (a watermark that fires a million windows) is done in bounded pieces, so that
/// barriers, other operators and snapshots get their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// All done.
    Done,
    /// Call again.
    More,
}

/// How much an operator should do in one call before it returns [`Work::More`], in results.
pub const WORK_LIMIT: usize = 4096;

/// What a user's function may return: nothing, or an error that ends the job.
pub type UserResult = std::result::Result<(), BoxError>;

/// Where an operator runs and what time it is there.
pub struct OperatorContext {
    /// The index of this worker.
    pub worker: usize,
    /// The number of workers.
    pub workers: usize,
    /// How key groups are spread.
    pub key_groups: KeyGroups,
    /// The operator's watermark. In `on_watermark` it is the new one already.
    pub watermark: Watermark,
    /// Processing time in milliseconds since the Unix epoch, read once per batch.
    pub now_ms: EventTime,
    /// The operator's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// A record that fails is set aside and the job goes on (an error policy other than fail): an operator
    /// that changes state by a user's function keeps what it needs to take the change back.
    pub tolerant: bool,
    /// Gives the operator a turn, from any thread: something has come from outside for
    /// [`poll`](OperatorCore::poll).
    pub waker: Waker,
}

impl OperatorContext {
    /// A context for running an operator without a worker.
    pub fn detached() -> Self {
        OperatorContext {
            worker: 0,
            workers: 1,
            key_groups: KeyGroups::new(crate::hash::DEFAULT_KEY_GROUPS, 1),
            watermark: WATERMARK_MIN,
            now_ms: 0,
            metrics: Arc::default(),
            tolerant: false,
            waker: Waker::noop(),
        }
    }
}

/// What all operators have in common.
pub trait OperatorCore: 'static {
    /// What it puts out.
    type Out: Data;

    /// Called once, after its state was restored and before the first record.
    fn open(&mut self, _context: &OperatorContext) {}

    /// The watermark has risen to `context.watermark`: fire what came due. Called again until it
    /// returns [`Work::Done`]; downstream hears of the new watermark only then.
    fn on_watermark(
        &mut self,
        _context: &mut OperatorContext,
        _out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }

    /// The watermark that downstream may hear, when it is not the operator's own: for operators
    /// that assign event times. It never goes back, and is ignored after the end of input.
    fn assigned_watermark(&self) -> Option<Watermark> {
        None
    }

    /// The earliest processing time at which [`on_processing_time`](Self::on_processing_time) is to
    /// be called.
    fn next_processing_time(&self) -> Option<EventTime> {
        None
    }

    /// Processing time has come to `context.now_ms`: fire what came due.
    fn on_processing_time(
        &mut self,
        _context: &mut OperatorContext,
        _out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }

    /// Whether it takes records now. While it does not, they wait in front of it, and flow control at the
    /// sources bounds how many there are.
    fn accepts(&self) -> bool {
        true
    }

    /// Takes what has come from outside of the worker: answers of a service, say. Called in each of the
    /// operator's turns, and [`OperatorContext::waker`] gives it one. Called again until it returns
    /// [`Work::Done`]; before each further call downstream has heard of the watermark that
    /// [`under_way`](Self::under_way) lets it hear.
    fn poll(
        &mut self,
        _context: &mut OperatorContext,
        _out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }

    /// The operator's watermark at the time when it took the oldest record whose results are still to come
    /// from outside; `None`: there is none.
    ///
    /// Downstream hears of no later watermark, and the end of the input and of a micro-batch wait until there
    /// is none. A barrier does not: what is under way belongs in the snapshot.
    fn under_way(&self) -> Option<Watermark> {
        None
    }

    /// Shows every state that belongs in a snapshot, always in the same order.
    fn states(&mut self, _visit: &mut dyn FnMut(&mut dyn Snapshot)) {}
}

/// An operator with one input.
pub trait Operator: OperatorCore {
    /// What it takes.
    type In: Data;

    /// Takes one record.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_record(
        &mut self,
        record: Record<Self::In>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult;

    /// Takes a batch of records; the default calls [`on_record`](Self::on_record) for each. An operator may
    /// do better with many records in hand: look up all their keys before it changes any state. `at` is to
    /// be told the index of each record before a user's function sees it.
    ///
    /// # Errors
    /// As [`on_record`](Self::on_record).
    fn on_batch(
        &mut self,
        records: Vec<Record<Self::In>>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        for (index, record) in records.into_iter().enumerate() {
            at.set(index);
            self.on_record(record, context, out)?;
        }
        Ok(())
    }

    /// The records of a batch have all been taken. [`Work::More`] asks for a call of
    /// [`on_watermark`](OperatorCore::on_watermark) although the watermark may not have risen: a timer
    /// was registered that is due already.
    fn on_batch_end(
        &mut self,
        _context: &mut OperatorContext,
        _out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }
}

/// An operator with two inputs.
pub trait TwoInputOperator: OperatorCore {
    /// What it takes at its first input.
    type Left: Data;
    /// What it takes at its second input.
    type Right: Data;

    /// Takes one record of the first input.
    fn on_left(
        &mut self,
        record: Record<Self::Left>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult;

    /// Takes one record of the second input.
    fn on_right(
        &mut self,
        record: Record<Self::Right>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult;

    /// The records of a batch of either input have all been taken; as
    /// [`Operator::on_batch_end`].
    fn on_batch_end(
        &mut self,
        _context: &mut OperatorContext,
        _out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }
}

/// Takes batches of records: the next chained step, a channel, or a test.
pub trait Emit<T> {
    /// Takes all records of the vector, sent at `time`; leaves it empty.
    ///
    /// # Errors
    /// When a user's function in a chained step failed.
    fn emit(&mut self, time: Time, records: &mut Vec<Record<T>>) -> Result<()>;

    /// Nothing more for now: what is buffered goes out.
    fn flush(&mut self) {}

    /// How many records have gone into channels so far, by whatever is chained behind this.
    fn sent(&self) -> u64 {
        0
    }
}

/// How many records an [`Output`] collects before it hands them on.
pub const BATCH_RECORDS: usize = 1024;

/// Where an operator puts its results: a buffer in front of the chained steps and channels behind it.
pub struct Output<T> {
    buffer: Vec<Record<T>>,
    time: Time,
    downstream: Box<dyn Emit<T>>,
    error: Option<Error>,
    emitted: u64,
    /// Where the results of a record begin that may still fail.
    trial: Option<usize>,
}

impl<T> Output<T> {
    /// An output in front of `downstream`.
    pub fn new(downstream: Box<dyn Emit<T>>) -> Self {
        Output {
            buffer: Vec::new(),
            time: Time::MIN,
            downstream,
            error: None,
            emitted: 0,
            trial: None,
        }
    }

    /// Puts out `value` with event time `time`.
    #[inline]
    pub fn push(&mut self, time: EventTime, value: T) {
        self.buffer.push(Record { time, value });
        if self.buffer.len() >= BATCH_RECORDS {
            self.hand_on();
        }
    }

    /// Puts out a whole batch; the vector is left empty.
    pub fn push_batch(&mut self, records: &mut Vec<Record<T>>) {
        if self.buffer.is_empty() {
            std::mem::swap(&mut self.buffer, records);
        } else {
            self.buffer.append(records);
        }
        if self.buffer.len() >= BATCH_RECORDS {
            self.hand_on();
        }
    }

    /// The number of records put out so far.
    pub fn emitted(&self) -> u64 {
        self.emitted + self.buffer.len() as u64
    }

    /// How many records have gone into channels so far: what the chained steps have made of those put out.
    pub(crate) fn sent(&self) -> u64 {
        self.downstream.sent()
    }

    /// A record is tried: its results are not handed on before it has come through.
    pub(crate) fn begin_trial(&mut self) {
        self.trial = Some(self.buffer.len());
    }

    /// The record that was tried has come through, or has failed: then its results are dropped.
    pub(crate) fn end_trial(&mut self, came_through: bool) {
        if let Some(begin) = self.trial.take()
            && !came_through
        {
            self.buffer.truncate(begin);
        }
        if self.buffer.len() >= BATCH_RECORDS {
            self.hand_on();
        }
    }

    #[inline(never)]
    fn hand_on(&mut self) {
        if self.trial.is_some() {
            return;
        }
        let records = self.buffer.len();
        self.emitted += records as u64;
        if self.error.is_none()
            && let Err(error) = self.downstream.emit(self.time, &mut self.buffer)
        {
            self.error = Some(error);
        }
        self.buffer.clear();
        self.buffer.reserve_exact(records); // the next ones will be about as many
    }

    /// Sets the timestamp of what is put out from now on; what is buffered goes out at the old one.
    pub fn set_time(&mut self, time: Time) {
        if self.time != time {
            if !self.buffer.is_empty() {
                self.hand_on();
            }
            self.time = time;
        }
    }

    /// Hands on what is buffered and flushes what is behind.
    ///
    /// # Errors
    /// The first error of a chained step since the last call.
    pub fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.hand_on();
        }
        self.downstream.flush();
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// An [`Emit`] that drops everything: what nobody reads.
pub struct Discard;

impl<T> Emit<T> for Discard {
    fn emit(&mut self, _: Time, records: &mut Vec<Record<T>>) -> Result<()> {
        records.clear();
        Ok(())
    }
}
