//! A sink that keeps what it is given in memory: for tests, examples and embedding.
//!
//! Exactly-once within the process: under that guarantee [`CollectedHandle::committed`] shows what
//! belongs to complete checkpoints, each record once, also after the job was restarted in the
//! process. The snapshot names the checkpoints and workers whose records were prepared; the records
//! themselves stay in memory and are gone when the process ends.

use millstream_runtime::config::Guarantee;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Ready, Sink, SinkWriter, WriterContext, Written};
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps the records of all workers in memory.
///
/// ```
/// use millstream_connectors::collect::Collect;
/// let (sink, results) = Collect::<u64>::new();
/// // … run a job that ends in `sink` …
/// assert!(results.take().is_empty());
/// ```
pub struct Collect<T>(Arc<Mutex<State<T>>>);

/// Shows what a [`Collect`] was given. Clones show the same.
pub struct CollectedHandle<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    /// What was written and not yet taken, in the order in which workers wrote.
    written: Vec<Record<T>>,
    prepared: BTreeMap<Part, Vec<Record<T>>>,
    committed: BTreeMap<Part, Vec<Record<T>>>,
    /// Whether `committed` is kept apart from `written`.
    exactly_once: bool,
}

/// The checkpoint and the worker.
type Part = (CheckpointId, usize);

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Collect<T> {
    /// The sink, and the handle that shows what it was given.
    #[allow(clippy::new_ret_no_self)] // a sink without its handle would be of no use
    pub fn new() -> (Self, CollectedHandle<T>) {
        let state = Arc::new(Mutex::new(State {
            written: Vec::new(),
            prepared: BTreeMap::new(),
            committed: BTreeMap::new(),
            exactly_once: false,
        }));
        (Collect(state.clone()), CollectedHandle(state))
    }
}

impl<T> Clone for CollectedHandle<T> {
    fn clone(&self) -> Self {
        CollectedHandle(self.0.clone())
    }
}

impl<T: Clone> CollectedHandle<T> {
    /// Takes out the values written so far; the order between workers is that of their writing.
    /// After a restart what was replayed is in it twice: see [`committed`](Self::committed).
    pub fn take(&self) -> Vec<T> {
        values(mem::take(&mut lock(&self.0).written))
    }

    /// The values written so far and not taken out.
    pub fn snapshot(&self) -> Vec<T> {
        values(self.records())
    }

    /// The same with their event times.
    pub fn records(&self) -> Vec<Record<T>> {
        lock(&self.0).written.clone()
    }

    /// The values of complete checkpoints, by checkpoint and worker, each once. Below exactly-once the
    /// same as [`snapshot`](Self::snapshot).
    pub fn committed(&self) -> Vec<T> {
        let state = lock(&self.0);
        match state.exactly_once {
            true => values(state.committed.values().flatten().cloned().collect()),
            false => values(state.written.clone()),
        }
    }
}

fn values<T>(records: Vec<Record<T>>) -> Vec<T> {
    records.into_iter().map(|record| record.value).collect()
}

impl<T: Data> Sink for Collect<T> {
    type Item = T;

    fn describe(&self) -> String {
        "memory".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        let exactly_once = context.guarantee == Guarantee::ExactlyOnce;
        lock(&self.0).exactly_once = exactly_once;
        Ok(Box::new(Writer {
            state: self.0.clone(),
            context,
            exactly_once,
            open: Vec::new(),
            uncommitted: Vec::new(),
        }))
    }
}

struct Writer<T> {
    state: Arc<Mutex<State<T>>>,
    context: WriterContext,
    exactly_once: bool,
    /// Written since the last barrier.
    open: Vec<Record<T>>,
    /// Prepared, not yet committed.
    uncommitted: Vec<Part>,
}

