//! How bytes become records: the contract of formats that are read.

use super::lines::LineEnd;
use millstream_runtime::BoxError;
use millstream_runtime::record::Data;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// How records of type `T` are read from lines of bytes.
pub trait Parse<T>: Clone + Send + Sync + 'static {
    /// Reads one input (a file, a connection) from its beginning or from a position.
    type Parser: Parser<T>;

    /// A parser for the beginning of an input.
    fn parser(&self) -> Self::Parser;

    /// What it is, in an error message or an explanation: `CSV`.
    fn name(&self) -> &str;

    /// Whether a line can be read without what is before it, so that a file can be cut into ranges.
    fn reads_any_line(&self) -> bool {
        true
    }
}

/// Reads the records of one input, in order. See [`Parse`].
pub trait Parser<T>: 'static {
    /// Makes a record of `text`: one line without its line end or, when the parser has just said
    /// [`Parsed::Partial`], what it had then with one line more.
    fn parse(&mut self, text: &[u8], place: &Place<'_>) -> Parsed<T>;

    /// Forgets a record that it has called partial.
    fn forget(&mut self) {}

    /// What a parser must know to go on in the middle of the input: part of the snapshot.
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes up a state of an earlier parser.
    ///
    /// # Errors
    /// When it is none of this format.
    fn restore(&mut self, state: &[u8]) -> Result<(), BoxError> {
        match state {
            [] => Ok(()),
            _ => Err("the format has no state, but the snapshot holds one".into()),
        }
    }
}

/// What a parser made of the text.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A record.
    Record(T),
    /// No record, and nothing wrong: an empty line, a comment, a header.
    Nothing,
    /// The record goes on in the next line.
    Partial,
    /// All of the text is no record, for this reason.
    Bad(String),
    /// The first line of the text is no record, for this reason; those behind it may be records of their
    /// own.
    BadLine(String),
}

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file's path, or the name of the connection.
    pub path: &'a Arc<str>,
    /// The number of the record's first line in its input, from 1.
    pub line: u64,
    /// The offset in bytes of the record in its input, after decompression.
    pub offset: u64,
    /// How the last line of the text ended.
    pub line_end: LineEnd,
}

/// A record with its place: what a source reads `with_position`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Located<T> {
    /// The record.
    pub value: T,
    /// The path of its file as found, or the name of its connection.
    pub path: Arc<str>,
    /// The number of its first line, from 1.
    pub line: u64,
    /// Its offset in bytes, after decompression.
    pub offset: u64,
}

impl<T> Located<T> {
    /// The value of the partition folder `key=value` on the path, with `%20` and the like decoded.
    ///
    /// ```
    /// # use millstream_connectors::format::Located;
    /// let path = "trades/date=2025-03-01/place=New%20York/part-0.csv".into();
    /// let trade = Located { value: 7, path, line: 1, offset: 0 };
    /// assert_eq!(trade.partition("date").as_deref(), Some("2025-03-01"));
    /// assert_eq!(trade.partition("place").as_deref(), Some("New York"));
    /// assert_eq!(trade.partition("hour"), None);
    /// ```
    pub fn partition(&self, key: &str) -> Option<Cow<'_, str>> {
        let (folders, _file) = self.path.rsplit_once('/')?;
        let mut folders = folders.rsplit('/').filter_map(|name| name.split_once('='));
        let (_, value) = folders.find(|(name, _)| unescaped(name) == key)?;
        Some(match value {
            EMPTY => Cow::Borrowed(""),
            _ => unescaped(value),
        })
    }
}

/// What Hive and others call the partition of an empty value.
const EMPTY: &str = "__HIVE_DEFAULT_PARTITION__";

