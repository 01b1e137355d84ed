//! The connectors of Millstream: where records come from and where they go.
//!
//! | source | splits | guarantee |
//! |---|---|---|
//! | [`memory::Collection`] | round robin | exactly-once, replayable |
//! | [`memory::channel`] | one | at-most-once across restarts |
//! | [`generator::Generator`] | strided | exactly-once, replayable |
//! | [`script::Script`] | as written down, for tests | exactly-once, replayable |
//! | [`files::FileSource`] | files, byte ranges of them, or a series of them | exactly-once, replayable |
//! | [`stdin::Stdin`], [`tcp::TcpSource`] | one | at-most-once across restarts |
//! | [`callback::RecvSource`], [`callback::PollSource`] | one | at-most-once across restarts |
//!
//! | sink | guarantee |
//! |---|---|
//! | [`files::FileSink`] | exactly-once |
//! | [`collect::Collect`] | exactly-once within the process |
//! | [`console::Console`], [`callback::ForEach`], [`callback::ForEachBatch`], [`null::Null`] | at-least-once |
//! | [`tcp::TcpSink`] | none across a broken connection |
//!
//! A connector implements a contract of `millstream_runtime` ([`source`] or [`sink`]) and nothing
//! else; each module says at its top what it guarantees and what is in its snapshot.
//!
//! [`source`]: millstream_runtime::source
//! [`sink`]: millstream_runtime::sink

pub mod callback;
pub mod collect;
pub mod compression;
pub mod console;
pub mod files;
pub mod format;
pub mod generator;
pub mod memory;
pub mod null;
pub mod script;
pub mod stdin;
pub mod tcp;

mod background;
mod inflow;
mod once;
mod outbox;
mod position;
#[cfg(test)]
mod testing;
