//! From the job graph to a timely dataflow on one worker.

use super::alarm::Alarm;
use super::context::{Doing, WorkerContext};
use super::control;
use super::faults::Faults;
use super::inlet::Inlet;
use super::port::{Changes, OpenPort, Receiver, Route, take_stream};
use super::station::{SidePort, Sides};
use super::step::WorkerParts;
use crate::error::Result;
use crate::graph::{Build, Graph, NodeId, PortRef};
use crate::metrics::BusyMeter;
use crate::operator::{Discard, Emit, Output};
use crate::record::Data;
use crate::state::StateDescriptor;
use crate::time::Time;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::builder_raw::OperatorBuilder;
use timely::progress::operate::SharedProgress;
use timely::scheduling::activate::Activator;

/// Builds an operator on each worker; typed behind the type-erased graph.
pub trait OperatorFactory: Send + Sync {
    /// What states the operator keeps.
    fn states(&self) -> Vec<StateDescriptor> {
        Vec::new()
    }
    /// The operator by itself, outside of any dataflow: a `BoxedOperator` or a `BoxedTwoInput` of its
    /// types. None for sources and sinks.
    #[doc(hidden)]
    fn detached(&self, _sides: &mut SideMaker<'_, '_, '_>) -> Option<Box<dyn Any>> {
        None
    }
    /// Builds the operator into the dataflow.
    #[doc(hidden)]
    fn build(&self, site: Site<'_, '_>) -> Result<()>;
    /// Prepares what is there once per process, before anything flows.
    #[doc(hidden)]
    fn prepare(&self) -> Result<Option<Box<dyn super::source::AnyEnumerator>>> {
        Ok(None)
    }
}

/// The stream behind a port, and how many consumers have not asked for it yet.
struct PortStream {
    parts: Option<Box<dyn Any>>,
    left: usize,
}

pub(crate) struct Compiler<'s> {
    scope: Scope<'s, Time>,
    graph: &'s Graph,
    worker: Rc<WorkerContext>,
    hosts: Vec<NodeId>,
    consumers: HashMap<PortRef, Vec<(NodeId, usize)>>,
    streams: HashMap<PortRef, PortStream>,
    /// The progress outputs of the sinks.
    ends: Vec<PortRef>,
}

/// Builds the whole job into `scope`.
pub(crate) fn compile<'s>(
    scope: Scope<'s, Time>,
    graph: &'s Graph,
    worker: Rc<WorkerContext>,
) -> Result<()> {
    let mut compiler = Compiler {
        scope,
        graph,
        hosts: graph.chains(worker.config.chaining),
        consumers: graph.consumers(),
        streams: HashMap::new(),
        ends: Vec::new(),
        worker: worker.clone(),
    };
    for (id, node) in graph.nodes().iter().enumerate() {
        if compiler.hosts[id] != id {
            continue;
        }
        let site = Site::new(&mut compiler, id);
        worker.running.node.set(id);
        worker.running.during(Doing::Start, || {
            match &node.build {
                Build::Step(step) => step.build(site),
                Build::Operator(operator) => operator.build(site),
            }
            .map_err(|error| error.within(worker.instance(id)))
        })?;
    }
    let ends = std::mem::take(&mut compiler.ends);
    let ends = ends
        .into_iter()
        .map(|port| compiler.stream::<()>(port))
        .collect();
    control::build(scope, &worker, ends);
    Ok(())
}

impl<'s> Compiler<'s> {
    fn stream<T: Data>(
        &mut self,
        port: PortRef,
    ) -> timely::dataflow::Stream<'s, Time, super::port::Bundle<T>> {
        let entry = self
            .streams
            .get_mut(&port)
            .expect("inputs come from nodes that were built before");
        entry.left = entry.left.saturating_sub(1);
        take_stream(&mut entry.parts, entry.left == 0, self.scope)
    }

    /// The steps that are chained behind a port, in order.
    fn chain_behind(&self, mut port: PortRef) -> Vec<NodeId> {
        let mut chain = Vec::new();
        while let Some([(consumer, _)]) = self.consumers.get(&port).map(Vec::as_slice) {
            if self.hosts[*consumer] == *consumer {
                break;
            }
            chain.push(*consumer);
            port = PortRef {
                node: *consumer,
                port: 0,
            };
        }
        chain
    }
}

/// The place where one operator is built.
pub struct Site<'a, 's> {
    compiler: &'a mut Compiler<'s>,
    /// None once the operator is installed.
    builder: Option<OperatorBuilder<'s, Time>>,
    pub(crate) node: NodeId,
    pub(crate) worker: Rc<WorkerContext>,
    produced: Vec<Changes>,
}

impl<'a, 's> Site<'a, 's> {
    fn new(compiler: &'a mut Compiler<'s>, node: NodeId) -> Self {
        let name = compiler.graph.nodes()[node].name.clone();
        Site {
            builder: Some(OperatorBuilder::new(name, compiler.scope)),
            worker: compiler.worker.clone(),
            node,
            compiler,
            produced: Vec::new(),
        }
    }

