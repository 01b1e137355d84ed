//! The worker's side of a file sink: encodes records into a buffer for each folder and hands these to its
//! thread.
//!
//! Invariant: a buffer holds whole records up to `whole`; what is behind is of one that failed.

use super::disk::{self, Command, Done, Files, Folder};
use super::layout::{Fresh, Layout};
use super::partition::{self, Folders, Partition};
use crate::background::Background;
use crate::compression::Compression;
use crate::format::Format;
use millstream_runtime::Result;
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::record::Record;
use millstream_runtime::sink::{Ready, SinkWriter, WriterContext, Written};
use millstream_runtime::time::CheckpointId;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

/// A buffer of this size goes to the disk.
const BUFFER_BYTES: usize = 64 << 10;
/// A smaller one goes when the last went this long ago: the thread that writes is not woken for each
/// record of a slow stream.
const SHOW_AFTER: Duration = Duration::from_millis(10);
/// Folders are asked for so many records at a time.
const PIECE_RECORDS: usize = 1_024;
/// So many files are written at a time; of more, the one that was not written to for longest is closed.
const MAX_OPEN: usize = 64;

/// When a file is closed and another one begun.
#[derive(Clone, Copy)]
pub(super) struct Rolling {
    /// At so many bytes, before compression.
    pub size: u64,
    /// When it was begun this long ago.
    pub after: Option<Duration>,
}

pub(super) struct Writer<T, F> {
    layout: Layout,
    format: F,
    rolling: Rolling,
    partition: Option<Partition<T>>,
    fresh: Fresh,
    context: WriterContext,
    disk: Background<Files>,
    open: Vec<Open<F>>,
    /// Which of them has which folder.
    by_folder: BTreeMap<Folder, usize>,
    /// The one that was written to last.
    last: usize,
    folders: Folders,
    /// The folder of the record that is being written.
    folder: String,
    /// Records taken, in all; says which file was not written to for longest.
    clock: u64,
    /// Records taken in the last call.
    taken: usize,
    /// Since a buffer was handed on.
    quiet: Stopwatch,
    prepared: VecDeque<Vec<u8>>,
    committed: CheckpointId,
    committing: CheckpointId,
}

/// A file that is being written.
struct Open<F> {
    folder: Folder,
    format: F,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are whole records.
    whole: usize,
    /// Bytes of the file that were handed on.
    handed_on: u64,
    begun: Stopwatch,
    written_at: u64,
}

impl<F> Open<F> {
    fn bytes(&self) -> u64 {
        self.handed_on + self.buffer.len() as u64
    }
}

impl<T, F: Format<T>> Writer<T, F> {
    pub fn start(
        layout: Layout,
        format: F,
        compression: Compression,
        rolling: Rolling,
        partition: Option<Partition<T>>,
        fresh: Fresh,
        context: WriterContext,
    ) -> Result<Self> {
        Ok(Writer {
            disk: disk::start(layout.clone(), compression, rolling.after, &context)?,
            layout,
            format,
            rolling,
            partition,
            fresh,
            context,
            open: Vec::new(),
            by_folder: BTreeMap::new(),
            last: 0,
            folders: Folders::default(),
            folder: String::new(),
            clock: 0,
            taken: 0,
            quiet: Stopwatch::start(),
            prepared: VecDeque::new(),
            committed: 0,
            committing: 0,
        })
    }

    /// The index of the file of `self.folder`; `None` when the disk cannot keep up.
    #[inline]
    fn file(&mut self) -> Result<Option<usize>> {
        match self.open.get(self.last) {
            Some(open) if *open.folder == *self.folder => Ok(Some(self.last)),
            _ => self.other_file(),
        }
    }

    fn other_file(&mut self) -> Result<Option<usize>> {
        if let Some(index) = self.by_folder.get(&*self.folder) {
            return Ok(Some(*index));
        }
        if self.partition.is_some() {
            partition::check(&self.folder)?;
        }
        if self.open.len() >= MAX_OPEN {
            if !self.disk.has_room()? {
                return Ok(None);
            }
            let ages = self.open.iter().enumerate();
            if let Some((oldest, _)) = ages.min_by_key(|(_, open)| open.written_at) {
                self.close(oldest)?;
            }
        }
        let folder: Folder = self.folder.as_str().into();
        self.by_folder.insert(folder.clone(), self.open.len());
        self.open.push(Open {
            folder,
            format: self.format.clone(),
            buffer: Vec::new(),
            whole: 0,
            handed_on: 0,
            begun: Stopwatch::start(),
            written_at: self.clock,
        });
        Ok(Some(self.open.len() - 1))
    }

    fn hand_on(&mut self, index: usize) -> Result<()> {
        let open = &mut self.open[index];
        open.buffer.truncate(open.whole);
        if !open.buffer.is_empty() {
            let empty = Vec::with_capacity(open.buffer.capacity().min(2 * BUFFER_BYTES));
            let full = mem::replace(&mut open.buffer, empty);
            open.handed_on += full.len() as u64;
            open.whole = 0;
            self.quiet = Stopwatch::start();
            self.disk.send(Command::Data(open.folder.clone(), full))?;
        }
        Ok(())
    }

