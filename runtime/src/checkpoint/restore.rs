//! What a job starts from: a checkpoint, read as a whole, checked, and indexed by state.
//!
//! The rule of restoring: the blocks of one state, shard and writing worker form a chain. A full block begins
//! the chain anew, a delta goes on top. Blobs count only when they are of the checkpoint itself.
//! Chains of different writers hold different keys, so the order among them means nothing.

use super::block::{BlockKind, Entries};
use super::format::{PartBlock, PartReader};
use super::manifest::{Manifest, PartFile};
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{BlockView, StateDescriptor};
use crate::time::CheckpointId;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Which checkpoint to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest complete one.
    Latest,
    /// This one.
    Id(CheckpointId),
}

/// A checkpoint that was read and found sound.
pub struct Restored {
    manifest: Manifest,
    /// The bytes of the manifest's parts, in its order.
    parts: Vec<Vec<u8>>,
    /// By uid and name of the state.
    index: BTreeMap<String, BTreeMap<String, StateIndex>>,
}

/// What a checkpoint holds of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSummary {
    /// The operator.
    pub uid: String,
    /// The state, as it was written last.
    pub descriptor: StateDescriptor,
    /// How many keys it has; for state without keys, how many workers wrote one.
    pub keys: usize,
    /// How many bytes a restore reads for it.
    pub bytes: u64,
}

#[derive(Default)]
struct StateIndex {
    descriptors: Vec<StateDescriptor>,
    /// By writer and shard; each from its newest full block on.
    chains: BTreeMap<(u32, u32), Vec<Location>>,
    blobs: Vec<Location>,
}

/// Where a block is.
struct Location {
    part: usize,
    descriptor: usize,
    kind: BlockKind,
    shard: u32,
    payload: Range<usize>,
}

impl Restored {
    /// Reads and checks a checkpoint; none when the store has none at all and the latest is asked for.
    ///
    /// Reads every part into memory: the size of the state, and about as much again in deltas.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the file that is damaged or missing, and the newest other
    /// checkpoint that is sound, with the flag that chooses it.
    pub fn open(store: &dyn CheckpointStore, which: Which) -> Result<Option<Restored>> {
        let there = Manifest::list(store)?;
        let checkpoint = match which {
            Which::Id(checkpoint) if !there.contains(&checkpoint) => {
                return Err(missing(store, checkpoint, &there));
            }
            Which::Id(checkpoint) => checkpoint,
            Which::Latest => match there.first() {
                Some(newest) => *newest,
                None => return Ok(None),
            },
        };
        match Restored::load(store, checkpoint) {
            Ok(restored) => Ok(Some(restored)),
            Err(error) => Err(error.within(advice(store, checkpoint, &there))),
        }
    }

    fn load(store: &dyn CheckpointStore, checkpoint: CheckpointId) -> Result<Restored> {
        let mut manifest = Manifest::load(store, checkpoint)?;
        manifest
            .parts
            .sort_by_key(|part| (part.checkpoint, part.worker));
        let mut restored = Restored {
            manifest,
            parts: Vec::new(),
            index: BTreeMap::new(),
        };
        for at in 0..restored.manifest.parts.len() {
            let bytes = read_part(store, &restored.manifest.parts[at])?;
            restored.add_part(at, &bytes)?;
            restored.parts.push(bytes);
        }
        restored.check_chains()?;
        Ok(restored)
    }

    fn add_part(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let part = self.manifest.parts[at].clone();
        let mut reader = PartReader::new(&part.name, bytes)?;
        check_header(&self.manifest, &part, &reader)?;
        let mut blocks = 0;
        for block in &mut reader {
            self.add_block(at, &part, &block?);
            blocks += 1;
        }
        if blocks != part.blocks {
            return Err(mismatch(&part, "block count", blocks, part.blocks));
        }
        Ok(())
    }

