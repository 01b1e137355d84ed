//! Reading plain lines and JSON lines.

use super::encode::{JsonLines, Lines};
use super::parse::{Parse, Parsed, Parser, Place, not_utf8};
use serde::de::DeserializeOwned;

/// Lines of text: bytes that are no UTF-8 make a line a bad record.
impl Parse<String> for Lines {
    type Parser = Lines;

    fn parser(&self) -> Lines {
        Lines
    }

    fn name(&self) -> &str {
        "text"
    }
}

impl Parser<String> for Lines {
    #[inline]
    fn parse(&mut self, text: &[u8], _: &Place<'_>) -> Parsed<String> {
        match std::str::from_utf8(text) {
            Ok(line) => Parsed::Record(line.to_owned()),
            Err(error) => Parsed::Bad(not_utf8(error)),
        }
    }
}

/// Lines of bytes, whatever they are.
impl Parse<Vec<u8>> for Lines {
    type Parser = Lines;

    fn parser(&self) -> Lines {
        Lines
    }

    fn name(&self) -> &str {
        "text"
    }
}

impl Parser<Vec<u8>> for Lines {
    #[inline]
    fn parse(&mut self, text: &[u8], _: &Place<'_>) -> Parsed<Vec<u8>> {
        Parsed::Record(text.to_vec())
    }
}

/// Lines of text in which bytes that are no UTF-8 are replaced by `U+FFFD`, as browsers do it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossyLines;

impl Parse<String> for LossyLines {
    type Parser = LossyLines;

    fn parser(&self) -> LossyLines {
        LossyLines
    }

    fn name(&self) -> &str {
        "text"
    }
}

impl Parser<String> for LossyLines {
    fn parse(&mut self, text: &[u8], _: &Place<'_>) -> Parsed<String> {
        Parsed::Record(String::from_utf8_lossy(text).into_owned())
    }
}

/// One JSON value a line; empty lines are passed over, as is a byte order mark at the beginning.
impl<T: DeserializeOwned> Parse<T> for JsonLines {
    type Parser = JsonLines;

    fn parser(&self) -> JsonLines {
        JsonLines
    }

    fn name(&self) -> &str {
        "JSON"
    }
}

impl<T: DeserializeOwned> Parser<T> for JsonLines {
    fn parse(&mut self, text: &[u8], place: &Place<'_>) -> Parsed<T> {
        let text = match place.offset {
            0 => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            _ => text,
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Parsed::Nothing;
        }
        match serde_json::from_slice(text) {
            Ok(value) => Parsed::Record(value),
            Err(error) => Parsed::Bad(json_reason(&error)),
        }
    }
}

/// The error without the number of the line, which would be that within the record.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) => format!("{reason} at its column {}", error.column()),
        None => text,
    }
}