    /// Ends a file; the next record of its folder begins another one.
    fn close(&mut self, index: usize) -> Result<()> {
        self.hand_on(index)?;
        let open = self.open.swap_remove(index);
        self.by_folder.remove(&open.folder);
        if let Some(moved) = self.open.get(index) {
            self.by_folder.insert(moved.folder.clone(), index);
        }
        self.disk.send(Command::Roll(open.folder))
    }

    /// Makes room in file `index` for one more record; the index may be another one then. `None` when the disk
    /// cannot keep up.
    #[inline]
    fn make_room(&mut self, index: usize) -> Result<Option<usize>> {
        let open = &self.open[index];
        let roll = open.bytes() >= self.rolling.size;
        if !roll && open.buffer.len() < BUFFER_BYTES {
            return Ok(Some(index));
        }
        if !self.disk.has_room()? {
            return Ok(None);
        }
        if !roll {
            self.hand_on(index)?;
            return Ok(Some(index));
        }
        self.close(index)?;
        self.file()
    }

    /// Takes one record; whether there was room for it.
    #[inline]
    fn take(&mut self, record: &Record<T>) -> Result<bool> {
        let Some(index) = self.file()? else {
            return Ok(false);
        };
        let Some(index) = self.make_room(index)? else {
            return Ok(false);
        };
        self.last = index;
        self.clock += 1;
        let open = &mut self.open[index];
        open.buffer.truncate(open.whole);
        open.written_at = self.clock;
        if open.bytes() == 0 {
            open.format.begin(&mut open.buffer);
        }
        open.format.encode(&record.value, &mut open.buffer)?;
        open.whole = open.buffer.len();
        Ok(true)
    }

    /// Takes these records; whether there was room for all.
    fn take_all(&mut self, records: &[Record<T>]) -> Result<bool> {
        if let Some(partition) = &self.partition {
            self.folders.fill(partition, records);
        }
        for (index, record) in records.iter().enumerate() {
            if self.partition.is_some() {
                self.folders.get(index, &mut self.folder);
            }
            if !self.take(record)? {
                return Ok(false);
            }
            self.taken += 1;
        }
        Ok(true)
    }

    /// Closes files that were begun long enough ago.
    fn close_old(&mut self) -> Result<()> {
        let Some(after) = self.rolling.after else {
            return Ok(());
        };
        let mut index = 0;
        while index < self.open.len() {
            match self.open[index].begun.elapsed() >= after {
                true if !self.disk.has_room()? => return Ok(()),
                true => self.close(index)?,
                false => index += 1,
            }
        }
        Ok(())
    }

    /// Hears what the thread has to say.
    fn listen(&mut self) -> Result<()> {
        while let Some(done) = self.disk.answer()? {
            match done {
                Done::Prepared(described) => self.prepared.push_back(described),
                Done::Committed(checkpoint) => self.committed = checkpoint,
            }
        }
        Ok(())
    }
}

impl<T, F: Format<T>> SinkWriter<T> for Writer<T, F> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        self.taken = 0;
        // In pieces: a writer that is full is offered the rest again, and folders are asked for anew.
        for piece in records.chunks(PIECE_RECORDS) {
            if !self.take_all(piece)? {
                break;
            }
        }
        records.drain(..self.taken);
        Ok(match records.is_empty() {
            true => Written::All,
            false => Written::Full,
        })
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.taken + self.folders.failed_at().unwrap_or(0))
    }

    fn flush(&mut self) -> Result<()> {
        self.close_old()?;
        // Asked even when there is nothing to hand on: this is also how an error comes to light.
        let mut room = self.disk.has_room()?;
        if self.quiet.elapsed() < SHOW_AFTER {
            return Ok(());
        }
        for index in 0..self.open.len() {
            if room && self.open[index].whole > 0 {
                self.hand_on(index)?;
                room = self.disk.has_room()?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<()> {
        for index in 0..self.open.len() {
            self.hand_on(index)?;
        }
        self.open.clear();
        self.by_folder.clear();
        self.disk.send(Command::Prepare(checkpoint))
    }

    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        self.listen()?;
        Ok(self.prepared.pop_front().map_or(Ready::NotYet, Ready::Yes))
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.committing = checkpoint;
        self.disk.send(Command::Commit(checkpoint))
    }

    fn poll_committed(&mut self) -> Result<Ready<()>> {
        self.listen()?;
        Ok(match self.committed >= self.committing {
            true => Ready::Yes(()),
            false => Ready::NotYet,
        })
    }

    fn settle(&mut self, prepared: Vec<Vec<u8>>) -> Result<()> {
        self.layout.settle(&prepared)?;
        let marks = self.layout.clean(&self.fresh, &self.context)?;
        self.disk.send(Command::Replace(marks))
    }
}
