//! Every parser, fed arbitrary bytes: nothing panics, no good record is lost, the pieces do not matter.

use super::decoder::{Decoder, Lines as Cut, Stopped};
use super::*;
use fastrand::Rng;
use millstream_runtime::source::{BadRecord, Batch};

const MAX: usize = 64;

/// Decodes `text` in pieces of `piece` bytes, batches of `full`.
fn decoded<T, P: Parse<T>>(
    format: &P,
    text: &[u8],
    piece: usize,
    full: usize,
) -> (Vec<T>, Vec<BadRecord>) {
    let lines = Cut::at(0, 0, MAX);
    let mut decoder = Decoder::new("test".into(), lines, format.parser(), MAX);
    let mut all = Batch::default();
    let mut offset = 0;
    for piece in text.chunks(piece) {
        decoder.lines.fill(|bytes| bytes.extend_from_slice(piece));
        loop {
            let to = all.records.len() + all.bad.len() + full;
            let stopped = decoder.decode(&mut all, to);
            let now = decoder.lines.position().0;
            assert!(now >= offset, "a position never goes back");
            offset = now;
            if stopped != Stopped::Full {
                break;
            }
        }
    }
    loop {
        let to = all.records.len() + all.bad.len() + full;
        if decoder.finish(&mut all, to) {
            break;
        }
    }
    assert_eq!(decoder.lines.position().0, text.len() as u64);
    let records = all.records.into_iter().map(|record| record.value);
    (records.collect(), all.bad)
}

/// Bytes in which what has a meaning to parsers is frequent.
fn rubbish(rng: &mut Rng) -> Vec<u8> {
    let meaning = b"\"\"\"\\',;#{}[]:\n\r\t 01ntf-.eE\xef\xbb\xbf";
    let length = rng.usize(0..300);
    let byte = |rng: &mut Rng| match rng.u8(0..4) {
        0 => rng.u8(..),
        _ => *rng.choice(meaning).unwrap(),
    };
    (0..length).map(|_| byte(rng)).collect()
}

fn pieces_do_not_matter<T: PartialEq + std::fmt::Debug, P: Parse<T>>(
    format: &P,
    text: &[u8],
    rng: &mut Rng,
) {
    let whole = decoded(format, text, text.len().max(1), 1_000_000);
    for _ in 0..3 {
        let (piece, full) = (rng.usize(1..40), rng.usize(1..5));
        let again = decoded(format, text, piece, full);
        assert_eq!(again, whole, "{text:?} in pieces of {piece}");
    }
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(whole.0.len() + whole.1.len() <= lines);
}

#[test]
fn arbitrary_bytes_in_pieces_of_any_size() {
    let csv = Csv::default();
    let options = [
        csv.clone(),
        csv.clone().header(false),
        csv.clone().multiline(false),
        csv.clone().flexible(true).trim(true).comment(b'#'),
        csv.clone().escape(b'\\'),
        csv.clone().quoting(false).delimiter(b';'),
    ];
    let mut rng = Rng::with_seed(11);
    for _ in 0..1_000 {
        let text = rubbish(&mut rng);
        pieces_do_not_matter::<String, _>(&Lines, &text, &mut rng);
        pieces_do_not_matter::<Vec<u8>, _>(&Lines, &text, &mut rng);
        pieces_do_not_matter::<String, _>(&LossyLines, &text, &mut rng);
        pieces_do_not_matter::<serde_json::Value, _>(&JsonLines, &text, &mut rng);
        let csv = rng.choice(&options).unwrap();
        pieces_do_not_matter::<Vec<String>, _>(csv, &text, &mut rng);
        pieces_do_not_matter::<(u8, String), _>(csv, &text, &mut rng);
    }
}

/// Good lines and lines of rubbish in turn: all good ones are read. (Rows of CSV that may span lines are left
/// out: two stray quotes make a row of what is between them, and rightly so.)
#[test]
fn rubbish_between_good_records_costs_none() {
    let single = Csv::new(false, b',').multiline(false);
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let (mut csv, mut json) = (Vec::new(), Vec::new());
        let mut count = 0;
        for _ in 0..rng.usize(1..30) {
            if rng.bool() {
                count += 1;
                csv.extend(format!("good,{count}\n").into_bytes());
                json.extend(format!("[\"good\",{count}]\n").into_bytes());
            } else {
                let mut rubbish = rubbish(&mut rng);
                rubbish.retain(|byte| *byte != b'\n');
                for text in [&mut csv, &mut json] {
                    text.extend(&rubbish);
                    text.push(b'\n');
                }
            }
        }
        let expected: Vec<u32> = (1..=count).collect();
        let good = |records: Vec<(String, u32)>| -> Vec<u32> {
            let good = records.into_iter().filter(|(name, _)| name == "good");
            good.map(|(_, number)| number).collect()
        };
        let piece = rng.usize(1..100);
        assert_eq!(
            good(decoded(&single, &csv, piece, 3).0),
            expected,
            "CSV, seed {seed}"
        );
        assert_eq!(
            good(decoded(&JsonLines, &json, piece, 3).0),
            expected,
            "JSON, seed {seed}"
        );
    }
}

/// Rows as the `csv` crate writes them come back, whatever is in their fields.
#[test]
fn rows_written_are_rows_read() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..500 {
        let field = |rng: &mut Rng| -> String {
            let length = rng.usize(0..6);
            (0..length)
                .map(|_| *rng.choice(&['a', '"', ',', '\n', '\r', 'ß', ' ']).unwrap())
                .collect()
        };
        let rows: Vec<(String, String, u8)> = (0..rng.usize(0..5))
            .map(|_| (field(&mut rng), field(&mut rng), rng.u8(..)))
            .collect();
        let mut format = Csv::new(false, b',');
        let mut text = Vec::new();
        for row in &rows {
            format.encode(row, &mut text).unwrap();
        }
        let (read, bad) = decoded::<(String, String, u8), _>(&format, &text, rng.usize(1..30), 2);
        assert_eq!((read, bad), (rows, vec![]), "{text:?}");
    }
}
