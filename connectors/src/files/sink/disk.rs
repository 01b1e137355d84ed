//! What the thread of one writer does: it alone touches the disk.

use super::layout::{self, Layout, Part, sink_error};
use crate::background::{Background, Stop, Work};
use crate::compression::{Compression, Deflater};
use millstream_runtime::config::Guarantee;
use millstream_runtime::sink::WriterContext;
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many buffers of data may wait.
const MAX_BUFFERS: usize = 16;

/// The folder of a file within the sink's directory; empty: right in it.
pub(super) type Folder = Arc<str>;

/// What the thread is to do, in this order.
pub(super) enum Command {
    /// Append to the file of a folder, a new one if none is open.
    Data(Folder, Vec<u8>),
    /// Close the file of a folder.
    Roll(Folder),
    /// Make durable what was written.
    Prepare(CheckpointId),
    /// Give final names to what was prepared up to this checkpoint.
    Commit(CheckpointId),
    /// Remove these commit marks with the next commit.
    Replace(Vec<PathBuf>),
}

/// What the thread has to say.
pub(super) enum Done {
    /// This describes what was prepared.
    Prepared(Vec<u8>),
    /// Final names were given up to this checkpoint.
    Committed(CheckpointId),
}

/// Starts the thread. With `roll_after` the worker is woken that often while files are open.
pub(super) fn start(
    layout: Layout,
    compression: Compression,
    roll_after: Option<Duration>,
    context: &WriterContext,
) -> Result<Background<Files>> {
    let files = Files {
        layout,
        compression,
        roll_after,
        worker: context.worker,
        exactly_once: context.guarantee == Guarantee::ExactlyOnce,
        open: BTreeMap::new(),
        next_number: 0,
        closed: Vec::new(),
        prepared: Vec::new(),
        checkpoint: context.restored + 1,
        marks: Vec::new(),
    };
    let name = format!("files-{}-{}", context.uid, context.worker);
    Background::start(name, files, MAX_BUFFERS, context.waker.clone())
}

/// The files of one writer.
pub(super) struct Files {
    layout: Layout,
    compression: Compression,
    roll_after: Option<Duration>,
    worker: usize,
    exactly_once: bool,
    open: BTreeMap<Folder, Open>,
    next_number: u64,
    /// Closed since the last barrier, durable, still under their names of work in progress.
    closed: Vec<(Folder, PathBuf)>,
    /// Prepared and not committed.
    prepared: Vec<Part>,
    /// The checkpoint that is being written, as far as is known: the one after the last barrier.
    checkpoint: CheckpointId,
    /// Commit marks that the next one replaces.
    marks: Vec<PathBuf>,
}

struct Open {
    out: Deflater<File>,
    path: PathBuf,
}

impl Work for Files {
    type Command = Command;
    type Answer = Done;

    fn is_data(command: &Command) -> bool {
        matches!(command, Command::Data(..))
    }

    fn execute(&mut self, command: Command, _: &Stop) -> Result<Option<Done>> {
        match command {
            Command::Data(folder, bytes) => self.append(folder, &bytes)?,
            Command::Roll(folder) => self.roll(&folder)?,
            Command::Prepare(checkpoint) => {
                self.prepare(checkpoint)?;
                let described = layout::describe(&self.prepared)?;
                return Ok(Some(Done::Prepared(described)));
            }
            Command::Commit(checkpoint) => {
                self.commit(checkpoint)?;
                return Ok(Some(Done::Committed(checkpoint)));
            }
            Command::Replace(marks) => self.marks = marks,
        }
        Ok(None)
    }

    fn patience(&mut self) -> Option<Duration> {
        self.roll_after.filter(|_| !self.open.is_empty())
    }
}

impl Files {
    fn append(&mut self, folder: Folder, bytes: &[u8]) -> Result<()> {
        if !self.open.contains_key(&folder) {
            let open = self.create(&folder)?;
            self.open.insert(folder.clone(), open);
        }
        let Some(Open { out, path }) = self.open.get_mut(&folder) else {
            unreachable!("it was just put there");
        };
        out.write_all(bytes)
            .map_err(|error| sink_error("cannot write", path, error))
    }

    /// A new file; one that a dying process may still hold is passed over.
    fn create(&mut self, folder: &str) -> Result<Open> {
        if !folder.is_empty() {
            let path = self.layout.directory.join(folder);
            fs::create_dir_all(&path).map_err(|error| sink_error("cannot make", &path, error))?;
        }
        loop {
            let number = self.next_number;
            let path = self.layout.in_progress_path(folder, self.worker, number);
            self.next_number += 1;
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let out = Deflater::new(self.compression, file)
                        .map_err(|error| sink_error("cannot write", &path, error))?;
                    return Ok(Open { out, path });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(sink_error("cannot create", &path, error)),
            }
        }
    }

    fn roll(&mut self, folder: &Folder) -> Result<()> {
        if let Some(open) = self.open.remove(folder) {
            self.close(folder.clone(), open)?;
        }
        match self.exactly_once {
            true => Ok(()),
            false => self.show(self.checkpoint),
        }
    }

    fn close(&mut self, folder: Folder, Open { out, path }: Open) -> Result<()> {
        out.finish()
            .and_then(|file| file.sync_all())
            .map_err(|error| sink_error("cannot sync", &path, error))?;
        self.closed.push((folder, path));
        Ok(())
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<()> {
        for (folder, open) in std::mem::take(&mut self.open) {
            self.close(folder, open)?;
        }
        match self.exactly_once {
            true => self.name_prepared(checkpoint)?,
            false => self.show(checkpoint)?,
        }
        self.checkpoint = checkpoint + 1;
        Ok(())
    }

    fn name_prepared(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let mut folders = BTreeSet::new();
        for ((folder, path), sequence) in self.closed.drain(..).zip(0..) {
            let part = Part {
                folder: folder.to_string(),
                checkpoint,
                worker: self.worker,
                sequence,
            };
            rename(path, self.layout.prepared_path(&part))?;
            folders.insert(folder);
            self.prepared.push(part);
        }
        self.layout.sync(folders.iter().map(|folder| &**folder))
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
        for part in &complete {
            rename(
                self.layout.prepared_path(part),
                self.layout.final_path(part),
            )?;
        }
        let mark = self.layout.mark_committed(checkpoint, self.worker)?;
        let folders = complete.iter().map(|part| &*part.folder);
        self.layout.sync(folders.chain([""]))?;
        for old in self.marks.drain(..).filter(|old| *old != mark) {
            layout::remove(&old)?;
        }
        self.marks.push(mark);
        Ok(())
    }

    /// Below exactly-once: gives closed files final names at once. What is there is never replaced: it
    /// may be all that is left of an attempt whose source cannot replay.
    fn show(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let mut folders = BTreeSet::new();
        for (folder, path) in self.closed.drain(..) {
            let mut part = Part {
                folder: folder.to_string(),
                checkpoint,
                worker: self.worker,
                sequence: 0,
            };
            while self.layout.final_path(&part).exists() {
                part.sequence += 1;
            }
            rename(path, self.layout.final_path(&part))?;
            folders.insert(folder);
        }
        self.layout.sync(folders.iter().map(|folder| &**folder))
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
