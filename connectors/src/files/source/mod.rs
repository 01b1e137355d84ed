//! A source of records in files on a local disk: one file, a directory, or a glob pattern; plain, gzip or zstd.
//!
//! # Guarantee
//! Exactly-once: a split (a file, or a byte range of one, or a series of files) is replayed from any
//! position. A file that has been found must stay in place until the job has read it, and may grow only
//! when it is watched.
//!
//! # Snapshot
//! Of each split: the offset (after decompression) and line of the next record, what the format knows of the
//! file (the header of CSV), and for watched files which file it was: device, inode, time of birth, length and
//! hash of its first bytes. A compressed file is resumed by reading it from its beginning again, a piece at
//! a time, and throwing away what is before the position.
//!
//! # Watched files
//! A name is followed as `tail -F` does it:
//!
//! | what happens | what the source does |
//! |---|---|
//! | lines are appended | reads them; a line without its line end waits for it |
//! | renamed or removed, and a new file takes the name (log rotation) | reads the old file to its end, waits one more interval for what is still being written to it, then reads the new one from its start |
//! | renamed while the job was down | finds the old file in its directory by its identity, then goes on as above |
//! | renamed several times between two looks | reads the files in between, too, in the order in which they were born, if they are in its directory under its name and a number or date (`app.log.2`, `app.log-20250301`) |
//! | removed | reads it to its end, then waits for a new file of that name |
//! | cut short, or other bytes in place of those read | an error that names it: what was appended before that may be lost; with [`OnLoss::GoOn`] a warning, and the file is read from its start |
//! | gone after a restart or before it was opened, and not all of it had been read | the same |
//! | gone after a restart, and it had been read to its end | a warning; waits for a new file of that name |
//!
//! Let the pattern name the files that are written to (`app.log`), not those that they are renamed to
//! (`app.log.1`): one that was seen under its old name is not read again, but after a restart the source does
//! not know those that were renamed meanwhile.
//!
//! # Errors
//! Bad records (what the format cannot read, invalid UTF-8, records that are too long) go where the source's
//! error policy says. A file that cannot be read, was cut short, or holds damaged or truncated compressed
//! data ends the job, with the file and the place. A checksum comes at the end of what it is for: of damaged
//! data some records may have been handed out before it is noticed.
//!
//! # Cost
//! Files are read in chunks on the worker's thread and, unless they are watched, not held open between chunks:
//! thousands of them can be read at once. That suits local disks; a slow network file system would hold
//! the worker up.

mod find;
mod followed;
mod input;
mod reader;
mod series;

use super::identity::Identity;
use crate::compression::Compression;
use crate::format::{Csv, JsonLines, Lines, Located, Parse, WithPosition};
use millstream_runtime::record::Data;
use millstream_runtime::source::{ReaderContext, Source, Split, SplitEnumerator, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::time::Duration;

/// In which order files are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileOrder {
    /// By path, byte by byte.
    #[default]
    Name,
    /// By time of the last modification, then by path.
    Modified,
}

/// What to do when part of a watched file is gone before it was read, as far as can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// End the job, with the file and what happened in the error.
    #[default]
    Fail,
    /// Log a warning and read what has the file's name now from its start.
    GoOn,
}

/// Reads the records of files.
///
/// ```
/// use millstream_connectors::files::{Csv, FileOrder, FileSource, TextFiles};
/// use std::time::Duration;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Trade { symbol: String, price: f64 }
///
/// let book = TextFiles::new("book.txt").split_size(64 << 20);
/// let logs = TextFiles::new("/var/log/app.log").watch(Duration::from_millis(200));
/// let trades = FileSource::<Trade>::csv("trades/*.csv.gz").one_after_another(FileOrder::Name);
/// let german = FileSource::<Trade>::with_format("trades/", Csv::default().delimiter(b';'));
/// let events = FileSource::<Trade>::json_lines("events/").with_position(); // Located<Trade>
/// ```
#[derive(Clone, Debug)]
pub struct FileSource<T, P = Lines> {
    options: Options,
    format: P,
    item: PhantomData<fn() -> T>,
}

/// Reads the lines of text files.
pub type TextFiles = FileSource<String, Lines>;

#[derive(Clone, Debug)]
struct Options {
    pattern: String,
    watch: Option<Duration>,
    split_size: Option<u64>,
    order: FileOrder,
    series: bool,
    max_record: usize,
    chunk: usize,
    compression: Option<Compression>,
    on_loss: OnLoss,
}

impl Options {
    fn compression_of(&self, path: &str) -> Compression {
        self.compression
            .unwrap_or_else(|| Compression::of_name(path))
    }
}

impl TextFiles {
    /// Reads lines of text. A line ends with `\n` or `\r\n`, which is cut off; the last one need not.
    /// `pattern` is explained at [`with_format`](FileSource::with_format).
    pub fn new(pattern: impl Into<String>) -> Self {
        FileSource::lines(pattern)
    }
}

impl<T> FileSource<T> {
    /// Reads lines: as `String` (UTF-8), or `Vec<u8>`.
    pub fn lines(pattern: impl Into<String>) -> Self
    where
        Lines: Parse<T>,
    {
        Self::with_format(pattern, Lines)
    }

    /// Reads rows of CSV, with a header in each file and commas, by serde. For other options see [`Csv`] and
    /// [`with_format`](Self::with_format).
    pub fn csv(pattern: impl Into<String>) -> FileSource<T, Csv>
    where
        Csv: Parse<T>,
    {
        Self::with_format(pattern, Csv::default())
    }

