//! What all operators of one worker share: the epoch in force, the checkpoint under way, the clock,
//! counters, and the way to report to the coordinator.

use crate::checkpoint::{Block, BlockKind, PartWriter, Restored};
use crate::clock::SharedClock;
use crate::config::{Guarantee, JobConfig};
use crate::driver::alarm::Alarms;
use crate::driver::barrier::BlockSizes;
use crate::driver::control::Report;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::hash::KeyGroups;
use crate::job::Prepared;
use crate::job::control::JobControl;
use crate::metrics::Registry;
use crate::operator::OperatorContext;
use crate::source::Waker;
use crate::state::{BlockSink, StateDescriptor};
use crate::time::{CheckpointId, Epoch, EventTime, Watermark};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use timely::scheduling::activate::Activator;

/// Which operator runs now and which record of its batch it is at: what an error or a panic of a user's
/// function is reported with.
#[derive(Default)]
pub(crate) struct Running {
    pub node: Cell<NodeId>,
    pub record: Cell<u64>,
    /// Records of the batch that the step under way has rejected.
    pub filtered: Cell<u64>,
    pub doing: Cell<Doing>,
}

impl Running {
    /// Runs `work` while a panic in it is reported as of `doing`. After an error, too, it stays.
    pub fn during<T, E>(&self, doing: Doing, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = self.doing.replace(doing);
        let done = work()?;
        self.doing.set(before);
        Ok(done)
    }
}

/// What an operator is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Doing {
    /// The record that [`Running::record`] counts.
    #[default]
    Record,
    /// One of these records; which one only the user's code knows.
    Batch { from: u64, to: u64 },
    /// What came due when time rose to this watermark.
    Time(Watermark),
    /// What has come from outside.
    Answers,
    /// Reading.
    Read,
    /// Its start: it is made, restored and opened.
    Start,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.doing.get() {
            Doing::Record => write!(f, "at record {}", self.record.get()),
            doing => doing.fmt(f),
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Record => f.write_str("at a record"),
            Doing::Batch { from, to } => write!(f, "in the batch of records {from}..{to}"),
            Doing::Time(watermark) => write!(f, "when time came to {watermark}"),
            Doing::Answers => f.write_str("when answers came"),
            Doing::Read => f.write_str("while it was reading"),
            Doing::Start => f.write_str("when it was started"),
        }
    }
}

/// A new split for a source instance, the word that the first ones are all there, or that there will be
/// no more.
pub(crate) enum Assignment {
    Split(Vec<u8>),
    Begin,
    NoMore,
}

pub(crate) struct WorkerContext {
    pub worker: usize,
    pub workers: usize,
    pub groups: KeyGroups,
    pub config: Arc<JobConfig>,
    pub guarantee: Guarantee,
    pub clock: SharedClock,
    /// Processing time at the begin of this step of the worker.
    now_ns: Cell<i64>,
    /// When operators want to be woken.
    pub alarms: Rc<Alarms>,
    pub registry: Arc<Registry>,
    pub control: Arc<JobControl>,
    pub restored: Option<Arc<Restored>>,
    pub names: Arc<Vec<String>>,
    pub uids: Arc<Vec<String>>,
    pub running: Rc<Running>,
    /// An operator ran in this step.
    pub ran: Cell<bool>,
    /// The checkpoint that ends the first period of this run.
    pub first_period: CheckpointId,
    /// The epoch that sources should be at.
    pub epoch: Cell<Epoch>,
    /// In micro-batch mode: whether the batch that ends with the epoch in force reads anything.
    pub reads: Cell<bool>,
    /// The epoch below which everything has left the graph, on all workers.
    pub completed_epoch: Cell<Epoch>,
    /// Sources are to stop reading and end.
    pub draining: Cell<bool>,
    /// The dataflow is to be dropped.
    pub halted: Cell<bool>,
    pub checkpoint: LocalCheckpoint,
    /// Operators to wake when the epoch, a checkpoint or the completed epoch changes.
    pub sources: RefCell<Vec<Activator>>,
    pub sinks: RefCell<Vec<Activator>>,
    pub assignments: RefCell<HashMap<NodeId, VecDeque<Assignment>>>,
    outbox: RefCell<Vec<Report>>,
    pub reporter: RefCell<Option<Activator>>,
}

