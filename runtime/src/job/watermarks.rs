//! "Who holds my watermark?": for every operator instance, what keeps its watermark from rising.

use super::report::lag_ms;
use crate::graph::{Graph, NodeId, NodeKind};
use crate::metrics::Registry;
use crate::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;

/// What holds a watermark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Nothing: the input has ended.
    Nothing,
    /// A split of a source: the slowest one that is active.
    Split {
        /// The source's name.
        source: String,
        /// The worker that reads the split.
        worker: usize,
        /// The split's id.
        split: String,
    },
    /// A source that has not been given any event time, or no active split.
    IdleSource {
        /// The source's name.
        source: String,
        /// The worker of the instance.
        worker: usize,
    },
    /// Records are still under way in an operator before this one.
    Operator {
        /// The operator's name.
        operator: String,
        /// The worker of the instance.
        worker: usize,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Nothing => f.write_str("nothing, the input has ended"),
            Holder::Split {
                source,
                worker,
                split,
            } => write!(f, "split {split} of source \"{source}\" on worker {worker}"),
            Holder::IdleSource { source, worker } => {
                write!(
                    f,
                    "source \"{source}\" on worker {worker}, which has no event time"
                )
            }
            Holder::Operator { operator, worker } => {
                write!(f, "records under way in \"{operator}\" on worker {worker}")
            }
        }
    }
}

/// The watermark of one operator instance and what holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatermarkHold {
    /// The operator's name.
    pub operator: String,
    /// Its stable name.
    pub uid: String,
    /// The worker of the instance.
    pub worker: usize,
    /// Its watermark.
    pub watermark: Watermark,
    /// How far it is behind processing time; none when there is no watermark yet or no more.
    pub lag_ms: Option<i64>,
    /// What holds it.
    pub holder: Holder,
}

/// The hold of the least watermark, of those that something holds: the one to ask about first.
pub fn slowest_hold(holds: &[WatermarkHold]) -> Option<&WatermarkHold> {
    holds
        .iter()
        .filter(|hold| hold.holder != Holder::Nothing)
        .min_by_key(|hold| hold.watermark)
}

/// Asks for every operator and sink instance.
pub(super) fn watermark_holds(
    graph: &Graph,
    uids: &[String],
    registry: &Registry,
    now_ms: EventTime,
) -> Vec<WatermarkHold> {
    let marks: HashMap<(NodeId, usize), Watermark> = registry
        .operators()
        .into_iter()
        .map(|(node, worker, metrics)| ((node, worker), metrics.watermark.get()))
        .collect();
    let mut holds = Vec::new();
    let mut instances: Vec<_> = marks.iter().collect();
    instances.sort();
    for ((node, worker), watermark) in instances {
        let kind = graph.nodes()[*node].kind;
        if kind == NodeKind::Step {
            continue;
        }
        holds.push(WatermarkHold {
            operator: graph.nodes()[*node].name.clone(),
            uid: uids[*node].clone(),
            worker: *worker,
            watermark: *watermark,
            lag_ms: lag_ms(*watermark, now_ms),
            holder: holder_of(graph, registry, &marks, *node, *watermark),
        });
    }
    holds
}

/// The sources and stateful operators before a node, itself included.
fn ancestors(graph: &Graph, node: NodeId) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    let mut open = vec![node];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(graph.nodes()[id].inputs.iter().map(|input| input.from.node));
        }
    }
    found
}

/// The slowest thing before `node`: a source split at or below its watermark, else the first operator on
/// the way that has not come further.
fn holder_of(
    graph: &Graph,
    registry: &Registry,
    marks: &HashMap<(NodeId, usize), Watermark>,
    node: NodeId,
    watermark: Watermark,
) -> Holder {
    if watermark == WATERMARK_MAX {
        return Holder::Nothing;
    }
    let before = ancestors(graph, node);
    let mut slowest: Option<(Watermark, Holder)> = None;
    for (source, worker, metrics) in registry.sources() {
        if !before.contains(&source) || metrics.finished.load(Ordering::Relaxed) {
            continue;
        }
        let name = graph.nodes()[source].name.clone();
        let active = metrics.splits().into_iter().filter(|split| {
            !split.idle.load(Ordering::Relaxed) && !split.finished.load(Ordering::Relaxed)
        });
        let candidate = match active.min_by_key(|split| split.watermark.get()) {
            Some(split) => (
                split.watermark.get(),
                Holder::Split {
                    source: name,
                    worker,
                    split: split.id.clone(),
                },
            ),
            None => (
                marks
                    .get(&(source, worker))
                    .copied()
                    .unwrap_or(WATERMARK_MIN),
                Holder::IdleSource {
                    source: name,
                    worker,
                },
            ),
        };
        if slowest
            .as_ref()
            .is_none_or(|(least, _)| candidate.0 < *least)
        {
            slowest = Some(candidate);
        }
    }
    match slowest {
        Some((least, holder)) if least <= watermark || watermark == WATERMARK_MIN => holder,
        _ => operator_holding(graph, marks, &before, node, watermark),
    }
}

/// The sources have come further: the first operator on the way that has not.
fn operator_holding(
    graph: &Graph,
    marks: &HashMap<(NodeId, usize), Watermark>,
    before: &BTreeSet<NodeId>,
    node: NodeId,
    watermark: Watermark,
) -> Holder {
    let mut instances: Vec<_> = marks.iter().collect();
    instances.sort();
    let first = instances.into_iter().find(|((id, _), mark)| {
        let kind = graph.nodes()[*id].kind;
        before.contains(id)
            && !matches!(kind, NodeKind::Step | NodeKind::Source)
            && **mark <= watermark
    });
    let (id, worker) = first.map_or((node, 0), |((id, worker), _)| (*id, *worker));
    Holder::Operator {
        operator: graph.nodes()[id].name.clone(),
        worker,
    }
}
