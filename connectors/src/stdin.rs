//! A source that reads standard input to its end: with [`Console`](crate::console::Console) it makes a job a Unix
//! filter, `cat file | job > out`.
//!
//! # Guarantee
//! At-most-once across restarts: what was read is gone from the pipe. A job that goes on from a checkpoint, whether it
//! was stopped or had come to its end, reads the input that it is given then: each run has a split of its own. The
//! snapshot holds the number of bytes read, for people to look at only.
//!
//! A thread reads the pipe and stops when 1 MiB waits for the job. Under `Trigger::AvailableNow`, too, input ends
//! with its end. Standard input can be read by one job, once in a process.
//!
//! # Errors
//! Bad records go where the source's error policy says. An error of the system ends the job.

use crate::format::{Csv, JsonLines, Lines, Located, Parse, WithPosition};
use crate::inflow::{Event, Inflow, InflowReader, PIECE_BYTES};
use crate::once::RunSplit;
use millstream_runtime::record::Data;
use millstream_runtime::source::{ReaderContext, Source, SplitEnumerator, SplitReader};
use millstream_runtime::{Error, ErrorKind, Result};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "standard input";
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Reads records from standard input.
///
/// ```
/// use millstream_connectors::stdin::Stdin;
/// let lines = Stdin::<String>::lines();
/// let events = Stdin::<(String, u64)>::json_lines();
/// ```
#[derive(Clone, Debug)]
pub struct Stdin<T, P = Lines> {
    format: P,
    max_record: usize,
    run: RunSplit,
    item: PhantomData<fn() -> T>,
}

impl<T> Stdin<T> {
    /// Reads lines: as `String` (UTF-8), or `Vec<u8>`.
    pub fn lines() -> Self
    where
        Lines: Parse<T>,
    {
        Self::with_format(Lines)
    }

    /// Reads rows of CSV with a header, by serde.
    pub fn csv() -> Stdin<T, Csv>
    where
        Csv: Parse<T>,
    {
        Self::with_format(Csv::default())
    }

    /// Reads one JSON value a line, by serde.
    pub fn json_lines() -> Stdin<T, JsonLines>
    where
        JsonLines: Parse<T>,
    {
        Self::with_format(JsonLines)
    }

    /// Reads records in `format`.
    pub fn with_format<P: Parse<T>>(format: P) -> Stdin<T, P> {
        Stdin {
            format,
            max_record: 1 << 20,
            run: RunSplit::new(NAME),
            item: PhantomData,
        }
    }
}

impl<T, P> Stdin<T, P> {
    /// Takes records of more than `bytes` as bad. Default 1 MiB.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// Reads each record with its line and offset.
    pub fn with_position(self) -> Stdin<Located<T>, WithPosition<P>> {
        Stdin {
            format: WithPosition(self.format),
            max_record: self.max_record,
            run: self.run,
            item: PhantomData,
        }
    }
}

impl<T: Data, P: Parse<T>> Source for Stdin<T, P> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        NAME.into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        Ok(self.run.enumerator())
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        if let Some(over) = self.run.over(split, position) {
            return Ok(over);
        }
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(Error::new(
                ErrorKind::Source,
                "standard input is read already, or was: it can be read once in a process",
            ));
        }
        let inflow = Inflow::new();
        let reader = InflowReader::new(
            inflow.clone(),
            self.format.clone(),
            self.max_record,
            false,
            position,
            NAME,
            context.waker.clone(),
        )?;
        // It is blocked in its read when the job ends before the input does, and ends with the process.
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || read(&inflow, &mut io::stdin()))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Source,
                    "cannot start the thread that reads standard input",
                )
                .with_source(error)
            })?;
        Ok(Box::new(reader))
    }
}

/// Reads `input` to its end.
fn read(inflow: &Arc<Inflow>, input: &mut impl Read) {
    inflow.push(Event::Opened(0, NAME.into()));
    loop {
        let mut bytes = vec![0; PIECE_BYTES];
        let more = match input.read(&mut bytes) {
            Ok(0) => {
                inflow.push(Event::Closed(0));
                inflow.push(Event::Ended);
                false
            }
            Ok(count) => {
                bytes.truncate(count);
                inflow.push(Event::Bytes(0, bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => {
                inflow.push(Event::Failed(format!(
                    "cannot read standard input: {error}"
                )));
                false
            }
        };
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{spawn, until};
    use millstream_runtime::source::{Batch, ReadStatus, Waker};

    fn reader(inflow: &Arc<Inflow>) -> InflowReader<String, Lines> {
        InflowReader::new(
            inflow.clone(),
            Lines,
            1_000,
            false,
            None,
            NAME,
            Waker::noop(),
        )
        .unwrap()
    }

    /// Gives its bytes a few at a time, then an error or the end.
    struct Trickle(Vec<u8>, usize, Option<io::ErrorKind>);

    impl Read for Trickle {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            match (self.0.is_empty(), self.2) {
                (true, Some(error)) => Err(error.into()),
                _ => {
                    let count = self.0.len().min(self.1);
                    room[..count].copy_from_slice(&self.0[..count]);
                    self.0.drain(..count);
                    Ok(count)
                }
            }
        }
    }

    #[test]
    fn input_is_read_to_its_end_with_bad_lines_and_a_last_one_without_a_line_end() {
        let inflow = Inflow::new();
        let mut reader = reader(&inflow);
        let text = b"a\n\xff\nb\nc".to_vec();
        let thread = spawn(move || read(&inflow, &mut Trickle(text, 3, None)));
        let mut batch = Batch::default();
        until("the end", || {
            (reader.poll(&mut batch, 1).unwrap() == ReadStatus::Finished).then_some(())
        });
        thread.join().unwrap();
        let lines: Vec<String> = batch.records.into_iter().map(|r| r.value).collect();
        assert_eq!(lines, ["a", "b", "c"]);
        assert_eq!(batch.bad[0].position, "line 2, byte 2");
        assert_eq!(batch.bytes, 7);
    }

    #[test]
    fn an_error_of_the_system_is_told_after_what_came_before() {
        let inflow = Inflow::new();
        let mut reader = reader(&inflow);
        read(
            &inflow,
            &mut Trickle(b"a\n".to_vec(), 9, Some(io::ErrorKind::Other)),
        );
        let mut batch = Batch::default();
        let error = reader.poll(&mut batch, 10).unwrap_err().to_string();
        assert!(error.contains("cannot read standard input"), "{error}");
        assert_eq!(batch.records.len(), 1);
    }

    #[test]
    fn input_that_nobody_takes_waits_and_is_let_go() {
        let inflow = Inflow::new();
        let reader = reader(&inflow);
        let thread = spawn(move || read(&inflow, &mut io::repeat(b'x')));
        assert!(!thread.is_finished());
        drop(reader);
        thread.join().unwrap();
    }
}
