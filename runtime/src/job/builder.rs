//! Builds a job graph: what the operators crate puts its typed streams on.

use crate::dead_letter::{DeadLetter, ErrorPolicy};
use crate::driver::{
    MakeRoute, OperatorFactory, RouteContext, SideMaker, SinkFactory, Site, SourceFactory, Step,
    TypedStep, common_states, forward, one_input, two_input,
};
use crate::error::Result;
use crate::graph::{Build, Exchange, Graph, Input, NewNode, NodeKind, TypedPort};
use crate::operator::{BoxedOperator, BoxedTwoInput, Operator, OperatorCore, TwoInputOperator};
use crate::record::Data;
use crate::sink::Sink;
use crate::source::Source;
use crate::state::StateDescriptor;
use crate::watermark::WatermarkStrategy;
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// A job graph under construction. Clones share the graph.
#[derive(Clone)]
pub struct Builder(Rc<RefCell<Graph>>);

/// An input of a new node: a port, and how records travel from it.
pub struct Edge<T> {
    from: TypedPort<T>,
    exchange: Exchange,
    route: MakeRoute<T>,
}

impl<T: Data> Edge<T> {
    /// Records stay on their worker.
    pub fn forward(from: TypedPort<T>) -> Self {
        Edge {
            from,
            exchange: Exchange::Forward,
            route: forward(),
        }
    }

    /// Records travel as `route` says, which explanations call `exchange`.
    pub fn routed(from: TypedPort<T>, exchange: Exchange, route: MakeRoute<T>) -> Self {
        Edge {
            from,
            exchange,
            route,
        }
    }

    fn input(&self) -> Input {
        Input {
            from: self.from.port,
            exchange: self.exchange,
        }
    }
}

