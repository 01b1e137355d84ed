//! The threads that read sockets: one for each connection, one that makes connections or takes them.

use super::connect::{Attempts, Retry};
use crate::inflow::{Connection, Event, Inflow, PIECE_BYTES};
use millstream_runtime::{Error, ErrorKind, Result};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Connects again and again.
pub(super) struct Client {
    pub address: String,
    pub retry: Retry,
    /// The end of the first connection is that of the input.
    pub once: bool,
}

impl Client {
    /// Starts its thread.
    pub fn start(self, inflow: Arc<Inflow>) -> Result<()> {
        start("tcp-client", move || self.run(&inflow))
    }

    fn run(self, inflow: &Arc<Inflow>) {
        let mut pause = self.retry.first_pause();
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
                _ => self.retry.first_pause(),
            };
            if inflow.wait(pause) {
                return;
            }
        }
    }
}

/// Takes connections.
pub(super) struct Server {
    pub listener: TcpListener,
    pub max_connections: usize,
}

/// The number under which the listener itself is known.
const LISTENER: Connection = Connection::MAX;

impl Server {
    /// Starts its thread.
    pub fn start(self, inflow: Arc<Inflow>) -> Result<()> {
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
