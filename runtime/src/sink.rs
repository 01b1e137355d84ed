//! The contract of a sink: what a connector that writes must provide.
//!
//! A sink has one *writer* per worker. A writer takes records; at a barrier it *prepares* what it has
//! written, so that it survives a crash but is not visible yet; when the checkpoint is complete it
//! *commits*; after a recovery it *settles*: what the restored checkpoint says was prepared is
//! committed (it may have been already), and what later attempts left behind is removed.
//!
//! A writer never blocks its worker: it owns the threads it needs, reports [`Written::Full`] when
//! they cannot keep up, and wakes the worker when they can.

use crate::clock::SharedClock;
use crate::config::{Guarantee, Mode};
use crate::error::Result;
use crate::record::{Data, Record};
use crate::source::Waker;
use crate::time::CheckpointId;

/// A sink: makes writers. Shared by all workers.
pub trait Sink: Send + Sync + 'static {
    /// What it writes.
    type Item: Data;

    /// What it is, for `--explain` and error messages: `CSV files in out/`.
    fn describe(&self) -> String;

    /// Checks, before anything flows, that the sink can be written. Called once per process.
    ///
    /// # Errors
    /// When it cannot: the job does not start.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Makes the writer of one worker.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<Self::Item>>>;
}

/// What a writer is told when it is made.
#[derive(Clone, Debug)]
pub struct WriterContext {
    /// The stable name of the operator in the job.
    pub uid: String,
    /// The index of the worker that writes.
    pub worker: usize,
    /// The number of workers.
    pub workers: usize,
    /// What the job promises.
    pub guarantee: Guarantee,
    /// How the job is driven.
    pub mode: Mode,
    /// The checkpoint that the job was restored from; 0 when it started anew.
    pub restored: CheckpointId,
    /// Processing time: the job's clock.
    pub clock: SharedClock,
    /// Wakes the worker: the writer is polled again.
    pub waker: Waker,
}

/// Whether a writer could take what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it was taken; the vector is empty.
    All,
    /// It is full; what is left in the vector is offered again after the waker was called.
    Full,
}

/// Whether something that a writer does in the background is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready<T> {
    /// It is done.
    Yes(T),
    /// Not yet: the writer calls its waker.
    NotYet,
}

/// Writes on one worker. The calls come in this order: [`settle`](Self::settle) once, then
/// [`poll_settled`](Self::poll_settled) until it is done;
/// [`write`](Self::write) any number of times; at a barrier [`prepare`](Self::prepare), then
/// [`poll_prepared`](Self::poll_prepared) until it is done; later, when the checkpoint is complete,
/// [`commit`](Self::commit), then [`poll_committed`](Self::poll_committed) until it is done. Writing
/// goes on between prepare and commit: it belongs to the next checkpoint.
pub trait SinkWriter<T> {
    /// Takes records, in order. What it takes it removes from the front of the vector.
    ///
    /// # Errors
    /// [`ErrorKind::Record`](crate::ErrorKind::Record) (or
    /// [`UserFunction`](crate::ErrorKind::UserFunction)) when one record cannot be written; the sink's error policy says what becomes of
    /// it. Under another policy than fail records are offered one by one, and the writer must be able
    /// to go on after such an error, or a panic, as if the record had not been offered. Any other error
    /// ends the job, with the operator's name put in front. The same holds for the other methods.
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written>;

    /// After [`write`](Self::write) failed or panicked: the index, in the vector as it was offered, of
    /// the record at which it did. `None`: the writer does not know, or it was no record's fault.
    fn failed_at(&self) -> Option<usize> {
        None
    }

    /// Nothing more is there to write for the moment: buffered output may be shown.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// All records of `checkpoint` were written: begin to make them durable.
    fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<()> {
        Ok(())
    }

    /// When what was prepared is durable: a description from which any later writer can commit it (or
    /// see that it was committed). It becomes part of the checkpoint.
    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        Ok(Ready::Yes(Vec::new()))
    }

    /// `checkpoint` is complete: make what was prepared for it, and for earlier ones whose completion
    /// was not announced, visible.
    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<()> {
        Ok(())
    }

    /// Whether the last [`commit`](Self::commit) is done.
    fn poll_committed(&mut self) -> Result<Ready<()>> {
        Ok(Ready::Yes(()))
    }

    /// Called once, before the first record. `prepared` holds what writers prepared in the restored
    /// checkpoint, spread over the workers of now: each is to be committed unless it was. Worker 0
    /// also removes what attempts after that checkpoint left behind.
    fn settle(&mut self, _prepared: Vec<Vec<u8>>) -> Result<()> {
        Ok(())
    }

    /// Whether what [`settle`](Self::settle) began is done. Nothing is written before.
    fn poll_settled(&mut self) -> Result<Ready<()>> {
        Ok(Ready::Yes(()))
    }
}
