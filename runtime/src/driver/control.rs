//! The control plane of a job: ticks, barriers, completion.
//!
//! Each worker has a *reporter*, which sends what its operators have to say to worker 0; there the
//! *coordinator* decides and broadcasts [`Control`] messages; each worker has a *follower*, which
//! applies them. All of it travels through timely's own channels, so that it reaches other processes the
//! same way. A *gather* operator behind all sinks sees which epoch has left the graph.
//!
//! A barrier is nothing but an epoch in force: sources raise their capability to it. A checkpoint is
//! complete when every worker has reported its part durable and the manifest is written; only then
//! is `Complete` broadcast and sinks commit.

use super::alarm::Alarm;
use super::context::{Assignment, WorkerContext};
use super::coordinator::Coordinator;
use super::port::{Bundle, ByWorker, OpenPort, Receiver, port_type, take_stream};
use super::station::publish;
use crate::checkpoint::{PartFile, WriterEvent};
use crate::error::Result;
use crate::graph::NodeId;
use crate::operator::{Emit, Output};
use crate::record::{Data, Record};
use crate::time::{CheckpointId, Epoch, Time};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use timely::dataflow::operators::generic::builder_raw::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::progress::operate::SharedProgress;

/// What workers tell the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// An instance of a source has ended.
    SourceFinished { node: NodeId, worker: usize },
    /// A worker's part of a checkpoint is durable, or could not be made so.
    Part {
        worker: usize,
        checkpoint: CheckpointId,
        part: Result<Option<PartFile>, String>,
    },
    /// The manifest was written, or could not be.
    Published {
        checkpoint: CheckpointId,
        result: Result<(), String>,
    },
    /// All sinks of a worker have committed.
    Committed {
        worker: usize,
        checkpoint: CheckpointId,
    },
    /// A source has much under way: a tick before its time would help.
    TickWanted,
    /// In micro-batch mode: there is something to read.
    BatchWanted,
}

/// What the coordinator tells all workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Control {
    /// The epoch in force. `whole`: the snapshot of the period it ends is to be complete in itself.
    /// `read`: in micro-batch mode, whether sources take what is there before they follow.
    Advance {
        epoch: Epoch,
        whole: bool,
        read: bool,
    },
    /// The checkpoint is complete.
    Complete(CheckpointId),
    /// A split for the source `node` on `worker`.
    Assign {
        node: NodeId,
        worker: usize,
        split: Vec<u8>,
    },
    /// All splits of the source `node` that were there at the start have been assigned.
    BeginReading(NodeId),
    /// No further splits for the source `node`.
    NoMoreSplits(NodeId),
    /// Sources stop reading.
    Drain,
    /// The job is over: the dataflow is dropped as it is.
    Halt,
}

/// Builds the control plane; `ends` are the progress outputs of all sinks.
pub(crate) fn build<'s>(
    scope: Scope<'s, Time>,
    worker: &Rc<WorkerContext>,
    ends: Vec<Stream<'s, Time, Bundle<()>>>,
) {
    let reports = reporter(scope, worker);
    let controls = coordinator(scope, worker, reports);
    follower(scope, worker, controls);
    gather(scope, worker, ends);
}

/// Opens the only output of `builder`.
fn open_output<'s, T: Data>(
    builder: &mut OperatorBuilder<'s, Time>,
    scope: Scope<'s, Time>,
) -> (Output<T>, super::port::Changes, Stream<'s, Time, Bundle<T>>) {
    let open = port_type::<T>().open(builder, &[]);
    let open = open
        .downcast::<OpenPort>()
        .expect("ports are opened by this crate");
    let emit = open
        .emit
        .downcast::<Box<dyn Emit<T>>>()
        .expect("the type just asked for");
    let stream = take_stream(&mut Some(open.stream), true, scope);
    (Output::new(*emit), open.produced, stream)
}

fn reporter<'s>(
    scope: Scope<'s, Time>,
    worker: &Rc<WorkerContext>,
) -> Stream<'s, Time, Bundle<Report>> {
    let mut builder = OperatorBuilder::new("Reporter".into(), scope);
    let (mut out, produced, stream) = open_output::<Report>(&mut builder, scope);
    let path = builder.operator_info().address;
    *worker.reporter.borrow_mut() = Some(scope.activator_for(path.clone()));
    worker
        .checkpoint
        .set_waker(super::context::operator_waker(scope.worker(), &path));
    let worker = worker.clone();
    builder.build(move |progress| {
        for report in worker.take_reports() {
            out.push(0, report);
        }
        while let Some(event) = worker.checkpoint.writer().and_then(|w| w.poll()) {
            out.push(0, report_of(&worker, event));
        }
        finish(&worker, &mut out);
        publish(progress, &[], std::slice::from_ref(&produced));
        false
    });
    stream
}

fn report_of(worker: &WorkerContext, event: WriterEvent) -> Report {
    match event {
        WriterEvent::Part(done) => Report::Part {
            worker: worker.worker,
            checkpoint: done.checkpoint,
            part: done.result.map(Some).map_err(|e| e.to_string()),
        },
        WriterEvent::Published { checkpoint, result } => Report::Published {
            checkpoint,
            result: result.map_err(|e| e.to_string()),
        },
    }
}

fn finish<T>(worker: &WorkerContext, out: &mut Output<T>) {
    if let Err(error) = out.flush() {
        worker.control.fail(error);
    }
}

