//! The thread that writes parts: all that blocks happens here, never on a worker.
//!
//! A worker hands over blocks, goes on, and polls for events. Each [`finish`](PartWriter::finish) and each
//! [`publish`](PartWriter::publish) is answered by exactly one event, also when the disk is full or
//! the store panics: the coordinator waits for it. A part that failed is removed, the rest of its
//! blocks is swallowed, and the next checkpoint is written as if nothing had been.

use super::block::Block;
use super::format::{PartEncoder, PartHeader};
use super::manifest::{Manifest, PartFile};
use super::retention::{collect_garbage, forget_checkpoints};
use super::store::{CheckpointStore, PartSink, part_name};
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::job::events::worker_span;
use crate::source::Waker;
use crate::time::CheckpointId;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Who writes: what the headers of all parts of a [`PartWriter`] have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// The name of the job.
    pub job: String,
    /// The index of the worker.
    pub worker: u32,
    /// The number of workers.
    pub workers: u32,
    /// The number of key groups.
    pub groups: u32,
}

/// A part is written, or failed.
#[derive(Debug)]
pub struct PartDone {
    /// The checkpoint it belongs to.
    pub checkpoint: CheckpointId,
    /// The durable file, or [`ErrorKind::Checkpoint`] with the file and the cause.
    pub result: Result<PartFile>,
}

/// What a [`PartWriter`] has to tell.
#[derive(Debug)]
pub enum WriterEvent {
    /// The answer to [`PartWriter::finish`].
    Part(PartDone),
    /// The answer to [`PartWriter::publish`]: the checkpoint is complete, or will never be.
    Published {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whether its manifest is durable.
        result: Result<()>,
    },
}

enum Command {
    Block(CheckpointId, Block),
    Finish(CheckpointId, CheckpointId),
    Abort(CheckpointId),
    Publish(Box<Manifest>),
    Collect(usize),
    Forget,
}

/// So many empty buffers are kept for blocks to come, none of more than [`SPARE_BYTES`].
const SPARES: usize = 256;
const SPARE_BYTES: usize = 128 << 10;

/// What a queued block costs besides its payload.
const BLOCK_OVERHEAD: usize = 128;

fn cost(block: &Block) -> usize {
    block.payload.len() + BLOCK_OVERHEAD
}

/// Writes the parts of one worker on a thread of its own. Calls never block; dropping it works off what was
/// handed over, removes parts that were not finished, and joins the thread.
pub struct PartWriter {
    commands: Option<Sender<Command>>,
    events: Receiver<WriterEvent>,
    spares: Receiver<Vec<u8>>,
    pending: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl PartWriter {
    /// Starts the thread `mill-ckpt-{worker}`; it calls `done` whenever there is an event to
    /// [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when the system has no thread left.
    pub fn spawn(store: Arc<dyn CheckpointStore>, info: PartInfo, done: Waker) -> Result<Self> {
        let (commands, inbox) = channel();
        let (outbox, events) = channel();
        let (emptied, spares) = sync_channel(SPARES);
        let pending = Arc::new(AtomicUsize::new(0));
        let name = format!("mill-ckpt-{}", info.worker);
        let mut desk = Desk {
            store,
            info,
            done,
            outbox,
            emptied,
            pending: pending.clone(),
            parts: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let span = worker_span(&desk.info.job, desk.info.worker as usize);
                span.in_scope(|| desk.run(&inbox));
            })
            .map_err(|error| {
                Error::new(ErrorKind::Checkpoint, format!("start the thread {name}"))
                    .with_source(error)
            })?;
        Ok(PartWriter {
            commands: Some(commands),
            events,
            spares,
            pending,
            thread: Some(thread),
        })
    }

    /// Adds a block to this worker's part of `checkpoint`.
    pub fn block(&self, checkpoint: CheckpointId, block: Block) {
        self.pending.fetch_add(cost(&block), Ordering::Relaxed);
        self.send(Command::Block(checkpoint, block));
    }

    /// The part of `checkpoint` has all its blocks: makes it durable, then tells by
    /// [`WriterEvent::Part`]. A part without blocks is written too. `needs_since` is the oldest checkpoint
    /// of which a restore has to read this worker's part.
    pub fn finish(&self, checkpoint: CheckpointId, needs_since: CheckpointId) {
        self.send(Command::Finish(checkpoint, needs_since));
    }

