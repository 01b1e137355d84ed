//! Cuts bytes into lines. Knows nothing of files; keeps count of bytes and lines.
//!
//! Invariant: `offset()` is the byte at which the next line starts, whatever has been read ahead.

/// Bytes read ahead, and where they stand in the file.
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line starts in `bytes`.
    start: usize,
    /// No line end lies in `bytes[start..scanned]`.
    scanned: usize,
    /// The offset in the file of `bytes[0]`.
    base: u64,
    /// How many lines were handed out.
    number: u64,
    max_line: usize,
    /// The rest of a line is being passed over; it started at this offset.
    skipping: Option<u64>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line without its line end.
    Line(&'a [u8]),
    /// A line of more bytes than allowed; its rest is passed over.
    TooLong,
    /// The bytes hold no further line end.
    NeedMore,
}

impl Lines {
    /// Nothing read yet; the next line starts at `offset` and is the one after line `number`.
    pub fn at(offset: u64, number: u64, max_line: usize) -> Self {
        Lines {
            bytes: Vec::new(),
            start: 0,
            scanned: 0,
            base: offset,
            number,
            max_line,
            skipping: None,
        }
    }

    /// Nothing read yet; what comes up to the first line end at or after `offset` is passed over.
    pub fn after_line_end(offset: u64, max_line: usize) -> Self {
        Lines {
            skipping: Some(offset),
            ..Lines::at(offset, 0, max_line)
        }
    }

    /// The offset at which the next line starts.
    pub fn offset(&self) -> u64 {
        self.skipping.unwrap_or(self.base + self.start as u64)
    }

    /// The offset at which the next line starts, and the number of lines before it. While the rest of a
    /// line is passed over it is that line's, so that it is passed over again after a restart.
    pub fn position(&self) -> (u64, u64) {
        let begun = u64::from(self.skipping.is_some());
        (self.offset(), self.number.saturating_sub(begun))
    }

    /// The offset up to which bytes were given.
    pub fn read_to(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The number of the line that was handed out last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Passes over the rest of a line, if that is to be done. Says whether a line starts here.
    #[inline]
    pub fn align(&mut self) -> bool {
        self.skipping.is_none() || self.pass_over()
    }

    fn pass_over(&mut self) -> bool {
        match memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
            Some(at) => {
                self.start = self.scanned + at + 1;
                self.skipping = None;
            }
            None => self.start = self.bytes.len(),
        }
        self.scanned = self.start;
        self.skipping.is_none()
    }

    /// Takes up to `count` more bytes from `read`, which says how many it gave.
    pub fn fill<E>(
        &mut self,
        count: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.bytes.drain(..self.start);
        self.base += self.start as u64;
        self.scanned -= self.start;
        self.start = 0;
        let held = self.bytes.len();
        self.bytes.resize(held + count, 0);
        let result = read(&mut self.bytes[held..]);
        self.bytes.truncate(held + *result.as_ref().unwrap_or(&0));
        result
    }

    /// The next line.
    #[inline]
    pub fn next(&mut self) -> Next<'_> {
        if !self.align() {
            return Next::NeedMore;
        }
        let Some(at) = memchr::memchr(b'\n', &self.bytes[self.scanned..]) else {
            return self.no_line_end();
        };
        let (start, end) = (self.start, self.scanned + at);
        self.start = end + 1;
        self.scanned = self.start;
        self.number += 1;
        let line = &self.bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.len() <= self.max_line {
            true => Next::Line(line),
            false => Next::TooLong,
        }
    }

    fn no_line_end(&mut self) -> Next<'_> {
        self.scanned = self.bytes.len();
        // One byte more may be the `\r` of a line end.
        if self.scanned - self.start <= self.max_line.saturating_add(1) {
            return Next::NeedMore;
        }
        self.skipping = Some(self.offset());
        self.start = self.scanned;
        self.number += 1;
        Next::TooLong
    }

    /// The file has ended: a last line without a line end.
    pub fn last(&mut self) -> Option<Next<'_>> {
        let start = std::mem::replace(&mut self.start, self.bytes.len());
        self.scanned = self.start;
        if self.skipping.take().is_some() || start == self.start {
            return None;
        }
        self.number += 1;
        let line = &self.bytes[start..];
        Some(match line.len() <= self.max_line {
            true => Next::Line(line),
            false => Next::TooLong,
        })
    }

    /// Gives the memory back; only when no byte is held.
    pub fn shrink(&mut self) {
        if self.start == self.bytes.len() {
            self.base += self.start as u64;
            (self.start, self.scanned, self.bytes) = (0, 0, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `piece` bytes; bad lines are `None`.
    fn cut(text: &str, piece: usize, max_line: usize) -> Vec<Option<String>> {
        let mut lines = Lines::at(0, 0, max_line);
        let mut found = Vec::new();
        let owned = |next: Next<'_>| match next {
            Next::Line(line) => Some(String::from_utf8(line.to_vec()).unwrap()),
            _ => None,
        };
        for piece in text.as_bytes().chunks(piece) {
            lines
                .fill(piece.len(), |room| {
                    room.copy_from_slice(piece);
                    Ok::<_, ()>(piece.len())
                })
                .unwrap();
            loop {
                match lines.next() {
                    Next::NeedMore => break,
                    next => found.push(owned(next)),
                }
            }
        }
        found.extend(lines.last().map(owned));
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
                    cut(text, piece, 100),
                    expected,
                    "{text:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn long_lines_are_told_once() {
        let text = "12345\r\n123456\n1234567890\nok\n12345678";
        let some = |text: &str| Some(text.to_string());
        for piece in 1..text.len() {
            let expected = [some("12345"), None, None, some("ok"), None];
            assert_eq!(cut(text, piece, 5), expected, "pieces of {piece}");
        }
    }
}
