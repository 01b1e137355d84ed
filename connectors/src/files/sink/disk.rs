//! The thread of one writer that touches the disk, and the queue to it.
//!
//! The worker puts commands into the queue and never waits: buffers are refused when
//! [`MAX_BUFFERS`] are under way, barriers are always taken. After an error the thread does nothing
//! more; each call of the worker then returns that error.

use super::layout::{self, Layout, Part, sink_error};
use millstream_runtime::config::Guarantee;
use millstream_runtime::sink::WriterContext;
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How many buffers of data may wait.
const MAX_BUFFERS: usize = 16;

/// What the thread is to do, in this order.
pub(super) enum Command {
    /// Append to the file, a new one if none is open.
    Data(Vec<u8>),
    /// Close the file.
    Roll,
    /// Make durable what was written.
    Prepare(CheckpointId),
    /// Give final names to what was prepared up to this checkpoint.
    Commit(CheckpointId),
    /// Remove these commit marks with the next commit.
    Replace(Vec<PathBuf>),
}

/// The worker's end.
pub(super) struct Disk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    buffers: usize,
    /// The worker was refused and waits for room.
    refused: bool,
    prepared: VecDeque<Vec<u8>>,
    committed: CheckpointId,
    failed: Option<String>,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failed {
            Some(text) => Err(Error::new(ErrorKind::Sink, text.clone())),
            None => Ok(()),
        }
    }
}

impl Disk {
    /// Starts the thread.
    pub fn start(layout: Layout, context: &WriterContext) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
        });
        let mut files = Files {
            layout,
            worker: context.worker,
            exactly_once: context.guarantee == Guarantee::ExactlyOnce,
            open: None,
            next_number: 0,
            closed: Vec::new(),
            prepared: Vec::new(),
            checkpoint: context.restored + 1,
            marks: Vec::new(),
        };
        let (inside, waker) = (shared.clone(), context.waker.clone());
        let thread = thread::Builder::new()
            .name(format!("files-{}-{}", context.uid, context.worker))
            .spawn(move || run(&inside, &mut files, || waker.wake()))
            .map_err(|error| {
                Error::new(ErrorKind::Sink, "cannot start the thread that writes files")
                    .with_source(error)
            })?;
        Ok(Disk {
            shared,
            thread: Some(thread),
        })
    }

    /// Gives `command` to the thread.
    pub fn send(&self, command: Command) -> Result<()> {
        let mut state = self.shared.lock();
        state.check()?;
        state.buffers += usize::from(matches!(command, Command::Data(_)));
        state.commands.push_back(command);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Whether a buffer can be sent now; if not, the waker is called when it can.
    pub fn has_room(&self) -> Result<bool> {
        let mut state = self.shared.lock();
        state.check()?;
        state.refused = state.buffers >= MAX_BUFFERS;
        Ok(!state.refused)
    }

    /// The description of what the oldest [`Command::Prepare`] prepared, once.
    pub fn prepared(&self) -> Result<Option<Vec<u8>>> {
        let mut state = self.shared.lock();
        state.check()?;
        Ok(state.prepared.pop_front())
    }

    /// The last checkpoint whose commit is done.
    pub fn committed(&self) -> Result<CheckpointId> {
        let state = self.shared.lock();
        state.check()?;
        Ok(state.committed)
    }
}

impl Drop for Disk {
    /// Ends the thread without working off the queue: as after a crash.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes files has panicked");
        }
    }
}

/// Works off commands until it is told to stop or one fails.
fn run(shared: &Shared, files: &mut Files, wake: impl Fn()) {
    while let Some(command) = next(shared) {
        let data = matches!(command, Command::Data(_));
        let done = files.execute(command);
        let mut state = shared.lock();
        state.buffers -= usize::from(data);
        let room = state.refused && state.buffers < MAX_BUFFERS;
        state.refused &= !room;
        let tell = room || !matches!(done, Ok(Done::Nothing));
        let failed = done.is_err();
        match done {
            Ok(Done::Nothing) => {}
            Ok(Done::Prepared(described)) => state.prepared.push_back(described),
            Ok(Done::Committed(checkpoint)) => state.committed = checkpoint,
            Err(error) => state.failed = Some(text_of(&error)),
        }
        drop(state);
        if tell {
            wake();
        }
        if failed {
            return;
        }
    }
}

/// The text without the kind, which the error made from it brings again.
fn text_of(error: &Error) -> String {
    let text = error.to_string();
    let kind = format!("{}: ", error.kind());
    text.strip_prefix(&kind).unwrap_or(&text).to_owned()
}