impl WorkerContext {
    pub fn new(worker: usize, job: &Prepared, control: Arc<JobControl>) -> Result<Rc<Self>> {
        let first = Epoch::first_of(job.first_period);
        let waker = Arc::new(OnceLock::new());
        let writer = job.part_writer(worker, waker.clone())?;
        Ok(Rc::new(WorkerContext {
            first_period: job.first_period,
            worker,
            workers: job.config.workers,
            groups: KeyGroups::new(job.config.max_parallelism, job.config.workers),
            guarantee: job.config.effective_guarantee(),
            config: job.config.clone(),
            now_ns: Cell::new(job.clock.now_ns()),
            clock: job.clock.clone(),
            alarms: Rc::default(),
            registry: job.registry.clone(),
            control,
            restored: job.restored.clone(),
            names: job.names.clone(),
            uids: job.uids.clone(),
            running: Rc::default(),
            ran: Cell::new(false),
            epoch: Cell::new(first),
            reads: Cell::new(true),
            completed_epoch: Cell::new(Epoch(0)),
            draining: Cell::new(false),
            halted: Cell::new(false),
            checkpoint: LocalCheckpoint::new(writer, waker),
            sources: RefCell::default(),
            sinks: RefCell::default(),
            assignments: RefCell::default(),
            outbox: RefCell::default(),
            reporter: RefCell::default(),
        }))
    }

    /// The checkpoint that the job was restored from; 0: it started anew.
    pub fn restored_id(&self) -> CheckpointId {
        self.restored.as_ref().map_or(0, |r| r.checkpoint())
    }

    /// A step of the worker begins: reads the clock, once for all operators, and wakes those whose time has
    /// come. How long until the next one wants to be woken.
    pub fn begin_step(&self) -> Option<Duration> {
        let now_ns = self.clock.now_ns();
        self.now_ns.set(now_ns);
        self.alarms.ring(now_ns);
        self.alarms.next_in_ns(now_ns).map(Duration::from_nanos)
    }

    /// Processing time in nanoseconds since the Unix epoch, as of the begin of this step.
    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.now_ns.get()
    }

    /// Processing time in milliseconds since the Unix epoch, as of the begin of this step.
    pub fn now_ms(&self) -> EventTime {
        self.now_ns().div_euclid(1_000_000)
    }

    /// Sends a report to the coordinator.
    pub fn report(&self, report: Report) {
        self.outbox.borrow_mut().push(report);
        if let Some(reporter) = &*self.reporter.borrow() {
            reporter.activate();
        }
    }

    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.outbox.borrow_mut())
    }

    /// Ends the job with an error of the operator `node`.
    pub fn fail(&self, node: NodeId, error: Error) {
        let (operator, uid) = (&self.names[node], &self.uids[node]);
        tracing::info!(operator, uid, %error, "operator failed");
        self.control.fail(error.within(self.instance(node)));
    }

    /// What messages call the instance of an operator on this worker.
    pub fn instance(&self, node: NodeId) -> String {
        format!(
            "operator \"{}\" on worker {}",
            self.names[node], self.worker
        )
    }

    pub fn operator_context(&self, node: NodeId, waker: Waker) -> OperatorContext {
        OperatorContext {
            worker: self.worker,
            workers: self.workers,
            key_groups: self.groups,
            watermark: crate::time::WATERMARK_MIN,
            now_ms: self.now_ms(),
            metrics: self.registry.operator(node, self.worker),
            tolerant: false,
            waker,
        }
    }

    /// A part of the checkpoint under way is complete on this worker.
    pub fn part_done(&self, checkpoint: CheckpointId, needs_since: CheckpointId) {
        if self.checkpoint.part_done(checkpoint, needs_since) {
            // Without a store there is nothing to wait for.
            self.report(Report::Part {
                worker: self.worker,
                checkpoint,
                part: Ok(None),
            });
        }
    }
}

