//! A source that plays a script, for tests: records, watermarks, pauses and failures in the order in which they are
//! written down.
//!
//! Exactly-once, replayable: a snapshot holds the place in each split's script. A failure happens once in a process,
//! so that a job that is started again goes past it.

use crate::position;
use millstream_runtime::record::{Data, NO_TIME};
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader, Waker,
};
use millstream_runtime::time::{EventTime, Watermark};
use millstream_runtime::watermark::WatermarkStrategy;
use millstream_runtime::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const VERSION: u8 = 1;

/// One thing that happens in a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// A record of this event time arrives.
    Record(EventTime, T),
    /// The split's watermark rises: no on-time record with a smaller event time follows. It also ends what the source
    /// reads in one go, in micro-batch mode the batch. Operators hear of it soon after, perhaps together with
    /// what follows; whoever needs it to have taken effect puts a pause behind it.
    Watermark(Watermark),
    /// The split has nothing to say until [`ScriptHandle::resume`] is called.
    Pause,
    /// Reading fails with this message, the first time in this process.
    Fail(String),
}

/// What a [`Script`] reads: a value, or a watermark on its way to the strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal<T> {
    /// The value of a record.
    Value(T),
    /// A watermark.
    Watermark(Watermark),
}

impl<T> Signal<T> {
    /// The value, if it is one.
    pub fn value(self) -> Option<T> {
        match self {
            Signal::Value(value) => Some(value),
            Signal::Watermark(_) => None,
        }
    }
}

/// A source that plays a script in each of its splits; a split ends with its script.
///
/// ```
/// use millstream_connectors::script::{Event, Script};
/// let script = Script::new([Event::Record(1, "a"), Event::Watermark(5)])
///     .and_split([Event::Record(2, "b"), Event::Pause, Event::Record(9, "c")]);
/// let handle = script.handle(); // `handle.resume()` ends the pause
/// ```
pub struct Script<T> {
    splits: Vec<Arc<Vec<Event<T>>>>,
    shared: Arc<Shared>,
}

/// Lets a script go on. Clones do the same.
#[derive(Clone)]
pub struct ScriptHandle(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// How many pauses of each split are over.
    resumed: u64,
    waiting: Vec<Waker>,
    /// Failures that have happened: split and place.
    failed: HashSet<(usize, usize)>,
}

impl Shared {
    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ScriptHandle {
    /// One more [`Event::Pause`] of each split is over, whether it has been reached or not.
    pub fn resume(&self) {
        let waiting = self.0.with(|state| {
            state.resumed += 1;
            std::mem::take(&mut state.waiting)
        });
        for waker in waiting {
            waker.wake();
        }
    }
}

impl<T> Script<T> {
    /// A script of one split.
    pub fn new(events: impl IntoIterator<Item = Event<T>>) -> Self {
        Script {
            splits: vec![Arc::new(events.into_iter().collect())],
            shared: Arc::default(),
        }
    }

    /// The script of a further split.
    pub fn and_split(mut self, events: impl IntoIterator<Item = Event<T>>) -> Self {
        self.splits.push(Arc::new(events.into_iter().collect()));
        self
    }

    /// What ends the pauses.
    pub fn handle(&self) -> ScriptHandle {
        ScriptHandle(self.shared.clone())
    }

    /// The strategy that takes event times and watermarks from the script.
    pub fn strategy() -> WatermarkStrategy<Signal<T>>
    where
        T: 'static,
    {
        WatermarkStrategy::punctuated(|signal, _| match signal {
            Signal::Watermark(watermark) => Some(*watermark),
            Signal::Value(_) => None,
        })
    }
}

impl<T: Data + Sync> Source for Script<T> {
    type Item = Signal<T>;
    type Split = String;

    fn describe(&self) -> String {
        "script".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let ids = (0..self.splits.len()).map(|split| split.to_string());
        Ok(Box::new(FixedSplits(ids.collect())))
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Signal<T>>>> {
        let number = split.parse().ok();
        let found = number.and_then(|number: usize| Some((number, self.splits.get(number)?)));
        let (number, events) = found.ok_or_else(|| {
            Error::new(
                ErrorKind::Source,
                "the script has no such split: it had more when the checkpoint was taken",
            )
        })?;
        let [at, pauses] = match position {
            Some(bytes) => position::decode::<2>(VERSION, bytes, "the script")?,
            None => [0, 0],
        };
        Ok(Box::new(Player {
            split: number,
            events: events.clone(),
            at: at as usize,
            pauses,
            shared: self.shared.clone(),
            context: context.clone(),
        }))
    }
}

struct Player<T> {
    split: usize,
    events: Arc<Vec<Event<T>>>,
    at: usize,
    /// How many pauses lie behind.
    pauses: u64,
    shared: Arc<Shared>,
    context: ReaderContext,
}

impl<T> Player<T> {
    /// Whether the pause at hand is over; if not, the worker is woken when it is.
    fn goes_on(&self) -> bool {
        self.shared.with(|state| {
            let over = state.resumed > self.pauses;
            if !over {
                state.waiting.push(self.context.waker.clone());
            }
            over
        })
    }

