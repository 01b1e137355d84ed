//! The manifest: a text file that makes a set of parts a checkpoint.
//!
//! It is written when all its parts are durable, and atomically: a checkpoint is there when its manifest
//! is. Its last field is the checksum of all the text before it, so that it cannot be changed
//! unnoticed.

use super::sealed::{seal, unseal};
use super::store::{CheckpointStore, list as list_names, manifest_name, parse_manifest_name};
use crate::error::{Error, ErrorKind, Result};
use crate::state::StateDescriptor;
use crate::time::CheckpointId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the manifest that this code writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

/// Why a checkpoint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointKind {
    /// By the clock; it goes when newer ones take its place.
    Checkpoint,
    /// Because somebody asked for it; it stays until somebody deletes it.
    Savepoint,
    /// Because the input ended.
    Final,
}

/// A part file, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// The file's name in the store.
    pub name: String,
    /// The checkpoint it was written for.
    pub checkpoint: CheckpointId,
    /// The worker that wrote it.
    pub worker: u32,
    /// Its length.
    pub bytes: u64,
    /// The CRC-32 of the whole file.
    pub crc: u32,
    /// How many blocks it has.
    pub blocks: u32,
    /// The oldest checkpoint of which a restore has to read this worker's part as well; its own number
    /// when it needs no other.
    pub needs_since: CheckpointId,
}

/// An operator of the job that wrote a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// Its stable name.
    pub uid: String,
    /// What it is called in displays.
    pub name: String,
    /// Its states.
    pub states: Vec<StateDescriptor>,
}

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's format, [`MANIFEST_VERSION`].
    pub format: u32,
    /// The name of the job.
    pub job: String,
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// What the job graph looked like: equal for equal graphs.
    pub graph_fingerprint: String,
    /// The number of workers that wrote it.
    pub workers: u32,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// The mode the job ran in.
    pub mode: String,
    /// Its delivery guarantee.
    pub guarantee: String,
    /// Its operators and their states.
    pub operators: Vec<OperatorEntry>,
    /// Every file that a restore reads, oldest first.
    pub parts: Vec<PartFile>,
    /// The length of all parts together. Whatever it is set to, the sum is written.
    pub bytes: u64,
}

impl Manifest {
    /// The bytes of the file: indented JSON whose last field is the checksum of all before it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut whole = self.clone();
        whole.bytes = self.parts.iter().map(|part| part.bytes).sum();
        seal(&whole)
    }

    /// Reads the bytes of the file `file`.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the file: cut short, damaged, or of a newer format.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let wrong = |what: &str| Error::new(ErrorKind::Restore, format!("{file} {what}"));
        let checked = unseal(bytes).ok_or_else(|| wrong("is damaged or cut short"))?;
        let malformed = |error: serde_json::Error| wrong("is malformed").with_source(error);
        let Format { format } = serde_json::from_str(checked).map_err(malformed)?;
        if format > MANIFEST_VERSION {
            return Err(wrong(&format!(
                "has format version {format}, this program reads up to {MANIFEST_VERSION}"
            )));
        }
        serde_json::from_str(checked).map_err(malformed)
    }

    /// Reads the manifest of `checkpoint`.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the file.
    pub fn load(store: &dyn CheckpointStore, checkpoint: CheckpointId) -> Result<Manifest> {
        let name = manifest_name(checkpoint);
        let bytes = store.read(&name).map_err(|error| {
            Error::new(
                ErrorKind::Restore,
                format!("read {name} in {}", store.describe()),
            )
            .with_source(error)
        })?;
        Manifest::from_bytes(&name, &bytes)
            .and_then(|manifest| manifest.check_number(checkpoint))
            .map_err(|error| error.within(store.describe()))
    }

    /// Whether the bytes are a whole file with the right checksum, of whatever format.
    pub(super) fn is_sealed(bytes: &[u8]) -> bool {
        unseal(bytes).is_some()
    }

    fn check_number(self, checkpoint: CheckpointId) -> Result<Manifest> {
        if self.checkpoint == checkpoint {
            return Ok(self);
        }
        Err(Error::new(
            ErrorKind::Restore,
            format!(
                "{} is the manifest of checkpoint {}",
                manifest_name(checkpoint),
                self.checkpoint
            ),
        ))
    }

    /// The checkpoints whose manifests are there, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`] when the store cannot be listed.
    pub fn list(store: &dyn CheckpointStore) -> Result<Vec<CheckpointId>> {
        let names = list_names(store)?;
        let mut ids: Vec<_> = names
            .iter()
            .filter_map(|name| parse_manifest_name(name))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// Writes the manifest: from then on the checkpoint is complete.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`], naming the file; then the checkpoint is not there.
    pub fn publish(&self, store: &dyn CheckpointStore) -> Result<()> {
        let name = manifest_name(self.checkpoint);
        store.publish(&name, &self.to_bytes()).map_err(|error| {
            Error::new(
                ErrorKind::Checkpoint,
                format!("write {name} in {}", store.describe()),
            )
            .with_source(error)
        })
    }
}

/// The parts of a new manifest: the new ones, and of each worker's earlier parts those that its new
/// part builds on. None of the earlier ones when the number of workers differs or when `whole` says
/// that every new part stands alone.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] when a new part builds on one that the previous manifest does not name: a
/// restore could not be whole.
pub fn next_parts(
    previous: Option<&Manifest>,
    new: Vec<PartFile>,
    workers: u32,
    whole: bool,
) -> Result<Vec<PartFile>> {
    let earlier = match previous {
        Some(previous) if previous.workers == workers && !whole => previous.parts.as_slice(),
        _ => &[],
    };
    let newest: BTreeMap<u32, &PartFile> = new.iter().map(|part| (part.worker, part)).collect();
    let needed = |part: &&PartFile| {
        newest.get(&part.worker).is_some_and(|new| {
            part.checkpoint >= new.needs_since && part.checkpoint < new.checkpoint
        })
    };
    let mut parts: Vec<PartFile> = earlier.iter().filter(needed).cloned().collect();
    for part in newest
        .values()
        .filter(|part| part.needs_since < part.checkpoint)
    {
        let base =
            |kept: &PartFile| (kept.worker, kept.checkpoint) == (part.worker, part.needs_since);
        if !parts.iter().any(base) {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                format!(
                    "{} builds on checkpoint {}, of which no part of worker {} is kept",
                    part.name, part.needs_since, part.worker
                ),
            ));
        }
    }
    parts.extend(new);
    parts.sort_by_key(|part| (part.checkpoint, part.worker));
    Ok(parts)
}

#[cfg(test)]
mod tests;
