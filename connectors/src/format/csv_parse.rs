//! Reading CSV: rows by the state machine of `csv-core`, fed line by line, values by serde.

use super::csv::{Csv, CsvOptions};
use super::lines::LineEnd;
use super::parse::{Parse, Parsed, Parser, Place};
use csv::ByteRecord;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use millstream_runtime::BoxError;
use serde::de::DeserializeOwned;

impl<T: DeserializeOwned + 'static> Parse<T> for Csv {
    type Parser = CsvParser;

    fn parser(&self) -> CsvParser {
        CsvParser::new(self.options.clone())
    }

    fn name(&self) -> &str {
        "CSV"
    }

    fn reads_any_line(&self) -> bool {
        false
    }
}

/// Reads rows. What it knows of the file so far (the header, the number of fields) is in the snapshot.
#[derive(Debug)]
pub struct CsvParser {
    options: CsvOptions,
    machine: Reader,
    row: Row,
    record: ByteRecord,
    header: Option<Header>,
    /// How many fields a row must have.
    fields: Option<usize>,
}

#[derive(Debug)]
struct Header {
    /// As it stands in the file, without the line end.
    text: Vec<u8>,
    names: ByteRecord,
}

/// A row under way, as `csv-core` writes it: fields one after the other, and where they end.
#[derive(Debug)]
struct Row {
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// How many bytes of the record's text were fed.
    fed: usize,
    lines: usize,
}

impl Row {
    fn new() -> Self {
        Row {
            text: vec![0; 256],
            text_len: 0,
            ends: vec![0; 16],
            ends_len: 0,
            fed: 0,
            lines: 0,
        }
    }

    fn clear(&mut self) {
        (self.text_len, self.ends_len, self.fed, self.lines) = (0, 0, 0, 0);
    }

    /// Feeds `input`; whether it has ended the row.
    fn feed(&mut self, machine: &mut Reader, mut input: &[u8]) -> bool {
        loop {
            if input.is_empty() {
                return false; // to the machine that would be the end of the input
            }
            let (text, ends) = (
                &mut self.text[self.text_len..],
                &mut self.ends[self.ends_len..],
            );
            let (result, read, written, ended) = machine.read_record(input, text, ends);
            input = &input[read..];
            self.text_len += written;
            self.ends_len += ended;
            match result {
                ReadRecordResult::InputEmpty => return false,
                ReadRecordResult::Record | ReadRecordResult::End => return true,
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = &self.ends[..self.ends_len];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, end)| &self.text[start..*end])
    }

    /// The line ended with `\r\n`, of which the machine knows only the `\n`.
    fn cut_carriage_return(&mut self) {
        if let Some(end) = self.ends[..self.ends_len].last_mut()
            && self.text[..*end].last() == Some(&b'\r')
        {
            *end -= 1;
        }
    }
}

const UNCLOSED: &str = "a quoted field is not closed in its line";

impl CsvParser {
    fn new(options: CsvOptions) -> Self {
        let machine = ReaderBuilder::new()
            .delimiter(options.delimiter)
            .quote(options.quote)
            .quoting(options.quoting)
            .double_quote(options.escape.is_none())
            .escape(options.escape)
            // Lines are cut already, and comments and empty lines passed over.
            .terminator(Terminator::Any(b'\n'))
            .build();
        CsvParser {
            options,
            machine,
            row: Row::new(),
            record: ByteRecord::new(),
            header: None,
            fields: None,
        }
    }

    /// Feeds what is new in `text`; whether the row is complete.
    fn feed(&mut self, text: &[u8], end: LineEnd) -> bool {
        let line_end: &[u8] = match end {
            LineEnd::CrLf => b"\r\n",
            _ => b"\n",
        };
        let (row, machine) = (&mut self.row, &mut self.machine);
        let complete = row.feed(machine, &text[row.fed..]) || row.feed(machine, line_end);
        row.fed = text.len() + line_end.len();
        row.lines += 1;
        if complete && end == LineEnd::CrLf {
            row.cut_carriage_return();
        }
        complete
    }