impl Builder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Builder(Rc::new(RefCell::new(Graph::new(name))))
    }

    /// Checks that two streams that are to come together belong to one job.
    ///
    /// # Panics
    /// When they do not: a stream of another job has no meaning here.
    pub fn assert_same(&self, other: &Builder) {
        assert!(
            Rc::ptr_eq(&self.0, &other.0),
            "a stream of job \"{}\" cannot be used in job \"{}\"",
            other.0.borrow().name,
            self.0.borrow().name
        );
    }

    /// A copy of the graph as it is now.
    pub fn graph(&self) -> Graph {
        self.0.borrow().clone()
    }

    /// Gives the operator behind a port another name.
    pub fn set_name<T>(&self, port: TypedPort<T>, name: impl Into<String>) {
        self.0.borrow_mut().set_name(port.port.node, name);
    }

    /// Gives the operator behind a port its stable name.
    pub fn set_uid<T>(&self, port: TypedPort<T>, uid: impl Into<String>) {
        self.0.borrow_mut().set_uid(port.port.node, uid);
    }

    /// Says that the operator behind a port cannot run as it is set up: the job will not start, and its error
    /// names the operator and this reason. The first reason stands.
    pub fn refuse<T>(&self, port: TypedPort<T>, reason: impl Into<String>) {
        self.0.borrow_mut().refuse(port.port.node, reason.into());
    }

    /// Says that something in the settings of the operator behind a port is hardly meant: it goes to the log when
    /// the job starts.
    pub fn warn<T>(&self, port: TypedPort<T>, warning: impl Into<String>) {
        self.0.borrow_mut().warn(port.port.node, warning.into());
    }

    fn add<T: Data>(&self, node: NewNode) -> TypedPort<T> {
        let mut graph = self.0.borrow_mut();
        let id = graph.add(node);
        graph.add_port(id, "out")
    }

    /// Adds a side output to the operator behind a port.
    pub fn side<T: Data, L: Data>(&self, port: TypedPort<T>, name: &str) -> TypedPort<L> {
        self.0.borrow_mut().add_port(port.port.node, name)
    }

    /// Says what the operator behind a port does with a record that it cannot process.
    pub fn set_error_policy<T>(&self, port: TypedPort<T>, policy: ErrorPolicy) {
        self.0.borrow_mut().set_error_policy(port.port.node, policy);
    }

    /// The dead letters of the operator behind a port, which from now on sends there what it cannot
    /// process.
    pub fn dead_letters<T>(&self, port: TypedPort<T>) -> TypedPort<DeadLetter> {
        let mut graph = self.0.borrow_mut();
        graph.set_error_policy(port.port.node, ErrorPolicy::DeadLetter);
        graph.dead_letters(port.port.node)
    }

    /// The dead letters of every operator so far whose policy is [`ErrorPolicy::DeadLetter`].
    pub fn all_dead_letters(&self) -> Vec<TypedPort<DeadLetter>> {
        let mut graph = self.0.borrow_mut();
        let nodes = graph.nodes().iter().enumerate();
        let dead: Vec<_> = nodes
            .filter(|(_, node)| node.error_policy == ErrorPolicy::DeadLetter)
            .map(|(id, _)| id)
            .collect();
        dead.into_iter().map(|id| graph.dead_letters(id)).collect()
    }

    /// Adds a source; without a strategy its records keep the times that it gives them, and the
    /// watermark stands still until it has ended.
    pub fn source<S: Source>(
        &self,
        name: impl Into<String>,
        source: S,
        strategy: Option<WatermarkStrategy<S::Item>>,
    ) -> TypedPort<S::Item> {
        let mut details = source.describe();
        if let Some(strategy) = &strategy {
            details = format!("{details}, event time {}", strategy.describe());
        }
        let refusal = strategy.as_ref().and_then(|strategy| strategy.refusal());
        let factory = SourceFactory {
            source: Arc::new(source),
            strategy,
        };
        let port = self.add(NewNode {
            name: name.into(),
            kind: NodeKind::Source,
            details,
            inputs: Vec::new(),
            build: Build::Operator(Arc::new(factory)),
        });
        if let Some(reason) = refusal {
            self.refuse(port, reason);
        }
        port
    }

    /// Adds a stateless step; `make` is called on each worker.
    pub fn step<A: Data, B: Data, S: Step<A, B>>(
        &self,
        name: impl Into<String>,
        edges: Vec<Edge<A>>,
        make: impl Fn(&RouteContext) -> S + Send + Sync + 'static,
    ) -> TypedPort<B> {
        let inputs = edges.iter().map(Edge::input).collect();
        let route = edges
            .into_iter()
            .next()
            .map_or_else(forward, |edge| edge.route);
        let factory = TypedStep {
            make,
            route,
            marker: PhantomData,
        };
        self.add(NewNode {
            name: name.into(),
            kind: NodeKind::Step,
            details: String::new(),
            inputs,
            build: Build::Step(Arc::new(factory)),
        })
    }

    /// Adds an operator with one input; `make` is called on each worker, with a maker for the side
    /// outputs that [`side`](Self::side) declares.
    pub fn operator<O: Operator>(
        &self,
        name: impl Into<String>,
        details: impl Into<String>,
        edge: Edge<O::In>,
        make: impl Fn(&mut SideMaker<'_, '_, '_>) -> O + Send + Sync + 'static,
    ) -> TypedPort<O::Out> {
        let inputs = vec![edge.input()];
        let factory = OneInputFactory {
            make,
            route: edge.route,
        };
        self.add(NewNode {
            name: name.into(),
            kind: NodeKind::Operator,
            details: details.into(),
            inputs,
            build: Build::Operator(Arc::new(factory)),
        })
    }

    /// Adds an operator with two inputs.
    pub fn two_input<O: TwoInputOperator>(
        &self,
        name: impl Into<String>,
        details: impl Into<String>,
        left: Edge<O::Left>,
        right: Edge<O::Right>,
        make: impl Fn(&mut SideMaker<'_, '_, '_>) -> O + Send + Sync + 'static,
    ) -> TypedPort<O::Out> {
        let inputs = vec![left.input(), right.input()];
        let factory = TwoInputFactory {
            make,
            left: left.route,
            right: right.route,
        };
        self.add(NewNode {
            name: name.into(),
            kind: NodeKind::Operator,
            details: details.into(),
            inputs,
            build: Build::Operator(Arc::new(factory)),
        })
    }

    /// Adds a sink.
    pub fn sink<S: Sink>(
        &self,
        name: impl Into<String>,
        edge: Edge<S::Item>,
        sink: S,
    ) -> TypedPort<()> {
        let inputs = vec![edge.input()];
        let details = sink.describe();
        let factory = SinkFactory {
            sink: Arc::new(sink),
            route: edge.route,
        };
        self.add(NewNode {
            name: name.into(),
            kind: NodeKind::Sink,
            details,
            inputs,
            build: Build::Operator(Arc::new(factory)),
        })
    }
}

fn states_of<O: OperatorCore>(operator: &mut O) -> Vec<StateDescriptor> {
    let mut states = common_states();
    operator.states(&mut |state| states.push(state.descriptor().clone()));
    states
}

struct OneInputFactory<F, A> {
    make: F,
    route: MakeRoute<A>,
}

impl<F, O> OperatorFactory for OneInputFactory<F, O::In>
where
    F: Fn(&mut SideMaker<'_, '_, '_>) -> O + Send + Sync,
    O: Operator,
{
    fn states(&self) -> Vec<StateDescriptor> {
        states_of(&mut (self.make)(&mut SideMaker::detached()))
    }

    fn detached(&self, sides: &mut SideMaker<'_, '_, '_>) -> Option<Box<dyn Any>> {
        let operator: BoxedOperator<O::In, O::Out> = Box::new((self.make)(sides));
        Some(Box::new(operator))
    }

    fn build(&self, site: Site<'_, '_>) -> Result<()> {
        let route = (self.route)(&site.route_context());
        one_input::build(site, &self.make, route)
    }
}

struct TwoInputFactory<F, A, B> {
    make: F,
    left: MakeRoute<A>,
    right: MakeRoute<B>,
}

impl<F, O> OperatorFactory for TwoInputFactory<F, O::Left, O::Right>
where
    F: Fn(&mut SideMaker<'_, '_, '_>) -> O + Send + Sync,
    O: TwoInputOperator,
{
    fn states(&self) -> Vec<StateDescriptor> {
        states_of(&mut (self.make)(&mut SideMaker::detached()))
    }

    fn detached(&self, sides: &mut SideMaker<'_, '_, '_>) -> Option<Box<dyn Any>> {
        let operator: BoxedTwoInput<O::Left, O::Right, O::Out> = Box::new((self.make)(sides));
        Some(Box::new(operator))
    }

    fn build(&self, site: Site<'_, '_>) -> Result<()> {
        let context = site.route_context();
        let (left, right) = ((self.left)(&context), (self.right)(&context));
        two_input::build(site, &self.make, left, right)
    }
}
