//! What every operator with state or time goes through, whatever its inputs: firing, barriers,
//! snapshots in slices, and the one capability it holds.

use super::barrier::{BarrierTimes, BlockSizes};
use super::context::{Doing, PartSink, WorkerContext};
use super::control::Report;
use super::faults::{Fault, Faults};
use super::gate::{Admission, Gate, Target};
use super::port::Changes;
use super::turn::Turn;
use crate::config::Guarantee;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::graph::NodeId;
use crate::operator::{OperatorContext, OperatorCore, Output, UserResult, Work};
use crate::record::{Data, Record};
use crate::source::Waker;
use crate::state::{BlobState, SliceBudget, Snapshot, StateDescriptor};
use crate::time::{CheckpointId, Epoch, EventTime, Time, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use std::cell::RefCell;
use std::rc::Rc;
use timely::progress::ChangeBatch;
use timely::progress::operate::SharedProgress;

/// Encoding pauses while this many bytes wait for the disk.
const BACKLOG_LIMIT: usize = 64 << 20;

/// The name under which an operator's watermark is filed, so that after a recovery the same records are
/// late as before.
pub(crate) const WATERMARK_STATE: &str = "watermark";

/// What every operator files besides its own states.
pub(crate) fn common_states() -> Vec<StateDescriptor> {
    vec![StateDescriptor::new(WATERMARK_STATE)]
}

/// How messages are admitted under a configuration.
pub(crate) fn admission(context: &WorkerContext) -> Admission {
    if context.config.mode.is_micro_batch() {
        Admission::Batched
    } else if context.guarantee == Guarantee::ExactlyOnce {
        Admission::Aligned
    } else {
        Admission::Immediate
    }
}

/// The one capability of an operator, held on each of its outputs.
pub(crate) struct Held {
    time: Time,
}

impl Held {
    pub fn new() -> Self {
        // timely starts every output with a capability at the minimum.
        Held { time: Time::MIN }
    }

    pub fn time(&self) -> Time {
        self.time
    }

    /// Raises the capability.
    pub fn downgrade(&mut self, to: Time, outputs: &mut [ChangeBatch<Time>]) {
        if to == self.time {
            return;
        }
        debug_assert!(
            timely::PartialOrder::less_equal(&self.time, &to),
            "a capability only rises: {:?} to {to:?}",
            self.time
        );
        for output in outputs {
            output.update(self.time, -1);
            output.update(to, 1);
        }
        self.time = to;
    }
}

/// A side output as its driver sees it.
pub(crate) trait SidePort {
    fn set_time(&mut self, time: Time);
    fn flush(&mut self) -> Result<()>;
    fn begin_trial(&mut self);
    fn end_trial(&mut self, came_through: bool);
}

impl<T> SidePort for Output<T> {
    fn set_time(&mut self, time: Time) {
        Output::set_time(self, time);
    }
    fn flush(&mut self) -> Result<()> {
        Output::flush(self)
    }
    fn begin_trial(&mut self) {
        Output::begin_trial(self);
    }
    fn end_trial(&mut self, came_through: bool) {
        Output::end_trial(self, came_through);
    }
}

/// The side outputs of an operator.
pub(crate) type Sides = Vec<Rc<RefCell<dyn SidePort>>>;

/// How far the snapshot of a barrier is.
enum Encoding {
    Idle,
    Slices(CheckpointId),
}

/// What [`Station::advance`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Advance {
    /// Nothing more to do until something arrives.
    Settled,
    /// A barrier was passed: messages that waited may be admitted now.
    PassedBarrier,
    /// The turn is over but there is more to do.
    Unfinished,
}

pub(crate) struct Station<O: OperatorCore> {
    pub node: NodeId,
    pub operator: O,
    pub out: Output<O::Out>,
    sides: Sides,
    pub faults: Faults,
    pub context: OperatorContext,
    pub worker: Rc<WorkerContext>,
    pub gate: Gate,
    held: Held,
    encoding: Encoding,
    /// The epoch in which a micro-batch was last asked for.
    batch_wanted: Epoch,
    /// The watermark, as a state.
    mark: BlobState<Watermark>,
    /// The watermark rose, and what came due is not all fired.
    firing: bool,
    barrier: BarrierTimes,
    sizes: BlockSizes,
    /// When the keys were last counted.
    counted_ms: EventTime,
}