    fn fails_first(&self) -> bool {
        self.shared
            .with(|state| state.failed.insert((self.split, self.at)))
    }
}

impl<T: Data> SplitReader<Signal<T>> for Player<T> {
    fn poll(&mut self, batch: &mut Batch<Signal<T>>, max: usize) -> Result<ReadStatus> {
        let full = batch.records.len() + max;
        while batch.records.len() < full {
            let Some(event) = self.events.get(self.at) else {
                return Ok(ReadStatus::Finished);
            };
            match event {
                Event::Record(time, value) => batch.push(*time, Signal::Value(value.clone())),
                Event::Watermark(watermark) => batch.push(NO_TIME, Signal::Watermark(*watermark)),
                Event::Pause if self.goes_on() => self.pauses += 1,
                // What is available now ends before a pause.
                Event::Pause if self.context.available_now => return Ok(ReadStatus::Finished),
                Event::Pause => return Ok(ReadStatus::Waiting),
                Event::Fail(message) => {
                    if self.fails_first() {
                        return Err(Error::new(ErrorKind::Source, message.clone()));
                    }
                }
            }
            self.at += 1;
            // The watermark rises when the source has read what there is: what follows is not there yet.
            if matches!(event, Event::Watermark(_)) {
                return Ok(ReadStatus::WaitFor(Duration::ZERO));
            }
        }
        Ok(ReadStatus::More)
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.at as u64, self.pauses])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drain, error_of, reader_context, resumes_everywhere};
    use Event::{Fail, Pause, Record, Watermark};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn events_come_in_order_and_positions_are_exact() {
        let script = Script::new([Record(1, 'a'), Watermark(3), Record(4, 'b')])
            .and_split([Record(2, 'c'), Record(9, 'd')]);
        resumes_everywhere(&script);
        let mut reader = script.open(&"0".into(), None, &reader_context()).unwrap();
        let (records, status) = drain(&mut *reader, 100).unwrap();
        let values: Vec<_> = records.into_iter().map(|r| (r.time, r.value)).collect();
        assert_eq!(
            values,
            [
                (1, Signal::Value('a')),
                (NO_TIME, Signal::Watermark(3)),
                (4, Signal::Value('b'))
            ]
        );
        assert_eq!(status, ReadStatus::Finished);
    }

    #[test]
    fn a_pause_lasts_until_it_is_ended() {
        let script = Script::new([Record(1, 'a'), Pause, Record(2, 'b'), Pause, Record(3, 'c')]);
        let handle = script.handle();
        let woken = Arc::new(AtomicU64::new(0));
        let count = woken.clone();
        let context = ReaderContext {
            waker: Waker::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            ..reader_context()
        };
        let mut reader = script.open(&"0".into(), None, &context).unwrap();
        let mut next = || {
            let (records, status) = drain(&mut *reader, 100).unwrap();
            (records.len(), status)
        };
        assert_eq!(next(), (1, ReadStatus::Waiting));
        handle.resume();
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(next(), (1, ReadStatus::Waiting));
        handle.resume();
        assert_eq!(next(), (1, ReadStatus::Finished));
    }

    #[test]
    fn a_failure_happens_once() {
        let script = Script::new([
            Record(1, 'a'),
            Fail("the disk is gone".into()),
            Record(2, 'b'),
        ]);
        let open = |position: Option<&[u8]>| {
            let reader = script.open(&"0".into(), position, &reader_context());
            reader.unwrap()
        };
        let mut reader = open(None);
        let mut batch = Batch::default();
        assert_eq!(reader.poll(&mut batch, 1).unwrap(), ReadStatus::More);
        let position = reader.position();
        assert!(error_of(reader.poll(&mut batch, 2)).contains("the disk is gone"));
        let (rest, _) = drain(&mut *open(Some(&position)), 10).unwrap();
        assert_eq!(rest.len(), 1);
    }

    #[test]
    fn a_split_that_is_gone_is_named() {
        let script = Script::<u8>::new([]);
        let error = error_of(script.open(&"4".into(), None, &reader_context()));
        assert!(error.contains("no such split"), "{error}");
    }
}
