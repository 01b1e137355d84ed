//! Text that fits a terminal: a line of parts that gives up the least important first, and cells of a table.
//!
//! Widths are columns of a terminal, not letters: a name may have letters that are two columns wide.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A part of a line.
pub(super) struct Part {
    /// Parts with a lower rank are given up first.
    rank: u8,
    text: String,
    /// What it is when there is little room; none: it goes at once.
    short: Option<String>,
}

impl Part {
    pub fn new(rank: u8, text: String) -> Self {
        Part {
            rank,
            text,
            short: None,
        }
    }

    pub fn or(mut self, short: String) -> Self {
        self.short = Some(short);
        self
    }
}

const BETWEEN: &str = " | ";

/// The parts as a line of at most `columns`. While it is too long, the part of the lowest rank is
/// shortened, then left out; the last one is cut.
pub(super) fn line(mut parts: Vec<Part>, columns: Option<usize>) -> String {
    let columns = columns.unwrap_or(usize::MAX);
    loop {
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        let line = texts.join(BETWEEN);
        if line.width() <= columns || parts.len() == 1 {
            return cut(&line, columns);
        }
        let long = (0..parts.len()).filter(|at| parts[*at].short.is_some());
        match long.min_by_key(|at| parts[*at].rank) {
            Some(at) => parts[at].text = parts[at].short.take().unwrap_or_default(),
            None => {
                let least = (0..parts.len()).min_by_key(|at| parts[*at].rank);
                parts.remove(least.expect("there are two parts at least"));
            }
        }
    }
}

/// The text, or as much of it as fits with an ellipsis behind it. What would move the cursor is left out.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if text.width() <= columns {
        return text;
    }
    let mut cut = String::new();
    let mut used = 1; // the ellipsis
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(letter);
    }
    cut.push('…');
    cut
}

/// Rows as a table: the first `words` columns to the left, the others to the right.
pub fn table(rows: &[Vec<String>], words: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| Some(row.get(column)?.width()));
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width - cell.width());
            line.push_str("  ");
            match column < words {
                true => line.extend([cell.as_str(), &space]),
                false => line.extend([space.as_str(), cell]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        vec![
            Part::new(9, "14 s".into()),
            Part::new(5, "read 1.43 M (102 k/s)".into()).or("102 k/s".into()),
            Part::new(1, "in flight 3.10 k".into()),
            Part::new(8, "held by 分割".into()),
        ]
    }

    #[test]
    fn what_matters_least_goes_first() {
        for (columns, expected) in [
            (
                None,
                "14 s | read 1.43 M (102 k/s) | in flight 3.10 k | held by 分割",
            ),
            (
                Some(62),
                "14 s | read 1.43 M (102 k/s) | in flight 3.10 k | held by 分割",
            ),
            (Some(61), "14 s | 102 k/s | in flight 3.10 k | held by 分割"),
            (Some(40), "14 s | 102 k/s | held by 分割"),
            (Some(20), "14 s | held by 分割"),
            (Some(18), "14 s"),
            (Some(3), "14…"),
        ] {
            assert_eq!(line(parts(), columns), expected, "{columns:?}");
        }
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        for columns in 1..80 {
            assert!(line(parts(), Some(columns)).width() <= columns);
        }
    }

    #[test]
    fn wide_letters_are_not_cut_in_two() {
        assert_eq!(cut("分割", 4), "分割");
        assert_eq!(cut("分割", 3), "分…");
        assert_eq!(cut("分割", 2), "…");
        assert_eq!(cut("a\x1b[2K\nb", 9), "a[2Kb", "nothing moves the cursor");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["name", "in"], ["分割", "1"], ["x", "12"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.map(str::to_owned).to_vec()).collect();
        assert_eq!(table(&rows, 1), "  name  in\n  分割   1\n  x     12\n");
    }
}
