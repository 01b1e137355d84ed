//! Bytes that come by themselves, from connections whose threads read them: a bounded queue, and the reader that
//! makes records of it.
//!
//! Invariant: a thread that finds the queue full waits, and does not read meanwhile; so the other end is slowed
//! down. When the reader goes away every thread is told, also one that is blocked in a read.

use crate::format::Parse;
use crate::format::decoder::{Decoder, Lines, Stopped};
use crate::position;
use millstream_runtime::source::{Batch, ReadStatus, SplitReader, Waker};
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many bytes may wait.
const MAX_BYTES: usize = 1 << 20;
/// A thread reads so many bytes at a time.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// The reader takes so many events a poll, so that a worker is not held up.
const MAX_EVENTS: usize = 32;

/// A connection, or whatever else is read to its end on its own.
pub(crate) type Connection = u64;

/// What threads have to say.
pub(crate) enum Event {
    /// A connection of this name begins.
    Opened(Connection, Arc<str>),
    /// It has brought bytes.
    Bytes(Connection, Vec<u8>),
    /// It has ended.
    Closed(Connection),
    /// The source cannot go on.
    Failed(String),
    /// Nothing more will come.
    Ended,
}

/// The queue.
pub(crate) struct Inflow {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    events: VecDeque<Event>,
    bytes: usize,
    waiting: Option<Waker>,
    abandoned: bool,
    /// How to end the threads' blocking reads.
    enders: BTreeMap<Connection, Ender>,
}

type Ender = Box<dyn FnOnce() + Send>;

impl Inflow {
    pub fn new() -> Arc<Self> {
        Arc::new(Inflow {
            state: Mutex::new(State {
                events: VecDeque::new(),
                bytes: 0,
                waiting: None,
                abandoned: false,
                enders: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, when there is room for it. Says no when nobody reads any more.
    pub fn push(&self, event: Event) -> bool {
        let mut state = self.lock();
        while !state.abandoned && state.bytes >= MAX_BYTES {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.abandoned {
            return false;
        }
        if let Event::Bytes(_, bytes) = &event {
            state.bytes += bytes.len();
        }
        if let Event::Closed(connection) = &event {
            state.enders.remove(connection);
        }
        state.events.push_back(event);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        true
    }

    /// `end` is called when nobody reads any more, unless `connection` has been closed before. Says no when
    /// that is so already.
    pub fn on_abandoned(
        &self,
        connection: Connection,
        end: impl FnOnce() + Send + 'static,
    ) -> bool {
        let mut state = self.lock();
        if !state.abandoned {
            state.enders.insert(connection, Box::new(end));
        }
        !state.abandoned
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.lock().enders.len()
    }

    /// Waits for this long, or until nobody reads any more; whether that is so.
    pub fn wait(&self, duration: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), duration, |state| !state.abandoned);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.abandoned
    }

    /// The next event; if there is none, `waker` is called when there is.
    fn next(&self, waker: &Waker) -> Option<Event> {
        let mut state = self.lock();
        let event = state.events.pop_front();
        match &event {
            Some(Event::Bytes(_, bytes)) => {
                state.bytes -= bytes.len();
                self.changed.notify_all();
            }
            Some(_) => {}
            None => state.waiting = Some(waker.clone()),
        }
        event
    }

    fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.events.clear();
        let enders = std::mem::take(&mut state.enders);
        drop(state);
        self.changed.notify_all();
        enders.into_values().for_each(|end| end());
    }
}

/// Makes records of what comes.
pub(crate) struct InflowReader<T, P: Parse<T>> {
    inflow: Arc<Inflow>,
    format: P,
    max_record: usize,
    /// Names of connections stand before positions.
    named: bool,
    waker: Waker,
    decoders: BTreeMap<Connection, Decoder<T, P::Parser>>,
    /// The connection whose bytes are being decoded, and whether it has ended.
    current: Option<(Connection, bool)>,
    ended: bool,
    /// Bytes read, for people to look at.
    read: u64,
}

const VERSION: u8 = 1;

impl<T, P: Parse<T>> InflowReader<T, P> {
    /// Reads what comes to `inflow`; `named` says whether there are several connections.
    pub fn new(
        inflow: Arc<Inflow>,
        format: P,
        max_record: usize,
        named: bool,
        position: Option<&[u8]>,
        what: &str,
        waker: Waker,
    ) -> Result<Self> {
        let read = match position {
            Some(bytes) => position::decode::<1>(VERSION, bytes, what)?[0],
            None => 0,
        };
        Ok(InflowReader {
            inflow,
            format,
            max_record,
            named,
            waker,
            decoders: BTreeMap::new(),
            current: None,
            ended: false,
            read,
        })
    }

    /// Decodes what has come on the current connection; whether the batch is full.
    fn decode(&mut self, batch: &mut Batch<T>, full: usize) -> bool {
        let Some((connection, closed)) = self.current else {
            return false;
        };
        if let Some(decoder) = self.decoders.get_mut(&connection) {
            let is_full = match closed {
                true => !decoder.finish(batch, full),
                false => decoder.decode(batch, full) == Stopped::Full,
            };
            if is_full {
                return true;
            }
        }
        if closed {
            self.decoders.remove(&connection);
        }
        self.current = None;
        false
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Opened(connection, name) => {
                let lines = Lines::at(0, 0, self.max_record);
                let parser = self.format.parser();
                let mut decoder = Decoder::new(name, lines, parser, self.max_record);
                if self.named {
                    decoder = decoder.named();
                }
                self.decoders.insert(connection, decoder);
            }
            Event::Bytes(connection, bytes) => {
                self.read += bytes.len() as u64;
                if let Some(decoder) = self.decoders.get_mut(&connection) {
                    decoder.lines.fill(|held| held.extend_from_slice(&bytes));
                    self.current = Some((connection, false));
                }
            }
            Event::Closed(connection) => self.current = Some((connection, true)),
            Event::Failed(what) => return Err(Error::new(ErrorKind::Source, what)),
            Event::Ended => self.ended = true,
        }
        Ok(())
    }

    fn read(&mut self, batch: &mut Batch<T>, full: usize) -> Result<ReadStatus> {
        for _ in 0..MAX_EVENTS {
            if self.decode(batch, full) {
                return Ok(ReadStatus::More);
            }
            if self.ended {
                return Ok(ReadStatus::Finished);
            }
            match self.inflow.next(&self.waker) {
                Some(event) => self.take(event)?,
                None => return Ok(ReadStatus::Waiting),
            }
        }
        Ok(ReadStatus::More)
    }
}

impl<T, P: Parse<T>> SplitReader<T> for InflowReader<T, P> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        let before = self.read;
        let full = (batch.records.len() + batch.bad.len()).saturating_add(max);
        let status = self.read(batch, full);
        batch.bytes += self.read - before;
        status
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.read])
    }
}

impl<T, P: Parse<T>> Drop for InflowReader<T, P> {
    fn drop(&mut self) {
        self.inflow.abandon();
    }
}
