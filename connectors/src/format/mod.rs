//! Formats: how bytes become records ([`Parse`]) and records become bytes ([`Format`]).
//!
//! Shared by every connector that reads or writes bytes: files, standard input and output, sockets.
//!
//! | format | reads | writes |
//! |---|---|---|
//! | [`Lines`] | `String` (UTF-8), `Vec<u8>` | anything that is `Display` |
//! | [`LossyLines`] | `String`, replacing what is no UTF-8 | |
//! | [`Csv`] | serde types, flat | serde types, flat |
//! | [`JsonLines`] | serde types | serde types |
//! | [`EachLine`] | what your function makes of a line | |
//!
//! A record that cannot be read is a *bad record*: it has a position, a reason and its bytes, and goes where
//! the source's error policy says. It never costs a good record before or behind it.

mod csv;
mod csv_parse;
pub(crate) mod decoder;
mod encode;
mod lines;
mod parse;
mod text;

pub use csv::Csv;
pub use csv_parse::CsvParser;
pub use encode::{Format, JsonLines, Lines};
pub use lines::LineEnd;
pub use parse::{
    EachLine, Located, Parse, Parsed, Parser, Place, WithPosition, WithPositionParser,
    partition_folder,
};
pub use text::LossyLines;

#[cfg(test)]
mod tests;
