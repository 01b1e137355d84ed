//! How records become bytes: the contract of formats that are written, and the simple ones.

use millstream_runtime::{Error, ErrorKind, Result};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// How values of type `T` become bytes. Each worker writes with a clone of its own.
///
/// ```
/// use millstream_connectors::files::{FileSink, Format};
///
/// /// Eight bytes a number, behind a magic word.
/// #[derive(Clone)]
/// struct Binary;
///
/// impl Format<u64> for Binary {
///     fn begin(&mut self, out: &mut Vec<u8>) {
///         out.extend_from_slice(b"NUMS");
///     }
///     fn encode(&mut self, value: &u64, out: &mut Vec<u8>) -> millstream_runtime::Result<()> {
///         out.extend_from_slice(&value.to_le_bytes());
///         Ok(())
///     }
///     fn extension(&self) -> &str {
///         "bin"
///     }
/// }
/// let sink = FileSink::with_format("out", Binary);
/// ```
pub trait Format<T>: Clone + Send + Sync + 'static {
    /// A file begins: adds what comes before its first record.
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    /// Adds a record.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] when the value cannot be written in this format. What was added of it is
    /// taken back.
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<()>;

    /// What file names end with: `csv`.
    fn extension(&self) -> &str;
}

pub(super) fn failed(format: &str, error: impl Into<millstream_runtime::BoxError>) -> Error {
    Error::new(
        ErrorKind::Record,
        format!("a record cannot be written as {format}"),
    )
    .with_source(error)
}

/// One line a record, as [`Display`] shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl<T: Display> Format<T> for Lines {
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<()> {
        writeln!(out, "{value}").map_err(|error| failed("text", error))
    }

    fn extension(&self) -> &str {
        "txt"
    }
}

/// One JSON value a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl<T: Serialize> Format<T> for JsonLines {
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(&mut *out, value).map_err(|error| failed("JSON", error))?;
        out.push(b'\n');
        Ok(())
    }

    fn extension(&self) -> &str {
        "jsonl"
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::Csv;
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        count: u32,
    }

    fn encoded<T>(mut format: impl Format<T>, values: &[T]) -> String {
        let mut out = Vec::new();
        for _ in 0..2 {
            format.begin(&mut out);
            values
                .iter()
                .for_each(|value| format.encode(value, &mut out).unwrap());
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_file_has_its_header() {
        let rows = [
            Row {
                name: "a,b",
                count: 1,
            },
            Row {
                name: "c",
                count: 2,
            },
        ];
        let file = "name,count\n\"a,b\",1\nc,2\n";
        assert_eq!(encoded(Csv::default(), &rows), file.repeat(2));
        let file = "a,b;1\nc;2\n";
        assert_eq!(encoded(Csv::new(false, b';'), &rows), file.repeat(2));
        assert_eq!(encoded(Csv::default(), &[("x", 1)]), "x,1\n".repeat(2));
    }

    #[test]
    fn lines_and_json() {
        assert_eq!(encoded(Lines, &["x y"]), "x y\nx y\n");
        assert_eq!(
            encoded(JsonLines, &[("x\n", 1)]),
            "[\"x\\n\",1]\n".repeat(2)
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let nested = BTreeMap::from([("k", 1)]);
        let error = Csv::default().encode(&nested, &mut Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("cannot be written as CSV"),
            "{error}"
        );
        let keys = BTreeMap::from([((1, 2), 1)]);
        let error = JsonLines.encode(&keys, &mut Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("cannot be written as JSON"),
            "{error}"
        );
    }
}
