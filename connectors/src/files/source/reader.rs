//! Reads one split: bytes from its file, decompressed, decoded to records; knows where it stands.

use super::followed::Known;
use super::input::{Input, Piece, error};
use super::{FileSplit, OnLoss, Options, Part};
use crate::compression::{Compression, Inflater};
use crate::files::identity::Identity;
use crate::format::decoder::{Decoder, Lines, Stopped};
use crate::format::{Parse, Parser};
use crate::position;
use millstream_runtime::source::{Batch, ReadStatus, ReaderContext, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use std::sync::Arc;

const VERSION: u8 = 2;
/// Position flag: the next record is known; without it a range starts over.
const ALIGNED: u64 = 1;
/// Position flag: a watched file had been read to its end.
const AT_END: u64 = 2;
/// Position flag: it is known which file was read.
const IDENTIFIED: u64 = 4;
/// Of a compressed file, this much is read at a time.
const COMPRESSED_PIECE: usize = 32 << 10;

pub(super) struct Reader<T, P: Parse<T>> {
    path: Arc<str>,
    format: P,
    options: Options,
    available_now: bool,
    decoder: Decoder<T, P::Parser>,
    range_end: Option<u64>,
    input: Input,
    /// Where the next piece of the file starts, as it is on the disk.
    read_to: u64,
    compression: Compression,
    inflater: Inflater,
    /// So many bytes, decompressed, are before the position at which it was opened.
    skip: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Bytes are read.
    Reading,
    /// The file has been read; what it ends with is handed out.
    Ending,
    /// The same, and then comes another file under its name.
    Turning,
}

/// What a position holds.
struct Position {
    offset: u64,
    number: u64,
    flags: u64,
    head: (u64, u64),
    identity: Identity,
}

impl Position {
    fn decode<'a>(bytes: &'a [u8], what: &str) -> Result<(Self, &'a [u8])> {
        let (fields, state) = position::decode_front::<8>(VERSION, bytes, what)?;
        let [offset, number, flags, length, hash, device, inode, born_ns] = fields;
        let identity = Identity {
            device,
            inode,
            born_ns,
        };
        let head = (length, hash);
        let position = Position {
            offset,
            number,
            flags,
            head,
            identity,
        };
        Ok((position, state))
    }

    fn known(&self) -> Known {
        Known {
            identity: (self.flags & IDENTIFIED != 0).then_some(self.identity),
            head: self.head,
            at_end: self.flags & AT_END != 0,
        }
    }
}

