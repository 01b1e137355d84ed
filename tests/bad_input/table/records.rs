//! Files in which some records cannot be read: each becomes a dead letter with its place and its reason, by default
//! the first ends the job, and the good ones are all there.

use crate::harness::{MODES, assert_error, failure, finish};
use millstream::prelude::*;
use millstream::runtime::source::Source;
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trade {
    symbol: String,
    price: f64,
    count: u8,
}

#[derive(Clone, Copy)]
pub enum As {
    Lines,
    Csv,
    Json,
    /// Lines of ten bytes at most.
    Short,
}

pub struct Row {
    name: &'static str,
    format: As,
    bytes: &'static [u8],
    /// Good records.
    good: usize,
    /// The line of each bad record, and what the reason says.
    pub bad: &'static [(u64, &'static str)],
}

const fn row(
    name: &'static str,
    format: As,
    bytes: &'static [u8],
    good: usize,
    bad: &'static [(u64, &'static str)],
) -> Row {
    Row {
        name,
        format,
        bytes,
        good,
        bad,
    }
}

pub const ROWS: &[Row] = &[
    row("an empty file", As::Lines, b"", 0, &[]),
    row("one line without an end", As::Lines, b"one", 1, &[]),
    row(
        "line ends of both kinds",
        As::Lines,
        b"one\r\ntwo\nthree",
        3,
        &[],
    ),
    row("zero bytes", As::Lines, b"one\n\0\0\ntwo\n", 3, &[]),
    row(
        "invalid UTF-8",
        As::Lines,
        b"one\n\xff\xfe\ntwo\n",
        2,
        &[(2, "UTF-8")],
    ),
    row(
        "UTF-8 that is cut off",
        As::Lines,
        b"caf\xc3\ncaf\xc3\xa9\n",
        1,
        &[(1, "UTF-8")],
    ),
    row(
        "Latin-1",
        As::Lines,
        b"caf\xe9\nna\xefve\nplain\n",
        1,
        &[(1, "UTF-8"), (2, "UTF-8")],
    ),
    row(
        "surrogates as UTF-8",
        As::Lines,
        b"\xed\xa0\x80\nx\n",
        1,
        &[(1, "UTF-8")],
    ),
    row(
        "a bad last line without an end",
        As::Lines,
        b"one\n\xff",
        1,
        &[(2, "UTF-8")],
    ),
    row(
        "a line that is too long",
        As::Short,
        b"short\n01234567890123\nshort\n",
        2,
        &[(2, "10 bytes")],
    ),
    row(
        "a last line that is too long",
        As::Short,
        b"short\n01234567890123",
        1,
        &[(2, "10 bytes")],
    ),
    row("a header alone", As::Csv, b"symbol,price,count\n", 0, &[]),
    row("an empty CSV file", As::Csv, b"", 0, &[]),
    row(
        "a text for a number",
        As::Csv,
        b"symbol,price,count\nA,x,1\nB,2,2\n",
        1,
        &[(2, "price")],
    ),
    row(
        "two points in a number",
        As::Csv,
        b"symbol,price,count\nA,1.2.3,1\nB,2,2\n",
        1,
        &[(2, "price")],
    ),
    row(
        "a number that is missing",
        As::Csv,
        b"symbol,price,count\nA,,1\nB,2,2\n",
        1,
        &[(2, "price")],
    ),
    row(
        "a number that is too large",
        As::Csv,
        b"symbol,price,count\nA,1,256\nB,2,2\n",
        1,
        &[(2, "count")],
    ),
    row(
        "a negative number",
        As::Csv,
        b"symbol,price,count\nA,1,-1\nB,2,2\n",
        1,
        &[(2, "count")],
    ),
    row(
        "too few fields",
        As::Csv,
        b"symbol,price,count\nA,1\nB,2,2\n",
        1,
        &[(2, "field")],
    ),
    row(
        "too many fields",
        As::Csv,
        b"symbol,price,count\nA,1,2,3\nB,2,2\n",
        1,
        &[(2, "field")],
    ),
    row(
        "a decimal comma",
        As::Csv,
        b"symbol,price,count\nA,1,5,1\nB,2,2\n",
        1,
        &[(2, "field")],
    ),
    row(
        "invalid UTF-8 in a field",
        As::Csv,
        b"symbol,price,count\nA\xff,1,1\nB,2,2\n",
        1,
        &[(2, "utf-8")],
    ),
    row(
        "a quote that does not close",
        As::Csv,
        b"symbol,price,count\n\"A,1,1\nB,2,2\n",
        1,
        &[(2, "does not end")],
    ),
    row(
        "several bad rows",
        As::Csv,
        b"symbol,price,count\nA,x,1\nB,2,2\nC,3\nD,4,4\nE,5,999\n",
        2,
        &[(2, "price"), (4, "field"), (6, "count")],
    ),
    row(
        "no JSON",
        As::Json,
        b"hello\n{\"symbol\":\"B\",\"price\":2,\"count\":2}\n",
        1,
        &[(1, "expected value")],
    ),
    row(
        "JSON that is cut off",
        As::Json,
        b"{\"symbol\":\"A\",\"pri\n{\"symbol\":\"B\",\"price\":2,\"count\":2}\n",
        1,
        &[(1, "EOF")],
    ),
    row(
        "a last line of JSON that is cut off",
        As::Json,
        b"{\"symbol\":\"B\",\"price\":2,\"count\":2}\n{\"sym",
        1,
        &[(2, "EOF")],
    ),
    row(
        "a missing field",
        As::Json,
        b"{\"symbol\":\"A\"}\n{\"symbol\":\"B\",\"price\":2,\"count\":2}\n",
        1,
        &[(1, "missing field `price`")],
    ),
    row(
        "a field of another type",
        As::Json,
        b"{\"symbol\":7,\"price\":1,\"count\":1}\n{\"symbol\":\"B\",\"price\":2,\"count\":2}\n",
        1,
        &[(1, "expected a string")],
    ),
    row(
        "a number out of range",
        As::Json,
        b"{\"symbol\":\"A\",\"price\":1,\"count\":300}\n",
        0,
        &[(1, "u8")],
    ),
    row(
        "null for a number",
        As::Json,
        b"{\"symbol\":\"A\",\"price\":null,\"count\":1}\n",
        0,
        &[(1, "null")],
    ),
    row(
        "not a number",
        As::Json,
        b"{\"symbol\":\"A\",\"price\":NaN,\"count\":1}\n",
        0,
        &[(1, "expected value")],
    ),
    row(
        "two values on a line",
        As::Json,
        b"{\"symbol\":\"B\",\"price\":2,\"count\":2} {}\n",
        0,
        &[(1, "trailing")],
    ),
    row(
        "a field twice",
        As::Json,
        b"{\"symbol\":\"A\",\"symbol\":\"B\",\"price\":2,\"count\":2}\n",
        0,
        &[(1, "duplicate field")],
    ),
    row(
        "an array of too few values",
        As::Json,
        b"[\"A\"]\n",
        0,
        &[(1, "invalid length")],
    ),
    row(
        "half a surrogate",
        As::Json,
        b"{\"symbol\":\"\\ud800\",\"price\":2,\"count\":2}\n",
        0,
        &[(1, "escape")],
    ),
    row(
        "control characters in a text",
        As::Json,
        b"{\"symbol\":\"\t\",\"price\":2,\"count\":2}\n",
        0,
        &[(1, "control character")],
    ),
    row(
        "invalid UTF-8 in JSON",
        As::Json,
        b"{\"symbol\":\"\xff\",\"price\":2,\"count\":2}\n",
        0,
        &[(1, "")],
    ),
    row(
        "brackets without end",
        As::Json,
        &[b'['; 5_000],
        0,
        &[(1, "")],
    ),
];

