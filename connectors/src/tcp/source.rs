//! A source of records that come over TCP: from a server to which it connects, or from clients that connect.
//!
//! # Guarantee
//! At-most-once across restarts: what was read is gone. While a client reconnects, or the job is down, what the other
//! side sends is lost. The snapshot holds the number of bytes read, for people to look at only.
//!
//! The source is one split, read on one worker, with a thread for each connection; each connection is read line
//! by line on its own, so that lines of two do not mix. A line that has no line end when its connection ends
//! is a record. Threads stop reading when 1 MiB waits for the job: the other side is slowed down, nothing is
//! thrown away.
//!
//! # Errors
//! Bad records go where the source's error policy says, with the connection and the line. A server that cannot be
//! reached is tried again ([`Retry`]); when that has lasted too long, the job ends with the address in the
//! error. A port that is in use is an error at the start. A client whose connection breaks is logged.

use super::connect::{Retry, check_address};
use super::threads::{Client, Server};
use crate::format::{Csv, JsonLines, Lines, Located, Parse, WithPosition};
use crate::inflow::{Inflow, InflowReader};
use crate::once::RunSplit;
use millstream_runtime::record::Data;
use millstream_runtime::source::{
    FixedSplits, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::{Error, ErrorKind, Result};
use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Reads records from TCP connections.
///
/// ```
/// use millstream_connectors::format::JsonLines;
/// use millstream_connectors::tcp::TcpSource;
/// let ticker = TcpSource::connect("ticker.example:9000");
/// let events = TcpSource::listen("127.0.0.1:9001").with_format::<(String, u64), _>(JsonLines);
/// ```
pub struct TcpSource<T, P = Lines> {
    side: Side,
    format: P,
    max_record: usize,
    item: PhantomData<fn() -> T>,
}

enum Side {
    Connect {
        address: String,
        retry: Retry,
        /// The end of the connection is that of the input: then each run has an input of its own.
        until_closed: Option<RunSplit>,
    },
    Listen {
        address: String,
        max_connections: usize,
        /// Bound and not read yet.
        listener: Mutex<Option<TcpListener>>,
    },
}

impl TcpSource<String> {
    /// Connects to the server at `address` (`host:port`), again and again when the connection ends, and reads
    /// lines of text.
    pub fn connect(address: impl Into<String>) -> Self {
        Self::of(Side::Connect {
            address: address.into(),
            retry: Retry::default(),
            until_closed: None,
        })
    }

    /// Listens at `address` (`127.0.0.1:9000`; `0.0.0.0:9000` for all networks) and reads lines of text from
    /// all that connect.
    pub fn listen(address: impl Into<String>) -> Self {
        Self::of(Side::Listen {
            address: address.into(),
            max_connections: 256,
            listener: Mutex::default(),
        })
    }

    /// Reads lines of text from all that connect to a listener that is bound already.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?.to_string();
        Ok(Self::of(Side::Listen {
            address,
            max_connections: 256,
            listener: Mutex::new(Some(listener)),
        }))
    }

    fn of(side: Side) -> Self {
        TcpSource {
            side,
            format: Lines,
            max_record: 1 << 20,
            item: PhantomData,
        }
    }
}

impl<T, P> TcpSource<T, P> {
    /// Reads records in `format`: lines, CSV, JSON, or one of your own.
    pub fn with_format<U, Q: Parse<U>>(self, format: Q) -> TcpSource<U, Q> {
        TcpSource {
            side: self.side,
            format,
            max_record: self.max_record,
            item: PhantomData,
        }
    }

    /// Reads one JSON value a line, by serde.
    pub fn json_lines<U>(self) -> TcpSource<U, JsonLines>
    where
        JsonLines: Parse<U>,
    {
        self.with_format(JsonLines)
    }

    /// Reads rows of CSV by serde; each connection begins with a header.
    pub fn csv<U>(self) -> TcpSource<U, Csv>
    where
        Csv: Parse<U>,
    {
        self.with_format(Csv::default())
    }

    /// Reads each record with the address of its connection and its line there.
    pub fn with_position(self) -> TcpSource<Located<T>, WithPosition<P>> {
        TcpSource {
            side: self.side,
            format: WithPosition(self.format),
            max_record: self.max_record,
            item: PhantomData,
        }
    }

    /// Takes records of more than `bytes` as bad. Default 1 MiB.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// When a connection that fails is tried again, and for how long. For [`connect`](TcpSource::connect).
    pub fn retry(mut self, with: Retry) -> Self {
        if let Side::Connect { retry, .. } = &mut self.side {
            *retry = with;
        }
        self
    }

    /// The source ends when the server closes the connection. For [`connect`](TcpSource::connect); under
    /// `Trigger::AvailableNow` that is so anyway.
    pub fn until_closed(mut self) -> Self {
        let run = RunSplit::new(&self.name());
        if let Side::Connect { until_closed, .. } = &mut self.side {
            *until_closed = Some(run);
        }
        self
    }

    /// How many clients may be connected at a time; more are turned away. Default 256. For
    /// [`listen`](TcpSource::listen).
    pub fn max_connections(mut self, count: usize) -> Self {
        if let Side::Listen {
            max_connections, ..
        } = &mut self.side
        {
            *max_connections = count;
        }
        self
    }

    fn name(&self) -> String {
        match &self.side {
            Side::Connect { address, .. } => format!("TCP server {address}"),
            Side::Listen { address, .. } => format!("TCP clients at {address}"),
        }
    }

    fn run(&self) -> Option<&RunSplit> {
        match &self.side {
            Side::Connect { until_closed, .. } => until_closed.as_ref(),
            Side::Listen { .. } => None,
        }
    }

    fn bind(&self) -> Result<()> {
        let Side::Listen {
            address, listener, ..
        } = &self.side
        else {
            return Ok(());
        };
        let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.is_none() {
            let bound = TcpListener::bind(address).map_err(|error| {
                let what = format!("cannot listen at {address}");
                Error::new(ErrorKind::Source, what).with_source(error)
            })?;
            *listener = Some(bound);
        }
        Ok(())
    }
}

impl<T: Data, P: Parse<T>> Source for TcpSource<T, P> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        self.name()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let (Side::Connect { address, .. } | Side::Listen { address, .. }) = &self.side;
        check_address(address)?;
        self.bind()?;
        Ok(match self.run() {
            Some(run) => run.enumerator(),
            None => Box::new(FixedSplits(vec![self.name()])),
        })
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        if let Some(over) = self.run().and_then(|run| run.over(split, position)) {
            return Ok(over);
        }
        let inflow = Inflow::new();
        let several = matches!(self.side, Side::Listen { .. });
        let reader = InflowReader::new(
            inflow.clone(),
            self.format.clone(),
            self.max_record,
            several,
            position,
            split,
            context.waker.clone(),
        )?;
        match &self.side {
            Side::Connect {
                address,
                retry,
                until_closed,
            } => {
                let client = Client {
                    address: address.clone(),
                    retry: *retry,
                    once: until_closed.is_some() || context.available_now,
                };
                client.start(inflow)?;
            }
            Side::Listen { .. } if context.available_now => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "{split}: nothing is available from clients that have not connected yet"
                    ),
                ));
            }
            Side::Listen {
                listener,
                max_connections,
                ..
            } => {
                self.bind()?;
                let listener = listener
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(listener) = listener {
                    let server = Server {
                        listener,
                        max_connections: *max_connections,
                    };
                    server.start(inflow)?;
                }
            }
        }
        Ok(Box::new(reader))
    }
}
