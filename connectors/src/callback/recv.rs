//! A source that calls a function which blocks until there is a record.
//!
//! At-most-once across restarts: what the function has returned is gone; a run that goes on from a checkpoint reads
//! its own function from the start, also if that of the run before had ended. The snapshot holds the number of records
//! read, for people to look at only.

use crate::memory::{self, ChannelHandle, ChannelSource};
use crate::once::{Once, RunSplit};
use millstream_runtime::error::{BoxError, panic_text};
use millstream_runtime::record::{Data, NO_TIME, Record};
use millstream_runtime::source::{
    Batch, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// How many records may wait for the job.
const CAPACITY: usize = 1_024;

type Receive<T> = Box<dyn FnMut() -> Result<Option<Record<T>>, BoxError> + Send>;

/// Calls a function again and again on a thread of its own: it returns the next record, or `None` when there will
/// be no more. It is not called while 1,024 records wait.
///
/// Its error or panic ends the job. Can be read by one job, once. A function that is blocked when the job ends is
/// left alone: its thread ends when it returns.
///
/// ```
/// use millstream_connectors::callback::RecvSource;
/// let (sender, receiver) = std::sync::mpsc::channel::<String>();
/// let source = RecvSource::new(move || Ok::<_, std::io::Error>(receiver.recv().ok()));
/// ```
pub struct RecvSource<T> {
    receive: Once<Receive<T>>,
    run: RunSplit,
}

impl<T> RecvSource<T> {
    /// Reads what `receive` returns, with event times left to the watermark strategy.
    pub fn new<E: Into<BoxError>>(
        mut receive: impl FnMut() -> Result<Option<T>, E> + Send + 'static,
    ) -> Self {
        Self::records(move || Ok::<_, E>(receive()?.map(|value| Record::new(NO_TIME, value))))
    }

    /// Reads what `receive` returns, with its event times.
    pub fn records<E: Into<BoxError>>(
        mut receive: impl FnMut() -> Result<Option<Record<T>>, E> + Send + 'static,
    ) -> Self {
        let receive: Receive<T> = Box::new(move || receive().map_err(Into::into));
        RecvSource {
            receive: Once::new(receive),
            run: RunSplit::new("function"),
        }
    }
}

impl<T: Data> Source for RecvSource<T> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        "function that receives".into()
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
        let receive = self.receive.take("a function that receives")?;
        let (handle, source): (_, ChannelSource<T>) = memory::channel(CAPACITY);
        let failed = Failed::default();
        let (within, inside) = (failed.clone(), handle.clone());
        std::thread::Builder::new()
            .name("receive".into())
            .spawn(move || run(receive, &inside, &within))
            .map_err(|error| {
                Error::new(ErrorKind::Source, "cannot start the thread that receives")
                    .with_source(error)
            })?;
        Ok(Box::new(Reader {
            records: source.reader(position, context)?,
            failed,
        }))
    }
}

/// Why the thread has ended, if it was for a reason.
type Failed = Arc<Mutex<Option<BoxError>>>;

fn run<T: Data>(mut receive: Receive<T>, handle: &ChannelHandle<T>, failed: &Failed) {
    loop {
        let received = catch_unwind(AssertUnwindSafe(&mut receive))
            .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic)).into()));
        match received {
            Ok(Some(record)) => {
                if handle.send_at(record.time, record.value).is_err() {
                    return; // the job has ended
                }
            }
            Ok(None) => break,
            Err(error) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                break;
            }
        }
    }
    handle.close();
}

struct Reader<T> {
    records: Box<dyn SplitReader<T>>,
    failed: Failed,
}

impl<T> SplitReader<T> for Reader<T> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        let status = self.records.poll(batch, max)?;
        if status == ReadStatus::Finished
            && let Some(error) = self
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        {
            let what = "the function that receives has failed";
            return Err(Error::new(ErrorKind::Source, what).with_source(error));
        }
        Ok(status)
    }

    fn position(&self) -> Vec<u8> {
        self.records.position()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{error_of, reader_context, until};

    fn split(source: &impl Source<Split = String>) -> String {
        source.enumerator().unwrap().discover().unwrap().remove(0)
    }

    fn open(source: &RecvSource<u32>) -> Box<dyn SplitReader<u32>> {
        source
            .open(&split(source), None, &reader_context())
            .unwrap()
    }

    #[test]
    fn what_is_received_is_read_to_its_end() {
        let mut numbers = 0..5_000u32;
        let source = RecvSource::new(move || Ok::<_, String>(numbers.next()));
        let mut reader = open(&source);
        let mut batch = Batch::default();
        until("the end", || {
            (reader.poll(&mut batch, 100).unwrap() == ReadStatus::Finished).then_some(())
        });
        let values: Vec<u32> = batch.records.into_iter().map(|r| r.value).collect();
        assert_eq!(values, (0..5_000).collect::<Vec<_>>());
        let again = source.open(&split(&source), None, &reader_context());
        assert!(error_of(again).contains("second time"));
    }

    #[test]
    fn an_error_and_a_panic_come_after_what_was_received() {
        for panics in [false, true] {
            let mut numbers = 0..3u32;
            let source = RecvSource::records(move || match numbers.next() {
                Some(n) => Ok(Some(Record::new(i64::from(n), n))),
                None if panics => panic!("the line is dead"),
                None => Err("the line is dead"),
            });
            let mut reader = open(&source);
            let mut batch = Batch::default();
            let error = until("the error", || reader.poll(&mut batch, 100).err());
            assert!(error.to_string().contains("the line is dead"), "{error}");
            assert_eq!(batch.records.len(), 3);
            assert_eq!(batch.records[2], Record::new(2, 2));
        }
    }
}