fn run<S: Source>(row: &Row, path: &Path, source: S, mode: Mode) {
    let config = JobConfig {
        mode,
        ..JobConfig::default()
    };
    let job = Job::new("records");
    let (records, bad) = job.source("in", source).dead_letters();
    let (sink, good) = Collect::new();
    records.sink("good", sink);
    let (sink, dead) = Collect::new();
    bad.sink("dead", sink);
    let report = finish(job.start(config).unwrap()).unwrap();
    let dead = dead.take();
    assert_eq!(good.snapshot().len(), row.good, "{}: {dead:?}", row.name);
    assert_eq!(dead.len(), row.bad.len(), "{}: {dead:?}", row.name);
    let source = report.operator("in").unwrap();
    assert_eq!(
        source.records_in,
        (row.good + row.bad.len()) as u64,
        "{}",
        row.name
    );
    for (letter, (line, reason)) in dead.iter().zip(row.bad) {
        println!("  {}: {}", letter.position, letter.reason);
        assert_eq!(letter.kind, DeadLetterKind::Malformed);
        assert!(
            letter
                .split
                .as_ref()
                .unwrap()
                .contains(path.to_str().unwrap())
        );
        assert!(
            letter.position.starts_with(&format!("line {line},")),
            "{}: {letter:?}",
            row.name
        );
        assert!(letter.reason.contains(reason), "{}: {letter:?}", row.name);
        let bytes = letter.bytes().unwrap();
        let is_there = row
            .bytes
            .windows(bytes.len().max(1))
            .any(|window| window == &*bytes);
        assert!(is_there && !bytes.is_empty(), "{}: {letter:?}", row.name);
    }
}

/// By default the first bad record ends the job.
fn fails<S: Source>(row: &Row, path: &Path, source: S) {
    let Some((line, reason)) = row.bad.first() else {
        return;
    };
    let job = Job::new("records");
    job.source("in", source).sink("out", Null::new());
    let error = failure(job.start(JobConfig::default()));
    let line = format!("line {line},");
    assert_error(
        &error,
        ErrorKind::Record,
        &["\"in\"", path.to_str().unwrap(), &line, reason],
    );
}

#[test]
fn records() {
    let dir = tempfile::tempdir().unwrap();
    for (number, row) in ROWS.iter().enumerate() {
        println!("{}", row.name);
        let path = dir.path().join(format!("{number}.data"));
        std::fs::write(&path, row.bytes).unwrap();
        let name = path.to_str().unwrap();
        for mode in MODES {
            match row.format {
                As::Lines => run(row, &path, TextFiles::new(name), mode),
                As::Short => run(row, &path, TextFiles::new(name).max_record(10), mode),
                As::Csv => run(row, &path, FileSource::<Trade>::csv(name), mode),
                As::Json => run(row, &path, FileSource::<Trade>::json_lines(name), mode),
            }
        }
        match row.format {
            As::Lines => fails(row, &path, TextFiles::new(name)),
            As::Short => fails(row, &path, TextFiles::new(name).max_record(10)),
            As::Csv => fails(row, &path, FileSource::<Trade>::csv(name)),
            As::Json => fails(row, &path, FileSource::<Trade>::json_lines(name)),
        }
    }
}
