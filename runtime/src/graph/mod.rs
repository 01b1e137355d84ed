//! The job graph as data: nodes, ports, edges. Built once by the user's program, then explained,
//! fingerprinted, chained, matched with a checkpoint, and compiled to timely on each worker.

mod explain;

pub use explain::ExplainFormat;

use crate::dead_letter::{DeadLetter, ErrorPolicy};
use crate::driver::{OperatorFactory, PortType, SideCatch, SideMaker, StepFactory, port_type};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::StableHasher;
use crate::record::Data;
use crate::source::Split;
use crate::state::StateDescriptor;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

/// The index of a node in its graph.
pub type NodeId = usize;

/// One output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRef {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub port: usize,
}

/// An output of a node, with the type of its records.
pub struct TypedPort<T> {
    /// Which output of which node.
    pub port: PortRef,
    marker: PhantomData<fn() -> T>,
}

impl<T> Clone for TypedPort<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for TypedPort<T> {}

impl<T> TypedPort<T> {
    fn new(node: NodeId, port: usize) -> Self {
        TypedPort {
            port: PortRef { node, port },
            marker: PhantomData,
        }
    }
}

/// How records travel along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// They stay on their worker.
    Forward,
    /// To the worker that owns their key.
    Key,
    /// In turn to each worker.
    Rebalance,
    /// To the first worker.
    First,
    /// To the worker that the record names.
    Direct,
}

impl Exchange {
    /// The word that explanations use.
    pub fn word(self) -> &'static str {
        match self {
            Exchange::Forward => "forward",
            Exchange::Key => "exchange by key",
            Exchange::Rebalance => "rebalance",
            Exchange::First => "to one worker",
            Exchange::Direct => "broadcast",
        }
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Reads.
    Source,
    /// Has no state: can be chained.
    Step,
    /// Has state, time or several inputs.
    Operator,
    /// Writes.
    Sink,
}

/// An edge into a node.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Where it comes from.
    pub from: PortRef,
    /// How records travel.
    pub exchange: Exchange,
}

/// One output of a node as data.
#[derive(Clone)]
pub struct Port {
    /// `out` for the main one, or what it is for: `late`.
    pub name: String,
    /// The Rust type of its records.
    pub record_type: &'static str,
    pub(crate) open: Arc<dyn PortType>,
}

#[derive(Clone)]
pub(crate) enum Build {
    Step(Arc<dyn StepFactory>),
    Operator(Arc<dyn OperatorFactory>),
}

/// One operator of the job.
#[derive(Clone)]
pub struct Node {
    /// The name people see.
    pub name: String,
    /// The stable name its state is filed under, if the user gave one.
    pub uid: Option<String>,
    /// What it is.
    pub kind: NodeKind,
    /// Its settings in words.
    pub details: String,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs.
    pub ports: Vec<Port>,
    /// Why it cannot run as it is set up, if it cannot.
    pub refusal: Option<String>,
    /// What is legal in its settings but hardly meant; said in the log when a job starts.
    pub warnings: Vec<String>,
    /// What it does with a record that it cannot process.
    pub error_policy: ErrorPolicy,
    /// Which of its outputs has the dead letters, if any.
    pub(crate) dead_letters: Option<usize>,
    pub(crate) build: Build,
}

impl Node {
    /// What states it keeps.
    pub fn states(&self) -> Vec<StateDescriptor> {
        match &self.build {
            Build::Step(_) => Vec::new(),
            Build::Operator(factory) => factory.states(),
        }
    }

    /// The operator by itself, made anew: for running it without a job. `O` is the
    /// [`BoxedOperator`](crate::operator::BoxedOperator) or
    /// [`BoxedTwoInput`](crate::operator::BoxedTwoInput) of its types; `None` for any other, and for sources,
    /// sinks and steps.
    pub fn detached<O: 'static>(&self, sides: &SideCatch) -> Option<O> {
        let Build::Operator(factory) = &self.build else {
            return None;
        };
        let operator = factory.detached(&mut SideMaker::caught(sides))?;
        Some(*operator.downcast::<O>().ok()?)
    }
}

/// The job graph.
#[derive(Clone, Default)]
pub struct Graph {
    /// The job's name.
    pub name: String,
    nodes: Vec<Node>,
}

/// What people call the output that has an operator's dead letters.
const DEAD_LETTERS: &str = "dead letters";

