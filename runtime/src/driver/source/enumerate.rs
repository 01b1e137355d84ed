//! Finds the splits of a source whose type is hidden.

use crate::error::Result;
use crate::source::{Split, SplitEnumerator};
use crate::state::{Codec, Compact};
use std::time::Duration;

/// Finds the splits of a source whose type is hidden: encoded, with their ids.
pub trait AnyEnumerator: Send {
    /// The splits that exist now: `(id, encoded split)`.
    fn discover(&mut self) -> Result<Vec<(String, Vec<u8>)>>;
    /// See [`SplitEnumerator::interval`].
    fn interval(&self) -> Option<Duration>;
}

/// Hides the type of the splits by encoding them.
pub(super) struct Encoding<S>(pub Box<dyn SplitEnumerator<S>>);

impl<S: Split> AnyEnumerator for Encoding<S> {
    fn discover(&mut self) -> Result<Vec<(String, Vec<u8>)>> {
        let splits = self.0.discover()?;
        Ok(splits
            .into_iter()
            .map(|split| {
                let mut bytes = Vec::new();
                Compact.encode(&split, &mut bytes);
                (split.id(), bytes)
            })
            .collect())
    }

    fn interval(&self) -> Option<Duration> {
        self.0.interval()
    }
}
