//! Everything that can go wrong before the first record flows: settings, graph, checkpoint, inputs.

use super::control::JobDescription;
use crate::checkpoint::{
    CheckpointStore, DirectoryStore, PartInfo, PartWriter, Restored, Which, match_states,
    next_checkpoint,
};
use crate::clock::{SharedClock, SteadyClock, SystemClock};
use crate::config::{JobConfig, Resume};
use crate::driver::AnyEnumerator;
use crate::error::Result;
use crate::graph::{Build, Graph, NodeId, NodeKind};
use crate::metrics::Registry;
use crate::source::Waker;
use crate::time::CheckpointId;
use std::sync::{Arc, OnceLock};

/// What a caller may put in the place of the machine's own.
#[derive(Default)]
pub struct Options {
    /// The clock; default: the machine's.
    pub clock: Option<SharedClock>,
    /// The checkpoint store; default: the configured directory.
    pub store: Option<Arc<dyn CheckpointStore>>,
}

/// A source's enumerator, before its first discovery.
pub(crate) struct SourceEnumerator {
    pub node: NodeId,
    pub name: String,
    pub uid: String,
    pub enumerator: Box<dyn AnyEnumerator>,
}

/// A job that is ready to start.
pub(crate) struct Prepared {
    pub graph: Arc<Graph>,
    pub config: Arc<JobConfig>,
    pub clock: SharedClock,
    pub registry: Arc<Registry>,
    pub store: Option<Arc<dyn CheckpointStore>>,
    pub restored: Option<Arc<Restored>>,
    pub names: Arc<Vec<String>>,
    pub uids: Arc<Vec<String>>,
    pub description: JobDescription,
    pub first_period: CheckpointId,
}

impl Prepared {
    pub fn new(graph: Graph, config: JobConfig, options: Options) -> Result<Self> {
        config.validate()?;
        graph.validate()?;
        for node in graph.nodes() {
            for warning in &node.warnings {
                tracing::warn!(job = graph.name, operator = node.name, "{warning}");
            }
        }
        let uids = graph.uids()?;
        let store = open_store(&config, options.store)?;
        let restored = open_restored(&config, store.as_deref())?;
        let operators: Vec<_> = graph
            .nodes()
            .iter()
            .zip(&uids)
            .map(|(node, uid)| (uid.clone(), node.name.clone(), node.states()))
            .collect();
        if let Some(restored) = &restored {
            let states: Vec<_> = operators
                .iter()
                .map(|(uid, _, states)| (uid.clone(), states.clone()))
                .collect();
            match_states(
                &states,
                config.max_parallelism,
                restored,
                config.allow_dropped_state,
            )?;
        }
        let after = restored.as_ref().map_or(0, |r| r.checkpoint()) + 1;
        let first_period = match &store {
            Some(store) => next_checkpoint(store.as_ref())?.max(after),
            None => after,
        };
        Ok(Prepared {
            names: Arc::new(graph.nodes().iter().map(|n| n.name.clone()).collect()),
            uids: Arc::new(uids),
            description: JobDescription {
                name: graph.name.clone(),
                fingerprint: graph.fingerprint(),
                sources: graph
                    .nodes()
                    .iter()
                    .filter(|n| n.kind == NodeKind::Source)
                    .count(),
                operators,
            },
            graph: Arc::new(graph),
            config: Arc::new(config),
            clock: match options.clock {
                Some(clock) => Arc::new(SteadyClock::new(clock)),
                None => SystemClock::shared(), // steady by itself
            },
            registry: Arc::default(),
            restored: restored.map(Arc::new),
            store,
            first_period,
        })
    }

    /// Opens sinks and sources, in this order: what cannot be written need not be read.
    pub fn enumerators(&self) -> Result<Vec<SourceEnumerator>> {
        let mut enumerators = Vec::new();
        let sinks_first = |kind: NodeKind| u8::from(kind == NodeKind::Source);
        let mut order: Vec<NodeId> = (0..self.graph.nodes().len()).collect();
        order.sort_by_key(|id| sinks_first(self.graph.nodes()[*id].kind));
        for id in order {
            let node = &self.graph.nodes()[id];
            let Build::Operator(factory) = &node.build else {
                continue;
            };
            let prepared = factory
                .prepare()
                .map_err(|error| error.within(format!("operator \"{}\"", node.name)))?;
            if let Some(enumerator) = prepared {
                enumerators.push(SourceEnumerator {
                    node: id,
                    name: node.name.clone(),
                    uid: self.uids[id].clone(),
                    enumerator,
                });
            }
        }
        Ok(enumerators)
    }

    /// The thread that writes the checkpoints of a worker.
    pub fn part_writer(
        &self,
        worker: usize,
        waker: Arc<OnceLock<Waker>>,
    ) -> Result<Option<PartWriter>> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let info = PartInfo {
            job: self.graph.name.clone(),
            worker: worker as u32,
            workers: self.config.workers as u32,
            groups: self.config.max_parallelism,
        };
        let wake = Waker::new(move || {
            if let Some(waker) = waker.get() {
                waker.wake();
            }
        });
        PartWriter::spawn(store.clone(), info, wake).map(Some)
    }
}

fn open_store(
    config: &JobConfig,
    given: Option<Arc<dyn CheckpointStore>>,
) -> Result<Option<Arc<dyn CheckpointStore>>> {
    if given.is_some() {
        return Ok(given);
    }
    match &config.checkpoint_dir {
        Some(dir) => Ok(Some(Arc::new(DirectoryStore::open_locked(dir)?))),
        None => Ok(None),
    }
}

fn open_restored(
    config: &JobConfig,
    store: Option<&dyn CheckpointStore>,
) -> Result<Option<Restored>> {
    match (&config.resume, store) {
        (Resume::Fresh, _) | (Resume::Latest, None) => Ok(None),
        (Resume::Latest, Some(store)) => Restored::open(store, Which::Latest),
        (Resume::Checkpoint(id), Some(store)) => Restored::open(store, Which::Id(*id)),
        (Resume::Checkpoint(_), None) => Ok(None), // refused by the configuration's check
        (Resume::Savepoint(path), _) => {
            let store = DirectoryStore::open_existing(path)?;
            Restored::open(&store, Which::Latest)
        }
    }
}
