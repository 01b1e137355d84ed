//! TCP sockets: lines, CSV, JSON lines or a format of your own, read from servers and from clients, and written
//! to servers.
//!
//! | you have | use |
//! |---|---|
//! | a server that sends records to whoever connects | [`TcpSource::connect`] |
//! | clients that connect and send records | [`TcpSource::listen`] |
//! | a server that takes records | [`TcpSink`] |
//!
//! TCP has no positions and does not say what the other side has processed: nothing here is replayable, and
//! each module says what can be lost. Where that matters, put a log (files, Kafka) in between.

mod connect;
pub mod sink;
pub mod source;
mod threads;

pub use connect::Retry;
pub use sink::TcpSink;
pub use source::TcpSource;

#[cfg(test)]
mod tests;