fn next(shared: &Shared) -> Option<Command> {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return None;
        }
        if let Some(command) = state.commands.pop_front() {
            return Some(command);
        }
        state = shared
            .work
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

enum Done {
    Nothing,
    Prepared(Vec<u8>),
    Committed(CheckpointId),
}

/// The files of one writer.
struct Files {
    layout: Layout,
    worker: usize,
    exactly_once: bool,
    open: Option<(File, PathBuf)>,
    next_number: u64,
    /// Closed since the last barrier, durable, still under their names of work in progress.
    closed: Vec<PathBuf>,
    /// Prepared and not committed.
    prepared: Vec<Part>,
    /// The checkpoint that is being written, as far as is known: the one after the last barrier.
    checkpoint: CheckpointId,
    /// Commit marks that the next one replaces.
    marks: Vec<PathBuf>,
}

impl Files {
    fn execute(&mut self, command: Command) -> Result<Done> {
        match command {
            Command::Data(bytes) => self.append(&bytes)?,
            Command::Roll => self.roll()?,
            Command::Prepare(checkpoint) => {
                self.prepare(checkpoint)?;
                return layout::describe(&self.prepared).map(Done::Prepared);
            }
            Command::Commit(checkpoint) => {
                self.commit(checkpoint)?;
                return Ok(Done::Committed(checkpoint));
            }
            Command::Replace(marks) => self.marks = marks,
        }
        Ok(Done::Nothing)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let (file, path) = match &mut self.open {
            Some(open) => open,
            none => none.insert(create(&self.layout, self.worker, &mut self.next_number)?),
        };
        file.write_all(bytes)
            .map_err(|error| sink_error("cannot write", path, error))
    }

    fn roll(&mut self) -> Result<()> {
        self.close()?;
        match self.exactly_once {
            true => Ok(()),
            false => self.show(self.checkpoint),
        }
    }

    fn close(&mut self) -> Result<()> {
        if let Some((file, path)) = self.open.take() {
            file.sync_all()
                .map_err(|error| sink_error("cannot sync", &path, error))?;
            self.closed.push(path);
        }
        Ok(())
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.close()?;
        match self.exactly_once {
            true => self.name_prepared(checkpoint)?,
            false => self.show(checkpoint)?,
        }
        self.checkpoint = checkpoint + 1;
        Ok(())
    }

    fn name_prepared(&mut self, checkpoint: CheckpointId) -> Result<()> {
        if self.closed.is_empty() {
            return Ok(());
        }
        for (path, sequence) in self.closed.drain(..).zip(0..) {
            let part = Part {
                checkpoint,
                worker: self.worker,
                sequence,
            };
            rename(path, self.layout.prepared_path(part))?;
            self.prepared.push(part);
        }
        self.layout.sync()
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let all = std::mem::take(&mut self.prepared);
        let (complete, waiting): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|part| part.checkpoint <= checkpoint);
        self.prepared = waiting;
        if complete.is_empty() {
            return Ok(());
        }
        for part in complete {
            rename(
                self.layout.prepared_path(part),
                self.layout.final_path(part),
            )?;
        }
        let mark = self.layout.mark_committed(checkpoint, self.worker)?;
        self.layout.sync()?;
        for old in self.marks.drain(..).filter(|old| *old != mark) {
            layout::remove(&old)?;
        }
        self.marks.push(mark);
        Ok(())
    }

    /// Below exactly-once: gives closed files final names at once. What is there is never replaced: it
    /// may be all that is left of an attempt whose source cannot replay.
    fn show(&mut self, checkpoint: CheckpointId) -> Result<()> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let mut sequence = 0;
        for path in self.closed.drain(..) {
            let part = |sequence| Part {
                checkpoint,
                worker: self.worker,
                sequence,
            };
            while self.layout.final_path(part(sequence)).exists() {
                sequence += 1;
            }
            rename(path, self.layout.final_path(part(sequence)))?;
        }
        self.layout.sync()
    }
}

/// Never replaces a file: within one timeline of checkpoints each name is given once.
fn rename(from: PathBuf, to: PathBuf) -> Result<()> {
    if to.exists() {
        let to = to.display();
        return Err(Error::new(
            ErrorKind::Sink,
            format!(
                "{to} is there already: does another sink write to this directory with the same \
                 prefix and extension?"
            ),
        ));
    }
    fs::rename(&from, to).map_err(|error| sink_error("cannot rename", &from, error))
}

/// A new file; one that a dying process may still hold is passed over.
fn create(layout: &Layout, worker: usize, number: &mut u64) -> Result<(File, PathBuf)> {
    loop {
        let path = layout.in_progress_path(worker, *number);
        *number += 1;
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(sink_error("cannot create", &path, error)),
        }
    }
}
