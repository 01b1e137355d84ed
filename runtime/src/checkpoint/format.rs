//! Part files, version 1: what one worker wrote for one checkpoint.
//!
//! `docs/checkpoint-format.md` has the layout byte by byte. Every byte of a file is covered: by a constant
//! it must equal, by the checksum of its block (which includes the block's length), or by the
//! checksum of the footer, which also says how many blocks and bytes there must be. So a file that
//! was cut short, or in which a bit flipped, is always noticed, and no length is believed before
//! it was compared with what is there.

use super::block::{Block, BlockKind};
use crate::error::{Error, ErrorKind, Result};
use crate::time::CheckpointId;
use std::io::{self, Write};

/// The first bytes of a part file.
pub const MAGIC: [u8; 8] = *b"MILLPART";
/// Its last bytes.
pub const END_MAGIC: [u8; 8] = *b"MILLEND.";
/// The version of the layout that this code writes and reads.
pub const VERSION: u32 = 1;

const PREAMBLE: usize = 16;
const FOOTER: usize = 28;

/// Who wrote a part, and for which checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHeader {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// The index of the worker.
    pub worker: u32,
    /// The number of workers.
    pub workers: u32,
    /// The number of key groups.
    pub groups: u32,
    /// The name of the job.
    pub job: String,
}

/// What there is to say of a part once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSummary {
    /// Its length.
    pub bytes: u64,
    /// The CRC-32 of the whole file.
    pub crc: u32,
    /// How many blocks it has.
    pub blocks: u32,
}

/// Writes a part file block by block to anything that takes bytes.
pub struct PartEncoder<W> {
    to: W,
    whole: crc32fast::Hasher,
    bytes: u64,
    blocks: u32,
    scratch: Vec<u8>,
}

impl<W: Write> PartEncoder<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// As the writer does.
    pub fn new(to: W, header: &PartHeader) -> io::Result<Self> {
        let mut encoder = PartEncoder {
            to,
            whole: crc32fast::Hasher::new(),
            bytes: 0,
            blocks: 0,
            scratch: Vec::new(),
        };
        encoder.scratch.extend_from_slice(&MAGIC);
        encoder.scratch.extend_from_slice(&VERSION.to_le_bytes());
        encoder.scratch.extend_from_slice(&0u32.to_le_bytes());
        encoder.put_scratch()?;
        encoder
            .scratch
            .extend_from_slice(&header.checkpoint.to_le_bytes());
        for number in [header.worker, header.workers, header.groups] {
            encoder.scratch.extend_from_slice(&number.to_le_bytes());
        }
        put_text(&header.job, &mut encoder.scratch)?;
        encoder.put_framed(&[])?;
        Ok(encoder)
    }

    /// Appends a block.
    ///
    /// # Errors
    /// As the writer does; [`io::ErrorKind::InvalidInput`] when the block is longer than 4 GiB or one
    /// of its names longer than 64 KiB.
    pub fn block(&mut self, block: &Block) -> io::Result<()> {
        self.scratch.clear();
        put_text(&block.uid, &mut self.scratch)?;
        put_text(&block.state.name, &mut self.scratch)?;
        self.scratch
            .extend_from_slice(&block.state.version.to_le_bytes());
        put_text(&block.state.codec, &mut self.scratch)?;
        self.scratch.push(kind_byte(block.kind));
        self.scratch.extend_from_slice(&block.shard.to_le_bytes());
        self.scratch.extend_from_slice(&block.entries.to_le_bytes());
        self.put_framed(&block.payload)?;
        self.blocks += 1;
        Ok(())
    }

    /// Ends the file and hands the writer back.
    ///
    /// # Errors
    /// As the writer does.
    pub fn finish(mut self) -> io::Result<(W, PartSummary)> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&0u32.to_le_bytes());
        self.scratch.extend_from_slice(&self.blocks.to_le_bytes());
        let total = self.bytes + FOOTER as u64;
        self.scratch.extend_from_slice(&total.to_le_bytes());
        let crc = crc32fast::hash(&self.scratch);
        self.scratch.extend_from_slice(&crc.to_le_bytes());
        self.scratch.extend_from_slice(&END_MAGIC);
        self.put_scratch()?;
        let summary = PartSummary {
            bytes: self.bytes,
            crc: self.whole.finalize(),
            blocks: self.blocks,
        };
        Ok((self.to, summary))
    }

    /// Writes what is in `scratch` and `rest` as one body, behind its length and checksum.
    fn put_framed(&mut self, rest: &[u8]) -> io::Result<()> {
        let length = u32::try_from(self.scratch.len() + rest.len())
            .map_err(|_| invalid(format!("a block of {} bytes is too long", rest.len())))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&length.to_le_bytes());
        crc.update(&self.scratch);
        crc.update(rest);
        self.put(&length.to_le_bytes())?;
        self.put(&crc.finalize().to_le_bytes())?;
        self.put_scratch()?;
        self.put(rest)
    }

    fn put_scratch(&mut self) -> io::Result<()> {
        let scratch = std::mem::take(&mut self.scratch);
        let result = self.put(&scratch);
        self.scratch = scratch;
        self.scratch.clear();
        result
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn put_text(text: &str, to: &mut Vec<u8>) -> io::Result<()> {
    let length = u16::try_from(text.len())
        .map_err(|_| invalid(format!("a name of {} bytes is too long", text.len())))?;
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

fn kind_byte(kind: BlockKind) -> u8 {
    match kind {
        BlockKind::Full => 0,
        BlockKind::Delta => 1,
        BlockKind::Blob => 2,
    }
}

/// A block of a part file, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartBlock<'a> {
    /// The operator's stable name.
    pub uid: &'a str,
    /// The name of the state within the operator.
    pub state: &'a str,
    /// The schema version it was written at.
    pub version: u32,
    /// The codec it was written with.
    pub codec: &'a str,
    /// What the payload is.
    pub kind: BlockKind,
    /// The shard, or for a blob the worker.
    pub shard: u32,
    /// How many entries the payload has.
    pub entries: u32,
    /// The bytes.
    pub payload: &'a [u8],
    /// Where the payload begins in the file.
    pub offset: usize,
}

/// Reads a part file: an iterator over its blocks that checks each byte on the way. The file is sound
/// when the iterator ended without an error.
pub struct PartReader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    header: PartHeader,
    blocks: u32,
    done: bool,
}

