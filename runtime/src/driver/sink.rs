//! Binds a [`Sink`] to timely: alignment, prepare at the barrier, commit when the checkpoint is
//! complete.

use super::barrier::BarrierTimes;
use super::compile::{OperatorFactory, Site};
use super::context::{Doing, PartSink, WorkerContext};
use super::control::Report;
use super::faults::{Fault, Faults};
use super::gate::{Gate, Target};
use super::inlet::Inlet;
use super::port::{Changes, Route};
use super::station::{Held, admission, publish, restore_state};
use super::step::{MakeRoute, route_context};
use super::turn::Turn;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::NodeId;
use crate::metrics::OperatorMetrics;
use crate::record::Record;
use crate::sink::{Ready, Sink, SinkWriter, WriterContext, Written};
use crate::state::{BlobState, SliceBudget, Snapshot, StateDescriptor};
use crate::time::{CheckpointId, Time, WATERMARK_MAX};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use timely::progress::operate::SharedProgress;

/// The name under which prepared output is filed.
pub const PREPARED_STATE: &str = "prepared";

/// What one writer prepared for one checkpoint.
type Prepared = Vec<(CheckpointId, Vec<u8>)>;

/// Builds a sink.
pub(crate) struct SinkFactory<S: Sink> {
    pub sink: Arc<S>,
    pub route: MakeRoute<S::Item>,
}

impl<S: Sink> OperatorFactory for SinkFactory<S> {
    fn states(&self) -> Vec<StateDescriptor> {
        vec![StateDescriptor::new(PREPARED_STATE)]
    }

    fn prepare(&self) -> Result<Option<Box<dyn super::source::AnyEnumerator>>> {
        self.sink.check()?;
        Ok(None)
    }

    fn build(&self, mut site: Site<'_, '_>) -> Result<()> {
        let route: Route<S::Item> = (self.route)(&route_context(&site.worker));
        let inlet = site.input::<S::Item>(0, route);
        let _ends = site.emitter::<()>(0, &[]);
        let faults = site.faults(&[]);
        site.end_of_job();
        let worker = site.worker.clone();
        let writer = self.sink.writer(WriterContext {
            uid: worker.uids[site.node].clone(),
            worker: worker.worker,
            workers: worker.workers,
            guarantee: worker.guarantee,
            mode: worker.config.mode,
            restored: worker.restored_id(),
            clock: worker.clock.clone(),
            waker: site.waker(),
        })?;
        worker.checkpoint.add_participant();
        worker.checkpoint.add_committer();
        worker.sinks.borrow_mut().push(site.activator());
        let mut driver = SinkDriver {
            node: site.node,
            metrics: worker.registry.operator(site.node, worker.worker),
            gate: Gate::new(admission(&worker), worker.first_period),
            state: BlobState::new(PREPARED_STATE, Vec::new()),
            held: Held::new(),
            pending: Vec::new(),
            full_since_ns: None,
            barrier: BarrierTimes::default(),
            phase: Phase::Settling,
            committed: worker.restored_id(),
            committing: None,
            inlet,
            writer,
            faults,
            worker,
        };
        driver.settle()?;
        let consumed = vec![driver.inlet.consumed()];
        let produced = site.produced();
        let activator = site.activator();
        site.run(move |progress| {
            if driver.turn(progress, &consumed, &produced)? {
                activator.activate();
            }
            Ok(())
        });
        Ok(())
    }
}

/// Where a sink is between barrier and snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// What the restored checkpoint says was prepared is being committed.
    Settling,
    /// Records are written.
    Writing,
    /// The barrier of this checkpoint was reached; what was written is being made durable.
    Preparing(CheckpointId),
}

/// Whether an error says that one record cannot be written, rather than that the sink cannot go on.
fn is_of_a_record(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Record | ErrorKind::UserFunction)
}

/// How a turn of writing ended.
enum Writing {
    Done,
    Full,
    TurnOver,
}