impl<O: OperatorCore> Station<O> {
    pub fn new(
        node: NodeId,
        mut operator: O,
        out: Output<O::Out>,
        mut sides: Sides,
        faults: Faults,
        worker: Rc<WorkerContext>,
        waker: Waker,
    ) -> Result<Self> {
        let mut context = worker.operator_context(node, waker);
        context.tolerant = faults.are_tolerated();
        sides.extend(faults.port());
        let mut mark = BlobState::new(WATERMARK_STATE, WATERMARK_MIN);
        mark.assign(worker.groups, worker.worker);
        restore_state(&mut mark, node, &worker)?;
        let marks = mark.restored().into_iter().map(|(_, watermark)| watermark);
        context.watermark = marks.min().unwrap_or(WATERMARK_MIN);
        restore(&mut operator, node, &worker)?;
        operator.open(&context);
        worker.checkpoint.add_participant();
        Ok(Station {
            node,
            operator,
            out,
            sides,
            faults,
            context,
            gate: Gate::new(admission(&worker), worker.first_period),
            worker,
            held: Held::new(),
            encoding: Encoding::Idle,
            batch_wanted: Epoch(0),
            mark,
            firing: false,
            barrier: BarrierTimes::default(),
            sizes: BlockSizes::default(),
            counted_ms: 0,
        })
    }

    /// Called at the start of a turn.
    pub fn begin(&mut self) {
        self.context.now_ms = self.worker.now_ms();
        self.worker.running.node.set(self.node);
    }

    /// Acts on what the frontier and the stash allow, once every admitted message was processed.
    pub fn advance(
        &mut self,
        target: Target,
        outputs: &mut [ChangeBatch<Time>],
        turn: &Turn,
    ) -> Result<Advance> {
        if target.watermark > self.context.watermark || self.firing {
            self.context.watermark = self.context.watermark.max(target.watermark);
            self.firing = true;
            while self.fire(|op, context, out| op.on_watermark(context, out))? == Work::More {
                if turn.is_over_now() {
                    return Ok(Advance::Unfinished);
                }
            }
            self.firing = false;
            self.context.metrics.watermark.set(self.context.watermark);
        }
        let now_ns = self.worker.now_ns();
        if self.gate.is_aligning() {
            self.barrier.seen(now_ns);
        }
        let batched = self.worker.config.mode.is_micro_batch();
        if !batched || target.epoch > self.held.time().epoch {
            if self.fire_processing_time(turn)? == Work::More {
                return Ok(Advance::Unfinished);
            }
        } else {
            self.want_batch();
        }
        if self.awaits_results(target) {
            self.downgrade(self.held.time().epoch, outputs)?;
            return Ok(Advance::Settled); // its waker gives it another turn
        }
        if target.epoch.checkpoint() > self.gate.period() {
            if !matches!(self.encoding, Encoding::Idle) {
                return Ok(Advance::Unfinished);
            }
            self.barrier.passed(now_ns, &self.context.metrics);
            self.freeze();
            // Before anything of the next period is processed: its results belong behind the barrier.
            self.downgrade(target.epoch, outputs)?;
            self.gate.pass_barrier(target.epoch);
            return Ok(Advance::PassedBarrier);
        }
        self.downgrade(target.epoch, outputs)?;
        Ok(Advance::Settled)
    }

    /// Takes what has come from outside; whether the turn is over and there is more. Results of one
    /// watermark go out before downstream hears of the next.
    pub fn poll(&mut self, outputs: &mut [ChangeBatch<Time>], turn: &Turn) -> Result<Work> {
        if self.held.time() == Time::MIN && self.operator.under_way().is_some() {
            // Restored requests may be answered before anything arrives: their results are of this run.
            self.downgrade(Epoch::first_of(self.worker.first_period), outputs)?;
        }
        while self.call(Doing::Answers, |op, context, out| op.poll(context, out))? == Work::More {
            self.downgrade(self.held.time().epoch, outputs)?;
            if turn.is_over_now() {
                return Ok(Work::More);
            }
        }
        Ok(Work::Done)
    }