    /// Gives up the part of `checkpoint`: what was written of it is removed, what still comes is
    /// swallowed, and a `finish` that still comes is answered by an error. A part that is finished
    /// already stays; [`collect_garbage`] removes it.
    pub fn abort(&self, checkpoint: CheckpointId) {
        self.send(Command::Abort(checkpoint));
    }

    /// Makes the checkpoint complete: writes its manifest, then tells by [`WriterEvent::Published`].
    pub fn publish(&self, manifest: Manifest) {
        self.send(Command::Publish(Box::new(manifest)));
    }

    /// Runs [`collect_garbage`] with `keep`; a failure is logged and no event.
    pub fn collect_garbage(&self, keep: usize) {
        self.send(Command::Collect(keep));
    }

    /// Runs [`forget_checkpoints`]; a failure is logged and no event.
    pub fn forget_checkpoints(&self) {
        self.send(Command::Forget);
    }

    /// About how many bytes were handed over and are not written yet: who encodes should pause when they
    /// are many.
    pub fn pending_bytes(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// An empty buffer in which an earlier block came: its memory is there already, and still in the cache.
    pub fn spare(&self) -> Option<Vec<u8>> {
        self.spares.try_recv().ok()
    }

    /// The next event, if there is one; each comes once.
    pub fn poll(&self) -> Option<WriterEvent> {
        self.events.try_recv().ok()
    }

    fn send(&self, command: Command) {
        self.commands
            .as_ref()
            .and_then(|commands| commands.send(command).ok())
            .expect("the writer's thread runs until its handle is dropped");
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        self.commands = None; // the thread ends when it has worked off what is there
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a checkpoint writer's thread panicked");
        }
    }
}

/// What the thread works with.
struct Desk {
    store: Arc<dyn CheckpointStore>,
    info: PartInfo,
    done: Waker,
    outbox: Sender<WriterEvent>,
    emptied: SyncSender<Vec<u8>>,
    pending: Arc<AtomicUsize>,
    parts: BTreeMap<CheckpointId, Part>,
}

enum Part {
    Open(PartEncoder<SinkWriter>),
    /// Nothing of it is there any more, and what still comes is swallowed.
    Failed(Error),
}

struct SinkWriter(Box<dyn PartSink>);

impl io::Write for SinkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Desk {
    fn run(&mut self, inbox: &Receiver<Command>) {
        for command in inbox {
            match command {
                Command::Block(checkpoint, block) => {
                    self.block(checkpoint, &block);
                    self.pending.fetch_sub(cost(&block), Ordering::Relaxed);
                    self.recycle(block.payload);
                }
                Command::Finish(checkpoint, needs_since) => self.finish(checkpoint, needs_since),
                Command::Abort(checkpoint) => self.abort(checkpoint),
                Command::Publish(manifest) => self.publish(&manifest),
                Command::Collect(keep) => self.collect(keep),
                Command::Forget => self.forget(),
            }
        }
        for checkpoint in std::mem::take(&mut self.parts).into_keys() {
            self.remove(checkpoint);
        }
    }

    /// Gives a buffer back, unless it is large or enough are there.
    fn recycle(&self, mut buffer: Vec<u8>) {
        if (1..=SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            let _ = self.emptied.try_send(buffer);
        }
    }

    fn forget(&self) {
        if let Err(error) = forget_checkpoints(self.store.as_ref()) {
            tracing::error!(%error, "older checkpoints stay");
        }
    }

    fn tell(&self, event: WriterEvent) {
        // Nobody listens any more only when the handle is being dropped.
        let _ = self.outbox.send(event);
        self.done.wake();
    }

    fn name(&self, checkpoint: CheckpointId) -> String {
        part_name(checkpoint, self.info.worker)
    }

