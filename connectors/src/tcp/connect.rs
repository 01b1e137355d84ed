//! Connecting, again and again with growing pauses.

use millstream_runtime::clock::Stopwatch;
use millstream_runtime::{Error, ErrorKind, Result};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one attempt may take for each address.
const ATTEMPT: Duration = Duration::from_secs(5);

/// When a connection that fails is tried again: after pauses that double from `first` to `longest`, for
/// `give_up_after` in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first pause. Default 50 ms.
    pub first: Duration,
    /// The longest pause. Default 5 s.
    pub longest: Duration,
    /// After this long without a connection the job ends with an error. Default 1 minute; `None`: never.
    pub give_up_after: Option<Duration>,
}

impl Retry {
    /// The first pause; a server is never asked without one.
    pub(super) fn first_pause(self) -> Duration {
        self.first.max(Duration::from_millis(1))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(5),
            give_up_after: Some(Duration::from_secs(60)),
        }
    }
}

/// Whether `address` reads `host:port`: waiting helps against other mistakes, not against this one.
///
/// # Errors
/// [`ErrorKind::Config`], with the address.
pub(super) fn check_address(address: &str) -> Result<()> {
    let port = address
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Config,
            format!("{address:?} is no address of a TCP socket: host:port"),
        )),
    }
}

/// Attempts of one address that have failed since the last connection.
pub(super) struct Attempts {
    retry: Retry,
    pause: Duration,
    since: Stopwatch,
    told: bool,
}

impl Attempts {
    pub fn new(retry: Retry) -> Self {
        Attempts {
            retry,
            pause: retry.first_pause(),
            since: Stopwatch::start(),
            told: false,
        }
    }

    /// Connects to `address`. `wait` waits between attempts and says whether to end them, which gives
    /// `None`.
    ///
    /// # Errors
    /// The last one, when it is time to give up.
    pub fn connect(
        mut self,
        address: &str,
        wait: impl Fn(Duration) -> bool,
    ) -> io::Result<Option<TcpStream>> {
        loop {
            let error = match attempt(address) {
                Ok(stream) => {
                    if self.told {
                        tracing::info!(address, "connected");
                    }
                    return Ok(Some(stream));
                }
                Err(error) => error,
            };
            if self
                .retry
                .give_up_after
                .is_some_and(|limit| self.since.elapsed() >= limit)
            {
                return Err(error);
            }
            if !self.told {
                tracing::warn!(address, %error, "cannot connect; trying again");
                self.told = true;
            }
            if wait(self.pause) {
                return Ok(None);
            }
            self.pause = (self.pause * 2).min(self.retry.longest);
        }
    }
}

fn attempt(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["localhost:9000", "127.0.0.1:0", "[::1]:80"] {
            check_address(good).unwrap();
        }
        for bad in [
            "",
            "localhost",
            "localhost:",
            "localhost:http",
            "1.2.3.4:70000",
        ] {
            let error = check_address(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
