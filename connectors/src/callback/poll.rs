//! A source that asks a function whether there is a record.
//!
//! At-most-once across restarts: what the function has returned is gone; a run that goes on from a checkpoint reads
//! its own function from the start, also if that of the run before had ended. The snapshot holds the number of records
//! read, for people to look at only.

use crate::once::{Once, RunSplit};
use crate::position;
use millstream_runtime::error::BoxError;
use millstream_runtime::record::{Data, NO_TIME, Record};
use millstream_runtime::source::{
    Batch, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::{Error, ErrorKind, Result};
use std::time::Duration;

const VERSION: u8 = 1;

/// What a function that was asked for a record has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled<T> {
    /// A record, its event time left to the watermark strategy.
    Value(T),
    /// A record with its event time.
    Record(Record<T>),
    /// There is none now; under `Trigger::AvailableNow` that is the end.
    Nothing,
    /// There will be no more.
    Ended,
}

type Poll<T> = Box<dyn FnMut() -> Result<Polled<T>, BoxError> + Send>;

/// Asks a function for records, on the worker's thread: it must not block. After [`Polled::Nothing`] it is asked
/// again when some time has passed.
///
/// Its error or panic ends the job. Can be read by one job, once.
///
/// ```
/// use millstream_connectors::callback::{PollSource, Polled};
/// use std::sync::mpsc::TryRecvError;
/// use std::time::Duration;
///
/// let (sender, receiver) = std::sync::mpsc::channel::<String>();
/// let source = PollSource::new(Duration::from_millis(1), move || {
///     Ok::<_, std::io::Error>(match receiver.try_recv() {
///         Ok(text) => Polled::Value(text),
///         Err(TryRecvError::Empty) => Polled::Nothing,
///         Err(TryRecvError::Disconnected) => Polled::Ended,
///     })
/// });
/// ```
pub struct PollSource<T> {
    interval: Duration,
    poll: Once<Poll<T>>,
    run: RunSplit,
}

impl<T> PollSource<T> {
    /// Asks `poll`; when there was nothing, again after `interval`.
    pub fn new<E: Into<BoxError>>(
        interval: Duration,
        mut poll: impl FnMut() -> Result<Polled<T>, E> + Send + 'static,
    ) -> Self {
        let poll: Poll<T> = Box::new(move || poll().map_err(Into::into));
        PollSource {
            interval,
            poll: Once::new(poll),
            run: RunSplit::new("function"),
        }
    }
}

impl<T: Data> Source for PollSource<T> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        "function that is polled".into()
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
        let read = match position {
            Some(bytes) => position::decode::<1>(VERSION, bytes, "the function")?[0],
            None => 0,
        };
        if let Some(over) = self.run.over(split, position) {
            return Ok(over);
        }
        let poll = self.poll.take("a function that is polled")?;
        Ok(Box::new(Reader {
            poll,
            interval: self.interval,
            available_now: context.available_now,
            read,
        }))
    }
}

struct Reader<T> {
    poll: Poll<T>,
    interval: Duration,
    available_now: bool,
    read: u64,
}

impl<T> SplitReader<T> for Reader<T> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        for _ in 0..max {
            let polled = (self.poll)().map_err(|error| {
                let what = "the function that is polled has failed";
                Error::new(ErrorKind::Source, what).with_source(error)
            })?;
            match polled {
                Polled::Value(value) => batch.push(NO_TIME, value),
                Polled::Record(record) => batch.records.push(record),
                Polled::Nothing if self.available_now => return Ok(ReadStatus::Finished),
                Polled::Nothing => return Ok(ReadStatus::WaitFor(self.interval)),
                Polled::Ended => return Ok(ReadStatus::Finished),
            }
            self.read += 1;
        }
        Ok(ReadStatus::More)
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.read])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{error_of, reader_context};

    #[test]
    fn what_the_function_says_is_done() {
        let mut answers = vec![
            Ok(Polled::Value('a')),
            Ok(Polled::Record(Record::new(5, 'b'))),
            Ok(Polled::Nothing),
            Ok(Polled::Ended),
            Err("it is broken"),
        ]
        .into_iter();
        let source = PollSource::new(Duration::from_millis(3), move || answers.next().unwrap());
        let split = source.enumerator().unwrap().discover().unwrap().remove(0);
        let mut reader = source.open(&split, None, &reader_context()).unwrap();
        let mut batch = Batch::default();
        assert_eq!(reader.poll(&mut batch, 1).unwrap(), ReadStatus::More);
        let waits = ReadStatus::WaitFor(Duration::from_millis(3));
        assert_eq!(reader.poll(&mut batch, 10).unwrap(), waits);
        assert_eq!(
            batch.records,
            [Record::new(NO_TIME, 'a'), Record::new(5, 'b')]
        );
        assert_eq!(reader.poll(&mut batch, 10).unwrap(), ReadStatus::Finished);
        assert!(error_of(reader.poll(&mut batch, 10)).contains("it is broken"));
        assert!(error_of(source.open(&split, None, &reader_context())).contains("second time"));
    }

    #[test]
    fn nothing_available_now_is_the_end() {
        let source = PollSource::new(Duration::from_millis(1), || {
            Ok::<_, String>(Polled::<u8>::Nothing)
        });
        let context = ReaderContext {
            available_now: true,
            ..reader_context()
        };
        let split = source.enumerator().unwrap().discover().unwrap().remove(0);
        let mut earlier = source
            .open(&"function 7".to_owned(), None, &context)
            .unwrap();
        let over = earlier.poll(&mut Batch::default(), 1).unwrap();
        assert_eq!(over, ReadStatus::Finished, "of an earlier run");
        let mut reader = source.open(&split, None, &context).unwrap();
        assert_eq!(
            reader.poll(&mut Batch::default(), 1).unwrap(),
            ReadStatus::Finished
        );
    }
}