    fn block(&mut self, checkpoint: CheckpointId, block: &Block) {
        let written = match self.parts.remove(&checkpoint) {
            Some(Part::Failed(error)) => Err(error),
            Some(Part::Open(encoder)) => self.append(checkpoint, encoder, block),
            None => self
                .begin(checkpoint)
                .and_then(|encoder| self.append(checkpoint, encoder, block)),
        };
        let part = written.map_or_else(Part::Failed, Part::Open);
        self.parts.insert(checkpoint, part);
    }

    fn begin(&self, checkpoint: CheckpointId) -> Result<PartEncoder<SinkWriter>> {
        let header = PartHeader {
            checkpoint,
            worker: self.info.worker,
            workers: self.info.workers,
            groups: self.info.groups,
            job: self.info.job.clone(),
        };
        self.attempt(checkpoint, || {
            let sink = self.store.create(&self.name(checkpoint))?;
            PartEncoder::new(SinkWriter(sink), &header)
        })
    }

    fn append(
        &self,
        checkpoint: CheckpointId,
        mut encoder: PartEncoder<SinkWriter>,
        block: &Block,
    ) -> Result<PartEncoder<SinkWriter>> {
        self.attempt(checkpoint, || {
            encoder.block(block)?;
            Ok(encoder)
        })
    }

    fn finish(&mut self, checkpoint: CheckpointId, needs_since: CheckpointId) {
        let encoder = match self.parts.remove(&checkpoint) {
            Some(Part::Open(encoder)) => Ok(encoder),
            Some(Part::Failed(error)) => Err(error),
            None => self.begin(checkpoint),
        };
        let summary = encoder.and_then(|encoder| {
            self.attempt(checkpoint, || {
                let (sink, summary) = encoder.finish()?;
                sink.0.finish()?;
                Ok(summary)
            })
        });
        let result = summary.map(|summary| PartFile {
            name: self.name(checkpoint),
            checkpoint,
            worker: self.info.worker,
            bytes: summary.bytes,
            crc: summary.crc,
            blocks: summary.blocks,
            needs_since,
        });
        // Stragglers of aborted checkpoints came before the end of a later one.
        self.parts
            .retain(|id, part| *id > checkpoint || matches!(part, Part::Open(_)));
        self.tell(WriterEvent::Part(PartDone { checkpoint, result }));
    }

    fn abort(&mut self, checkpoint: CheckpointId) {
        let error = Error::new(
            ErrorKind::Checkpoint,
            format!("{} was aborted", self.name(checkpoint)),
        );
        let before = self.parts.insert(checkpoint, Part::Failed(error));
        if let Some(Part::Open(encoder)) = before {
            drop(encoder);
            self.remove(checkpoint);
        }
    }

    fn publish(&mut self, manifest: &Manifest) {
        let checkpoint = manifest.checkpoint;
        let result = guarded(|| manifest.publish(&*self.store));
        self.tell(WriterEvent::Published { checkpoint, result });
    }

    fn collect(&mut self, keep: usize) {
        if let Err(error) = guarded(|| collect_garbage(&*self.store, keep)) {
            tracing::warn!(%error, "old checkpoints could not be removed");
        }
    }

    /// Does something with the part of `checkpoint`. When it fails, the file goes and the error
    /// says what it was.
    fn attempt<T>(
        &self,
        checkpoint: CheckpointId,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T> {
        let result = guarded(|| {
            work().map_err(|error| {
                Error::new(
                    ErrorKind::Checkpoint,
                    format!(
                        "write {} in {}",
                        self.name(checkpoint),
                        self.store.describe()
                    ),
                )
                .with_source(error)
            })
        });
        if result.is_err() {
            self.remove(checkpoint);
        }
        result
    }

    fn remove(&self, checkpoint: CheckpointId) {
        let name = self.name(checkpoint);
        let deleted = guarded(|| {
            self.store.delete(&name).map_err(|error| {
                Error::new(ErrorKind::Checkpoint, format!("delete {name}")).with_source(error)
            })
        });
        if let Err(error) = deleted {
            tracing::warn!(%error, "a half-written part is left");
        }
    }
}

/// Turns a panic into an error: the thread must live, or an event would be missing.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::new(
            ErrorKind::Checkpoint,
            format!("the checkpoint store panicked: {}", panic_text(&*panic)),
        ))
    })
}

#[cfg(test)]
mod tests;