/// What a new node is made of.
pub(crate) struct NewNode {
    pub name: String,
    pub kind: NodeKind,
    pub details: String,
    pub inputs: Vec<Input>,
    pub build: Build,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Graph {
            name: name.into(),
            nodes: Vec::new(),
        }
    }

    /// The nodes; each one's inputs come from nodes before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn add(&mut self, node: NewNode) -> NodeId {
        self.nodes.push(Node {
            name: node.name,
            uid: None,
            kind: node.kind,
            details: node.details,
            inputs: node.inputs,
            ports: Vec::new(),
            refusal: None,
            warnings: Vec::new(),
            error_policy: ErrorPolicy::Fail,
            dead_letters: None,
            build: node.build,
        });
        self.nodes.len() - 1
    }

    pub(crate) fn add_port<T: Data>(&mut self, node: NodeId, name: &str) -> TypedPort<T> {
        let ports = &mut self.nodes[node].ports;
        ports.push(Port {
            name: name.into(),
            record_type: std::any::type_name::<T>(),
            open: port_type::<T>(),
        });
        TypedPort::new(node, ports.len() - 1)
    }

    /// Gives a node another name.
    pub fn set_name(&mut self, node: NodeId, name: impl Into<String>) {
        self.nodes[node].name = name.into();
    }

    /// Gives a node its stable name.
    pub fn set_uid(&mut self, node: NodeId, uid: impl Into<String>) {
        self.nodes[node].uid = Some(uid.into());
    }

    /// Says that a node cannot run as it is set up. The first reason stands.
    pub(crate) fn refuse(&mut self, node: NodeId, reason: String) {
        self.nodes[node].refusal.get_or_insert(reason);
    }

    /// Says that something in a node's settings is hardly meant.
    pub(crate) fn warn(&mut self, node: NodeId, warning: String) {
        self.nodes[node].warnings.push(warning);
    }

    /// Says what a node does with a record that it cannot process.
    pub fn set_error_policy(&mut self, node: NodeId, policy: ErrorPolicy) {
        self.nodes[node].error_policy = policy;
    }

    /// The output of a node that has its dead letters, made at the first call.
    pub(crate) fn dead_letters(&mut self, node: NodeId) -> TypedPort<DeadLetter> {
        match self.nodes[node].dead_letters {
            Some(port) => TypedPort::new(node, port),
            None => {
                let port = self.add_port(node, DEAD_LETTERS);
                self.nodes[node].dead_letters = Some(port.port.port);
                port
            }
        }
    }

    /// The stable name of each node: the one given, or one derived from name and place among nodes of
    /// that name.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] when two nodes have one uid.
    pub fn uids(&self) -> Result<Vec<String>> {
        let mut seen: HashMap<String, NodeId> = HashMap::new();
        let mut count: HashMap<&str, usize> = HashMap::new();
        let mut uids = Vec::with_capacity(self.nodes.len());
        for (id, node) in self.nodes.iter().enumerate() {
            let uid = node.uid.clone().unwrap_or_else(|| {
                let nth = count.entry(&node.name).or_default();
                *nth += 1;
                if *nth == 1 {
                    node.name.clone()
                } else {
                    format!("{}-{nth}", node.name)
                }
            });
            if let Some(other) = seen.insert(uid.clone(), id) {
                return Err(Error::new(
                    ErrorKind::Graph,
                    format!(
                        "operators \"{}\" and \"{}\" have the same uid \"{uid}\": give one of them another",
                        self.nodes[other].name, node.name
                    ),
                ));
            }
            uids.push(uid);
        }
        Ok(uids)
    }

    /// Checks that the graph is sound.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`], naming the operator.
    pub fn validate(&self) -> Result<()> {
        self.uids()?;
        for node in &self.nodes {
            if let Some(reason) = &node.refusal {
                let message = format!("operator \"{}\": {reason}", node.name);
                return Err(Error::new(ErrorKind::Graph, message));
            }
        }
        let wrong = |text: &str| Err(Error::new(ErrorKind::Graph, text));
        if !self.nodes.iter().any(|n| n.kind == NodeKind::Source) {
            return wrong("the job has no source");
        }
        if !self.nodes.iter().any(|n| n.kind == NodeKind::Sink) {
            return wrong("the job has no sink: nothing would come of it");
        }
        self.validate_dead_letters()
    }

    /// Dead letters that nobody reads would be lost without a word.
    fn validate_dead_letters(&self) -> Result<()> {
        let consumers = self.consumers();
        for (id, node) in self.nodes.iter().enumerate() {
            let is_read = node
                .dead_letters
                .is_some_and(|port| consumers.contains_key(&PortRef { node: id, port }));
            if node.error_policy == ErrorPolicy::DeadLetter && !is_read {
                return Err(Error::new(
                    ErrorKind::Graph,
                    format!(
                        "nobody reads the dead letters of operator \"{}\": write them to a sink, or skip \
                         and count what fails",
                        node.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The edges out of each port: `(consumer, input index)`.
    pub fn consumers(&self) -> HashMap<PortRef, Vec<(NodeId, usize)>> {
        let mut consumers: HashMap<PortRef, Vec<(NodeId, usize)>> = HashMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            for (index, input) in node.inputs.iter().enumerate() {
                consumers.entry(input.from).or_default().push((id, index));
            }
        }
        consumers
    }

    /// For each node the node it runs inside of: a step is chained to the operator before it when
    /// it is that one's only consumer and records stay on their worker.
    pub fn chains(&self, chaining: bool) -> Vec<NodeId> {
        let consumers = self.consumers();
        let mut host: Vec<NodeId> = (0..self.nodes.len()).collect();
        for (id, node) in self.nodes.iter().enumerate() {
            let [input] = node.inputs.as_slice() else {
                continue;
            };
            let only = consumers.get(&input.from).is_some_and(|c| c.len() == 1);
            let can_host = self.nodes[input.from.node].inputs.len() < 2
                || self.nodes[input.from.node].kind != NodeKind::Step;
            if chaining
                && node.kind == NodeKind::Step
                && input.exchange == Exchange::Forward
                && only
                && can_host
            {
                host[id] = host[input.from.node];
            }
        }
        host
    }

    /// A number that is equal for equal graphs: names, uids, types and edges.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        for node in &self.nodes {
            (&node.name, &node.uid, node.kind as u8, &node.details).hash(&mut hasher);
            for port in &node.ports {
                (&port.name, port.record_type).hash(&mut hasher);
            }
            for input in &node.inputs {
                (input.from, input.exchange).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

/// What a source node remembers of one split in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SplitState {
    /// The split's id.
    pub id: String,
    /// The split, encoded.
    pub split: Vec<u8>,
    /// Where to go on; none: from the start.
    pub position: Option<Vec<u8>>,
    /// The state of its watermark generator.
    pub generator: Option<i64>,
    /// It has been read to its end.
    pub finished: bool,
}

/// The stable id of a split of any type.
pub fn split_id<S: Split>(split: &S) -> String {
    split.id()
}
