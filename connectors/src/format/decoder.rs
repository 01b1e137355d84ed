//! From the bytes of one input to its records: lines, a parser, and where they stand.

pub(crate) use super::lines::Lines;
use super::lines::Next;
use super::parse::{Parsed, Parser, Place};
use millstream_runtime::record::NO_TIME;
use millstream_runtime::source::Batch;
use std::marker::PhantomData;
use std::sync::Arc;

/// Why no further record was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The batch is full.
    Full,
    /// The bytes hold no further record.
    NeedMore,
    /// The next record belongs to another range.
    RangeEnd,
}

/// Makes records of bytes. Bad records go to the batch as such.
pub(crate) struct Decoder<T, P> {
    pub lines: Lines,
    pub parser: P,
    path: Arc<str>,
    max_record: usize,
    /// Where the range ends that is read: records that start there or behind belong to another.
    range_end: Option<u64>,
    /// Line numbers count from the start of the input.
    numbered: bool,
    /// Positions begin with the name of the input.
    named: bool,
    item: PhantomData<fn() -> T>,
}

impl<T, P: Parser<T>> Decoder<T, P> {
    /// Decodes what is read from `path`, from the place at which `lines` stands.
    pub fn new(path: Arc<str>, lines: Lines, parser: P, max_record: usize) -> Self {
        Decoder {
            lines,
            parser,
            path,
            max_record,
            range_end: None,
            numbered: true,
            named: false,
            item: PhantomData,
        }
    }

    /// Stops at this offset; line numbers have no meaning.
    pub fn within(mut self, range_end: u64) -> Self {
        self.range_end = Some(range_end);
        self.numbered = false;
        self
    }

    /// Puts the name of the input before positions.
    pub fn named(mut self) -> Self {
        self.named = true;
        self
    }

    /// Hands out the records that were read until the batch holds `full`, bad ones included.
    pub fn decode(&mut self, batch: &mut Batch<T>, full: usize) -> Stopped {
        while batch.records.len() + batch.bad.len() < full {
            if let Some(end) = self.range_end {
                if !self.lines.align() {
                    return Stopped::NeedMore;
                }
                if self.lines.offset() >= end {
                    return Stopped::RangeEnd;
                }
            }
            let next = self.lines.next();
            if !self.take(next, batch) {
                return Stopped::NeedMore;
            }
        }
        Stopped::Full
    }

    /// The input has ended: hands out what is left. Says no when the batch was full before.
    pub fn finish(&mut self, batch: &mut Batch<T>, full: usize) -> bool {
        loop {
            match self.decode(batch, full) {
                Stopped::Full => return false,
                Stopped::RangeEnd => return true,
                Stopped::NeedMore => {}
            }
            if self.range_end.is_some() && !self.lines.align() {
                return true;
            }
            let last = self.lines.last();
            if !self.take(last, batch) {
                return true;
            }
        }
    }

    /// Does what is to be done with the next line; whether there was one.
    #[inline]
    fn take(&mut self, next: Next, batch: &mut Batch<T>) -> bool {
        match next {
            Next::Line => self.parse(batch),
            Next::TooLong { offset, head } => {
                let reason = format!("longer than {} bytes", self.max_record);
                batch.push_bad(self.position(self.lines.number(), offset), reason, head);
            }
            Next::Unfinished => {
                self.parser.forget();
                let reason = format!(
                    "the record does not end with the input, or has more than {} bytes",
                    self.max_record
                );
                self.bad_line(reason, batch);
            }
            Next::NeedMore => return false,
        }
        true
    }

    #[inline]
    fn parse(&mut self, batch: &mut Batch<T>) {
        let place = Place {
            path: &self.path,
            line: self.lines.number() + 1,
            offset: self.lines.offset(),
            line_end: self.lines.line_end(),
        };
        match self.parser.parse(self.lines.text(), &place) {
            Parsed::Record(value) => {
                batch.push(NO_TIME, value);
                self.lines.accept();
            }
            Parsed::Nothing => self.lines.accept(),
            Parsed::Partial => {}
            Parsed::Bad(reason) => {
                let position = self.position(place.line, place.offset);
                batch.push_bad(position, reason, self.lines.text());
                self.lines.accept();
            }
            Parsed::BadLine(reason) => self.bad_line(reason, batch),
        }
    }

    fn bad_line(&mut self, reason: String, batch: &mut Batch<T>) {
        let position = self.position(self.lines.number() + 1, self.lines.offset());
        batch.push_bad(position, reason, self.lines.first_line());
        self.lines.accept_first();
    }

    fn position(&self, line: u64, offset: u64) -> String {
        match (self.named, self.numbered) {
            (true, _) => format!("{}, line {line}, byte {offset}", self.path),
            (false, true) => format!("line {line}, byte {offset}"),
            (false, false) => format!("byte {offset}"),
        }
    }
}