impl<T: Data> SinkWriter<T> for Writer<T> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        if self.exactly_once {
            self.open.extend_from_slice(records);
        }
        lock(&self.state).written.append(records);
        Ok(Written::All)
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<()> {
        if !self.open.is_empty() {
            let part = (checkpoint, self.context.worker);
            let open = mem::take(&mut self.open);
            lock(&self.state).prepared.insert(part, open);
            self.uncommitted.push(part);
        }
        Ok(())
    }

    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        let described = serde_json::to_vec(&self.uncommitted);
        described.map(Ready::Yes).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "the prepared parts cannot be described",
            )
            .with_source(error)
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let mut state = lock(&self.state);
        self.uncommitted.retain(|part| {
            let complete = part.0 <= checkpoint;
            if complete {
                state.commit(*part);
            }
            !complete
        });
        Ok(())
    }

    fn settle(&mut self, prepared: Vec<Vec<u8>>) -> Result<()> {
        let mut state = lock(&self.state);
        for described in prepared.into_iter().filter(|bytes| !bytes.is_empty()) {
            let parts: Vec<Part> = serde_json::from_slice(&described).map_err(|error| {
                Error::new(
                    ErrorKind::Restore,
                    "what a collecting sink prepared is unreadable",
                )
                .with_source(error)
            })?;
            parts.into_iter().for_each(|part| state.commit(part));
        }
        // Each worker removes what its own number left behind: others may be writing already.
        let WriterContext {
            worker,
            workers,
            restored,
            ..
        } = self.context;
        let valid = |part: &Part| part.0 <= restored || part.1 % workers != worker;
        state.prepared.retain(|part, _| valid(part));
        state.committed.retain(|part, _| valid(part));
        Ok(())
    }
}

impl<T> State<T> {
    fn commit(&mut self, part: Part) {
        if let Some(records) = self.prepared.remove(&part) {
            self.committed.insert(part, records);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::writer_context;

    fn writer(sink: &Collect<u32>, worker: usize, restored: u64) -> Box<dyn SinkWriter<u32>> {
        sink.writer(writer_context(worker, 2, Guarantee::ExactlyOnce, restored))
            .unwrap()
    }

    fn write(writer: &mut dyn SinkWriter<u32>, value: u32) {
        writer.write(&mut vec![Record::new(7, value)]).unwrap();
    }

    fn described(writer: &mut dyn SinkWriter<u32>) -> Vec<u8> {
        match writer.poll_prepared().unwrap() {
            Ready::Yes(bytes) => bytes,
            Ready::NotYet => panic!("preparing in memory is done at once"),
        }
    }

    #[test]
    fn only_complete_checkpoints_are_committed() {
        let (sink, results) = Collect::new();
        let mut writer = writer(&sink, 0, 0);
        write(&mut *writer, 1);
        writer.prepare(1).unwrap();
        write(&mut *writer, 2);
        assert!(results.committed().is_empty());
        // Checkpoint 1 was never announced; 2 brings its part along.
        writer.prepare(2).unwrap();
        writer.commit(2).unwrap();
        writer.commit(2).unwrap();
        write(&mut *writer, 3);
        assert_eq!(results.committed(), [1, 2]);
        assert_eq!(results.records()[0], Record::new(7, 1));
        assert_eq!(results.snapshot(), [1, 2, 3]);
        assert_eq!(results.take(), [1, 2, 3]);
        assert!(results.take().is_empty());
        assert_eq!(results.committed(), [1, 2]);
    }

    #[test]
    fn a_restart_settles_and_forgets_later_attempts() {
        let (sink, results) = Collect::new();
        let (mut a, mut b) = (writer(&sink, 0, 0), writer(&sink, 1, 0));
        write(&mut *a, 1);
        write(&mut *b, 10);
        a.prepare(1).unwrap();
        b.prepare(1).unwrap();
        let prepared = vec![described(&mut *a), described(&mut *b)];
        a.commit(1).unwrap(); // b did not get so far
        write(&mut *a, 2);
        a.prepare(2).unwrap(); // checkpoint 2 never completed
        drop((a, b));

        let (mut a, mut b) = (writer(&sink, 0, 1), writer(&sink, 1, 1));
        a.settle(prepared).unwrap();
        b.settle(Vec::new()).unwrap();
        write(&mut *a, 2);
        a.prepare(2).unwrap();
        a.commit(2).unwrap();
        assert_eq!(results.committed(), [1, 10, 2]);

        // Started again from an older checkpoint: what came after it goes.
        writer(&sink, 0, 1).settle(Vec::new()).unwrap();
        assert_eq!(results.committed(), [1, 10]);
    }

    #[test]
    fn below_exactly_once_all_is_committed() {
        let (sink, results) = Collect::new();
        let context = writer_context(0, 1, Guarantee::AtLeastOnce, 0);
        let mut writer = sink.writer(context).unwrap();
        writer.write(&mut vec![Record::new(0, 5)]).unwrap();
        assert_eq!(results.committed(), [5]);
    }
}
