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

use super::connect::{Attempts, Retry};
use crate::format::{Csv, JsonLines, Lines, Located, Parse, WithPosition};
use crate::inflow::{Connection, Event, Inflow, InflowReader, PIECE_BYTES};
use millstream_runtime::record::Data;
use millstream_runtime::source::{
    FixedSplits, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::{Error, ErrorKind, Result};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

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
        until_closed: bool,
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
            until_closed: false,
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
        if let Side::Connect { until_closed, .. } = &mut self.side {
            *until_closed = true;
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
        self.bind()?;
        Ok(Box::new(FixedSplits(vec![self.name()])))
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
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
                    once: *until_closed || context.available_now,
                };
                start("tcp-client", move || client.run(&inflow))?;
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

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = Builder::new().name(name.into()).spawn(run);
    started.map(drop).map_err(|error| {
        Error::new(ErrorKind::Source, format!("cannot start the thread {name}")).with_source(error)
    })
}

/// Reads one connection to its end; how many bytes came.
fn read(inflow: &Inflow, connection: Connection, mut stream: TcpStream, peer: &str) -> u64 {
    let ender = stream.try_clone();
    let ended = move || {
        if let Ok(stream) = ender {
            let _ = stream.shutdown(Shutdown::Both); // it may be closed already
        }
    };
    if !inflow.on_abandoned(connection, ended) {
        return 0;
    }
    inflow.push(Event::Opened(connection, peer.into()));
    let mut total = 0;
    loop {
        let mut bytes = vec![0; PIECE_BYTES];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                bytes.truncate(count);
                bytes.shrink_to_fit();
                total += count as u64;
                if !inflow.push(Event::Bytes(connection, bytes)) {
                    return total;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(peer, %error, "the connection broke");
                break;
            }
        }
    }
    inflow.push(Event::Closed(connection));
    total
}

/// Connects again and again.
struct Client {
    address: String,
    retry: Retry,
    once: bool,
}

impl Client {
    fn run(self, inflow: &Arc<Inflow>) {
        let mut pause = self.retry.first;
        for connection in 0.. {
            let connected =
                Attempts::new(self.retry).connect(&self.address, |pause| inflow.wait(pause));
            let stream = match connected {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    let what = format!("cannot connect to {}: {error}", self.address);
                    inflow.push(Event::Failed(what));
                    return;
                }
            };
            let brought = read(inflow, connection, stream, &self.address);
            if self.once {
                inflow.push(Event::Ended);
                return;
            }
            // A server that takes connections and closes them is asked less and less.
            pause = match brought {
                0 => (pause * 2).min(self.retry.longest),
                _ => self.retry.first,
            };
            if inflow.wait(pause) {
                return;
            }
        }
    }
}

/// Takes connections.
struct Server {
    listener: TcpListener,
    max_connections: usize,
}

/// The number under which the listener itself is known.
const LISTENER: Connection = Connection::MAX;

impl Server {
    fn start(self, inflow: Arc<Inflow>) -> Result<()> {
        let address = self.listener.local_addr().map_err(|error| {
            Error::new(ErrorKind::Source, "a listener without an address").with_source(error)
        })?;
        tracing::info!(%address, "listening");
        inflow.on_abandoned(LISTENER, move || wake(address));
        start("tcp-server", move || self.run(&inflow))
    }

    fn run(self, inflow: &Arc<Inflow>) {
        for connection in 0.. {
            let accepted = self.listener.accept();
            if inflow.wait(Duration::ZERO) {
                return;
            }
            match accepted {
                Ok((stream, peer)) => self.take(inflow, connection, stream, peer),
                Err(error) => {
                    // Too many open files, say: others may be closed soon.
                    tracing::warn!(%error, "cannot take a connection");
                    if inflow.wait(Duration::from_millis(100)) {
                        return;
                    }
                }
            }
        }
    }

    fn take(
        &self,
        inflow: &Arc<Inflow>,
        connection: Connection,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        // The listener is one of them.
        if inflow.connections() > self.max_connections {
            tracing::warn!(%peer, max = self.max_connections, "turned away: too many connections");
            return;
        }
        let inflow = inflow.clone();
        let read = move || {
            read(&inflow, connection, stream, &peer.to_string());
        };
        if let Err(error) = start("tcp-connection", read) {
            tracing::warn!(%peer, %error, "turned away");
        }
    }
}