    fn add_block(&mut self, at: usize, part: &PartFile, block: &PartBlock<'_>) {
        if block.kind == BlockKind::Blob && part.checkpoint != self.manifest.checkpoint {
            return;
        }
        let states = self.index.entry(block.uid.to_owned()).or_default();
        let state = states.entry(block.state.to_owned()).or_default();
        let location = Location {
            part: at,
            descriptor: state.descriptor(block),
            kind: block.kind,
            shard: block.shard,
            payload: block.offset..block.offset + block.payload.len(),
        };
        if block.kind == BlockKind::Blob {
            state.blobs.push(location);
            return;
        }
        let chain = state.chains.entry((part.worker, block.shard)).or_default();
        if block.kind == BlockKind::Full {
            chain.clear();
        }
        chain.push(location);
    }

    /// A chain without a full block lacks whatever did not change since: better no restore than half a
    /// state.
    fn check_chains(&self) -> Result<()> {
        for (uid, name, state) in self.each_state() {
            for ((worker, shard), chain) in &state.chains {
                if chain
                    .first()
                    .is_some_and(|first| first.kind != BlockKind::Full)
                {
                    return Err(Error::new(
                        ErrorKind::Restore,
                        format!(
                            "checkpoint {}: state \"{name}\" of operator \"{uid}\" has changes of \
                             shard {shard} by worker {worker}, but no part has the whole shard",
                            self.manifest.checkpoint
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    fn each_state(&self) -> impl Iterator<Item = (&str, &str, &StateIndex)> {
        self.index.iter().flat_map(|(uid, states)| {
            let of_uid = move |(name, state)| (uid.as_str(), String::as_str(name), state);
            states.iter().map(of_uid)
        })
    }

    /// Its manifest, the parts oldest first.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its number.
    pub fn checkpoint(&self) -> CheckpointId {
        self.manifest.checkpoint
    }

    /// The operators it holds state of, sorted.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The names of the states of one operator, sorted.
    pub fn state_names(&self, uid: &str) -> impl Iterator<Item = &str> {
        self.index
            .get(uid)
            .into_iter()
            .flat_map(|states| states.keys().map(String::as_str))
    }

    /// The blocks of a state in the order to apply them; empty when it holds none. Every worker is shown all
    /// of them and takes the keys that it owns.
    pub fn blocks(&self, uid: &str, state: &str) -> Vec<BlockView<'_>> {
        let Some(state) = self.index.get(uid).and_then(|states| states.get(state)) else {
            return Vec::new();
        };
        state
            .locations()
            .map(|location| self.view(state, location))
            .collect()
    }

    fn view<'a>(&'a self, state: &'a StateIndex, location: &Location) -> BlockView<'a> {
        BlockView {
            state: &state.descriptors[location.descriptor],
            kind: location.kind,
            shard: location.shard,
            payload: self.payload(location),
        }
    }

    fn payload(&self, location: &Location) -> &[u8] {
        &self.parts[location.part][location.payload.clone()]
    }

    /// Every state with its size. Counts keys, which takes a pass over all entries.
    pub fn states(&self) -> Vec<StateSummary> {
        self.each_state()
            .map(|(uid, _, state)| StateSummary {
                uid: uid.to_owned(),
                descriptor: state.newest_descriptor().clone(),
                keys: state.blobs.len()
                    + state
                        .chains
                        .values()
                        .map(|chain| self.count_keys(chain))
                        .sum::<usize>(),
                bytes: state
                    .locations()
                    .map(|location| location.payload.len() as u64)
                    .sum(),
            })
            .collect()
    }

    fn count_keys(&self, chain: &[Location]) -> usize {
        let mut keys = HashSet::new();
        for entry in chain
            .iter()
            .flat_map(|location| Entries::new(self.payload(location)))
        {
            match entry.value {
                Some(_) => keys.insert(entry.key),
                None => keys.remove(entry.key),
            };
        }
        keys.len()
    }
}

impl StateIndex {
    /// The position of the block's descriptor: nearly always there is just one.
    fn descriptor(&mut self, block: &PartBlock<'_>) -> usize {
        let same =
            |known: &StateDescriptor| known.version == block.version && known.codec == block.codec;
        self.descriptors.iter().position(same).unwrap_or_else(|| {
            self.descriptors.push(StateDescriptor {
                name: block.state.to_owned(),
                version: block.version,
                codec: block.codec.to_owned(),
            });
            self.descriptors.len() - 1
        })
    }

    fn newest_descriptor(&self) -> &StateDescriptor {
        self.descriptors
            .last()
            .expect("a state is indexed by its first block")
    }

    fn locations(&self) -> impl Iterator<Item = &Location> {
        self.chains.values().flatten().chain(&self.blobs)
    }
}

/// Reads a checkpoint and checks all of it.
///
/// # Errors
/// [`ErrorKind::Restore`], naming the file that is damaged or missing.
pub fn verify(store: &dyn CheckpointStore, checkpoint: CheckpointId) -> Result<()> {
    Restored::load(store, checkpoint).map(drop)
}

fn read_part(store: &dyn CheckpointStore, part: &PartFile) -> Result<Vec<u8>> {
    let bytes = store.read(&part.name).map_err(|error| {
        Error::new(
            ErrorKind::Restore,
            format!("read {} in {}", part.name, store.describe()),
        )
        .with_source(error)
    })?;
    if bytes.len() as u64 != part.bytes {
        return Err(mismatch(part, "length", bytes.len(), part.bytes));
    }
    if crc32fast::hash(&bytes) == part.crc {
        return Ok(bytes);
    }
    // The reader can say where the damage is, unless it is sound in itself but another file.
    PartReader::new(&part.name, &bytes)?
        .find_map(Result::err)
        .map_or_else(
            || {
                Err(mismatch(
                    part,
                    "checksum",
                    crc32fast::hash(&bytes),
                    part.crc,
                ))
            },
            Err,
        )
}

fn check_header(manifest: &Manifest, part: &PartFile, reader: &PartReader<'_>) -> Result<()> {
    let header = reader.header();
    if header.checkpoint != part.checkpoint {
        return Err(mismatch(
            part,
            "checkpoint",
            header.checkpoint,
            part.checkpoint,
        ));
    }
    for (what, found, named) in [
        ("worker", header.worker, part.worker),
        ("worker count", header.workers, manifest.workers),
        ("key group count", header.groups, manifest.max_parallelism),
    ] {
        if found != named {
            return Err(mismatch(part, what, found, named));
        }
    }
    Ok(())
}

fn mismatch<A: std::fmt::Display, B: std::fmt::Display>(
    part: &PartFile,
    what: &str,
    found: A,
    named: B,
) -> Error {
    Error::new(
        ErrorKind::Restore,
        format!(
            "{}: its {what} is {found}, the manifest says {named}",
            part.name
        ),
    )
}

fn missing(store: &dyn CheckpointStore, wanted: CheckpointId, there: &[CheckpointId]) -> Error {
    let names: Vec<String> = there.iter().map(ToString::to_string).collect();
    let others = match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    Error::new(
        ErrorKind::Restore,
        format!("no checkpoint {wanted} in {}: {others}", store.describe()),
    )
}

/// What to say in front of the error that kept `damaged` from being restored.
fn advice(store: &dyn CheckpointStore, damaged: CheckpointId, there: &[CheckpointId]) -> String {
    let place = store.describe();
    let mut others = there.iter().filter(|other| **other != damaged);
    match others.find(|other| verify(store, **other).is_ok()) {
        Some(sound) => format!(
            "checkpoint {damaged} in {place} is not sound (the newest sound one is {sound}: choose \
             it with --resume {sound})"
        ),
        None => {
            format!("checkpoint {damaged} in {place} is not sound, and there is no other that is")
        }
    }
}

#[cfg(test)]
mod tests;
