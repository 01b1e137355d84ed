//! Cuts bytes into lines, and joins lines where a format says that its record goes on in the next one. Knows
//! nothing of files; keeps count of bytes and lines.
//!
//! Invariant: [`Lines::position`] is where the next record starts, whatever has been read ahead.

/// Of a line that is too long, this much is kept for the error.
const HEAD_BYTES: usize = 4 << 10;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// With the input.
    Input,
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
}

/// Bytes read ahead, and where they stand in the input.
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where the next record starts in `bytes`.
    start: usize,
    /// Where those of its lines end that were given out; `start` when none was.
    end: usize,
    /// Where the first of them ends.
    first_end: usize,
    /// How many lines of the record were given out.
    given: u64,
    /// Where the text of the last of them ends, and how.
    text_end: usize,
    line_end: LineEnd,
    /// No line end lies in `bytes[end..scanned]`.
    scanned: usize,
    /// The offset in the input of `bytes[0]`.
    base: u64,
    /// How many lines lie before the next record.
    number: u64,
    max: usize,
    passing: Option<Passing>,
}

/// The rest of a line is being passed over.
struct Passing {
    /// Where it started.
    offset: u64,
    /// How it began; `None`: it belongs to somebody else and is not told of.
    head: Option<Vec<u8>>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// One more line of the record: see [`Lines::text`].
    Line,
    /// A line of more bytes than allowed started at this offset, like this. It has been passed over.
    TooLong { offset: u64, head: Vec<u8> },
    /// The record wants more lines than there are, or than are allowed.
    Unfinished,
    /// The bytes hold no further line end.
    NeedMore,
}

impl Lines {
    /// Nothing read yet; the next record starts at `offset`, behind `number` lines. Records have at most
    /// `max` bytes.
    pub fn at(offset: u64, number: u64, max: usize) -> Self {
        Lines {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            first_end: 0,
            given: 0,
            text_end: 0,
            line_end: LineEnd::Input,
            scanned: 0,
            base: offset,
            number,
            max,
            passing: None,
        }
    }

    /// Nothing read yet; what comes up to the first line end at or after `offset` is passed over.
    pub fn after_line_end(offset: u64, max: usize) -> Self {
        let passing = Passing { offset, head: None };
        Lines {
            passing: Some(passing),
            ..Lines::at(offset, 0, max)
        }
    }

    /// The offset at which the next record starts.
    pub fn offset(&self) -> u64 {
        match &self.passing {
            Some(passing) => passing.offset,
            None => self.base + self.start as u64,
        }
    }

    /// The offset at which the next record starts, and the number of lines before it. A line that is being
    /// passed over is the next one: after a restart it is passed over again.
    pub fn position(&self) -> (u64, u64) {
        (self.offset(), self.number)
    }

    /// The offset up to which bytes were given.
    pub fn read_to(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// How many lines lie before the next record.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The record so far, without the last line end.
    #[inline]
    pub fn text(&self) -> &[u8] {
        &self.bytes[self.start..self.text_end]
    }

    /// How its last line ended.
    pub fn line_end(&self) -> LineEnd {
        self.line_end
    }

    /// The first line of the record, without its line end.
    pub fn first_line(&self) -> &[u8] {
        let line = &self.bytes[self.start..self.first_end];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Whether the start of the first record has yet to be found.
    pub fn is_aligning(&self) -> bool {
        matches!(self.passing, Some(Passing { head: None, .. }))
    }

    /// Whether the next record is known to start here. If not, passes over what belongs to another.
    #[inline]
    pub fn align(&mut self) -> bool {
        match &self.passing {
            Some(Passing { head: None, .. }) => self.pass_over(),
            _ => true,
        }
    }

    /// Whether the line end was found up to which bytes are passed over.
    fn pass_over(&mut self) -> bool {
        let found = memchr::memchr(b'\n', &self.bytes[self.scanned..]);
        let to = found.map_or(self.bytes.len(), |at| self.scanned + at + 1);
        self.start_at(to);
        if found.is_some()
            && let Some(Passing { head: None, .. }) = self.passing
        {
            self.passing = None;
        }
        found.is_some()
    }

    fn start_at(&mut self, at: usize) {
        (self.start, self.end, self.scanned, self.given) = (at, at, at, 0);
    }

    /// Takes more bytes from `read`, which adds them to what is there.
    pub fn fill<R>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.base += self.start as u64;
            for index in [
                &mut self.end,
                &mut self.first_end,
                &mut self.text_end,
                &mut self.scanned,
            ] {
                *index = index.saturating_sub(self.start);
            }
            self.start = 0;
        }
        read(&mut self.bytes)
    }

