//! A sink that calls a function with many records at a time.
//!
//! At-least-once: a checkpoint is complete when the function has returned for all that came before it; after a
//! recovery it is called again for what is replayed. Nothing is in the snapshot.

use crate::background::Stop;
use crate::outbox::{Deliver, Outbox};
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::error::BoxError;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Ready, Sink, SinkWriter, WriterContext, Written};
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

type Call<T> = Box<dyn FnMut(Vec<Record<T>>) -> Result<(), BoxError> + Send>;
type Make<T> = Arc<dyn Fn(&WriterContext) -> Result<Call<T>, BoxError> + Send + Sync>;

/// Calls a function with batches of records, from a thread of its own on each worker: it may block. While it
/// does, up to 16 batches wait; then the job is slowed down.
///
/// Its error or panic ends the job; retry inside the function where that helps.
///
/// ```
/// use millstream_connectors::callback::ForEachBatch;
/// use millstream_runtime::record::Record;
/// use std::time::Duration;
///
/// let rows = ForEachBatch::new(|rows: Vec<Record<String>>| -> std::io::Result<()> {
///     // one statement, one request for all of them
///     Ok(())
/// })
/// .max_records(1_000)
/// .linger(Duration::from_millis(5));
///
/// // A connection for each worker:
/// let sink = ForEachBatch::per_worker(|context| {
///     let mut connection = Vec::new(); // connect(…)?
///     Ok(move |rows: Vec<Record<String>>| -> std::io::Result<()> {
///         connection.extend(rows);
///         Ok(())
///     })
/// });
/// ```
pub struct ForEachBatch<T> {
    make: Make<T>,
    max_records: usize,
    linger: Duration,
}

impl<T> ForEachBatch<T> {
    /// Calls `function` with each batch, from several workers at a time.
    pub fn new<E: Into<BoxError>>(
        function: impl Fn(Vec<Record<T>>) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        let function = Arc::new(function);
        Self::per_worker(move |_| {
            let function = function.clone();
            Ok(move |records| function(records))
        })
    }

    /// Calls `make` for each worker, on that worker, before the first record; what it returns is called with
    /// each batch.
    pub fn per_worker<F, E>(
        make: impl Fn(&WriterContext) -> Result<F, BoxError> + Send + Sync + 'static,
    ) -> Self
    where
        F: FnMut(Vec<Record<T>>) -> Result<(), E> + Send + 'static,
        E: Into<BoxError>,
    {
        ForEachBatch {
            make: Arc::new(move |context| {
                let mut function = make(context)?;
                Ok(Box::new(move |records| {
                    function(records).map_err(Into::into)
                }))
            }),
            max_records: 1_000,
            linger: Duration::ZERO,
        }
    }

    /// The most records of a batch. Default 1,000.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn max_records(mut self, count: usize) -> Self {
        assert!(count > 0, "a batch needs at least one record");
        self.max_records = count;
        self
    }

    /// How long records may wait for others to come into their batch. Default: not at all; a batch is what
    /// is there.
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }
}

impl<T: Data> Sink for ForEachBatch<T> {
    type Item = T;

    fn describe(&self) -> String {
        "function of batches".into()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        let call = (self.make)(&context).map_err(|error| {
            Error::new(ErrorKind::Sink, "the sink's function cannot be made").with_source(error)
        })?;
        let name = format!("function-{}-{}", context.uid, context.worker);
        Ok(Box::new(Writer {
            outbox: Outbox::start(name, Caller(call), context.waker)?,
            batch: Vec::new(),
            max_records: self.max_records,
            linger: self.linger,
            waits: None,
        }))
    }
}

struct Caller<T>(Call<T>);

impl<T: Send + 'static> Deliver<Vec<Record<T>>> for Caller<T> {
    fn deliver(&mut self, batch: Vec<Record<T>>, _: &Stop) -> Result<()> {
        (self.0)(batch).map_err(|error| {
            Error::new(ErrorKind::Sink, "the sink's function has failed").with_source(error)
        })
    }
}

struct Writer<T: Send + 'static> {
    outbox: Outbox<Vec<Record<T>>, Caller<T>>,
    batch: Vec<Record<T>>,
    max_records: usize,
    linger: Duration,
    /// Since when the batch waits for more records.
    waits: Option<Stopwatch>,
}

impl<T: Send + 'static> Writer<T> {
    fn hand_on(&mut self) -> Result<()> {
        self.waits = None;
        match self.batch.is_empty() {
            true => Ok(()),
            false => self.outbox.send(mem::take(&mut self.batch)),
        }
    }
}