fn coordinator<'s>(
    scope: Scope<'s, Time>,
    worker: &Rc<WorkerContext>,
    reports: Stream<'s, Time, Bundle<Report>>,
) -> Stream<'s, Time, Bundle<(usize, Control)>> {
    let mut builder = OperatorBuilder::new("Coordinator".into(), scope);
    let to_first = ByWorker(|_: &Report| 0);
    let mut receiver = Receiver::connect(&mut builder, reports, Some(Box::new(to_first)));
    let (mut out, produced, stream) = open_output::<(usize, Control)>(&mut builder, scope);
    let path = builder.operator_info().address;
    let alarm = Alarm::new(&worker.alarms, scope.activator_for(path.clone()));
    let mut decide = (worker.worker == 0).then(|| {
        worker
            .control
            .set_coordinator(super::context::operator_waker(scope.worker(), &path));
        worker.sources.borrow_mut().push(scope.activator_for(path));
        Coordinator::new(worker.clone())
    });
    let worker = worker.clone();
    let consumed = receiver.consumed();
    builder.build(move |progress| {
        ignore_frontiers(progress);
        let Some(coordinator) = &mut decide else {
            return false;
        };
        if worker.halted.get() {
            return false;
        }
        while let Some((_, reports)) = receiver.next() {
            for report in reports.drain(..) {
                coordinator.take_report(report.value);
            }
        }
        match coordinator.turn() {
            Ok(at_ns) => alarm.at(at_ns),
            Err(error) => worker.control.fail(error),
        }
        for control in coordinator.take_controls() {
            for target in 0..worker.workers {
                out.push(0, (target, control.clone()));
            }
        }
        finish(&worker, &mut out);
        publish(
            progress,
            std::slice::from_ref(&consumed),
            std::slice::from_ref(&produced),
        );
        false
    });
    stream
}

fn ignore_frontiers(progress: &mut SharedProgress<Time>) {
    for changes in &mut progress.frontiers {
        changes.clear();
    }
}

fn follower<'s>(
    scope: Scope<'s, Time>,
    worker: &Rc<WorkerContext>,
    controls: Stream<'s, Time, Bundle<(usize, Control)>>,
) {
    let mut builder = OperatorBuilder::new("Follower".into(), scope);
    let to_target = ByWorker(|(target, _): &(usize, Control)| *target);
    let mut receiver = Receiver::connect(&mut builder, controls, Some(Box::new(to_target)));
    let consumed = receiver.consumed();
    let worker = worker.clone();
    builder.build(move |progress| {
        ignore_frontiers(progress);
        while let Some((_, controls)) = receiver.next() {
            for Record { value, .. } in controls.drain(..) {
                apply(&worker, value.1);
            }
        }
        publish(progress, std::slice::from_ref(&consumed), &[]);
        false
    });
}

fn apply(worker: &WorkerContext, control: Control) {
    match control {
        Control::Advance { epoch, whole, read } => {
            if epoch.checkpoint() > worker.epoch.get().checkpoint() {
                worker.checkpoint.set_whole(whole);
            }
            worker.epoch.set(epoch);
            worker.reads.set(read);
            wake(&worker.sources);
        }
        Control::Complete(checkpoint) => {
            worker.checkpoint.complete.set(checkpoint);
            wake(&worker.sinks);
        }
        Control::Assign {
            node,
            worker: target,
            split,
        } => {
            if target == worker.worker {
                assign(worker, node, Assignment::Split(split));
            }
        }
        Control::BeginReading(node) => assign(worker, node, Assignment::Begin),
        Control::NoMoreSplits(node) => assign(worker, node, Assignment::NoMore),
        Control::Drain => {
            worker.draining.set(true);
            wake(&worker.sources);
        }
        Control::Halt => worker.halted.set(true),
    }
}

fn assign(worker: &WorkerContext, node: NodeId, assignment: Assignment) {
    worker
        .assignments
        .borrow_mut()
        .entry(node)
        .or_default()
        .push_back(assignment);
    wake(&worker.sources);
}

fn wake(activators: &std::cell::RefCell<Vec<timely::scheduling::activate::Activator>>) {
    for activator in activators.borrow().iter() {
        activator.activate();
    }
}

/// Watches the progress of all sinks: the least epoch still in the graph, on all workers.
fn gather<'s>(
    scope: Scope<'s, Time>,
    worker: &Rc<WorkerContext>,
    ends: Vec<Stream<'s, Time, Bundle<()>>>,
) {
    let mut builder = OperatorBuilder::new("Gather".into(), scope);
    let mut receivers: Vec<Receiver<()>> = Vec::new();
    for end in ends {
        receivers.push(Receiver::connect(&mut builder, end, None));
    }
    let mut frontiers: Vec<MutableAntichain<Time>> =
        receivers.iter().map(|_| MutableAntichain::new()).collect();
    let worker = worker.clone();
    builder.build(move |progress| {
        for (frontier, changes) in frontiers.iter_mut().zip(&mut progress.frontiers) {
            frontier.update_iter(changes.drain());
        }
        // Nothing is ever sent here; the channels only carry progress.
        for receiver in &mut receivers {
            while receiver.next().is_some() {}
        }
        let points = frontiers.iter().flat_map(|f| f.frontier().to_vec());
        let completed = points.map(|t| t.epoch).min().unwrap_or(Epoch::MAX);
        if completed != worker.completed_epoch.get() {
            worker.completed_epoch.set(completed);
            wake(&worker.sources);
        }
        false
    });
}