    /// Puts the complete row into `record`; how many lines it had.
    fn take_row(&mut self) -> usize {
        self.record.clear();
        self.row
            .fields()
            .for_each(|field| self.record.push_field(field));
        if self.options.trim {
            self.record.trim();
        }
        let lines = self.row.lines;
        self.row.clear();
        lines
    }

    fn take_header(&mut self, text: &[u8]) {
        self.fields = Some(self.record.len());
        self.header = Some(Header {
            text: text.to_vec(),
            names: self.record.clone(),
        });
    }

    fn reset(&mut self) {
        self.machine.reset();
        self.row.clear();
    }

    fn reason(&self, error: &csv::Error) -> String {
        let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
            return error.to_string();
        };
        match err.field() {
            Some(index) => {
                let names = self.header.as_ref().map(|header| &header.names);
                let name = names.and_then(|names| names.get(index as usize));
                let name = name.map_or_else(String::new, |name| {
                    format!(" \"{}\"", String::from_utf8_lossy(name))
                });
                format!("field {}{name}: {}", index + 1, err.kind())
            }
            None => err.to_string(),
        }
    }
}

impl<T: DeserializeOwned> Parser<T> for CsvParser {
    fn parse(&mut self, text: &[u8], place: &Place<'_>) -> Parsed<T> {
        if self.row.lines == 0 {
            let is_comment =
                self.options.comment.is_some() && text.first().copied() == self.options.comment;
            if text.is_empty() || is_comment {
                return Parsed::Nothing;
            }
        }
        if !self.feed(text, place.line_end) {
            if self.options.multiline {
                return Parsed::Partial;
            }
            self.reset();
            return Parsed::Bad(UNCLOSED.into());
        }
        let lines = self.take_row();
        if self.options.header && self.header.is_none() {
            self.take_header(text);
            return Parsed::Nothing;
        }
        let found = self.record.len();
        if let Some(wanted) = self.fields.filter(|wanted| *wanted != found)
            && !self.options.flexible
        {
            let reason = format!("{found} fields, not {wanted}");
            return match lines {
                1 => Parsed::Bad(reason),
                _ => Parsed::BadLine(format!(
                    "{reason}, if the quoted field goes on in the next line"
                )),
            };
        }
        let names = self.header.as_ref().map(|header| &header.names);
        match self.record.deserialize(names) {
            Ok(value) => {
                self.fields.get_or_insert(found);
                Parsed::Record(value)
            }
            Err(error) => Parsed::Bad(self.reason(&error)),
        }
    }

    fn forget(&mut self) {
        self.reset();
    }

    /// Nothing; or `h` and the header as it stands in the file; or `n` and the number of fields.
    fn state(&self) -> Vec<u8> {
        match (&self.header, self.fields) {
            (Some(header), _) => [b"h", &header.text[..]].concat(),
            (None, Some(fields)) => [b"n", &(fields as u64).to_le_bytes()[..]].concat(),
            (None, None) => Vec::new(),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BoxError> {
        match state {
            [] => Ok(()),
            [b'h', text @ ..] if self.options.header => {
                self.reset();
                let (row, machine) = (&mut self.row, &mut self.machine);
                let complete = !row.feed(machine, text) && row.feed(machine, b"\n");
                if !complete {
                    self.reset();
                    return Err("the header in the snapshot is not one of these CSV options".into());
                }
                self.take_row();
                self.take_header(text);
                Ok(())
            }
            [b'n', count @ ..] if !self.options.header => {
                let count = count.try_into().map_err(|_| "the snapshot's number of fields is cut short")?;
                self.fields = Some(u64::from_le_bytes(count) as usize);
                Ok(())
            }
            _ => Err("the snapshot was taken with a header where there is none now, or the other way round".into()),
        }
    }
}
