//! A sink that prints to standard output: lines for people, lines, JSON or CSV for pipes.
//!
//! # Guarantee
//! At-least-once: a checkpoint is complete when what came before it has been written to standard output; after a
//! recovery what is replayed is printed again. Nothing is in its snapshot.
//!
//! Lines are buffered per worker and printed when nothing more is there to write, or at 64 KiB; lines of
//! several workers do not mix. They are printed from a thread of its own: a pipe that nobody reads slows the
//! job down and keeps its memory bounded, but its workers never wait for it.
//!
//! # Errors
//! When the reader of a pipe goes away (`job | head`), the job ends with [`ErrorKind::Closed`]; a program's `main`
//! says nothing then, and its exit status is 141, that of a Unix filter killed by `SIGPIPE`.

use crate::background::Stop;
use crate::format::{Csv, Format, JsonLines, Lines};
use crate::outbox::{ByteWriter, Deliver};
use millstream_runtime::cli::terminal::around_status_line;
use millstream_runtime::record::Data;
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext};
use millstream_runtime::{Error, ErrorKind, Result};
use std::fmt::{Debug, Display};
use std::io::{self, Write};
use std::marker::PhantomData;

/// Prints each record to standard output.
///
/// ```
/// use millstream_connectors::console::Console;
/// let counts = Console::<String>::new().prefix("counts"); // prints `counts> value`
/// let raw = Console::<(u32, f64)>::debug();
/// let json = Console::<(u32, f64)>::json_lines(); // prints `[1,2.5]`
/// ```
pub struct Console<T, F = Lines> {
    prefix: String,
    format: F,
    item: PhantomData<fn(T)>,
}

impl<T> Console<T> {
    /// Prints values as [`Display`] shows them, one a line.
    pub fn new() -> Self
    where
        T: Display,
    {
        Self::with_format(Lines)
    }

    /// Prints values as [`Debug`] shows them, one a line.
    pub fn debug() -> Console<T, DebugLines>
    where
        T: Debug,
    {
        Self::with_format(DebugLines)
    }

    /// Prints one JSON value a line, by serde.
    pub fn json_lines() -> Console<T, JsonLines>
    where
        JsonLines: Format<T>,
    {
        Self::with_format(JsonLines)
    }

    /// Prints rows of CSV by serde, without a header: each worker prints rows of its own.
    pub fn csv() -> Console<T, Csv>
    where
        Csv: Format<T>,
    {
        Self::with_format(Csv::default().header(false))
    }

    /// Prints in a format of your own.
    pub fn with_format<F: Format<T>>(format: F) -> Console<T, F> {
        Console {
            prefix: String::new(),
            format,
            item: PhantomData,
        }
    }
}

impl<T: Display> Default for Console<T> {
    fn default() -> Self {
        Console::new()
    }
}

impl<T, F> Console<T, F> {
    /// Puts `prefix> ` in front of each record.
    pub fn prefix(mut self, prefix: impl Display) -> Self {
        self.prefix = format!("{prefix}> ");
        self
    }
}

/// One line a record, as [`Debug`] shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugLines;

impl<T: Debug> Format<T> for DebugLines {
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<()> {
        writeln!(out, "{value:?}").map_err(|error| {
            Error::new(ErrorKind::Record, "a record cannot be shown").with_source(error)
        })
    }

    fn extension(&self) -> &str {
        "txt"
    }
}

impl<T: Data, F: Format<T>> Sink for Console<T, F> {
    type Item = T;

    fn describe(&self) -> String {
        "standard output".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        let (format, prefix) = (self.format.clone(), self.prefix.clone());
        // Taken anew for each piece, so that workers take turns.
        let print = Print(|bytes| {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        });
        let writer = ByteWriter::start("console", format, prefix, print, context)?;
        Ok(Box::new(writer))
    }
}

struct Print(fn(&[u8]) -> io::Result<()>);

impl Deliver<Vec<u8>> for Print {
    fn deliver(&mut self, piece: Vec<u8>, _: &Stop) -> Result<()> {
        // The job's status line may stand on the same terminal.
        around_status_line(|| (self.0)(&piece)).map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    let (kind, what) = match error.kind() {
        io::ErrorKind::BrokenPipe => (
            ErrorKind::Closed,
            "standard output was closed by its reader",
        ),
        _ => (ErrorKind::Sink, "cannot write to standard output"),
    };
    Error::new(kind, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{until, writer_context};
    use millstream_runtime::config::Guarantee;
    use millstream_runtime::record::Record;
    use millstream_runtime::sink::{Ready, Written};
    use std::sync::Mutex;

    type Writer<F> = ByteWriter<F, Print>;

    fn writer<T, F: Format<T>>(
        console: Console<T, F>,
        print: fn(&[u8]) -> io::Result<()>,
    ) -> Writer<F> {
        let context = writer_context(0, 1, Guarantee::AtLeastOnce, 0);
        ByteWriter::start(
            "test",
            console.format,
            console.prefix,
            Print(print),
            context,
        )
        .unwrap()
    }

    /// Writes one record and waits for the barrier behind it.
    fn write<T, F: Format<T>>(writer: &mut Writer<F>, value: T) -> Result<()> {
        let mut records = vec![Record::new(0, value)];
        assert_eq!(writer.write(&mut records)?, Written::All);
        SinkWriter::<T>::prepare(writer, 1)?;
        until("delivered", || {
            match SinkWriter::<T>::poll_prepared(writer) {
                Ok(Ready::NotYet) => None,
                Ok(Ready::Yes(_)) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })
    }

    #[test]
    fn lines_carry_the_prefix_and_are_out_at_the_barrier() {
        static SHOWN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let print = |bytes: &[u8]| {
            SHOWN.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        };
        write(
            &mut writer(Console::<String>::new().prefix("x"), print),
            "a".to_string(),
        )
        .unwrap();
        write(
            &mut writer(Console::<String>::debug(), print),
            "b".to_string(),
        )
        .unwrap();
        write(
            &mut writer(Console::<(&str, u8)>::json_lines(), print),
            ("c", 1),
        )
        .unwrap();
        write(&mut writer(Console::<(&str, u8)>::csv(), print), ("d", 1)).unwrap();
        let shown = String::from_utf8(SHOWN.lock().unwrap().clone()).unwrap();
        assert_eq!(shown, "x> a\n\"b\"\n[\"c\",1]\nd,1\n");
    }

    #[test]
    fn a_closed_pipe_is_told_as_such() {
        let mut broken = writer(Console::<u64>::new(), |_| {
            Err(io::ErrorKind::BrokenPipe.into())
        });
        let error = write(&mut broken, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(
            error.to_string().contains("closed by its reader"),
            "{error}"
        );
        let mut full = writer(Console::<u64>::new(), |_| {
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(write(&mut full, 1).unwrap_err().kind(), ErrorKind::Sink);
    }

    #[test]
    fn a_pipe_that_nobody_reads_fills_the_writer_and_nothing_waits() {
        static GATE: Mutex<()> = Mutex::new(());
        let closed = GATE.lock().unwrap();
        let mut slow = writer(Console::<u64>::new(), |_| {
            drop(GATE.lock().unwrap());
            Ok(())
        });
        let mut records = vec![Record::new(0, 1_000_000_000u64); 400_000];
        assert_eq!(slow.write(&mut records).unwrap(), Written::Full);
        drop(closed);
        until("room", || {
            (slow.write(&mut records).unwrap() == Written::All).then_some(())
        });
    }
}