/// The checkpoint under way on one worker: how many operators still owe their part.
pub(crate) struct LocalCheckpoint {
    writer: Option<PartWriter>,
    /// Whom the writer wakes; known once the dataflow is built.
    waker: Arc<OnceLock<Waker>>,
    participants: Cell<usize>,
    done: Cell<usize>,
    needs_since: Cell<CheckpointId>,
    /// The next snapshot must be whole: the first one, and each after one that failed.
    whole: Cell<bool>,
    /// The newest checkpoint that is complete: sinks commit up to it.
    pub complete: Cell<CheckpointId>,
    committers: Cell<usize>,
    committed: Cell<usize>,
}

impl LocalCheckpoint {
    fn new(writer: Option<PartWriter>, waker: Arc<OnceLock<Waker>>) -> Self {
        LocalCheckpoint {
            writer,
            waker,
            participants: Cell::new(0),
            done: Cell::new(0),
            needs_since: Cell::new(CheckpointId::MAX),
            whole: Cell::new(true),
            complete: Cell::new(0),
            committers: Cell::new(0),
            committed: Cell::new(0),
        }
    }

    /// Whether snapshots are written at all.
    pub fn is_durable(&self) -> bool {
        self.writer.is_some()
    }

    pub fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    pub fn writer(&self) -> Option<&PartWriter> {
        self.writer.as_ref()
    }

    pub fn add_participant(&self) {
        self.participants.set(self.participants.get() + 1);
    }

    pub fn add_committer(&self) {
        self.committers.set(self.committers.get() + 1);
    }

    pub fn set_whole(&self, whole: bool) {
        self.whole.set(whole);
    }

    pub fn is_whole(&self) -> bool {
        self.whole.get()
    }

    /// How many bytes wait to be written: encoding pauses when there are too many.
    pub fn backlog(&self) -> usize {
        self.writer.as_ref().map_or(0, PartWriter::pending_bytes)
    }

    /// Whether that was the last part, with nothing to write.
    fn part_done(&self, checkpoint: CheckpointId, needs_since: CheckpointId) -> bool {
        self.needs_since
            .set(self.needs_since.get().min(needs_since));
        self.done.set(self.done.get() + 1);
        if self.done.get() < self.participants.get() {
            return false;
        }
        self.done.set(0);
        let needs_since = self.needs_since.replace(CheckpointId::MAX).min(checkpoint);
        match &self.writer {
            Some(writer) => {
                writer.finish(checkpoint, needs_since);
                false
            }
            None => true,
        }
    }

    /// A sink has committed; whether it was the last one of this worker.
    pub fn sink_committed(&self) -> bool {
        self.committed.set(self.committed.get() + 1);
        if self.committed.get() < self.committers.get() {
            return false;
        }
        self.committed.set(0);
        true
    }
}

/// Hands the blocks of one operator to the worker's writer.
pub(crate) struct PartSink<'a> {
    pub context: &'a WorkerContext,
    pub node: NodeId,
    pub checkpoint: CheckpointId,
    /// Takes note of how large the blocks are.
    pub sizes: Option<&'a mut BlockSizes>,
}

impl BlockSink for PartSink<'_> {
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        entries: u32,
        payload: Vec<u8>,
    ) {
        if let Some(sizes) = &mut self.sizes {
            sizes.add(&state.name, kind, shard, payload.len());
        }
        if let Some(writer) = self.context.checkpoint.writer() {
            let block = Block {
                uid: self.context.uids[self.node].clone(),
                state: state.clone(),
                kind,
                shard,
                entries,
                payload,
            };
            writer.block(self.checkpoint, block);
        }
    }

    fn spare(&mut self) -> Option<Vec<u8>> {
        self.context.checkpoint.writer()?.spare()
    }
}

/// A waker for an operator, usable from any thread.
pub(crate) fn operator_waker(worker: &timely::worker::Worker, path: &[usize]) -> Waker {
    let activator = std::sync::Mutex::new(worker.sync_activator_for(path.to_vec()));
    Waker::new(move || {
        // An error says that the worker is gone: nothing to wake.
        let _ = activator
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .activate();
    })
}
