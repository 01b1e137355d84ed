//! A bounded channel into a job, for programs that embed one.
//!
//! At-most-once across restarts: records are gone from the channel when they have been read. The
//! snapshot holds the number of records read, for people to look at only. A run that goes on from a checkpoint
//! has a channel of its own, which is read from its beginning.

use crate::once::{Once, RunSplit};
use crate::position;
use millstream_runtime::Result;
use millstream_runtime::record::{Data, NO_TIME, Record};
use millstream_runtime::source::{
    Batch, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader, Waker,
};
use millstream_runtime::time::EventTime;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SendError, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const VERSION: u8 = 1;

/// A channel that holds at most `capacity` records: the handle sends, the source is given to a job.
///
/// Not replayable: after a failure what was sent and not yet processed is lost, and a job that
/// is restarted within the process cannot read the channel again.
///
/// ```
/// let (handle, source) = millstream_connectors::memory::channel::<String>(1_024);
/// std::thread::scope(|scope| {
///     scope.spawn(move || {
///         handle.send("hello".to_string()).unwrap();
///         handle.close(); // or drop every handle: the source has ended
///     });
/// });
/// ```
///
/// # Panics
/// When `capacity` is 0.
pub fn channel<T>(capacity: usize) -> (ChannelHandle<T>, ChannelSource<T>) {
    assert!(
        capacity > 0,
        "a channel needs a capacity of at least one record"
    );
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            queue: VecDeque::new(),
            closed: false,
            abandoned: false,
            waiting: None,
        }),
        room: Condvar::new(),
        capacity,
        handles: AtomicUsize::new(1),
    });
    let source = ChannelSource {
        receiver: Once::new(Receiver(shared.clone())),
        run: RunSplit::new("channel"),
    };
    (ChannelHandle(shared), source)
}

struct Shared<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    capacity: usize,
    handles: AtomicUsize,
}

struct State<T> {
    queue: VecDeque<Record<T>>,
    /// No more will be sent.
    closed: bool,
    /// Nobody reads any more.
    abandoned: bool,
    /// The reader found nothing: whom to wake when there is something.
    waiting: Option<Waker>,
}

impl<T> Shared<T> {
    /// The state, whole whatever panicked: no lock is held while foreign code runs.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            state.waiting.take()
        };
        self.room.notify_all();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// The sending end of a [`channel`]. Clones send into the same channel; the source ends when one of
/// them calls [`close`](Self::close) or all of them are dropped.
pub struct ChannelHandle<T>(Arc<Shared<T>>);

impl<T> ChannelHandle<T> {
    /// Sends `value`, with its event time left to the watermark strategy. Waits while the channel is full.
    ///
    /// # Errors
    /// Gives the value back when the channel was closed or the job that reads it has ended.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_at(NO_TIME, value)
    }

    /// Sends `value` at event time `time`. Waits while the channel is full.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_at(&self, time: EventTime, value: T) -> Result<(), SendError<T>> {
        let mut state = self.0.lock();
        while !state.ended() && state.queue.len() >= self.0.capacity {
            state = self
                .0
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended() {
            return Err(SendError(value));
        }
        push(state, Record::new(time, value));
        Ok(())
    }

    /// Sends `value` if there is room now.
    ///
    /// # Errors
    /// Gives the value back when the channel is full, was closed, or is no longer read.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let state = self.0.lock();
        if state.ended() {
            return Err(TrySendError::Disconnected(value));
        }
        if state.queue.len() >= self.0.capacity {
            return Err(TrySendError::Full(value));
        }
        push(state, Record::new(NO_TIME, value));
        Ok(())
    }

    /// Nothing more will be sent, by this or any other handle: the source ends when what is in the
    /// channel has been read.
    pub fn close(&self) {
        self.0.close();
    }
}

fn push<T>(mut state: MutexGuard<'_, State<T>>, record: Record<T>) {
    state.queue.push_back(record);
    let waiting = state.waiting.take();
    drop(state);
    if let Some(waker) = waiting {
        waker.wake();
    }
}

impl<T> State<T> {
    fn ended(&self) -> bool {
        self.closed || self.abandoned
    }
}

impl<T> Clone for ChannelHandle<T> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        ChannelHandle(self.0.clone())
    }
}

impl<T> Drop for ChannelHandle<T> {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}

/// The reading end of a [`channel`]: a source of one split. Can be read by one job, once.
pub struct ChannelSource<T> {
    receiver: Once<Receiver<T>>,
    run: RunSplit,
}

impl<T: Data> ChannelSource<T> {
    /// The reader of the channel.
    pub(crate) fn reader(
        &self,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        let read = match position {
            Some(bytes) => position::decode::<1>(VERSION, bytes, "the channel")?[0],
            None => 0,
        };
        let receiver = self.receiver.take("a channel")?;
        Ok(Box::new(Reader {
            receiver,
            read,
            present: None,
            context: context.clone(),
        }))
    }
}

/// Whoever holds it reads; when it is dropped, senders are told.
struct Receiver<T>(Arc<Shared<T>>);

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.lock().abandoned = true;
        self.0.room.notify_all();
    }
}

impl<T: Data> Source for ChannelSource<T> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        "channel".into()
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
        match self.run.over(split, position) {
            Some(over) => Ok(over),
            None => self.reader(position, context),
        }
    }
}