    /// Whether something is under way outside for which a micro-batch, or the end of the input, has to wait.
    fn awaits_results(&self, target: Target) -> bool {
        let batched = self.worker.config.mode.is_micro_batch();
        let ends_batch = batched && target.epoch > self.held.time().epoch;
        let ended = self.context.watermark == WATERMARK_MAX;
        (ends_batch || ended) && self.operator.under_way().is_some()
    }

    fn fire(
        &mut self,
        fire: impl FnOnce(
            &mut O,
            &mut OperatorContext,
            &mut Output<O::Out>,
        ) -> std::result::Result<Work, BoxError>,
    ) -> Result<Work> {
        self.call(Doing::Time(self.context.watermark), fire)
    }

    fn call(
        &mut self,
        doing: Doing,
        call: impl FnOnce(
            &mut O,
            &mut OperatorContext,
            &mut Output<O::Out>,
        ) -> std::result::Result<Work, BoxError>,
    ) -> Result<Work> {
        let running = &self.worker.running;
        running.node.set(self.node);
        running.during(doing, || {
            call(&mut self.operator, &mut self.context, &mut self.out).map_err(|source| {
                Error::new(ErrorKind::UserFunction, doing.to_string()).with_source(source)
            })
        })
    }

    /// Takes one record under a policy that does not let it end the job. One that fails leaves no results,
    /// in no output; what it changed in the state before it failed is for the operator to take back.
    pub fn try_record<T: Data>(
        &mut self,
        number: u64,
        record: Record<T>,
        take: impl FnOnce(&mut O, Record<T>, &mut OperatorContext, &mut Output<O::Out>) -> UserResult,
    ) {
        self.worker.running.record.set(number);
        let copy = record.clone();
        self.out.begin_trial();
        for side in &self.sides {
            side.borrow_mut().begin_trial();
        }
        let tried =
            Fault::of(|| take(&mut self.operator, record, &mut self.context, &mut self.out));
        self.out.end_trial(tried.is_ok());
        for side in &self.sides {
            side.borrow_mut().end_trial(tried.is_ok());
        }
        if let Err(fault) = tried {
            self.faults.failed(number, &copy, fault);
        }
    }

    /// Takes note of what the end of a batch came to: what is due already fires as if the watermark had
    /// risen.
    pub fn end_batch(&mut self, work: std::result::Result<Work, BoxError>) -> Result<()> {
        let work = work.map_err(|source| {
            Error::new(ErrorKind::UserFunction, "at the end of a batch").with_source(source)
        })?;
        self.firing |= work == Work::More;
        Ok(())
    }

    /// Processing-time timers fire at the end of a batch: asks for one when some are due.
    fn want_batch(&mut self) {
        let due = self.operator.next_processing_time();
        let epoch = self.held.time().epoch;
        if due.is_some_and(|due| due <= self.context.now_ms) && self.batch_wanted != epoch {
            self.batch_wanted = epoch;
            self.worker.report(Report::BatchWanted);
        }
    }

    fn fire_processing_time(&mut self, turn: &Turn) -> Result<Work> {
        while let Some(due) = self.operator.next_processing_time()
            && due <= self.context.now_ms
        {
            let work = self.fire(|op, context, out| op.on_processing_time(context, out))?;
            if work == Work::More && turn.is_over_now() {
                return Ok(Work::More);
            }
        }
        Ok(Work::Done)
    }

    /// Results go out before the capability that covers them rises.
    fn downgrade(&mut self, epoch: Epoch, outputs: &mut [ChangeBatch<Time>]) -> Result<()> {
        let held = self.held.time();
        let watermark = match self.operator.assigned_watermark() {
            // The end of input is for sources to say.
            Some(assigned) if self.context.watermark < WATERMARK_MAX => {
                assigned.min(WATERMARK_MAX - 1)
            }
            _ => self.context.watermark,
        };
        let oldest = self.operator.under_way().unwrap_or(WATERMARK_MAX);
        let watermark = watermark.min(oldest);
        let to = Time::new(epoch.max(held.epoch), watermark.max(held.watermark));
        if to != held {
            self.flush()?;
            self.held.downgrade(to, outputs);
            self.out.set_time(to);
            for side in &self.sides {
                side.borrow_mut().set_time(to);
            }
        }
        Ok(())
    }