struct SinkDriver<T> {
    node: NodeId,
    worker: Rc<WorkerContext>,
    metrics: Arc<OperatorMetrics>,
    inlet: Inlet<T>,
    gate: Gate,
    writer: Box<dyn SinkWriter<T>>,
    faults: Faults,
    held: Held,
    /// Records that the writer could not take yet.
    pending: Vec<Record<T>>,
    /// Since when the writer takes no more.
    full_since_ns: Option<i64>,
    barrier: BarrierTimes,
    phase: Phase,
    state: BlobState<Prepared>,
    committed: CheckpointId,
    committing: Option<CheckpointId>,
}

impl<T: crate::record::Data> SinkDriver<T> {
    /// Hands the writer its share of what the restored checkpoint says was prepared.
    fn settle(&mut self) -> Result<()> {
        self.state.assign(self.worker.groups, self.worker.worker);
        restore_state(&mut self.state, self.node, &self.worker)?;
        let mut all: Vec<Vec<u8>> = Vec::new();
        for (_, prepared) in self.state.restored() {
            all.extend(prepared.into_iter().map(|(_, bytes)| bytes));
        }
        let (own, workers) = (self.worker.worker, self.worker.workers);
        let share = all
            .into_iter()
            .enumerate()
            .filter(|(index, bytes)| index % workers == own && !bytes.is_empty())
            .map(|(_, bytes)| bytes)
            .collect();
        self.writer.settle(share)
    }

    /// One turn; whether there is more to do at once.
    fn turn(
        &mut self,
        progress: &mut SharedProgress<Time>,
        consumed: &[Changes],
        produced: &[Changes],
    ) -> Result<bool> {
        let turn = Turn::default();
        self.worker.running.node.set(self.node);
        if let Some(since_ns) = self.full_since_ns.take() {
            let full_ns = (self.worker.now_ns() - since_ns).max(0);
            self.metrics.backpressured_ns.add(full_ns as u64);
        }
        if self.inlet.update(&mut progress.frontiers[0]) {
            self.gate.observe(self.inlet.frontier());
        }
        self.commit()?;
        let more = self.work(progress, &turn)?;
        let waiting = self.pending.len() + self.inlet.stashed();
        self.metrics.stashed.set(waiting as u64);
        self.writer.flush()?;
        self.faults.flush()?;
        publish(progress, consumed, produced);
        Ok(more)
    }

    fn work(&mut self, progress: &mut SharedProgress<Time>, turn: &Turn) -> Result<bool> {
        if self.phase == Phase::Settling {
            if self.writer.poll_settled()? == Ready::NotYet {
                return Ok(false); // the writer wakes us
            }
            self.phase = Phase::Writing;
        }
        loop {
            if let Phase::Preparing(checkpoint) = self.phase
                && !self.poll_prepared(checkpoint)?
            {
                return Ok(false); // the writer wakes us
            }
            match self.write_all(turn)? {
                Writing::Done => {}
                Writing::Full => {
                    self.full_since_ns = Some(self.worker.now_ns());
                    return Ok(false); // the writer wakes us
                }
                Writing::TurnOver => return Ok(true),
            }
            let target = self
                .gate
                .target(self.inlet.frontier(), self.inlet.stash_meet());
            self.metrics.watermark.set(target.watermark);
            let now_ns = self.worker.now_ns();
            if self.gate.is_aligning() {
                self.barrier.seen(now_ns);
            }
            if target.epoch.checkpoint() > self.gate.period() {
                let checkpoint = self.gate.period();
                self.barrier.passed(now_ns, &self.metrics);
                self.writer.prepare(checkpoint)?;
                self.phase = Phase::Preparing(checkpoint);
                // Before anything of the next period is written: its dead letters belong behind the barrier.
                self.downgrade(target, progress)?;
                self.gate.pass_barrier(target.epoch);
                self.gate.observe(self.inlet.frontier());
                self.inlet.note_stash(&mut self.gate);
                continue;
            }
            self.downgrade(target, progress)?;
            return Ok(false);
        }
    }

    fn downgrade(&mut self, target: Target, progress: &mut SharedProgress<Time>) -> Result<()> {
        let held = self.held.time();
        let watermark = match self.faults.have_letters() {
            true => target.watermark.max(held.watermark),
            // Nothing is sent from here: only the epoch matters, to flow control.
            false => WATERMARK_MAX,
        };
        let to = Time::new(target.epoch.max(held.epoch), watermark);
        if to != held {
            self.faults.flush()?;
            self.held.downgrade(to, &mut progress.internals);
            self.faults.set_time(to);
        }
        Ok(())
    }