impl<T: Send + 'static> SinkWriter<T> for Writer<T> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        while !records.is_empty() {
            if self.batch.len() >= self.max_records {
                if !self.outbox.has_room()? {
                    return Ok(Written::Full);
                }
                self.hand_on()?;
            }
            let count = records.len().min(self.max_records - self.batch.len());
            self.batch.extend(records.drain(..count));
        }
        Ok(Written::All)
    }

    fn flush(&mut self) -> Result<()> {
        let room = self.outbox.has_room()?;
        if self.batch.is_empty() || !room {
            return Ok(());
        }
        if self.batch.len() >= self.max_records || self.linger.is_zero() {
            return self.hand_on();
        }
        match &self.waits {
            Some(waits) if waits.elapsed() >= self.linger => self.hand_on(),
            Some(_) => Ok(()),
            None => {
                self.waits = Some(Stopwatch::start());
                self.outbox.remind(self.linger)
            }
        }
    }

    fn prepare(&mut self, _: CheckpointId) -> Result<()> {
        self.hand_on()?;
        self.outbox.barrier()
    }

    fn poll_prepared(&mut self) -> Result<Ready<Vec<u8>>> {
        self.outbox.poll_delivered()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{until, writer_context};
    use millstream_runtime::config::Guarantee;
    use millstream_runtime::source::Waker;
    use std::sync::mpsc;

    fn start<T: Data>(sink: &ForEachBatch<T>, waker: Waker) -> Box<dyn SinkWriter<T>> {
        let context = WriterContext {
            waker,
            ..writer_context(0, 1, Guarantee::AtLeastOnce, 0)
        };
        sink.writer(context).unwrap()
    }

    fn records(numbers: std::ops::Range<i64>) -> Vec<Record<i64>> {
        numbers.map(|n| Record::new(n, n)).collect()
    }

    #[test]
    fn batches_hold_at_most_so_many_and_all_is_done_at_the_barrier() {
        let (sender, receiver) = mpsc::channel();
        let sink = ForEachBatch::new(move |batch| sender.send(batch)).max_records(4);
        let mut writer = start(&sink, Waker::noop());
        writer.write(&mut records(0..10)).unwrap();
        writer.prepare(1).unwrap();
        until("the barrier", || {
            matches!(writer.poll_prepared().unwrap(), Ready::Yes(_)).then_some(())
        });
        let batches: Vec<Vec<Record<i64>>> = receiver.try_iter().collect();
        assert_eq!(batches, [records(0..4), records(4..8), records(8..10)]);
    }

    #[test]
    fn a_slow_function_fills_the_writer() {
        let (gate, wait) = mpsc::channel::<()>();
        let sink = ForEachBatch::per_worker({
            let wait = std::sync::Mutex::new(Some(wait));
            move |_| {
                let wait = wait.lock().unwrap().take().unwrap();
                Ok(move |_: Vec<Record<i64>>| {
                    wait.recv().map(drop).or(Ok::<_, mpsc::RecvError>(()))
                })
            }
        })
        .max_records(1);
        let mut writer = start(&sink, Waker::noop());
        let mut all = records(0..100);
        assert_eq!(writer.write(&mut all).unwrap(), Written::Full);
        drop(gate);
        until("room", || {
            (writer.write(&mut all).unwrap() == Written::All).then_some(())
        });
    }

    #[test]
    fn records_wait_for_others_and_the_worker_is_woken() {
        let (sender, batches) = mpsc::channel();
        let (wake, wakes) = mpsc::channel();
        let sink =
            ForEachBatch::new(move |batch| sender.send(batch)).linger(Duration::from_millis(10));
        let waker = Waker::new(move || {
            let _ = wake.send(());
        });
        let mut writer = start(&sink, waker);
        writer.write(&mut records(0..1)).unwrap();
        writer.flush().unwrap();
        writer.write(&mut records(1..2)).unwrap();
        writer.flush().unwrap();
        wakes.recv_timeout(crate::testing::DEADLINE).unwrap();
        let batch = until("the batch", || {
            writer.flush().unwrap();
            batches.try_recv().ok()
        });
        assert_eq!(batch, records(0..2));
    }

    #[test]
    fn an_error_and_a_panic_end_the_job_and_are_no_records_fault() {
        for panics in [false, true] {
            let sink = ForEachBatch::new(move |_: Vec<Record<i64>>| {
                assert!(!panics, "the server is away");
                Err("the server is away")
            });
            let mut writer = start(&sink, Waker::noop());
            writer.write(&mut records(0..1)).unwrap();
            writer.flush().unwrap();
            let error = until("the error", || writer.flush().err());
            assert_eq!(error.kind(), ErrorKind::Sink);
            assert!(error.to_string().contains("the server is away"), "{error}");
        }
        let sink = ForEachBatch::<i64>::per_worker(|_| {
            if true {
                return Err("no connection".into());
            }
            Ok(|_| Ok::<(), String>(()))
        });
        let error = sink.writer(writer_context(0, 1, Guarantee::AtLeastOnce, 0));
        assert!(crate::testing::error_of(error).contains("no connection"));
    }
}