    /// The barrier was reached: from here on changes belong to the next checkpoint.
    fn freeze(&mut self) {
        let checkpoint = self.gate.period();
        if self.worker.checkpoint.is_durable() {
            let whole = self.worker.checkpoint.is_whole();
            self.mark.value = self.context.watermark;
            self.mark.freeze(checkpoint, whole);
            self.operator
                .states(&mut |state| state.freeze(checkpoint, whole));
            self.encoding = Encoding::Slices(checkpoint);
        } else {
            self.worker.part_done(checkpoint, checkpoint);
        }
    }

    /// Encodes a slice of the snapshot under way; whether there is more to encode.
    pub fn encode(&mut self) -> bool {
        let Encoding::Slices(checkpoint) = self.encoding else {
            return false;
        };
        if self.worker.checkpoint.backlog() > BACKLOG_LIMIT {
            return true;
        }
        let budget = SliceBudget::new(SliceBudget::DEFAULT);
        let mut sink = PartSink {
            context: &self.worker,
            node: self.node,
            checkpoint,
            sizes: Some(&mut self.sizes),
        };
        let mut done = self.mark.encode_slice(&budget, &mut sink);
        let mut needs_since = checkpoint;
        let mut keys = 0;
        self.operator.states(&mut |state| {
            done = done && state.encode_slice(&budget, &mut sink);
            needs_since = needs_since.min(state.needs_since());
            keys += state.keys();
        });
        if done {
            self.encoding = Encoding::Idle;
            let metrics = &self.context.metrics;
            metrics.state_keys.set(keys as u64);
            metrics.state_bytes.set(self.sizes.total());
            self.barrier.encoded(self.worker.now_ns(), metrics);
            self.worker.part_done(checkpoint, needs_since);
        }
        !done
    }

    /// Hands on everything that was put out.
    pub fn flush(&mut self) -> Result<()> {
        for side in &self.sides {
            side.borrow_mut().flush()?;
        }
        self.out.flush()?;
        self.context.metrics.records_out.set(self.out.emitted());
        Ok(())
    }

    /// Counts the keys, once a second at most: checkpoints do it too, but not every job has them.
    pub fn count_keys(&mut self) {
        let now_ms = self.context.now_ms;
        if now_ms - self.counted_ms < 1_000 && self.context.watermark < WATERMARK_MAX {
            return;
        }
        self.counted_ms = now_ms;
        let mut keys = 0;
        self.operator.states(&mut |state| keys += state.keys());
        self.context.metrics.state_keys.set(keys as u64);
    }

    /// When processing time wants something, on the job's clock.
    pub fn next_due_ns(&self) -> Option<i64> {
        // What is due already waits for something else: in micro-batch mode for the end of the batch.
        let due = self.operator.next_processing_time()?;
        let due = due.max(self.context.now_ms + 1);
        Some(due.saturating_mul(1_000_000))
    }
}

/// Shows an operator's states where they live, and hands them what the restored checkpoint holds.
pub(crate) fn restore<O: OperatorCore>(
    operator: &mut O,
    node: NodeId,
    worker: &WorkerContext,
) -> Result<()> {
    let mut result = Ok(());
    operator.states(&mut |state| {
        state.assign(worker.groups, worker.worker);
        if result.is_ok() {
            result = restore_state(state, node, worker);
        }
    });
    result
}

pub(crate) fn restore_state(
    state: &mut dyn Snapshot,
    node: NodeId,
    worker: &WorkerContext,
) -> Result<()> {
    let Some(restored) = &worker.restored else {
        return Ok(());
    };
    let name = state.descriptor().name.clone();
    for block in restored.blocks(&worker.uids[node], &name) {
        state.restore(block)?;
    }
    Ok(())
}

/// Moves what was consumed and produced in a turn into timely's accounts.
pub(crate) fn publish(
    progress: &mut SharedProgress<Time>,
    consumed: &[Changes],
    produced: &[Changes],
) {
    for (changes, to) in consumed.iter().zip(&mut progress.consumeds) {
        changes.borrow_mut().drain_into(to);
    }
    for (changes, to) in produced.iter().zip(&mut progress.produceds) {
        changes.borrow_mut().drain_into(to);
    }
}
