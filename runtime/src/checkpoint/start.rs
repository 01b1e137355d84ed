//! What a job started from, when that was not the newest checkpoint.
//!
//! A job that starts anew, or from an older checkpoint, lets its sinks begin there. Were it to die before its first
//! own checkpoint, the newest manifest would be one of a life that was given up, with results that are no longer
//! there. So the choice is made durable before sinks begin, and holds until a manifest of the new life is there:
//! its number is at or above `first`. Checkpoints and savepoints of the other life stay as they are.

use super::manifest::Manifest;
use super::sealed::{seal, unseal};
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::time::CheckpointId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// The name of the file.
pub const START_NAME: &str = "start.json";

const START_VERSION: u32 = 1;

/// The choice that a job was last started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The format of the file: 1.
    pub format: u32,
    /// The first checkpoint that the job can complete since then.
    pub first: CheckpointId,
    /// What it started from.
    pub from: StartFrom,
}

/// What a job started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// From the beginning.
    Beginning,
    /// This checkpoint of the same directory.
    Checkpoint(CheckpointId),
    /// This checkpoint or savepoint of another directory.
    Savepoint {
        /// The directory.
        directory: PathBuf,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
}

impl Start {
    /// A job starts from there; its first checkpoint will be `first`.
    pub fn new(first: CheckpointId, from: StartFrom) -> Self {
        Start {
            format: START_VERSION,
            first,
            from,
        }
    }

    /// Makes the choice durable.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it cannot be written.
    pub fn publish(&self, store: &dyn CheckpointStore) -> Result<()> {
        store.publish(START_NAME, &seal(self)).map_err(|error| {
            Error::new(
                ErrorKind::Checkpoint,
                format!("write {START_NAME} in {}", store.describe()),
            )
            .with_source(error)
        })
    }

    /// Makes an earlier choice the last one again, or none: the start came to nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it cannot be written.
    pub fn undo(earlier: Option<&Start>, store: &dyn CheckpointStore) -> Result<()> {
        match earlier {
            Some(earlier) => earlier.publish(store),
            None => store.delete(START_NAME).map_err(|error| {
                let what = format!("delete {START_NAME} in {}", store.describe());
                Error::new(ErrorKind::Checkpoint, what).with_source(error)
            }),
        }
    }

    /// The choice that holds: none when there never was one, or when a checkpoint was completed since.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the file: it cannot be read, is damaged, or of a newer version.
    pub fn in_force(store: &dyn CheckpointStore) -> Result<Option<StartFrom>> {
        let Some(start) = Start::load(store)? else {
            return Ok(None);
        };
        let newest = Manifest::list(store)?.first().copied().unwrap_or(0);
        Ok((newest < start.first).then_some(start.from))
    }

    /// The choice as it was written, if there is one.
    ///
    /// # Errors
    /// As [`in_force`](Self::in_force).
    pub fn load(store: &dyn CheckpointStore) -> Result<Option<Start>> {
        let wrong = |what: &str| {
            Error::new(
                ErrorKind::Restore,
                format!("{}: {START_NAME} {what}", store.describe()),
            )
        };
        let bytes = match store.read(START_NAME) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong("cannot be read").with_source(error)),
        };
        let damaged = "is damaged: choose what to resume from by its number, or delete the file to resume from the \
                       newest checkpoint";
        let text = unseal(&bytes).ok_or_else(|| wrong(damaged))?;
        let start: Start =
            serde_json::from_str(text).map_err(|error| wrong("is malformed").with_source(error))?;
        if start.format > START_VERSION {
            return Err(wrong(&format!(
                "has format version {}, this program reads up to {START_VERSION}",
                start.format
            )));
        }
        Ok(Some(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::manifest_name;
    use crate::checkpoint::testing::MemoryStore;

    #[test]
    fn a_choice_holds_until_a_checkpoint_of_its_life() {
        let store = MemoryStore::new();
        assert_eq!(Start::in_force(&store).unwrap(), None);
        store.publish(&manifest_name(7), b"{}").unwrap();
        let from = StartFrom::Checkpoint(4);
        Start::new(9, from.clone()).publish(&store).unwrap();
        assert_eq!(Start::in_force(&store).unwrap(), Some(from));
        store.publish(&manifest_name(9), b"{}").unwrap();
        assert_eq!(Start::in_force(&store).unwrap(), None);
    }

    #[test]
    fn a_damaged_choice_is_an_error_that_says_what_to_do() {
        let store = MemoryStore::new();
        let from = StartFrom::Savepoint {
            directory: "/a/b".into(),
            checkpoint: 7,
        };
        Start::new(1, from).publish(&store).unwrap();
        let sound = store.read(START_NAME).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            store.publish(START_NAME, &bytes).unwrap();
            let error = Start::in_force(&store).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Restore);
            assert!(
                error.to_string().contains("start.json is damaged: choose"),
                "{error}"
            );
        }
        store
            .publish(
                START_NAME,
                &seal(&Start {
                    format: 2,
                    ..Start::new(1, StartFrom::Beginning)
                }),
            )
            .unwrap();
        let error = Start::in_force(&store).unwrap_err();
        assert!(error.to_string().contains("format version 2"), "{error}");
    }
}