/// Wakes a thread that waits for connections at `address`, by connecting to it.
fn wake(mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    if let Err(error) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        tracing::debug!(%address, %error, "the thread that waits for connections was not woken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{error_of, reader_context, until};
    use millstream_runtime::source::{Batch, ReadStatus};
    use std::io::Write;

    fn open<T: Data, P: Parse<T>>(source: &TcpSource<T, P>) -> Box<dyn SplitReader<T>> {
        let splits = source.enumerator().unwrap().discover().unwrap();
        source.open(&splits[0], None, &reader_context()).unwrap()
    }

    /// Polls until there are so many records.
    fn lines(reader: &mut dyn SplitReader<String>, count: usize) -> Vec<String> {
        let mut batch = Batch::default();
        until("records", || {
            reader.poll(&mut batch, 100).unwrap();
            (batch.records.len() >= count).then_some(())
        });
        batch.records.into_iter().map(|r| r.value).collect()
    }

    fn listening() -> (TcpSource<String>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (TcpSource::from_listener(listener).unwrap(), address)
    }

    #[test]
    fn lines_of_several_clients_do_not_mix() {
        let (source, address) = listening();
        let mut reader = open(&source);
        let mut clients: Vec<_> = (0..4)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut expected = Vec::new();
        for round in 0..50 {
            for half in 0..2 {
                for (number, client) in clients.iter_mut().enumerate() {
                    match half {
                        0 => write!(client, "client {number}").unwrap(),
                        _ => writeln!(client, " line {round}").unwrap(),
                    }
                    if half == 1 {
                        expected.push(format!("client {number} line {round}"));
                    }
                }
            }
        }
        write!(clients[0], "no line end").unwrap();
        expected.push("no line end".into());
        drop(clients);
        let mut found = lines(&mut *reader, expected.len());
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_lines_name_their_connection() {
        let (source, address) = listening();
        let mut reader = open(&source);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"good\n\xff\n").unwrap();
        let mut batch = Batch::default();
        until("both", || {
            reader.poll(&mut batch, 100).unwrap();
            (batch.records.len() + batch.bad.len() == 2).then_some(())
        });
        let expected = format!("{}, line 2, byte 5", client.local_addr().unwrap());
        assert_eq!(batch.bad[0].position, expected);
    }

    #[test]
    fn a_job_that_ends_lets_the_port_and_its_clients_go() {
        let (source, address) = listening();
        let reader = open(&source);
        let mut client = TcpStream::connect(address).unwrap();
        drop(reader);
        let mut rest = Vec::new();
        // Closed or reset: it does not wait for ever.
        let _ = client.read_to_end(&mut rest);
        until("the port", || TcpListener::bind(address).ok().map(drop));
    }

    #[test]
    fn too_many_clients_are_turned_away() {
        let (source, address) = listening();
        let mut reader = open(&source.max_connections(1));
        let mut first = TcpStream::connect(address).unwrap();
        writeln!(first, "first").unwrap();
        assert_eq!(lines(&mut *reader, 1), ["first"]);
        let mut second = TcpStream::connect(address).unwrap();
        assert_eq!(second.read(&mut [0]).unwrap_or(0), 0, "closed");
        drop(first);
        until("the third", || {
            let mut third = TcpStream::connect(address).unwrap();
            writeln!(third, "third").unwrap();
            let mut batch = Batch::default();
            reader.poll(&mut batch, 10).unwrap();
            (!batch.records.is_empty()).then_some(())
        });
    }

    #[test]
    fn a_client_reconnects_and_tells_when_it_gives_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let retry = Retry {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(5),
            give_up_after: Some(Duration::from_millis(20)),
        };
        let source = TcpSource::connect(&address).retry(retry);
        let mut reader = open(&source);
        for round in 0..3 {
            let mut server = listener.accept().unwrap().0;
            write!(server, "hello {round}").unwrap();
            drop(server);
            assert_eq!(lines(&mut *reader, 1), [format!("hello {round}")]);
        }
        drop(listener);
        let mut batch = Batch::default();
        let error = until("the error", || reader.poll(&mut batch, 10).err());
        assert!(error.to_string().contains(&address), "{error}");
    }

    #[test]
    fn a_connection_can_be_the_whole_input() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut reader = open(
            &TcpSource::connect(address)
                .until_closed()
                .json_lines::<u64>(),
        );
        let mut server = listener.accept().unwrap().0;
        server.write_all(b"1\n2\n3").unwrap();
        drop(server);
        let mut batch = Batch::default();
        until("the end", || {
            (reader.poll(&mut batch, 2).unwrap() == ReadStatus::Finished).then_some(())
        });
        let numbers: Vec<u64> = batch.records.into_iter().map(|r| r.value).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn a_slow_job_slows_the_sender_down() {
        let (source, address) = listening();
        let mut reader = open(&source);
        let mut client = TcpStream::connect(address).unwrap();
        client
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let piece = "x".repeat(1_023) + "\n";
        let mut sent = 0u64;
        // 64 MiB never fit into the queue and the system's buffers.
        while sent < 64 << 10 && client.write_all(piece.as_bytes()).is_ok() {
            sent += 1;
        }
        assert!(sent < 64 << 10, "the sender was never stopped");
        assert_eq!(lines(&mut *reader, 10)[0].len(), 1_023);
    }

    #[test]
    fn a_port_in_use_is_an_error_at_the_start() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = error_of(TcpSource::listen(&address).enumerator());
        assert!(
            error.contains(&address) && error.contains("in use"),
            "{error}"
        );
        let context = ReaderContext {
            available_now: true,
            ..reader_context()
        };
        let (source, _) = listening();
        let error = error_of(source.open(&"clients".to_owned(), None, &context));
        assert!(error.contains("available"), "{error}");
    }
}
