//! Reads one split: opens the file for each chunk, cuts it into lines, knows where it stands.

use super::lines::{Lines, Next};
use super::{FileSplit, FromLine, OnBadLine, Options};
use crate::position;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::record::NO_TIME;
use millstream_runtime::source::{Batch, ReadStatus, ReaderContext, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::sync::Arc;

const VERSION: u8 = 1;
/// By how many bytes at its head a watched file is recognised.
const HEAD_BYTES: u64 = 1_024;
/// Position flag: lines have been found; without it a range starts over.
const ALIGNED: u64 = 1;
/// Position flag: a watched file had been read to its end.
const AT_END: u64 = 2;

pub(super) struct Reader<L> {
    path: Arc<str>,
    range: Option<(u64, u64)>,
    options: Options,
    available_now: bool,
    lines: Lines,
    /// In a range: the first line end has yet to be found.
    unaligned: bool,
    /// Where to stop: the length when reading began; none while following a watched file.
    limit: Option<u64>,
    /// A watched file was read to its end when last looked at.
    at_end: bool,
    head: Head,
    item: PhantomData<fn() -> L>,
}

/// What a watched file begins with.
enum Head {
    /// As the snapshot says, not compared yet: length and hash.
    Expected(u64, u64),
    Known(Vec<u8>),
}

/// What came of an attempt to read on.
enum Filled {
    Bytes,
    End,
    /// The file was removed after it had been read to its end.
    Gone,
}

/// Why no further line was handed out.
enum Stopped {
    Full,
    NeedMore,
    RangeEnd,
}

impl<L> Reader<L> {
    pub fn open(
        options: &Options,
        split: &FileSplit,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Self> {
        let mut reader = Reader {
            path: split.path.as_str().into(),
            range: split.range,
            options: options.clone(),
            available_now: context.available_now,
            lines: Lines::at(0, 0, options.max_line),
            unaligned: false,
            limit: None,
            at_end: false,
            head: Head::Known(Vec::new()),
            item: PhantomData,
        };
        let what = || format!("text file {}", split.path);
        match position
            .map(|bytes| position::decode::<5>(VERSION, bytes, &what()))
            .transpose()?
        {
            Some([offset, number, flags, length, hash]) if flags & ALIGNED != 0 => {
                reader.lines = Lines::at(offset, number, options.max_line);
                reader.at_end = flags & AT_END != 0;
                reader.head = Head::Expected(length, hash);
            }
            _ => reader.start(),
        }
        Ok(reader)
    }

    fn start(&mut self) {
        // A line that starts right at the start of the range belongs to it: look from one byte before.
        if let Some((start @ 1.., _)) = self.range {
            self.lines = Lines::after_line_end(start - 1, self.options.max_line);
            self.unaligned = true;
        }
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Source,
            format!("text file {}: {what}", self.path),
        )
    }

    fn io_error(&self, what: &str) -> impl FnOnce(io::Error) -> Error {
        let error = self.error(what);
        move |cause| error.with_source(cause)
    }

    /// Whether the lines of this range have been handed out.
    fn past_range(&self) -> bool {
        let Some((_, end)) = self.range else {
            return false;
        };
        match self.unaligned {
            true => self.lines.read_to() >= end,
            false => self.lines.offset() >= end,
        }
    }

    /// Reads one chunk.
    fn fill(&mut self) -> Result<Filled> {
        let mut file = match File::open(&*self.path) {
            Ok(file) => file,
            Err(error) if self.at_end && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Filled::Gone);
            }
            Err(error) => return Err(self.io_error("cannot be opened")(error)),
        };
        let length = file
            .metadata()
            .map_err(self.io_error("cannot be read"))?
            .len();
        let read_to = self.lines.read_to();
        if length < read_to {
            return Err(self.error(format!(
                "cut short or replaced: {length} bytes now, {read_to} were read"
            )));
        }
        if self.options.watch.is_none() || self.available_now {
            self.limit.get_or_insert(length);
        }
        let left = self.limit.unwrap_or(length).saturating_sub(read_to);
        if left == 0 {
            self.at_end = true;
            return Ok(Filled::End);
        }
        self.check_head(&mut file)?;
        let count = left.min(self.options.chunk as u64) as usize;
        self.read_chunk(&mut file, count)
    }

    fn read_chunk(&mut self, file: &mut File, count: usize) -> Result<Filled> {
        let read = file
            .seek(SeekFrom::Start(self.lines.read_to()))
            .and_then(|_| self.lines.fill(count, |room| file.read(room)));
        let read = read.map_err(self.io_error("cannot be read"))?;
        self.at_end = read == 0;
        self.grow_head(file)?;
        Ok(match read {
            // Cut short between the two calls: the next one will see it.
            0 => Filled::End,
            _ => Filled::Bytes,
        })
    }

    /// Compares the head of a watched file with what is known of it.
    fn check_head(&mut self, file: &mut File) -> Result<()> {
        if self.options.watch.is_none() {
            return Ok(());
        }
        let known = match &self.head {
            Head::Expected(length, _) => *length,
            Head::Known(head) => head.len() as u64,
        };
        let now = read_head(file, known).map_err(self.io_error("cannot be read"))?;
        let same = match &self.head {
            Head::Expected(_, hash) => stable_hash(now.as_slice()) == *hash,
            Head::Known(head) => *head == now,
        };
        if !same {
            return Err(self.error("replaced by another file: its first bytes have changed"));
        }
        self.head = Head::Known(now);
        Ok(())
    }

    /// Learns the head of a watched file as far as it was read.
    fn grow_head(&mut self, file: &mut File) -> Result<()> {
        let wanted = self.lines.read_to().min(HEAD_BYTES);
        match &self.head {
            Head::Known(head) if self.options.watch.is_some() && (head.len() as u64) < wanted => {
                let head = read_head(file, wanted).map_err(self.io_error("cannot be read"))?;
                self.head = Head::Known(head);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn read_head(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(length).read_to_end(&mut head)?;
    Ok(head)
}

impl<L: FromLine> Reader<L> {
    /// Hands out the lines that were read until the batch holds `full` records.
    fn hand_out(&mut self, batch: &mut Batch<L>, full: usize) -> Result<Stopped> {
        while batch.records.len() < full {
            if !self.lines.align() {
                return Ok(Stopped::NeedMore);
            }
            self.unaligned = false;
            if self.past_range() {
                return Ok(Stopped::RangeEnd);
            }
            let offset = self.lines.offset();
            let number = self.lines.number() + 1;
            let line = match self.lines.next() {
                Next::NeedMore => return Ok(Stopped::NeedMore),
                Next::Line(line) => made(&self.path, number, line),
                Next::TooLong => Err(Bad::TooLong),
            };
            self.put(batch, offset, line)?;
        }
        Ok(Stopped::Full)
    }

    /// The file has ended: hands out a last line without a line end.
    fn hand_out_last(&mut self, batch: &mut Batch<L>) -> Result<()> {
        if self.past_range() || self.unaligned {
            return Ok(());
        }
        let offset = self.lines.offset();
        let number = self.lines.number() + 1;
        let line = match self.lines.last() {
            None | Some(Next::NeedMore) => return Ok(()),
            Some(Next::Line(line)) => made(&self.path, number, line),
            Some(Next::TooLong) => Err(Bad::TooLong),
        };
        self.put(batch, offset, line)
    }

    #[inline]
    fn put(&self, batch: &mut Batch<L>, offset: u64, line: Result<L, Bad>) -> Result<()> {
        match line {
            Ok(line) => batch.push(NO_TIME, line),
            Err(bad) => {
                if self.options.on_bad_line == OnBadLine::Fail {
                    return Err(self.bad_line(offset, bad));
                }
                batch.skipped += 1;
            }
        }
        Ok(())
    }

    fn bad_line(&self, offset: u64, bad: Bad) -> Error {
        let number = self.lines.number();
        let line = match self.range {
            Some((start @ 1.., _)) => format!("line {number} of those from byte {start} on"),
            _ => format!("line {number}"),
        };
        match bad {
            Bad::Encoding(error) => {
                let at = offset + error.valid_up_to() as u64;
                self.error(format!("{line} is not UTF-8 at byte {at}"))
                    .with_source(error)
            }
            Bad::TooLong => self.error(format!(
                "{line}, at byte {offset}, is longer than {} bytes",
                self.options.max_line
            )),
        }
    }

    /// Nothing more is there now.
    fn ended(&mut self, batch: &mut Batch<L>, gone: bool) -> Result<ReadStatus> {
        let status = match self.options.watch {
            Some(interval) if !gone && !self.available_now => ReadStatus::WaitFor(interval),
            Some(_) if !gone => ReadStatus::Finished,
            _ => {
                self.hand_out_last(batch)?;
                ReadStatus::Finished
            }
        };
        self.lines.shrink();
        Ok(status)
    }

    fn read(&mut self, batch: &mut Batch<L>, full: usize) -> Result<ReadStatus> {
        let mut filled = false;
        loop {
            match self.hand_out(batch, full)? {
                Stopped::Full => return Ok(ReadStatus::More),
                Stopped::RangeEnd => return Ok(ReadStatus::Finished),
                Stopped::NeedMore if self.unaligned && self.past_range() => {
                    return Ok(ReadStatus::Finished);
                }
                // One chunk a poll, so that a worker is not held up.
                Stopped::NeedMore if filled => return Ok(ReadStatus::More),
                Stopped::NeedMore => {}
            }
            match self.fill()? {
                Filled::Bytes => filled = true,
                Filled::End => return self.ended(batch, false),
                Filled::Gone => return self.ended(batch, true),
            }
        }
    }
}

/// What is wrong with a line.
enum Bad {
    TooLong,
    Encoding(std::str::Utf8Error),
}

#[inline]
fn made<L: FromLine>(path: &Arc<str>, number: u64, line: &[u8]) -> Result<L, Bad> {
    let text = std::str::from_utf8(line).map_err(Bad::Encoding)?;
    Ok(L::from_line(path, number, text))
}

impl<L: FromLine> SplitReader<L> for Reader<L> {
    fn poll(&mut self, batch: &mut Batch<L>, max: usize) -> Result<ReadStatus> {
        let before = self.lines.offset();
        let full = batch.records.len().saturating_add(max);
        let status = self.read(batch, full)?;
        batch.bytes += self.lines.offset() - before;
        Ok(status)
    }

    fn position(&self) -> Vec<u8> {
        let (offset, number) = self.lines.position();
        let (length, hash) = match &self.head {
            Head::Expected(length, hash) => (*length, *hash),
            Head::Known(head) => {
                let length = offset.min(head.len() as u64);
                (length, stable_hash(&head[..length as usize]))
            }
        };
        let aligned = if self.unaligned { 0 } else { ALIGNED };
        let at_end = match self.at_end && offset == self.lines.read_to() {
            true => AT_END,
            false => 0,
        };
        position::encode(VERSION, &[offset, number, aligned | at_end, length, hash])
    }
}
