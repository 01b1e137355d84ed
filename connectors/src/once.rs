//! What can be had once in a process: the end of a channel, a function. A restart within the process does not find
//! it again.

use millstream_runtime::{Error, ErrorKind, Result};
use std::sync::{Mutex, PoisonError};

/// Something that is taken by the first who asks.
pub(crate) struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    /// `value`, for one.
    pub fn new(value: T) -> Self {
        Once(Mutex::new(Some(value)))
    }

    /// Takes it; `what` it is and what to do about it if it is gone.
    pub fn take(&self, what: &str) -> Result<T> {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        value.take().ok_or_else(|| {
            Error::new(
                ErrorKind::Source,
                format!(
                    "{what} cannot be read a second time: what came before the restart is lost; make a new one \
                     and start a new job, or read from a replayable source"
                ),
            )
        })
    }
}
