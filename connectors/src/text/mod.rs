//! A source of lines of text files on a local disk: one file, a directory, or a glob pattern.
//!
//! Exactly-once: a split (a file, or a byte range of one) is replayed from any position. Its
//! snapshot holds the byte offset and the number of the next line and, for watched files, the length
//! and hash of the head of the file, by which a replaced file is recognised.
//!
//! Files are read in chunks on the worker's thread and are not held open between chunks, so
//! thousands of them can be read at once. That suits local disks; a slow network file system would
//! hold the worker up. A file that has been found must stay in place until the job has read it, and
//! may grow only when it is watched.

mod lines;
mod pattern;
mod reader;

use millstream_runtime::record::Data;
use millstream_runtime::source::{ReaderContext, Source, Split, SplitEnumerator, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// What to do with a line that is no valid UTF-8 or too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadLine {
    /// End the job, with the file, the line and the byte in the error.
    #[default]
    Fail,
    /// Pass over it and count it as skipped.
    Skip,
}

/// What a line of text becomes: the line itself, or the line with its place.
pub trait FromLine: Data {
    /// Makes it of line `number` (from 1) of the file at `path`.
    fn from_line(path: &Arc<str>, number: u64, text: &str) -> Self;
}

impl FromLine for String {
    #[inline]
    fn from_line(_: &Arc<str>, _: u64, text: &str) -> Self {
        text.to_owned()
    }
}

/// A line with its place: what [`TextFiles::numbered`] reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NumberedLine {
    /// The path of the file, as found.
    pub path: Arc<str>,
    /// The number of the line in its file, from 1.
    pub number: u64,
    /// The line without its line end.
    pub text: String,
}

impl FromLine for NumberedLine {
    fn from_line(path: &Arc<str>, number: u64, text: &str) -> Self {
        NumberedLine {
            path: path.clone(),
            number,
            text: text.to_owned(),
        }
    }
}

/// Reads files line by line. A line ends with `\n` or `\r\n`, which is cut off; the last one need not.
///
/// ```
/// use millstream_connectors::text::{OnBadLine, TextFiles};
/// use std::time::Duration;
/// let book = TextFiles::new("book.txt").split_size(64 << 20);
/// let logs = TextFiles::new("/var/log/app/*.log")
///     .watch(Duration::from_millis(200))
///     .on_bad_line(OnBadLine::Skip);
/// let places = TextFiles::new("logs/").numbered();
/// ```
#[derive(Clone, Debug)]
pub struct TextFiles<L = String> {
    options: Options,
    item: PhantomData<fn() -> L>,
}

#[derive(Clone, Debug)]
struct Options {
    pattern: String,
    watch: Option<Duration>,
    split_size: Option<u64>,
    max_line: usize,
    on_bad_line: OnBadLine,
    chunk: usize,
    numbered: bool,
}

impl TextFiles {
    /// Reads what `pattern` names: a file; a directory, with all files right in it, sorted by name,
    /// except hidden ones; or a glob such as `logs/**/*.txt`, without hidden files.
    pub fn new(pattern: impl Into<String>) -> Self {
        TextFiles {
            options: Options {
                pattern: pattern.into(),
                watch: None,
                split_size: None,
                max_line: 1 << 20,
                on_bad_line: OnBadLine::Fail,
                chunk: 256 << 10,
                numbered: false,
            },
            item: PhantomData,
        }
    }

    /// Reads each line with the path of its file and its number.
    pub fn numbered(mut self) -> TextFiles<NumberedLine> {
        self.options.numbered = true;
        TextFiles {
            options: self.options,
            item: PhantomData,
        }
    }
}

impl<L> TextFiles<L> {
    /// Goes on for ever: looks for new files, and for lines appended to those that it knows, each
    /// `interval`. A line without a line end is held back until its line end comes. A file that is
    /// removed ends once all of it was read; a file that is cut short or replaced is an error, so
    /// rotate logs to new names.
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

    /// Cuts files into ranges of `bytes`, so that several workers read one file. Default: a file is
    /// one split. Lines are then out of order between ranges. Keep the size when a job is resumed.
    ///
    /// # Panics
    /// When `bytes` is 0.
    pub fn split_size(mut self, bytes: u64) -> Self {
        assert!(bytes > 0, "a split needs at least one byte");
        self.options.split_size = Some(bytes);
        self
    }

    /// Takes lines of more than `bytes` as bad. Default 1 MiB.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.options.max_line = bytes;
        self
    }

    /// What to do with bad lines. Default: fail.
    pub fn on_bad_line(mut self, policy: OnBadLine) -> Self {
        self.options.on_bad_line = policy;
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

/// A file, or a byte range of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    path: String,
    /// The lines that start in this range belong to the split; `None`: the whole file.
    range: Option<(u64, u64)>,
}

impl Split for FileSplit {
    fn id(&self) -> String {
        match self.range {
            Some((start, _)) => format!("{}@{start}", self.path),
            None => self.path.clone(),
        }
    }
}

impl<L: FromLine> Source for TextFiles<L> {
    type Item = L;
    type Split = FileSplit;

    fn describe(&self) -> String {
        match self.options.watch {
            Some(_) => format!("text files {}, watched", self.options.pattern),
            None => format!("text files {}", self.options.pattern),
        }
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<FileSplit>>> {
        if self.options.split_size.is_some() && self.options.watch.is_some() {
            return Err(self.contradiction("watched files may grow and cannot be cut into ranges"));
        }
        if self.options.split_size.is_some() && self.options.numbered {
            return Err(self.contradiction("line numbers are not known in ranges of a file"));
        }
        pattern::enumerator(&self.options)
    }

    fn open(
        &self,
        split: &FileSplit,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<L>>> {
        let reader = reader::Reader::open(&self.options, split, position, context)?;
        Ok(Box::new(reader))
    }
}

impl<L> TextFiles<L> {
    fn contradiction(&self, what: &str) -> Error {
        let pattern = &self.options.pattern;
        Error::new(ErrorKind::Config, format!("text files {pattern}: {what}"))
    }
}

#[cfg(test)]
mod tests;