/// What `%XX` stands for in the name of a partition folder.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3));
        match code.flatten().map(|hex| u8::from_str_radix(hex, 16)) {
            Some(Ok(byte)) => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The name of a partition folder, `key=value`: what has a meaning in paths is written as `%XX`, so that
/// [`Located::partition`] (and Hive, Spark, DuckDB) read the value back.
///
/// ```
/// # use millstream_connectors::format::partition_folder;
/// assert_eq!(partition_folder("place", "New York/Queens"), "place=New York%2FQueens");
/// assert_eq!(partition_folder("name", ""), "name=__HIVE_DEFAULT_PARTITION__");
/// ```
pub fn partition_folder(key: &str, value: &str) -> String {
    let mut folder = String::with_capacity(key.len() + value.len() + 1);
    escape(key, &mut folder);
    folder.push('=');
    match value {
        "" => folder.push_str(EMPTY),
        _ => escape(value, &mut folder),
    }
    folder
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c.is_ascii_control() || "\"#%'*/:=?\\{}[]^\x7f".contains(c) {
            true => out.push_str(&format!("%{:02X}", c as u32)),
            false => out.push(c),
        }
    }
}

/// A format whose records come with their place.
#[derive(Clone, Debug)]
pub struct WithPosition<P>(pub P);

impl<T: Data, P: Parse<T>> Parse<Located<T>> for WithPosition<P> {
    type Parser = WithPositionParser<P::Parser>;

    fn parser(&self) -> Self::Parser {
        WithPositionParser(self.0.parser())
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn reads_any_line(&self) -> bool {
        false // the numbers of lines are not known in ranges
    }
}

/// The parser of [`WithPosition`].
#[derive(Debug)]
pub struct WithPositionParser<P>(P);

impl<T: 'static, P: Parser<T>> Parser<Located<T>> for WithPositionParser<P> {
    fn parse(&mut self, text: &[u8], place: &Place<'_>) -> Parsed<Located<T>> {
        match self.0.parse(text, place) {
            Parsed::Record(value) => Parsed::Record(Located {
                value,
                path: place.path.clone(),
                line: place.line,
                offset: place.offset,
            }),
            Parsed::Nothing => Parsed::Nothing,
            Parsed::Partial => Parsed::Partial,
            Parsed::Bad(reason) => Parsed::Bad(reason),
            Parsed::BadLine(reason) => Parsed::BadLine(reason),
        }
    }

    fn forget(&mut self) {
        self.0.forget();
    }

    fn state(&self) -> Vec<u8> {
        self.0.state()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BoxError> {
        self.0.restore(state)
    }
}

/// A format of your own: a function that makes a record of a line.
///
/// ```
/// use millstream_connectors::files::FileSource;
/// use millstream_connectors::format::EachLine;
///
/// let numbers = FileSource::<i64>::with_format("numbers/*.txt", EachLine::new(|line: &str| {
///     line.trim().parse::<i64>()
/// }));
/// ```
#[derive(Clone, Debug)]
pub struct EachLine<F>(F);

impl<F> EachLine<F> {
    /// Makes a record of each line with `function`. Its error makes the line a bad record, as do bytes
    /// that are no UTF-8.
    pub fn new<T, E: ToString>(function: F) -> Self
    where
        F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
    {
        EachLine(function)
    }
}

impl<T, E, F> Parse<T> for EachLine<F>
where
    E: ToString,
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
{
    type Parser = EachLine<F>;

    fn parser(&self) -> Self::Parser {
        self.clone()
    }

    fn name(&self) -> &str {
        "text"
    }
}

impl<T, E, F> Parser<T> for EachLine<F>
where
    E: ToString,
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
{
    fn parse(&mut self, text: &[u8], _: &Place<'_>) -> Parsed<T> {
        match std::str::from_utf8(text) {
            Ok(line) => match (self.0)(line) {
                Ok(value) => Parsed::Record(value),
                Err(error) => Parsed::Bad(error.to_string()),
            },
            Err(error) => Parsed::Bad(not_utf8(error)),
        }
    }
}

/// Why bytes are no text.
pub(super) fn not_utf8(error: std::str::Utf8Error) -> String {
    format!("not UTF-8 at its byte {}", error.valid_up_to() + 1)
}
