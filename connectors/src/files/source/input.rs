//! The bytes of a file, as they are on the disk, piece by piece.

use super::Options;
use super::followed::{Followed, Known};
use millstream_runtime::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// What came of an attempt to read on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// There were bytes.
    Bytes,
    /// Nothing more is there now.
    End,
    /// The file was read to its end, and its name is another's now: reading goes on there, from the start.
    Next,
    /// Part of the file is gone, as this says; the next piece is from the start of what has the name now.
    Lost(String),
}

/// Where bytes come from.
pub(super) enum Input {
    /// A file that does not change.
    Bounded(Bounded),
    /// A name that is followed.
    Followed(Followed),
}

impl Input {
    /// The input of `path`, as `options` say; `known` is what a snapshot says of the file.
    pub fn new(path: Arc<str>, options: &Options, known: Option<Known>, stop_at_end: bool) -> Self {
        match options.watch {
            Some(_) => Input::Followed(Followed::new(path, known, stop_at_end)),
            None => Input::Bounded(Bounded { path, length: None }),
        }
    }

    /// Adds up to `max` bytes from offset `at` on to `out`.
    pub fn read(&mut self, at: u64, max: usize, out: &mut Vec<u8>) -> Result<Piece> {
        match self {
            Input::Bounded(bounded) => bounded.read(at, max, out),
            Input::Followed(followed) => followed.read(at, max, out),
        }
    }
}

/// Reads a file up to the length that it had at first; opens it anew for each piece.
pub(super) struct Bounded {
    path: Arc<str>,
    length: Option<u64>,
}

impl Bounded {
    fn read(&mut self, at: u64, max: usize, out: &mut Vec<u8>) -> Result<Piece> {
        let mut file = File::open(&*self.path).map_err(failed(&self.path, "cannot be opened"))?;
        let now = file
            .metadata()
            .map_err(failed(&self.path, "cannot be read"))?
            .len();
        let length = *self.length.get_or_insert(now);
        if now < at.max(length) {
            return Err(error(
                &self.path,
                format!(
                    "cut short or replaced: {now} bytes now, {} before",
                    at.max(length)
                ),
            ));
        }
        if at >= length {
            return Ok(Piece::End);
        }
        let count = (length - at).min(max as u64) as usize;
        match read_at(&mut file, at, count, out).map_err(failed(&self.path, "cannot be read"))? {
            0 => Ok(Piece::End), // cut short between the two calls: the next one will see it
            _ => Ok(Piece::Bytes),
        }
    }
}

pub(super) fn error(path: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Source, format!("file {path}: {what}"))
}

pub(super) fn failed(path: &str, what: &str) -> impl FnOnce(io::Error) -> Error {
    let error = error(path, what);
    move |cause| error.with_source(cause)
}

/// Adds up to `count` bytes from offset `at` on to `out`; how many there were.
pub(super) fn read_at(
    file: &mut File,
    at: u64,
    count: usize,
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    let held = out.len();
    out.resize(held + count, 0);
    let read = file.read(&mut out[held..]);
    out.truncate(held + *read.as_ref().unwrap_or(&0));
    read
}