    /// Finds the next line.
    #[inline]
    pub fn next(&mut self) -> Next {
        if self.passing.is_some() {
            return self.end_of_passed();
        }
        match memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
            Some(at) => {
                let at = self.scanned + at;
                match self.bytes[self.end..at].last() {
                    Some(b'\r') => self.give(at - 1, at + 1, LineEnd::CrLf),
                    _ => self.give(at, at + 1, LineEnd::Lf),
                }
            }
            None => self.no_line_end(),
        }
    }

    /// Gives out one more line: its text ends at `text_end`, the line at `end`.
    #[inline]
    fn give(&mut self, text_end: usize, end: usize, line_end: LineEnd) -> Next {
        if text_end - self.start > self.max {
            if self.given > 0 {
                return Next::Unfinished;
            }
            let (offset, head) = (self.offset(), self.head());
            self.start_at(end);
            self.number += 1;
            return Next::TooLong { offset, head };
        }
        (self.end, self.scanned) = (end, end);
        (self.text_end, self.line_end) = (text_end, line_end);
        if self.given == 0 {
            self.first_end = end;
        }
        self.given += 1;
        Next::Line
    }

    fn no_line_end(&mut self) -> Next {
        self.scanned = self.bytes.len();
        // One byte more may be the `\r` of a line end.
        if self.scanned - self.start <= self.max.saturating_add(1) {
            return Next::NeedMore;
        }
        if self.given > 0 {
            return Next::Unfinished;
        }
        self.passing = Some(Passing {
            offset: self.offset(),
            head: Some(self.head()),
        });
        self.start_at(self.bytes.len());
        Next::NeedMore
    }

    fn head(&self) -> Vec<u8> {
        let rest = &self.bytes[self.start..];
        rest[..rest.len().min(HEAD_BYTES).min(self.max)].to_vec()
    }

    fn end_of_passed(&mut self) -> Next {
        match self.pass_over() {
            true => self.passed(),
            false => Next::NeedMore,
        }
    }

    fn passed(&mut self) -> Next {
        match self.passing.take() {
            Some(Passing {
                offset,
                head: Some(head),
            }) => {
                self.number += 1;
                Next::TooLong { offset, head }
            }
            _ => Next::NeedMore,
        }
    }

    /// The input has ended and [`next`](Self::next) finds no line: a last line without a line end, if there is
    /// one.
    pub fn last(&mut self) -> Next {
        let end = self.bytes.len();
        if self.passing.is_some() {
            self.start_at(end);
            return self.passed();
        }
        if self.end < end {
            return self.give(end, end, LineEnd::Input);
        }
        match self.given {
            0 => Next::NeedMore,
            _ => Next::Unfinished,
        }
    }

    /// The lines given out make up a record: the next one starts behind them.
    #[inline]
    pub fn accept(&mut self) {
        self.start = self.end;
        self.number += self.given;
        self.given = 0;
    }

    /// Only the first of the lines given out is done with: the next record starts with the second.
    pub fn accept_first(&mut self) {
        self.start_at(self.first_end);
        self.number += 1;
    }

    /// Gives the memory back; only when no byte is held.
    pub fn shrink(&mut self) {
        if self.start == self.bytes.len() {
            self.base += self.start as u64;
            self.bytes = Vec::new();
            self.start_at(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `piece` bytes; bad lines are `None`.
    fn cut(text: &[u8], piece: usize, max: usize) -> Vec<Option<String>> {
        let mut lines = Lines::at(0, 0, max);
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines, next: Next| match next {
            Next::Line => {
                found.push(Some(String::from_utf8_lossy(lines.text()).into_owned()));
                lines.accept();
                true
            }
            Next::TooLong { .. } => {
                found.push(None);
                true
            }
            Next::Unfinished => unreachable!("a line is a record"),
            Next::NeedMore => false,
        };
        for piece in text.chunks(piece) {
            lines.fill(|bytes| bytes.extend_from_slice(piece));
            loop {
                let next = lines.next();
                if !take(&mut lines, next) {
                    break;
                }
            }
        }
        let last = lines.last();
        take(&mut lines, last);
        assert_eq!(lines.offset(), text.len() as u64);
        assert_eq!(lines.number(), found.len() as u64);
        found
    }

    #[test]
    fn the_pieces_do_not_matter() {
        for text in [
            "",
            "a",
            "a\n",
            "a\r\nb",
            "\n\n",
            "a\r",
            "\r\n",
            "ab\ncde\r\n\nf\rg\n",
        ] {
            let expected: Vec<_> = text.lines().map(|line| Some(line.to_string())).collect();
            // `str::lines` keeps a lone `\r` at the end, as we do.
            for piece in 1..=text.len().max(1) {
                assert_eq!(
                    cut(text.as_bytes(), piece, 100),
                    expected,
                    "{text:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn long_lines_are_told_once() {
        let text = b"12345\r\n123456\n1234567890\nok\n12345678";
        let some = |text: &str| Some(text.to_string());
        for piece in 1..text.len() {
            let expected = [some("12345"), None, None, some("ok"), None];
            assert_eq!(cut(text, piece, 5), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_long_line_is_told_when_its_end_was_seen() {
        let mut lines = Lines::at(0, 0, 3);
        lines.fill(|bytes| bytes.extend_from_slice(b"ok\n123456"));
        assert_eq!(lines.next(), Next::Line);
        lines.accept();
        assert_eq!(lines.next(), Next::NeedMore);
        assert_eq!(lines.position(), (3, 1), "after a restart it is met again");
        lines.fill(|bytes| bytes.extend_from_slice(b"7\nx"));
        let head = b"123".to_vec();
        assert_eq!(lines.next(), Next::TooLong { offset: 3, head });
        assert_eq!(lines.position(), (11, 2));
    }

    #[test]
    fn records_of_several_lines_are_taken_or_begun_anew() {
        for piece in 1..20 {
            let mut lines = Lines::at(0, 0, 8);
            let text = b"a\r\nb\nc\n12345";
            let mut given = Vec::new();
            for piece in text.chunks(piece) {
                lines.fill(|bytes| bytes.extend_from_slice(piece));
                while lines.next() == Next::Line {
                    given.push((lines.text().to_vec(), lines.line_end()));
                    if given.len() == 2 {
                        assert_eq!(lines.first_line(), b"a");
                        lines.accept_first();
                        assert_eq!(lines.position(), (3, 1));
                    }
                }
            }
            let texts: Vec<&[u8]> = given.iter().map(|(text, _)| &text[..]).collect();
            assert_eq!(texts, [&b"a"[..], b"a\r\nb", b"b", b"b\nc"]);
            assert_eq!(given[0].1, LineEnd::CrLf);
            assert_eq!(lines.last(), Next::Unfinished, "{piece}");
            lines.accept_first();
            assert_eq!(lines.next(), Next::Line);
            lines.accept();
            assert_eq!(lines.last(), Next::Line);
            assert_eq!(lines.line_end(), LineEnd::Input);
            lines.accept();
            assert_eq!(lines.position(), (text.len() as u64, 4));
        }
    }
}
