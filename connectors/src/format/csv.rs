//! CSV, read and written: options, and rows from records.

use super::encode::{Format, failed};
use millstream_runtime::Result;
use serde::Serialize;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// One CSV row a record, by serde. Values must be flat: structs, tuples, sequences of plain values.
///
/// A row that is read may span lines when a field is quoted. Empty lines are passed over.
///
/// ```
/// use millstream_connectors::format::Csv;
/// let german = Csv::default().delimiter(b';').comment(b'#').trim(true);
/// let bare = Csv::new(false, b'\t').quoting(false);
/// ```
#[derive(Debug)]
pub struct Csv {
    pub(super) options: CsvOptions,
    /// A record of this file was written, and with the first one the header.
    begun: bool,
    /// The last record was not written to its end.
    broken: bool,
    writer: csv::Writer<Out>,
    out: Out,
}

#[derive(Clone, Debug)]
pub(super) struct CsvOptions {
    pub header: bool,
    pub delimiter: u8,
    pub quote: u8,
    pub quoting: bool,
    pub escape: Option<u8>,
    pub comment: Option<u8>,
    pub flexible: bool,
    pub trim: bool,
    pub multiline: bool,
}

impl CsvOptions {
    fn writer(&self, header: bool, out: &Out) -> csv::Writer<Out> {
        let mut builder = csv::WriterBuilder::new();
        builder
            .has_headers(header)
            .delimiter(self.delimiter)
            .quote(self.quote)
            .double_quote(self.escape.is_none());
        if let Some(escape) = self.escape {
            builder.escape(escape);
        }
        if !self.quoting {
            builder.quote_style(csv::QuoteStyle::Never);
        }
        builder.from_writer(out.clone())
    }
}

/// Where the CSV writer leaves its bytes until they are fetched, after each record.
#[derive(Clone, Debug, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Csv {
    /// Whether each file begins with the names of fields (default: yes), and what stands between fields
    /// (default: a comma).
    ///
    /// Read with a header, fields go by name to the fields of a struct, in any order; without one by their
    /// order. Written with one, structs get the names of their fields.
    pub fn new(header: bool, delimiter: u8) -> Self {
        Csv::of(CsvOptions {
            header,
            delimiter,
            quote: b'"',
            quoting: true,
            escape: None,
            comment: None,
            flexible: false,
            trim: false,
            multiline: true,
        })
    }

    fn of(options: CsvOptions) -> Self {
        let out = Out::default();
        Csv {
            writer: options.writer(options.header, &out),
            options,
            begun: false,
            broken: false,
            out,
        }
    }

    /// Forgets what was half written of a record.
    fn reset(&mut self) {
        self.out = Out::default();
        let header = self.options.header && !self.begun;
        self.writer = self.options.writer(header, &self.out);
    }

    fn with(&self, change: impl FnOnce(&mut CsvOptions)) -> Self {
        let mut options = self.options.clone();
        change(&mut options);
        Csv::of(options)
    }

    /// What stands between fields. Default: a comma.
    pub fn delimiter(self, delimiter: u8) -> Self {
        self.with(|options| options.delimiter = delimiter)
    }

    /// Whether files begin with the names of fields. Default: yes.
    pub fn header(self, header: bool) -> Self {
        self.with(|options| options.header = header)
    }

    /// What fields are quoted with. Default: `"`.
    pub fn quote(self, quote: u8) -> Self {
        self.with(|options| options.quote = quote)
    }

    /// Whether quotes have a meaning at all. Default: yes.
    pub fn quoting(self, quoting: bool) -> Self {
        self.with(|options| options.quoting = quoting)
    }

    /// What stands before a quote within a quoted field. Default: quotes are doubled.
    pub fn escape(self, escape: u8) -> Self {
        self.with(|options| options.escape = Some(escape))
    }

    /// Reading passes over lines that begin with this. Default: there are no comments.
    pub fn comment(self, comment: u8) -> Self {
        self.with(|options| options.comment = Some(comment))
    }

    /// Whether rows that are read may have different numbers of fields. Default: no, a row with another
    /// number of fields than the header (without one: than the first good row) is bad.
    pub fn flexible(self, flexible: bool) -> Self {
        self.with(|options| options.flexible = flexible)
    }

    /// Whether white space around fields is cut off on reading. Default: no.
    pub fn trim(self, trim: bool) -> Self {
        self.with(|options| options.trim = trim)
    }

    /// Whether a quoted field that is read may hold line ends. Default: yes. With `false` each line is a row, so
    /// that a stray quote cannot cost more than its own line.
    ///
    /// With `true`, a row that wants more lines than the longest record may have, or than there are, or
    /// that spans lines and has a wrong number of fields, is bad in its first line only: reading goes on
    /// with the second.
    pub fn multiline(self, multiline: bool) -> Self {
        self.with(|options| options.multiline = multiline)
    }
}

impl Default for Csv {
    fn default() -> Self {
        Csv::new(true, b',')
    }
}

impl Clone for Csv {
    fn clone(&self) -> Self {
        Csv::of(self.options.clone())
    }
}

impl<T: Serialize> Format<T> for Csv {
    fn begin(&mut self, _: &mut Vec<u8>) {
        // The header comes with the first record: only then are the names known.
        *self = self.clone();
    }

    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<()> {
        // So it is after a panic, too: what was half written is in the writer still.
        if mem::replace(&mut self.broken, true) {
            self.reset();
        }
        self.writer
            .serialize(value)
            .map_err(|error| failed("CSV", error))?;
        self.writer.flush().map_err(|error| failed("CSV", error))?;
        self.broken = false;
        self.begun = true;
        let mut written = self.out.0.lock().unwrap_or_else(PoisonError::into_inner);
        match out.is_empty() {
            true => mem::swap(out, &mut written),
            false => out.append(&mut written),
        }
        Ok(())
    }

    fn extension(&self) -> &str {
        "csv"
    }
}
