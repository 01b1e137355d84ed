//! A sink that sends records to a TCP server.
//!
//! # Guarantee
//! None across a broken connection: bytes that the system has taken and not delivered are lost, and the piece (up to
//! 64 KiB) that was being sent is sent again as a whole on the next connection, so that some records may
//! arrive twice and one may be cut off at the end of the first connection. A checkpoint is complete when what came
//! before it has been handed to the system. After a recovery what is replayed is sent again. Nothing is in the
//! snapshot.
//!
//! # Errors
//! A server that cannot be reached is tried again ([`Retry`]); when that has lasted too long the job ends with an
//! error that names the address. A server that reads slowly slows the job down.

use super::connect::{Attempts, Retry, check_address};
use crate::background::Stop;
use crate::format::{Csv, Format, JsonLines, Lines};
use crate::outbox::{ByteWriter, Deliver};
use millstream_runtime::record::Data;
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext};
use millstream_runtime::{Error, ErrorKind, Result};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::TcpStream;
use std::time::Duration;

/// How often a blocked write looks whether the job still wants it.
const LOOK: Duration = Duration::from_millis(200);

/// Sends records to a TCP server, over one connection per worker.
///
/// ```
/// use millstream_connectors::tcp::TcpSink;
/// let alarms = TcpSink::<String>::lines("alarms.example:9000");
/// let events = TcpSink::<(String, u64)>::json_lines("127.0.0.1:9001");
/// ```
pub struct TcpSink<T, F = Lines> {
    address: String,
    format: F,
    retry: Retry,
    item: PhantomData<fn(T)>,
}

impl<T> TcpSink<T> {
    /// Sends one line a record, as `Display` shows it.
    pub fn lines(address: impl Into<String>) -> Self
    where
        Lines: Format<T>,
    {
        Self::with_format(address, Lines)
    }

    /// Sends one JSON value a line, by serde.
    pub fn json_lines(address: impl Into<String>) -> TcpSink<T, JsonLines>
    where
        JsonLines: Format<T>,
    {
        Self::with_format(address, JsonLines)
    }

    /// Sends rows of CSV, by serde, without a header.
    pub fn csv(address: impl Into<String>) -> TcpSink<T, Csv>
    where
        Csv: Format<T>,
    {
        Self::with_format(address, Csv::default().header(false))
    }

    /// Sends records in `format` to `address` (`host:port`).
    pub fn with_format<F: Format<T>>(address: impl Into<String>, format: F) -> TcpSink<T, F> {
        TcpSink {
            address: address.into(),
            format,
            retry: Retry::default(),
            item: PhantomData,
        }
    }
}

impl<T, F> TcpSink<T, F> {
    /// When a connection that fails is tried again, and for how long.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl<T: Data, F: Format<T>> Sink for TcpSink<T, F> {
    type Item = T;

    fn describe(&self) -> String {
        format!("TCP server {}", self.address)
    }

    fn check(&self) -> Result<()> {
        check_address(&self.address)
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        let sender = Sender {
            address: self.address.clone(),
            retry: self.retry,
            stream: None,
        };
        let (format, prefix) = (self.format.clone(), String::new());
        let writer = ByteWriter::start("tcp", format, prefix, sender, context)?;
        Ok(Box::new(writer))
    }
}

struct Sender {
    address: String,
    retry: Retry,
    stream: Option<TcpStream>,
}

impl Deliver<Vec<u8>> for Sender {
    fn deliver(&mut self, piece: Vec<u8>, stop: &Stop) -> Result<()> {
        loop {
            let mut stream = match self.stream.take().filter(is_open) {
                Some(stream) => stream,
                None => match self.connect(stop)? {
                    Some(stream) => stream,
                    None => return Ok(()), // nobody waits for it any more
                },
            };
            match send(&mut stream, &piece, stop) {
                Ok(()) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(address = self.address, %error, "the connection broke; sends again what was under way");
                }
            }
            // A server that takes connections and breaks them is not asked without a pause.
            if stop.wait(self.retry.first_pause()) {
                return Ok(());
            }
        }
    }
}

impl Sender {
    fn connect(&self, stop: &Stop) -> Result<Option<TcpStream>> {
        let failed = |error: io::Error| {
            let what = format!("cannot connect to {}", self.address);
            Error::new(ErrorKind::Sink, what).with_source(error)
        };
        let stream = Attempts::new(self.retry)
            .connect(&self.address, |pause| stop.wait(pause))
            .map_err(failed)?;
        if let Some(stream) = &stream {
            stream
                .set_write_timeout(Some(LOOK))
                .and_then(|()| stream.set_nodelay(true))
                .map_err(failed)?;
        }
        Ok(stream)
    }
}

