//! Which checkpoints stay, and which files may go.
//!
//! The order of deletion is the order of publication turned round: manifests first, then parts that no
//! manifest names any more. A crash in between leaves parts too many, never a manifest without its
//! parts.

use super::manifest::{CheckpointKind, Manifest};
use super::start::{Start, StartFrom};
use super::store::{CheckpointStore, list, manifest_name, parse_part_name};
use crate::error::{Error, ErrorKind, Result};
use crate::time::CheckpointId;
use std::collections::BTreeSet;

/// What [`collect_garbage`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The checkpoints that are no more, newest first.
    pub checkpoints: Vec<CheckpointId>,
    /// How many part files were deleted.
    pub parts: usize,
}

/// Keeps the newest `keep` sound manifests of checkpoints and every savepoint; deletes the other manifests,
/// then the parts that no kept manifest names and that are older than the newest one. Newer parts
/// belong to a checkpoint that is being written.
///
/// A manifest that is damaged keeps nothing from being deleted and goes with those of its age.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] when a file cannot be read or deleted, or when a manifest was written by
/// a newer version; what is referenced is never deleted.
///
/// # Panics
/// When `keep` is 0.
pub fn collect_garbage(store: &dyn CheckpointStore, keep: usize) -> Result<Collected> {
    assert!(keep >= 1, "the newest checkpoint is always kept");
    let survey = Survey::of(store, keep)?;
    let Some(newest) = survey.newest else {
        return Ok(Collected::default());
    };
    for checkpoint in &survey.expired {
        delete(store, &manifest_name(*checkpoint))?;
    }
    let mut parts = 0;
    for name in list(store)? {
        let old = parse_part_name(&name).is_some_and(|(checkpoint, _)| checkpoint < newest);
        if old && !survey.named.contains(&name) {
            delete(store, &name)?;
            parts += 1;
        }
    }
    Ok(Collected {
        checkpoints: survey.expired,
        parts,
    })
}

/// Forgets every checkpoint but savepoints: deletes the manifests. Their parts go with the next
/// [`collect_garbage`].
///
/// # Errors
/// [`ErrorKind::Checkpoint`] when a manifest cannot be deleted or was written by a newer version.
pub fn forget_checkpoints(store: &dyn CheckpointStore) -> Result<()> {
    for checkpoint in Manifest::list(store)? {
        let savepoint = load(store, checkpoint)?
            .is_some_and(|manifest| manifest.kind == CheckpointKind::Savepoint);
        if !savepoint {
            delete(store, &manifest_name(checkpoint))?;
        }
    }
    Ok(())
}

/// Checkpoints that somebody wants to be rid of, and what goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The checkpoints, newest first.
    pub checkpoints: Vec<CheckpointId>,
    /// Files of theirs that no other checkpoint is in need of.
    pub parts: Vec<String>,
}

impl Removal {
    /// What is to go with these checkpoints. Nothing is deleted yet.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when one of them is not there, when it is the newest or the one that the next
    /// start goes on from (unless `force`), or when a manifest cannot be read or is of a newer version.
    pub fn of(store: &dyn CheckpointStore, unwanted: &[CheckpointId], force: bool) -> Result<Self> {
        let there = Manifest::list(store)?;
        let refused = |checkpoint, why: &str| {
            let place = store.describe();
            let what = format!("checkpoint {checkpoint} in {place} {why}");
            Err(Error::new(ErrorKind::Checkpoint, what))
        };
        let chosen = match Start::in_force(store)? {
            Some(StartFrom::Checkpoint(id)) => Some(id),
            _ => None,
        };
        for checkpoint in unwanted {
            if !there.contains(checkpoint) {
                return refused(checkpoint, "is not there");
            }
            if !force && chosen == Some(*checkpoint) {
                return refused(checkpoint, "is what the next start goes on from");
            }
            if !force && there.first() == Some(checkpoint) {
                return refused(checkpoint, "is the newest");
            }
        }
        let mut parts = BTreeSet::new();
        let mut needed = BTreeSet::new();
        for checkpoint in &there {
            let of = match unwanted.contains(checkpoint) {
                true => &mut parts,
                false => &mut needed,
            };
            // A damaged manifest names nothing; what it named goes when a job collects its garbage.
            let manifest = load(store, *checkpoint)?;
            of.extend(
                manifest
                    .into_iter()
                    .flat_map(|m| m.parts)
                    .map(|part| part.name),
            );
        }
        Ok(Removal {
            checkpoints: there
                .into_iter()
                .filter(|id| unwanted.contains(id))
                .collect(),
            parts: parts.difference(&needed).cloned().collect(),
        })
    }

    /// The checkpoints that are beyond the newest `keep` sound ones and are no savepoints.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn beyond(store: &dyn CheckpointStore, keep: usize, force: bool) -> Result<Self> {
        let survey = Survey::of(store, keep)?;
        Removal::of(store, &survey.expired, force)
    }

    /// Deletes them: manifests first, so that a crash leaves files too many and never a checkpoint that lacks some.
    /// Whoever calls this holds the lock of the store.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when a file cannot be deleted.
    pub fn apply(&self, store: &dyn CheckpointStore) -> Result<()> {
        for checkpoint in &self.checkpoints {
            delete(store, &manifest_name(*checkpoint))?;
        }
        self.parts.iter().try_for_each(|name| delete(store, name))
    }
}

/// What the manifests of a store say.
#[derive(Default)]
struct Survey {
    /// The newest sound one.
    newest: Option<CheckpointId>,
    /// The parts of those that stay.
    named: BTreeSet<String>,
    /// Those that go.
    expired: Vec<CheckpointId>,
}

impl Survey {
    fn of(store: &dyn CheckpointStore, keep: usize) -> Result<Survey> {
        let mut survey = Survey::default();
        let mut kept = 0;
        for checkpoint in Manifest::list(store)? {
            let manifest = load(store, checkpoint)?;
            let savepoint = manifest
                .as_ref()
                .is_some_and(|m| m.kind == CheckpointKind::Savepoint);
            if kept >= keep && !savepoint {
                survey.expired.push(checkpoint);
            } else if let Some(manifest) = manifest {
                kept += usize::from(!savepoint);
                survey.newest.get_or_insert(checkpoint);
                survey
                    .named
                    .extend(manifest.parts.into_iter().map(|part| part.name));
            }
        }
        Ok(survey)
    }
}

/// The manifest; none when it is damaged.
fn load(store: &dyn CheckpointStore, checkpoint: CheckpointId) -> Result<Option<Manifest>> {
    let name = manifest_name(checkpoint);
    // A file that cannot be read today may be sound tomorrow: then nothing is deleted at all.
    let bytes = store.read(&name).map_err(|error| {
        Error::new(
            ErrorKind::Checkpoint,
            format!("read {name} in {}", store.describe()),
        )
        .with_source(error)
    })?;
    match Manifest::from_bytes(&name, &bytes) {
        Ok(manifest) => Ok(Some(manifest)),
        // The checksum is right, so somebody meant it, only not for this program.
        Err(error) if Manifest::is_sealed(&bytes) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "a manifest is damaged");
            Ok(None)
        }
    }
}

fn delete(store: &dyn CheckpointStore, name: &str) -> Result<()> {
    store.delete(name).map_err(|error| {
        Error::new(
            ErrorKind::Checkpoint,
            format!("delete {name} in {}", store.describe()),
        )
        .with_source(error)
    })
}

#[cfg(test)]
mod tests;
