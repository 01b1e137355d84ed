//! Everything that can go wrong before the first record flows: settings, graph, checkpoint, inputs.

use super::control::JobDescription;
use crate::checkpoint::{
    CheckpointStore, DirectoryStore, PartInfo, PartWriter, Restored, Start, StartFrom, Which,
    match_states, next_checkpoint,
};
use crate::clock::{SharedClock, SteadyClock, SystemClock};
use crate::config::{JobConfig, Resume};
use crate::driver::AnyEnumerator;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Build, Graph, NodeId, NodeKind};
use crate::metrics::Registry;
use crate::source::Waker;
use crate::time::CheckpointId;
use std::path::{Path, PathBuf};
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
    /// What it starts from, when that is not its newest checkpoint.
    started_from: Option<StartFrom>,
    /// What was written of that before, once it is replaced.
    earlier_start: OnceLock<Option<Start>>,
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
        let (restored, started_from) = open_restored(&config, store.as_deref())?;
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
            started_from,
            earlier_start: OnceLock::new(),
            store,
            first_period,
        })
    }

    /// Makes durable what the job starts from, when it is not the newest checkpoint. To be called when sources
    /// and sinks can be opened and before any sink begins.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it cannot be written.
    pub fn choose_start(&self) -> Result<()> {
        let (Some(store), Some(from)) = (&self.store, &self.started_from) else {
            return Ok(());
        };
        // One that is damaged is replaced: this choice does not depend on it.
        let earlier = Start::load(store.as_ref()).unwrap_or_default();
        Start::new(self.first_period, from.clone()).publish(store.as_ref())?;
        let _ = self.earlier_start.set(earlier);
        Ok(())
    }

    /// The job could not be built, so nothing began: what it started from is as it was before.
    pub fn undo_start(&self) {
        if let (Some(store), Some(earlier)) = (&self.store, self.earlier_start.get())
            && let Err(error) = Start::undo(earlier.as_ref(), store.as_ref())
        {
            tracing::error!(%error, "a start that failed stays the last one");
        }
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

/// What the job starts from, and, when that is not its newest checkpoint, the choice to be made durable.
fn open_restored(
    config: &JobConfig,
    store: Option<&dyn CheckpointStore>,
) -> Result<(Option<Restored>, Option<StartFrom>)> {
    match (&config.resume, store) {
        (Resume::Fresh, _) => Ok((None, Some(StartFrom::Beginning))),
        (Resume::Latest, None) => Ok((None, None)),
        (Resume::Latest, Some(store)) => Ok((open_latest(store)?, None)),
        (Resume::Checkpoint(id), Some(store)) => {
            let restored = Restored::open(store, Which::Id(*id))?;
            Ok((restored, Some(StartFrom::Checkpoint(*id))))
        }
        (Resume::Checkpoint(_), None) => Ok((None, None)), // refused by the configuration's check
        (Resume::Savepoint(path), _) => {
            let restored = open_latest(&DirectoryStore::open_existing(path)?)?;
            let from = match &restored {
                None => StartFrom::Beginning,
                Some(restored) => StartFrom::Savepoint {
                    directory: absolute(path)?,
                    checkpoint: restored.checkpoint(),
                },
            };
            Ok((restored, Some(from)))
        }
    }
}

/// The newest checkpoint, or what the job was last started from if it has completed none since.
fn open_latest(store: &dyn CheckpointStore) -> Result<Option<Restored>> {
    match Start::in_force(store)? {
        None => Restored::open(store, Which::Latest),
        Some(StartFrom::Beginning) => Ok(None),
        Some(StartFrom::Checkpoint(id)) => Restored::open(store, Which::Id(id)),
        Some(StartFrom::Savepoint {
            directory,
            checkpoint,
        }) => DirectoryStore::open_existing(&directory)
            .and_then(|store| Restored::open(&store, Which::Id(checkpoint)))
            .map_err(|error| {
                let from = directory.display();
                error.within(format!("the job was last started from {from}"))
            }),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(ErrorKind::Config, format!("resume {}", path.display())).with_source(error)
    })
}