    fn builder(&mut self) -> &mut OperatorBuilder<'s, Time> {
        self.builder
            .as_mut()
            .expect("an operator is installed last")
    }

    fn address(&self) -> Rc<[usize]> {
        let builder = self.builder.as_ref();
        builder
            .expect("an operator is installed last")
            .operator_info()
            .address
    }

    pub(crate) fn route_context(&self) -> super::step::RouteContext {
        super::step::route_context(&self.worker)
    }

    pub(crate) fn inputs(&self) -> usize {
        self.compiler.graph.nodes()[self.node].inputs.len()
    }

    pub(crate) fn receiver<T: Data>(&mut self, index: usize, route: Route<T>) -> Receiver<T> {
        let from = self.compiler.graph.nodes()[self.node].inputs[index].from;
        let stream = self.compiler.stream::<T>(from);
        Receiver::connect(self.builder(), stream, route)
    }

    pub(crate) fn input<T: Data>(&mut self, index: usize, route: Route<T>) -> Inlet<T> {
        Inlet::new(self.receiver(index, route))
    }

    /// The head of what is behind an output: chained steps, then a channel.
    pub(crate) fn emitter<T: Data>(
        &mut self,
        port: usize,
        connected: &[usize],
    ) -> Box<dyn Emit<T>> {
        let own = PortRef {
            node: self.node,
            port,
        };
        self.emitter_of(own, connected)
    }

    /// The head of what is behind an output of this operator or of a step that is chained to it.
    fn emitter_of<T: Data>(&mut self, own: PortRef, connected: &[usize]) -> Box<dyn Emit<T>> {
        let chain = self.compiler.chain_behind(own);
        let last = chain.last().map_or(own, |node| PortRef {
            node: *node,
            port: 0,
        });
        let nodes = self.compiler.graph.nodes();
        let open = nodes[last.node].ports[last.port]
            .open
            .open(self.builder(), connected);
        let open = open
            .downcast::<OpenPort>()
            .expect("ports are opened by this crate");
        self.produced.push(open.produced);
        let left = self.compiler.consumers.get(&last).map_or(0, Vec::len);
        let stream = PortStream {
            parts: Some(open.stream),
            left,
        };
        self.compiler.streams.insert(last, stream);
        let mut emit = open.emit;
        for node in chain.iter().rev() {
            let Build::Step(step) = &nodes[*node].build else {
                unreachable!("only steps are chained");
            };
            let faults = self.faults_of(*node, connected);
            emit = step.chain(emit, faults, &WorkerParts(&self.worker));
        }
        *emit
            .downcast::<Box<dyn Emit<T>>>()
            .expect("an output is opened with the type it was declared with")
    }

    /// What this operator does with records that it cannot process.
    pub(crate) fn faults(&mut self, connected: &[usize]) -> Faults {
        self.faults_of(self.node, connected)
    }

    fn faults_of(&mut self, node: NodeId, connected: &[usize]) -> Faults {
        let declared = &self.compiler.graph.nodes()[node];
        let policy = declared.error_policy;
        let port = declared.dead_letters.map(|port| PortRef { node, port });
        let port = port.filter(|port| self.compiler.consumers.contains_key(port));
        let letters = port.map(|port| Output::new(self.emitter_of(port, connected)));
        Faults::new(node, policy, letters, &self.worker)
    }

    pub(crate) fn output<T: Data>(&mut self, port: usize, connected: &[usize]) -> Output<T> {
        Output::new(self.emitter(port, connected))
    }

    /// Declares that this operator is an end of the job: flow control looks at its progress.
    pub(crate) fn end_of_job(&mut self) {
        let port = PortRef {
            node: self.node,
            port: 0,
        };
        self.compiler.ends.push(port);
        if let Some(stream) = self.compiler.streams.get_mut(&port) {
            stream.left = 1;
        }
    }

    pub(crate) fn produced(&self) -> Vec<Changes> {
        self.produced.clone()
    }

    pub(crate) fn path(&self) -> Vec<usize> {
        self.address().to_vec()
    }

    pub(crate) fn activator(&self) -> Activator {
        self.compiler.scope.activator_for(self.address())
    }

    pub(crate) fn alarm(&self) -> Alarm {
        Alarm::new(&self.worker.alarms, self.activator())
    }

    pub(crate) fn waker(&self) -> crate::source::Waker {
        super::context::operator_waker(self.compiler.scope.worker(), &self.path())
    }

    /// Installs the operator's turn. An error ends the job; the operator is not run again.
    pub(crate) fn run(
        mut self,
        mut turn: impl FnMut(&mut SharedProgress<Time>) -> Result<()> + 'static,
    ) {
        let worker = self.worker.clone();
        worker.clock.on_moved(&mut || self.waker());
        let metrics = worker.registry.operator(self.node, worker.worker);
        let mut meter = worker.config.measure.then(|| BusyMeter::new(metrics));
        let mut failed = false;
        let builder = self.builder.take().expect("an operator is installed once");
        builder.build(move |progress| {
            if failed || worker.halted.get() {
                return false;
            }
            worker.ran.set(true);
            let began = meter.as_mut().and_then(|m| m.begin(worker.now_ns()));
            if let Err(error) = turn(progress) {
                failed = true;
                worker.fail(worker.running.node.get(), error);
            }
            if let Some(meter) = &mut meter {
                meter.end(began);
            }
            false
        });
    }
}