impl<T, P: Parse<T>> Reader<T, P> {
    pub fn open(
        options: &Options,
        format: &P,
        split: &FileSplit,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Self> {
        let path: Arc<str> = split.path.as_str().into();
        let what = format!("file {path}");
        let (position, state) = match position {
            Some(bytes) => {
                let (position, state) = Position::decode(bytes, &what)?;
                (Some(position), state)
            }
            None => (None, &[][..]),
        };
        let position = position.filter(|position| position.flags & ALIGNED != 0);
        let mut parser = format.parser();
        parser
            .restore(state)
            .map_err(|error| Error::new(ErrorKind::Restore, what).with_source(error))?;
        let range = match split.part {
            Part::Range(start, end) => Some((start, end)),
            _ => None,
        };
        let (max, compression) = (options.max_record, options.compression_of(&path));
        let lines = match (&position, range) {
            (Some(position), _) => Lines::at(position.offset, position.number, max),
            // A line that starts right at the start of the range belongs to it: look from one byte before.
            (None, Some((start @ 1.., _))) => Lines::after_line_end(start - 1, max),
            (None, _) => Lines::at(0, 0, max),
        };
        let compressed = compression != Compression::None;
        let offset = lines.read_to();
        let mut decoder = Decoder::new(path.clone(), lines, parser, max);
        if let Some((_, end)) = range {
            decoder = decoder.within(end);
        }
        let unread = split.identity.map(Known::unread);
        let known = position.as_ref().map(Position::known).or(unread);
        Ok(Reader {
            input: Input::new(path.clone(), options, known, context.available_now),
            path,
            format: format.clone(),
            options: options.clone(),
            available_now: context.available_now,
            decoder,
            range_end: range.map(|(_, end)| end),
            read_to: if compressed { 0 } else { offset },
            inflater: Inflater::new(compression)?,
            compression,
            skip: if compressed { offset } else { 0 },
            phase: Phase::Reading,
        })
    }

    /// Puts the path before the positions of bad records: the split does not say it.
    pub fn named(mut self) -> Self {
        self.decoder = self.decoder.named();
        self
    }

    /// Reads one piece.
    fn fill(&mut self) -> Result<Piece> {
        if self.compression != Compression::None {
            return self.fill_decompressed();
        }
        let (input, at, max) = (&mut self.input, self.read_to, self.options.chunk);
        let piece = self
            .decoder
            .lines
            .fill(|bytes| input.read(at, max, bytes))?;
        self.read_to = self.decoder.lines.read_to();
        Ok(piece)
    }

    fn fill_decompressed(&mut self) -> Result<Piece> {
        let mut raw = Vec::new();
        if !self.inflater.is_pending() {
            match self.input.read(self.read_to, COMPRESSED_PIECE, &mut raw)? {
                Piece::Bytes => {}
                other => return Ok(other),
            }
        }
        let mut out = Vec::new();
        let pushed = self.inflater.push(&raw, &mut out, self.options.chunk);
        let skipped = self.skip.min(out.len() as u64);
        self.skip -= skipped;
        self.decoder
            .lines
            .fill(|bytes| bytes.extend_from_slice(&out[skipped as usize..]));
        match pushed {
            Ok(taken) => {
                self.read_to += taken as u64;
                Ok(Piece::Bytes)
            }
            Err(what) => Err(self.damaged(raw.len(), &what)),
        }
    }

    fn damaged(&self, piece: usize, what: &str) -> Error {
        let (from, line) = (self.read_to, self.decoder.lines.number() + 1);
        let compression = format!("{:?}", self.compression).to_lowercase();
        let to = from + piece as u64;
        error(
            &self.path,
            format!(
                "its {compression} data is damaged between bytes {from} and {to} of the file, in or after \
                 line {line}: {what}"
            ),
        )
    }

    /// Nothing more is there now.
    fn ended(&mut self) -> Result<Option<ReadStatus>> {
        if let Some(interval) = self.options.watch {
            return Ok(Some(match self.available_now {
                true => ReadStatus::Finished,
                false => {
                    self.decoder.lines.shrink();
                    ReadStatus::WaitFor(interval)
                }
            }));
        }
        self.inflater.end().map_err(|what| self.damaged(0, &what))?;
        if self.skip > 0 {
            let at = self.decoder.lines.offset();
            return Err(error(
                &self.path,
                format!("cut short or replaced: less than the {at} bytes that were read"),
            ));
        }
        self.phase = Phase::Ending;
        Ok(None)
    }

    fn lost(&mut self, what: String) -> Result<()> {
        if self.options.on_loss == OnLoss::Fail {
            return Err(error(
                &self.path,
                format!(
                    "{what}; what was appended since is lost (`on_loss` can let the job go on)"
                ),
            ));
        }
        tracing::warn!(
            file = &*self.path,
            "{what}; reads what is there now from its start"
        );
        self.phase = Phase::Turning;
        Ok(())
    }

    /// Begins with the file that has the name now.
    fn turn(&mut self) -> Result<()> {
        let lines = Lines::at(0, 0, self.options.max_record);
        self.decoder = Decoder::new(
            self.path.clone(),
            lines,
            self.format.parser(),
            self.options.max_record,
        );
        self.inflater = Inflater::new(self.compression)?;
        (self.read_to, self.skip) = (0, 0);
        self.phase = Phase::Reading;
        Ok(())
    }

    fn read(&mut self, batch: &mut Batch<T>, full: usize) -> Result<ReadStatus> {
        let mut filled = false;
        loop {
            if self.phase != Phase::Reading {
                return self.end(batch, full);
            }
            match self.decoder.decode(batch, full) {
                Stopped::Full => return Ok(ReadStatus::More),
                Stopped::RangeEnd => return Ok(ReadStatus::Finished),
                // The line in which the range begins ends behind it.
                Stopped::NeedMore if self.is_beyond_range() => return Ok(ReadStatus::Finished),
                // One piece a poll, so that a worker is not held up.
                Stopped::NeedMore if filled => return Ok(ReadStatus::More),
                Stopped::NeedMore => {}
            }
            match self.fill()? {
                Piece::Bytes => filled = true,
                Piece::End => {
                    if let Some(status) = self.ended()? {
                        return Ok(status);
                    }
                }
                Piece::Next => self.phase = Phase::Turning,
                Piece::Lost(what) => self.lost(what)?,
            }
        }
    }

    fn is_beyond_range(&mut self) -> bool {
        self.range_end
            .is_some_and(|end| !self.decoder.lines.align() && self.decoder.lines.read_to() >= end)
    }

    fn end(&mut self, batch: &mut Batch<T>, full: usize) -> Result<ReadStatus> {
        if !self.decoder.finish(batch, full) {
            return Ok(ReadStatus::More);
        }
        if self.phase == Phase::Ending {
            return Ok(ReadStatus::Finished);
        }
        self.turn()?;
        Ok(ReadStatus::More)
    }
}

impl<T, P: Parse<T>> SplitReader<T> for Reader<T, P> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        let before = self.decoder.lines.offset();
        let full = (batch.records.len() + batch.bad.len()).saturating_add(max);
        let status = self.read(batch, full)?;
        batch.bytes += self.decoder.lines.offset().saturating_sub(before);
        Ok(status)
    }

    fn position(&self) -> Vec<u8> {
        let (offset, number) = self.decoder.lines.position();
        let known = match &self.input {
            Input::Bounded(_) => Known {
                identity: None,
                head: (0, 0),
                at_end: false,
            },
            Input::Followed(followed) => followed.known(match self.compression {
                Compression::None => offset,
                _ => u64::MAX,
            }),
        };
        let mut flags = 0;
        if !self.decoder.lines.is_aligning() {
            flags |= ALIGNED;
        }
        if known.at_end && offset == self.decoder.lines.read_to() {
            flags |= AT_END;
        }
        if known.identity.is_some() {
            flags |= IDENTIFIED;
        }
        let Identity {
            device,
            inode,
            born_ns,
        } = known.identity.unwrap_or(Identity {
            device: 0,
            inode: 0,
            born_ns: 0,
        });
        let (length, hash) = known.head;
        let fields = [offset, number, flags, length, hash, device, inode, born_ns];
        let mut bytes = position::encode(VERSION, &fields);
        bytes.extend(self.decoder.parser.state());
        bytes
    }
}