/// Whether the server has not closed the connection. What it sends is thrown away.
fn is_open(stream: &TcpStream) -> bool {
    let read_all = |mut stream: &TcpStream| {
        let mut answer = [0; 1_024];
        loop {
            match stream.read(&mut answer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    };
    stream.set_nonblocking(true).is_ok()
        && read_all(stream)
        && stream.set_nonblocking(false).is_ok()
}

fn send(stream: &mut TcpStream, mut bytes: &[u8], stop: &Stop) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_timeout(&error) => {
                if stop.is_asked() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{error_of, spawn, until, writer_context};
    use millstream_runtime::config::Guarantee;
    use millstream_runtime::record::Record;
    use millstream_runtime::sink::{Ready, Written};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    fn server() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    fn start(sink: &TcpSink<u64>) -> Box<dyn SinkWriter<u64>> {
        sink.writer(writer_context(0, 1, Guarantee::AtLeastOnce, 0))
            .unwrap()
    }

    fn write(writer: &mut dyn SinkWriter<u64>, numbers: std::ops::Range<u64>) {
        let mut records = numbers.map(|n| Record::new(0, n)).collect();
        until("room", || {
            (writer.write(&mut records).unwrap() == Written::All).then_some(())
        });
        writer.flush().unwrap();
    }

    fn delivered(writer: &mut dyn SinkWriter<u64>) {
        writer.prepare(1).unwrap();
        until("delivered", || {
            matches!(writer.poll_prepared().unwrap(), Ready::Yes(_)).then_some(())
        });
    }

    fn numbers(stream: TcpStream) -> Vec<u64> {
        let lines = BufReader::new(stream).lines().map_while(|line| line.ok());
        lines.filter_map(|line| line.parse().ok()).collect()
    }

    #[test]
    fn records_arrive_in_order_and_the_connection_is_closed_at_the_end() {
        let (listener, address) = server();
        let reader = spawn(move || numbers(listener.accept().unwrap().0));
        let mut writer = start(&TcpSink::lines(address));
        write(&mut *writer, 0..100_000);
        delivered(&mut *writer);
        drop(writer);
        assert_eq!(reader.join().unwrap(), (0..100_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_server_that_comes_late_and_goes_in_between_is_connected_again() {
        let (listener, address) = server();
        drop(listener);
        let mut writer = start(&TcpSink::lines(&address).retry(Retry {
            first: Duration::from_millis(1),
            ..Retry::default()
        }));
        write(&mut *writer, 0..10);
        let listener = TcpListener::bind(&address).unwrap();
        let first = listener.accept().unwrap().0;
        delivered(&mut *writer);
        let mut lines = BufReader::new(first);
        let mut text = String::new();
        while !text.ends_with("9\n") {
            assert!(lines.read_line(&mut text).unwrap() > 0);
        }
        drop(lines);
        let reader = spawn(move || numbers(listener.accept().unwrap().0));
        // The system may take what comes before it hears that the server has gone: that much is lost.
        let mut next = 10;
        until("the second connection", || {
            if !reader.is_finished() {
                write(&mut *writer, next..next + 1);
                delivered(&mut *writer);
                next += 1;
            }
            (next > 100).then_some(())
        });
        drop(writer);
        let found = reader.join().unwrap();
        assert!(
            found.len() > 50 && found.is_sorted() && found.ends_with(&[100]),
            "{found:?}"
        );
    }

    #[test]
    fn a_server_that_never_comes_is_an_error_with_its_address() {
        let (listener, address) = server();
        drop(listener);
        let sink = TcpSink::<u64>::lines(&address).retry(Retry {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
            give_up_after: Some(Duration::from_millis(10)),
        });
        let mut writer = start(&sink);
        write(&mut *writer, 0..1);
        let error = until("the error", || writer.flush().err());
        let text = error.to_string();
        assert!(
            text.contains(&address) && text.contains("cannot connect"),
            "{text}"
        );
        assert!(error_of(writer.prepare(1)).contains(&address));
    }

    #[test]
    fn a_server_that_does_not_read_fills_the_writer() {
        let (listener, address) = server();
        let mut writer = start(&TcpSink::lines(&address));
        let mut records: Vec<_> = (0..10_000_000).map(|n| Record::new(0, n)).collect();
        assert_eq!(writer.write(&mut records).unwrap(), Written::Full);
        drop(writer); // does not wait for the server
        drop(listener);
    }
}