    /// Reads one JSON value a line, by serde.
    pub fn json_lines(pattern: impl Into<String>) -> FileSource<T, JsonLines>
    where
        JsonLines: Parse<T>,
    {
        Self::with_format(pattern, JsonLines)
    }

    /// Reads what `pattern` names: a file; a directory, with all files right in it and in its partition folders
    /// (`key=value`, at any depth), except hidden ones; or a glob such as `logs/**/*.txt`, without hidden
    /// files.
    pub fn with_format<P: Parse<T>>(pattern: impl Into<String>, format: P) -> FileSource<T, P> {
        FileSource {
            options: Options {
                pattern: pattern.into(),
                watch: None,
                split_size: None,
                order: FileOrder::Name,
                series: false,
                max_record: 1 << 20,
                chunk: 256 << 10,
                compression: None,
                on_loss: OnLoss::Fail,
            },
            format,
            item: PhantomData,
        }
    }
}

impl<T, P> FileSource<T, P> {
    /// Reads each record with the path of its file, its line, and its offset; the path holds the values of
    /// partition folders ([`Located::partition`]).
    pub fn with_position(self) -> FileSource<Located<T>, WithPosition<P>> {
        FileSource {
            options: self.options,
            format: WithPosition(self.format),
            item: PhantomData,
        }
    }

    /// Goes on for ever: looks for new files, and for what is appended to those that it knows, each `interval`.
    /// See the [module](self) for files that are rotated, cut short or removed. Holds each file open.
    ///
    /// # Panics
    /// When `interval` is zero.
    pub fn watch(mut self, interval: Duration) -> Self {
        assert!(
            !interval.is_zero(),
            "files cannot be watched at an interval of zero"
        );
        self.options.watch = Some(interval);
        self
    }

    /// What to do when part of a watched file is gone before it was read. Default: fail.
    pub fn on_loss(mut self, policy: OnLoss) -> Self {
        self.options.on_loss = policy;
        self
    }

    /// Cuts plain files into ranges of `bytes`, so that several workers read one file. Default: a file is
    /// one split. Records are then out of order between ranges. Keep the size when a job is resumed.
    ///
    /// # Panics
    /// When `bytes` is 0.
    pub fn split_size(mut self, bytes: u64) -> Self {
        assert!(bytes > 0, "a split needs at least one byte");
        self.options.split_size = Some(bytes);
        self
    }

    /// In which order files are begun. Default: by name. Files are read side by side all the same, unless they
    /// are read [one after another](Self::one_after_another).
    pub fn order(mut self, order: FileOrder) -> Self {
        self.options.order = order;
        self
    }

    /// Reads one file after the other, in this order, as one split: for files whose records follow upon
    /// each other in time, such as one file a day.
    pub fn one_after_another(mut self, order: FileOrder) -> Self {
        self.options.order = order;
        self.options.series = true;
        self
    }

    /// Takes records of more than `bytes` as bad. Default 1 MiB.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.options.max_record = bytes;
        self
    }

    /// How all files are compressed. Default: as the end of each name says (`.gz`, `.zst`).
    pub fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = Some(compression);
        self
    }

    /// Reads `bytes` at a time. Default 256 KiB.
    ///
    /// # Panics
    /// When `bytes` is 0.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a chunk needs at least one byte");
        self.options.chunk = bytes;
        self
    }
}

/// A file, a byte range of one, or a series of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    path: String,
    part: Part,
    /// The file that had this name when it was found, if it is watched and was not empty.
    identity: Option<Identity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Whole,
    /// The lines that start in this range.
    Range(u64, u64),
    /// These files, one after the other.
    Series(Vec<String>),
}

impl Split for FileSplit {
    fn id(&self) -> String {
        match self.part {
            Part::Range(start, _) => format!("{}@{start}", self.path),
            Part::Whole | Part::Series(_) => self.path.clone(),
        }
    }
}

impl<T: Data, P: Parse<T>> Source for FileSource<T, P> {
    type Item = T;
    type Split = FileSplit;

    fn describe(&self) -> String {
        let watched = match self.options.watch {
            Some(_) => ", watched",
            None => "",
        };
        format!(
            "{} files {}{watched}",
            self.format.name(),
            self.options.pattern
        )
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<FileSplit>>> {
        let options = &self.options;
        if let Some(compression) = options.compression {
            compression.check().map_err(|e| e.within(self.describe()))?;
        }
        if options.split_size.is_some() {
            if options.watch.is_some() {
                return Err(
                    self.contradiction("watched files may grow and cannot be cut into ranges")
                );
            }
            if options.series {
                return Err(
                    self.contradiction("files read one after another cannot be cut into ranges")
                );
            }
            if !self.format.reads_any_line() {
                return Err(self.contradiction(
                    "CSV, and records with their lines, cannot be read in ranges of a file",
                ));
            }
        }
        if options.series && options.watch.is_some() {
            return Err(
                self.contradiction("watched files grow side by side, not one after another")
            );
        }
        find::enumerator(options)
    }

    fn open(
        &self,
        split: &FileSplit,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        Ok(match &split.part {
            Part::Series(files) => Box::new(series::Series::open(
                &self.options,
                &self.format,
                files,
                position,
                context,
            )?),
            _ => Box::new(reader::Reader::open(
                &self.options,
                &self.format,
                split,
                position,
                context,
            )?),
        })
    }
}

impl<T, P> FileSource<T, P> {
    fn contradiction(&self, what: &str) -> Error {
        let pattern = &self.options.pattern;
        Error::new(ErrorKind::Config, format!("files {pattern}: {what}"))
    }
}

#[cfg(test)]
mod tests;