    /// Writes what is admitted.
    fn write_all(&mut self, turn: &Turn) -> Result<Writing> {
        loop {
            if !self.pending.is_empty() {
                let before = self.pending.len();
                let written = match self.faults.are_tolerated() {
                    true => self.write_each()?,
                    false => self.write_pending()?,
                };
                let taken = (before - self.pending.len()) as u64;
                self.metrics.records_in.add(taken);
                if written == Written::Full && !self.pending.is_empty() {
                    return Ok(Writing::Full);
                }
                self.pending.clear();
            }
            if turn.is_over() {
                return Ok(Writing::TurnOver);
            }
            match self.inlet.next(&mut self.gate) {
                Some(records) => self.pending = records,
                None => return Ok(Writing::Done),
            }
        }
    }

    /// Offers the writer all that is pending. A failure ends the job; it names the record if the writer
    /// knows which one it was.
    fn write_pending(&mut self) -> Result<Written> {
        let from = self.metrics.records_in.get();
        let to = from + self.pending.len() as u64;
        let running = &self.worker.running;
        let before = running.doing.replace(Doing::Batch { from, to });
        let written = catch_unwind(AssertUnwindSafe(|| self.writer.write(&mut self.pending)));
        if let Ok(Ok(written)) = written {
            running.doing.set(before);
            return Ok(written);
        }
        if let Some(index) = self.writer.failed_at() {
            running.record.set(from + index as u64);
            running.doing.set(Doing::Record);
        }
        match written {
            Ok(Err(error)) if is_of_a_record(&error) => Err(error.within(running)),
            Ok(written) => written,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Offers the writer each record on its own; one that it cannot write becomes what the error policy
    /// says.
    fn write_each(&mut self) -> Result<Written> {
        let mut number = self.metrics.records_in.get();
        let mut rest = std::mem::take(&mut self.pending).into_iter();
        let mut one = Vec::with_capacity(1);
        while let Some(record) = rest.next() {
            let copy = record.clone();
            one.push(record);
            self.worker.running.record.set(number);
            // The outer error ends the job: it is not the record's.
            let tried = Fault::of(|| match self.writer.write(&mut one) {
                Err(error) if is_of_a_record(&error) => Err(error.into()),
                written => Ok(written),
            });
            match tried {
                Ok(written) => {
                    if written? == Written::Full && !one.is_empty() {
                        self.pending = one;
                        self.pending.extend(rest);
                        return Ok(Written::Full);
                    }
                }
                Err(fault) => self.faults.failed(number, &copy, fault),
            }
            one.clear();
            number += 1;
        }
        Ok(Written::All)
    }

    /// Puts what was prepared into the snapshot, once it is durable.
    fn poll_prepared(&mut self, checkpoint: CheckpointId) -> Result<bool> {
        let Ready::Yes(bytes) = self.writer.poll_prepared()? else {
            return Ok(false);
        };
        self.phase = Phase::Writing;
        self.barrier.encoded(self.worker.now_ns(), &self.metrics);
        self.state.value.push((checkpoint, bytes));
        if self.worker.checkpoint.is_durable() {
            let mut sink = PartSink {
                context: &self.worker,
                node: self.node,
                checkpoint,
                sizes: None,
            };
            self.state.freeze(checkpoint, true);
            self.state
                .encode_slice(&SliceBudget::unlimited(), &mut sink);
        }
        self.worker.part_done(checkpoint, checkpoint);
        Ok(true)
    }

    /// Commits what is complete.
    fn commit(&mut self) -> Result<()> {
        let complete = self.worker.checkpoint.complete.get();
        if self.committing.is_none() && complete > self.committed {
            self.writer.commit(complete)?;
            self.committing = Some(complete);
        }
        if let Some(checkpoint) = self.committing
            && self.writer.poll_committed()? == Ready::Yes(())
        {
            self.committing = None;
            self.committed = checkpoint;
            self.state.value.retain(|(c, _)| *c > checkpoint);
            if self.worker.checkpoint.sink_committed() {
                self.worker.report(Report::Committed {
                    worker: self.worker.worker,
                    checkpoint,
                });
            }
        }
        Ok(())
    }
}