/// Timely panics when a place it has given is left empty, and that would hide the error for which it
/// was: an operator that cannot be built becomes one that does nothing.
impl Drop for Site<'_, '_> {
    fn drop(&mut self) {
        if let Some(builder) = self.builder.take()
            && !std::thread::panicking()
        {
            builder.build(|_| false);
        }
    }
}

/// A side output in the hands of an operator: what it puts in travels with its other results.
pub struct SideOutput<T> {
    shared: Rc<RefCell<Output<T>>>,
    read: bool,
}

impl<T> Clone for SideOutput<T> {
    fn clone(&self) -> Self {
        SideOutput {
            shared: self.shared.clone(),
            read: self.read,
        }
    }
}

impl<T: 'static> SideOutput<T> {
    /// A side output in front of `emit`, for running an operator without a worker.
    pub fn detached(emit: Box<dyn Emit<T>>) -> Self {
        SideOutput {
            shared: Rc::new(RefCell::new(Output::new(emit))),
            read: true,
        }
    }

    /// A side output that nobody reads.
    pub fn unread() -> Self {
        SideOutput {
            shared: Rc::new(RefCell::new(Output::new(Box::new(Discard)))),
            read: false,
        }
    }

    /// Whether anyone reads it.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Puts out `value` with event time `time`.
    pub fn push(&self, time: crate::time::EventTime, value: T) {
        if self.read {
            self.shared.borrow_mut().push(time, value);
        }
    }

    /// Hands on what is buffered, for an operator without a worker: drivers do it by themselves.
    pub fn flush(&self) {
        // Whoever reads it sees the errors.
        let _ = self.shared.borrow_mut().flush();
    }

    /// The same output as its driver keeps it.
    pub(crate) fn port(&self) -> Rc<RefCell<dyn SidePort>> {
        self.shared.clone()
    }
}

/// What is to become of the side outputs of an operator that is made outside of a job: by port, a function that
/// makes a [`SideOutput`].
#[derive(Default)]
pub struct SideCatch(HashMap<usize, Box<dyn Any>>);

type MakeSide<T> = Box<dyn Fn() -> SideOutput<T>>;

impl SideCatch {
    /// What `make` returns takes the place of the side output behind `port`.
    pub fn catch<T: 'static>(&mut self, port: PortRef, make: impl Fn() -> SideOutput<T> + 'static) {
        let make: MakeSide<T> = Box::new(make);
        self.0.insert(port.port, Box::new(make));
    }
}

/// Makes the side outputs of an operator while it is built.
pub struct SideMaker<'m, 'a, 's> {
    place: Place<'m, 'a, 's>,
    sides: Sides,
}

/// Where an operator is made.
enum Place<'m, 'a, 's> {
    InJob(&'m mut Site<'a, 's>),
    Outside(Option<&'m SideCatch>),
}

impl<'m, 'a, 's> SideMaker<'m, 'a, 's> {
    pub(crate) fn new(site: &'m mut Site<'a, 's>) -> Self {
        SideMaker {
            place: Place::InJob(site),
            sides: Sides::new(),
        }
    }

    /// Makes side outputs that nobody reads, for an operator outside of a job.
    pub fn detached() -> Self {
        SideMaker {
            place: Place::Outside(None),
            sides: Sides::new(),
        }
    }

    /// Makes the side outputs that `catch` names, for an operator outside of a job.
    pub fn caught(catch: &'m SideCatch) -> Self {
        SideMaker {
            place: Place::Outside(Some(catch)),
            sides: Sides::new(),
        }
    }

    /// The side output behind port `port`. Ports are asked for once each, in rising order.
    pub fn side<T: Data>(&mut self, port: usize) -> SideOutput<T> {
        let site = match &mut self.place {
            Place::InJob(site) => site,
            Place::Outside(catch) => {
                let caught = catch.and_then(|catch| catch.0.get(&port));
                let make = caught.and_then(|make| make.downcast_ref::<MakeSide<T>>());
                return make.map_or_else(SideOutput::unread, |make| make());
            }
        };
        let own = PortRef {
            node: site.node,
            port,
        };
        if !site.compiler.consumers.contains_key(&own) {
            return SideOutput::unread();
        }
        let side = SideOutput::detached(site.emitter::<T>(port, &[]));
        self.sides.push(side.port());
        side
    }

    pub(crate) fn into_sides(self) -> Sides {
        self.sides
    }
}