impl<'a> PartReader<'a> {
    /// Reads the header of the file `file`, whose whole content is `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the file and the offset: not a part file, of a newer version, cut
    /// short or damaged.
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let mut reader = PartReader {
            file,
            bytes,
            at: 0,
            header: PartHeader {
                checkpoint: 0,
                worker: 0,
                workers: 0,
                groups: 0,
                job: String::new(),
            },
            blocks: 0,
            done: false,
        };
        reader.read_preamble()?;
        reader.read_header()?;
        Ok(reader)
    }

    /// Who wrote it.
    pub fn header(&self) -> &PartHeader {
        &self.header
    }

    fn read_preamble(&mut self) -> Result<()> {
        if !self.bytes.starts_with(&MAGIC) {
            let what = match MAGIC.starts_with(self.bytes) {
                true => "is cut short",
                false => "is not a part of a checkpoint",
            };
            return Err(self.error(what, 0));
        }
        let mut preamble = Fields(self.take(PREAMBLE)?.split_at(MAGIC.len()).1);
        match (preamble.u32(), preamble.u32()) {
            (Some(VERSION), Some(0)) => Ok(()),
            (Some(VERSION), _) => Err(self.error("is damaged", 12)),
            (Some(version), _) if version > VERSION => Err(self.error(
                &format!("has format version {version}, this program reads up to {VERSION}"),
                8,
            )),
            _ => Err(self.error("is damaged", 8)),
        }
    }

    fn read_header(&mut self) -> Result<()> {
        let at = self.at;
        let body = self.take_framed()?;
        match parse_header(body) {
            Some(header) => self.header = header,
            None => return Err(self.error("is damaged", at)),
        }
        Ok(())
    }

    fn error(&self, what: &str, offset: usize) -> Error {
        Error::new(
            ErrorKind::Restore,
            format!(
                "{} {what} (at byte {offset} of {})",
                self.file,
                self.bytes.len()
            ),
        )
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.bytes[self.at..].get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.error("is cut short", self.at)),
        }
    }

    /// A body behind its length and checksum.
    fn take_framed(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        let mut frame = Fields(self.take(8)?);
        let (Some(length), Some(expected)) = (frame.u32(), frame.u32()) else {
            unreachable!("a frame has eight bytes");
        };
        let body = self.take(length as usize)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&length.to_le_bytes());
        crc.update(body);
        match crc.finalize() == expected {
            true => Ok(body),
            false => Err(self.error("is damaged: a checksum differs", start)),
        }
    }

    fn next_block(&mut self) -> Result<Option<PartBlock<'a>>> {
        let start = self.at;
        if self.bytes[start..].starts_with(&[0; 4]) {
            self.read_footer()?;
            return Ok(None);
        }
        let body = self.take_framed()?;
        self.blocks = self.blocks.wrapping_add(1); // the footer's count is compared
        match parse_block(body, self.at) {
            Some(block) => Ok(Some(block)),
            None => Err(self.error("is damaged: a block is malformed", start)),
        }
    }

    fn read_footer(&mut self) -> Result<()> {
        let start = self.at;
        let footer = self.take(FOOTER)?;
        let mut fields = Fields(&footer[4..]);
        let sound = fields.u32() == Some(self.blocks)
            && fields.u64() == Some(self.bytes.len() as u64)
            && fields.u32() == Some(crc32fast::hash(&footer[..16]))
            && fields.0 == END_MAGIC;
        match sound && self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(self.error("is damaged: its footer does not match", start)),
        }
    }
}

impl<'a> Iterator for PartReader<'a> {
    type Item = Result<PartBlock<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_block().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Takes fixed fields from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        let (taken, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(taken).ok()
    }
}

fn parse_header(body: &[u8]) -> Option<PartHeader> {
    let mut fields = Fields(body);
    let header = PartHeader {
        checkpoint: fields.u64()?,
        worker: fields.u32()?,
        workers: fields.u32()?,
        groups: fields.u32()?,
        job: fields.text()?.to_owned(),
    };
    fields.0.is_empty().then_some(header)
}

/// A block whose body ends at `end` in the file.
fn parse_block(body: &[u8], end: usize) -> Option<PartBlock<'_>> {
    let mut fields = Fields(body);
    Some(PartBlock {
        uid: fields.text()?,
        state: fields.text()?,
        version: fields.u32()?,
        codec: fields.text()?,
        kind: match fields.array()? {
            [0] => BlockKind::Full,
            [1] => BlockKind::Delta,
            [2] => BlockKind::Blob,
            _ => return None,
        },
        shard: fields.u32()?,
        entries: fields.u32()?,
        payload: fields.0,
        offset: end - fields.0.len(),
    })
}

#[cfg(test)]
mod tests;
