//! What a sink hands to a thread of its own, to be delivered piece by piece: at a barrier it is known when all
//! that came before has been delivered.

use crate::background::{Background, Stop, Work};
use crate::format::Format;
use millstream_runtime::Result;
use millstream_runtime::record::Record;
use millstream_runtime::sink::{Ready, SinkWriter, WriterContext, Written};
use millstream_runtime::source::Waker;
use millstream_runtime::time::CheckpointId;
use std::marker::PhantomData;
use std::mem;
use std::time::Duration;

/// How many pieces may wait.
const MAX_PIECES: usize = 16;
/// A piece of bytes of this size is handed on.
const PIECE_BYTES: usize = 64 << 10;

/// Delivers pieces, from the thread.
pub(crate) trait Deliver<D>: Send + 'static {
    /// Delivers a piece; may block, if it looks at `stop` now and then.
    fn deliver(&mut self, piece: D, stop: &Stop) -> Result<()>;
}

/// The worker's end of a thread that delivers.
pub(crate) struct Outbox<D: Send + 'static, C: Deliver<D>> {
    thread: Background<Delivery<D, C>>,
    /// Barriers that have not been reached.
    barriers: usize,
}

struct Delivery<D, C> {
    deliver: C,
    remind_after: Option<Duration>,
    piece: PhantomData<fn(D)>,
}

enum Command<D> {
    Piece(D),
    /// Say when this is reached.
    Barrier,
    /// Wake the worker after this time, unless there is something to do before.
    Remind(Duration),
}

impl<D: Send + 'static, C: Deliver<D>> Work for Delivery<D, C> {
    type Command = Command<D>;
    type Answer = ();

    fn is_data(command: &Command<D>) -> bool {
        matches!(command, Command::Piece(_))
    }

    fn execute(&mut self, command: Command<D>, stop: &Stop) -> Result<Option<()>> {
        match command {
            Command::Piece(piece) => self.deliver.deliver(piece, stop)?,
            Command::Barrier => return Ok(Some(())),
            Command::Remind(after) => self.remind_after = Some(after),
        }
        Ok(None)
    }

    fn patience(&mut self) -> Option<Duration> {
        self.remind_after.take()
    }
}

impl<D: Send + 'static, C: Deliver<D>> Outbox<D, C> {
    /// Starts the thread.
    pub fn start(name: String, deliver: C, waker: Waker) -> Result<Self> {
        let delivery = Delivery {
            deliver,
            remind_after: None,
            piece: PhantomData,
        };
        Ok(Outbox {
            thread: Background::start(name, delivery, MAX_PIECES, waker)?,
            barriers: 0,
        })
    }

    /// Whether a piece can be taken now; if not, the waker is called when it can.
    pub fn has_room(&self) -> Result<bool> {
        self.thread.has_room()
    }

    /// Delivers `piece` after those before.
    pub fn send(&self, piece: D) -> Result<()> {
        self.thread.send(Command::Piece(piece))
    }

    /// Wakes the worker after this time.
    pub fn remind(&self, after: Duration) -> Result<()> {
        self.thread.send(Command::Remind(after))
    }

    /// From now on [`poll_delivered`](Self::poll_delivered) waits for all that was sent so far.
    pub fn barrier(&mut self) -> Result<()> {
        self.barriers += 1;
        self.thread.send(Command::Barrier)
    }

    /// Whether all was delivered that was sent before the last barrier.
    pub fn poll_delivered(&mut self) -> Result<Ready<Vec<u8>>> {
        while self.thread.answer()?.is_some() {
            self.barriers -= 1;
        }
        Ok(match self.barriers {
            0 => Ready::Yes(Vec::new()),
            _ => Ready::NotYet,
        })
    }

    /// Lets the thread go without waiting for its end.
    pub fn abandon(&mut self) {
        self.thread.abandon();
    }
}

/// The writer of a sink that sends bytes: encodes records on the worker and delivers them in pieces.
pub(crate) struct ByteWriter<F, C: Deliver<Vec<u8>>> {
    format: F,
    prefix: String,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are whole records; what is behind is of one that failed.
    whole: usize,
    /// Records taken in the last call.
    taken: usize,
    outbox: Outbox<Vec<u8>, C>,
}

impl<F, C: Deliver<Vec<u8>>> ByteWriter<F, C> {
    /// A writer that puts `prefix` in front of each record.
    pub fn start(
        what: &str,
        format: F,
        prefix: String,
        deliver: C,
        context: WriterContext,
    ) -> Result<Self> {
        let name = format!("{what}-{}-{}", context.uid, context.worker);
        Ok(ByteWriter {
            format,
            prefix,
            buffer: Vec::new(),
            whole: 0,
            taken: 0,
            outbox: Outbox::start(name, deliver, context.waker)?,
        })
    }

    fn hand_on(&mut self) -> Result<()> {
        self.buffer.truncate(self.whole);
        self.whole = 0;
        match self.buffer.is_empty() {
            true => Ok(()),
            false => self.outbox.send(mem::take(&mut self.buffer)),
        }
    }
}

impl<T, F: Format<T>, C: Deliver<Vec<u8>>> SinkWriter<T> for ByteWriter<F, C> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        self.buffer.truncate(self.whole);
        self.taken = 0;
        for record in records.iter() {
            if self.buffer.len() >= PIECE_BYTES {
                if !self.outbox.has_room()? {
                    break;
                }
                self.hand_on()?;
            }
            self.buffer.extend_from_slice(self.prefix.as_bytes());
            self.format.encode(&record.value, &mut self.buffer)?;
            self.whole = self.buffer.len();
            self.taken += 1;
        }
        records.drain(..self.taken);
        Ok(match records.is_empty() {
            true => Written::All,
            false => Written::Full,
        })
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.taken)
    }

    fn flush(&mut self) -> Result<()> {
        match self.outbox.has_room()? {
            true => self.hand_on(),
            false => Ok(()),
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

impl<F, C: Deliver<Vec<u8>>> Drop for ByteWriter<F, C> {
    /// Whoever is to read the bytes may leave them for ever.
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}
