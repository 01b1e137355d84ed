//! What can be had once in a process: the end of a channel, a function. A restart within the process does not find
//! it again.

use millstream_runtime::clock::{Clock, SystemClock};
use millstream_runtime::source::{Batch, FixedSplits, ReadStatus, SplitEnumerator, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU64, Ordering};
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

/// The split of a source that reads something which this run of the program alone has: its standard input, a
/// function. A run that goes on from a checkpoint has another one. If it had the same name, a split that had ended
/// would be taken for done, and the new input would not be read at all.
#[derive(Clone, Debug)]
pub(crate) struct RunSplit(String);

impl RunSplit {
    /// The split of this run.
    pub fn new(name: &str) -> Self {
        /// Several may be made in one millisecond.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        RunSplit(format!("{name} {}.{made}", SystemClock::new().now_ms()))
    }

    /// The enumerator of a source that has this split alone.
    pub fn enumerator(&self) -> Box<dyn SplitEnumerator<String>> {
        Box::new(FixedSplits(vec![self.0.clone()]))
    }

    /// A reader of `split` if it is that of an earlier run: what was left there is gone.
    pub fn over<T>(&self, split: &str, position: Option<&[u8]>) -> Option<Box<dyn SplitReader<T>>> {
        let position = position.unwrap_or_default().to_vec();
        (split != self.0).then(|| Box::new(Over(position)) as Box<dyn SplitReader<T>>)
    }
}

/// Reads nothing.
struct Over(Vec<u8>);

impl<T> SplitReader<T> for Over {
    fn poll(&mut self, _: &mut Batch<T>, _: usize) -> Result<ReadStatus> {
        Ok(ReadStatus::Finished)
    }

    fn position(&self) -> Vec<u8> {
        self.0.clone()
    }
}
