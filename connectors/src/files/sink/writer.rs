//! The worker's side of a file sink: encodes records into buffers and hands these to its thread.

use super::disk::{Command, Disk};
use super::layout::{Fresh, Layout};
use crate::format::Format;
use millstream_runtime::Result;
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::record::Record;
use millstream_runtime::sink::{Ready, SinkWriter, WriterContext, Written};
use millstream_runtime::time::CheckpointId;
use std::mem;
use std::time::Duration;

/// A buffer of this size goes to the disk.
const BUFFER_BYTES: usize = 64 << 10;
/// A smaller one goes when the last went this long ago: the thread that writes is not woken for each
/// record of a slow stream.
const SHOW_AFTER: Duration = Duration::from_millis(10);

pub(super) struct Writer<F> {
    layout: Layout,
    format: F,
    roll_size: u64,
    fresh: Fresh,
    context: WriterContext,
    disk: Disk,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are whole records.
    whole: usize,
    /// Records taken in the last call.
    taken: usize,
    /// Bytes of the file that were handed on.
    handed_on: u64,
    /// Since a buffer was handed on.
    quiet: Stopwatch,
    committing: CheckpointId,
}

impl<F> Writer<F> {
    pub fn start(
        layout: Layout,
        format: F,
        roll_size: u64,
        fresh: Fresh,
        context: WriterContext,
    ) -> Result<Self> {
        Ok(Writer {
            disk: Disk::start(layout.clone(), &context)?,
            layout,
            format,
            roll_size,
            fresh,
            context,
            buffer: Vec::new(),
            whole: 0,
            taken: 0,
            handed_on: 0,
            quiet: Stopwatch::start(),
            committing: 0,
        })
    }

    fn file_bytes(&self) -> u64 {
        self.handed_on + self.buffer.len() as u64
    }

    fn hand_on(&mut self) -> Result<()> {
        self.drop_half();
        if !self.buffer.is_empty() {
            let empty = Vec::with_capacity(self.buffer.capacity().min(2 * BUFFER_BYTES));
            let full = mem::replace(&mut self.buffer, empty);
            self.handed_on += full.len() as u64;
            self.whole = 0;
            self.quiet = Stopwatch::start();
            self.disk.send(Command::Data(full))?;
        }
        Ok(())
    }

    /// What was encoded of a record that failed is no part of the file.
    fn drop_half(&mut self) {
        self.buffer.truncate(self.whole);
    }

    /// Makes room for one more record. Says no when the disk cannot keep up.
    #[inline]
    fn make_room(&mut self) -> Result<bool> {
        let roll = self.file_bytes() >= self.roll_size;
        if !roll && self.buffer.len() < BUFFER_BYTES {
            return Ok(true);
        }
        if !self.disk.has_room()? {
            return Ok(false);
        }
        self.hand_on()?;
        if roll {
            self.disk.send(Command::Roll)?;
            self.handed_on = 0;
        }
        Ok(true)
    }
}

impl<T, F: Format<T>> SinkWriter<T> for Writer<F> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        self.drop_half();
        self.taken = 0;
        for record in records.iter() {
            if !self.make_room()? {
                break;
            }
            if self.file_bytes() == 0 {
                self.format.begin(&mut self.buffer);
            }
            self.format.encode(&record.value, &mut self.buffer)?;
            self.whole = self.buffer.len();
            self.taken += 1;
        }
        records.drain(..self.taken);
        Ok(match records.is_empty() {
            true => Written::All,
            false => Written::Full,
        })
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.taken)
    }

    fn flush(&mut self) -> Result<()> {
        // Asked even when there is nothing to hand on: this is also how an error comes to light.
        let room = self.disk.has_room()?;
        match room && !self.buffer.is_empty() && self.quiet.elapsed() >= SHOW_AFTER {
            true => self.hand_on(),
            false => Ok(()),
        }
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.hand_on()?;
        self.handed_on = 0;
        self.disk.send(Command::Prepare(checkpoint))
    }

    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        Ok(self.disk.prepared()?.map_or(Ready::NotYet, Ready::Yes))
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.committing = checkpoint;
        self.disk.send(Command::Commit(checkpoint))
    }

    fn poll_committed(&mut self) -> Result<Ready<()>> {
        Ok(match self.disk.committed()? >= self.committing {
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
