//! A sink that prints to standard output, one line a record.
//!
//! At-least-once: after a recovery what is replayed is printed again. Nothing is in its snapshot.
//! Lines are buffered per worker and printed when nothing more is there to write, or at 64 KiB;
//! lines of several workers do not mix. Printing happens on the worker's thread: a pipe that nobody
//! reads holds the job up, so it is for people and small tools.

use millstream_runtime::cli::terminal::around_status_line;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use std::fmt::{Debug, Display};
use std::io::{self, Write};

const BUFFER_BYTES: usize = 64 << 10;

/// Prints each record on a line of standard output.
///
/// ```
/// use millstream_connectors::console::Console;
/// let counts = Console::<String>::new().prefix("counts"); // prints `counts> value`
/// let raw = Console::<(u32, f64)>::debug();
/// ```
pub struct Console<T> {
    prefix: String,
    format: Format<T>,
}

/// Writes all records of a batch: one call by pointer a batch.
type Format<T> = fn(&str, &[Record<T>], &mut Vec<u8>) -> io::Result<()>;

impl<T: Display> Console<T> {
    /// Prints values as [`Display`] shows them.
    pub fn new() -> Self {
        Self::of(|prefix, records, out| {
            records
                .iter()
                .try_for_each(|r| writeln!(out, "{prefix}{}", r.value))
        })
    }
}

impl<T: Display> Default for Console<T> {
    fn default() -> Self {
        Console::new()
    }
}

impl<T: Debug> Console<T> {
    /// Prints values as [`Debug`] shows them.
    pub fn debug() -> Self {
        Self::of(|prefix, records, out| {
            records
                .iter()
                .try_for_each(|r| writeln!(out, "{prefix}{:?}", r.value))
        })
    }
}

impl<T> Console<T> {
    fn of(format: Format<T>) -> Self {
        Console {
            prefix: String::new(),
            format,
        }
    }

    /// Puts `prefix> ` in front of each line.
    pub fn prefix(mut self, prefix: impl Display) -> Self {
        self.prefix = format!("{prefix}> ");
        self
    }
}

impl<T: Data> Sink for Console<T> {
    type Item = T;

    fn describe(&self) -> String {
        "standard output".into()
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(Writer {
            prefix: self.prefix.clone(),
            format: self.format,
            buffer: Vec::new(),
            // Taken anew for each piece, so that workers take turns.
            print: |bytes| {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            },
        }))
    }
}

struct Writer<T> {
    prefix: String,
    format: Format<T>,
    buffer: Vec<u8>,
    print: fn(&[u8]) -> io::Result<()>,
}

impl<T> Writer<T> {
    fn print(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        // The job's status line may stand on the same terminal.
        let printed = around_status_line(|| (self.print)(&self.buffer)).map_err(failed);
        self.buffer.clear();
        printed
    }
}

fn failed(error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::BrokenPipe => "standard output was closed by its reader",
        _ => "cannot write to standard output",
    };
    Error::new(ErrorKind::Sink, what).with_source(error)
}

impl<T> SinkWriter<T> for Writer<T> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        // In pieces, so that a large batch is not held twice.
        for piece in records.chunks(1_024) {
            (self.format)(&self.prefix, piece, &mut self.buffer).map_err(failed)?;
            if self.buffer.len() >= BUFFER_BYTES {
                self.print()?;
            }
        }
        records.clear();
        Ok(Written::All)
    }

    fn flush(&mut self) -> Result<()> {
        self.print()
    }

    fn prepare(&mut self, _: CheckpointId) -> Result<()> {
        self.print()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer<T>(console: Console<T>, print: fn(&[u8]) -> io::Result<()>) -> Writer<T> {
        Writer {
            prefix: console.prefix,
            format: console.format,
            buffer: Vec::new(),
            print,
        }
    }

    #[test]
    fn lines_carry_the_prefix() {
        let mut shown = writer(Console::new().prefix("x"), |_| Ok(()));
        shown
            .write(&mut vec![Record::new(0, "a".to_string())])
            .unwrap();
        assert_eq!(shown.buffer, b"x> a\n");
        shown.flush().unwrap();
        assert!(shown.buffer.is_empty());
        let mut debug = writer(Console::debug(), |_| Ok(()));
        debug
            .write(&mut vec![Record::new(0, "a".to_string())])
            .unwrap();
        assert_eq!(debug.buffer, b"\"a\"\n");
    }

    #[test]
    fn a_closed_pipe_is_an_error() {
        let mut broken = writer(Console::new(), |_| Err(io::ErrorKind::BrokenPipe.into()));
        broken.write(&mut vec![Record::new(0, 1)]).unwrap();
        let error = broken.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sink);
        assert!(
            error.to_string().contains("closed by its reader"),
            "{error}"
        );
        let mut large = writer(Console::new(), |_| Err(io::ErrorKind::BrokenPipe.into()));
        assert!(
            large
                .write(&mut vec![Record::new(0, 1); BUFFER_BYTES])
                .is_err()
        );
    }
}