struct Reader<T> {
    receiver: Receiver<T>,
    read: u64,
    /// Under `available_now`: how many are still to be read of what was there at first.
    present: Option<usize>,
    context: ReaderContext,
}

impl<T: Data> SplitReader<T> for Reader<T> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        let mut state = self.receiver.0.lock();
        let max = match self.context.available_now {
            true => max.min(*self.present.get_or_insert(state.queue.len())),
            false => max,
        };
        let count = state.queue.len().min(max);
        batch.records.extend(state.queue.drain(..count));
        self.read += count as u64;
        if let Some(present) = &mut self.present {
            *present -= count;
        }
        let status = if self.present == Some(0) || (state.queue.is_empty() && state.closed) {
            ReadStatus::Finished
        } else if state.queue.is_empty() {
            state.waiting = Some(self.context.waker.clone());
            ReadStatus::Waiting
        } else {
            ReadStatus::More
        };
        drop(state);
        if count > 0 {
            self.receiver.0.room.notify_all();
        }
        Ok(status)
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.read])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drain, error_of, reader_context, spawn, until};
    use std::sync::atomic::AtomicBool;

    fn open<T: Data>(
        source: &ChannelSource<T>,
        context: &ReaderContext,
    ) -> Box<dyn SplitReader<T>> {
        source.open(&split(source), None, context).unwrap()
    }

    fn split<T: Data>(source: &ChannelSource<T>) -> String {
        source.enumerator().unwrap().discover().unwrap().remove(0)
    }

    /// The split of the run before was finished, or has records that nobody has any more.
    #[test]
    fn the_next_run_reads_its_own_channel() {
        let (_, source) = channel::<char>(1);
        let position = open(&source, &reader_context()).position();
        let (handle, source) = channel(1);
        handle.send('a').unwrap();
        let before = source.open(&"channel 5".into(), Some(&position), &reader_context());
        let mut before = before.unwrap();
        assert_eq!(before.position(), position);
        assert_eq!(drain(&mut *before, 1).unwrap().1, ReadStatus::Finished);
        let (records, _) = drain(&mut *open(&source, &reader_context()), 1).unwrap();
        assert_eq!(records, [Record::new(NO_TIME, 'a')]);
    }

    #[test]
    fn records_arrive_in_order_with_their_times() {
        let (handle, source) = channel(10);
        handle.send_at(5, 'a').unwrap();
        handle.send('b').unwrap();
        let mut reader = open(&source, &reader_context());
        let (records, status) = drain(&mut *reader, 1).unwrap();
        assert_eq!(records, [Record::new(5, 'a'), Record::new(NO_TIME, 'b')]);
        assert_eq!(status, ReadStatus::Waiting);
        drop(handle);
        assert_eq!(drain(&mut *reader, 1).unwrap().1, ReadStatus::Finished);
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let (handle, source) = channel(10);
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        let context = ReaderContext {
            waker: Waker::new(move || flag.store(true, Ordering::SeqCst)),
            ..reader_context()
        };
        let mut reader = open(&source, &context);
        assert_eq!(drain(&mut *reader, 1).unwrap().1, ReadStatus::Waiting);
        handle.send(1).unwrap();
        assert!(woken.swap(false, Ordering::SeqCst));
        assert_eq!(drain(&mut *reader, 1).unwrap().1, ReadStatus::Waiting);
        handle.close();
        assert!(woken.load(Ordering::SeqCst));
        assert!(handle.send(2).is_err());
    }

    #[test]
    fn a_full_channel_makes_the_sender_wait() {
        let (handle, source) = channel(2);
        handle.send(0).unwrap();
        handle.send(1).unwrap();
        assert!(matches!(handle.try_send(9), Err(TrySendError::Full(9))));
        let sender = spawn(move || (2..100).for_each(|i| handle.send(i).unwrap()));
        let mut reader = open(&source, &reader_context());
        let mut batch = Batch::default();
        until("all records", || {
            (reader.poll(&mut batch, 10).unwrap() == ReadStatus::Finished).then_some(())
        });
        sender.join().unwrap();
        let values: Vec<i32> = batch.records.iter().map(|r| r.value).collect();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn senders_learn_that_nobody_reads() {
        let (handle, source) = channel(1);
        handle.send(0).unwrap();
        let blocked = spawn({
            let handle = handle.clone();
            move || handle.send(1).is_err()
        });
        drop(open(&source, &reader_context()));
        assert!(blocked.join().unwrap());
        assert!(matches!(
            handle.try_send(2),
            Err(TrySendError::Disconnected(2))
        ));
        let error = error_of(source.open(&split(&source), None, &reader_context()));
        assert!(error.contains("second time"), "{error}");
    }

    #[test]
    fn a_source_that_is_never_read_lets_senders_go() {
        let (handle, source) = channel(1);
        drop(source);
        assert!(handle.send(0).is_err());
    }

    #[test]
    fn available_now_ends_at_what_is_there() {
        let (handle, source) = channel(10);
        (0..3).for_each(|i| handle.send(i).unwrap());
        let context = ReaderContext {
            available_now: true,
            ..reader_context()
        };
        let mut reader = open(&source, &context);
        let mut batch = Batch::default();
        assert_eq!(reader.poll(&mut batch, 2).unwrap(), ReadStatus::More);
        handle.send(3).unwrap();
        assert_eq!(reader.poll(&mut batch, 2).unwrap(), ReadStatus::Finished);
        assert_eq!(batch.records.len(), 3);
    }
}
