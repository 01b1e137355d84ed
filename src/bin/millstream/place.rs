//! Where a checkpoint is: `DIR`, or `DIR@ID`.

use millstream::runtime::checkpoint::{DirectoryStore, Manifest, Restored, Which};
use millstream::{Error, ErrorKind, Result};
use std::path::PathBuf;

/// A checkpoint directory, and perhaps one of its checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub directory: PathBuf,
    pub checkpoint: Option<u64>,
}

/// Reads `DIR` or `DIR@ID`.
pub(crate) fn parse(text: &str) -> Result<Place, String> {
    if text.is_empty() {
        return Err("a directory is expected".into());
    }
    if let Some((directory, number)) = text.rsplit_once('@')
        && !directory.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        let checkpoint = number.parse();
        return Ok(Place {
            directory: directory.into(),
            checkpoint: Some(
                checkpoint.map_err(|_| "a checkpoint's number is expected behind the @")?,
            ),
        });
    }
    Ok(Place {
        directory: text.into(),
        checkpoint: None,
    })
}

impl Place {
    /// The directory, for reading.
    pub fn store(&self) -> Result<DirectoryStore> {
        DirectoryStore::open_existing(&self.directory)
    }

    /// The checkpoint: the chosen or the newest one.
    pub fn open(&self) -> Result<Restored> {
        let which = self.checkpoint.map_or(Which::Latest, Which::Id);
        let opened = Restored::open(&self.store()?, which)?;
        opened.ok_or_else(|| none_in(&self.directory))
    }

    /// The numbers of the checkpoints in question: the chosen one, else all, newest first.
    pub fn checkpoints(&self) -> Result<Vec<u64>> {
        match self.checkpoint {
            Some(checkpoint) => Ok(vec![checkpoint]),
            None => Manifest::list(&self.store()?),
        }
    }
}

/// There is no checkpoint in this directory.
pub(crate) fn none_in(directory: &std::path::Path) -> Error {
    let what = format!("there is no checkpoint in {}", directory.display());
    Error::new(ErrorKind::Restore, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_the_last_at() {
        let place = |directory: &str, checkpoint| {
            Ok(Place {
                directory: directory.into(),
                checkpoint,
            })
        };
        assert_eq!(parse("a/b"), place("a/b", None));
        assert_eq!(parse("a@b/c@41"), place("a@b/c", Some(41)));
        assert_eq!(parse("a@b"), place("a@b", None));
        assert_eq!(parse("@41"), place("@41", None));
        assert!(parse("").is_err());
        assert!(parse("a@").is_err(), "no number");
        assert!(
            parse("a@99999999999999999999").is_err(),
            "too large a number"
        );
    }
}
