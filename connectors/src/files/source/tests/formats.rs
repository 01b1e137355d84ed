//! CSV and JSON lines from files.

use super::*;
use crate::format::EachLine;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trade {
    symbol: String,
    price: f64,
    note: Option<String>,
}

fn trade(symbol: &str, price: f64, note: Option<&str>) -> Trade {
    Trade {
        symbol: symbol.into(),
        price,
        note: note.map(str::to_owned),
    }
}

fn read<T: Data, P: Parse<T>>(source: &FileSource<T, P>) -> (Vec<T>, Vec<String>) {
    let (records, bad) = read_good_and_bad(source).unwrap();
    let good = records.into_iter().map(|record| record.value).collect();
    let bad = bad
        .into_iter()
        .map(|bad| format!("{}: {}", bad.position, bad.reason));
    (good, bad.collect())
}

#[test]
fn rows_go_to_structs_by_the_names_of_the_header() {
    let (_directory, path) =
        file("price,note,symbol\r\n1.5,,A\r\n\r\n2,\"two\r\nlines, \"\"quoted\"\"\",B");
    let path = path.to_str().unwrap();
    for chunk in [1, 7, 1_000] {
        let source = FileSource::<Trade>::csv(path).chunk_size(chunk);
        let trades = [
            trade("A", 1.5, None),
            trade("B", 2.0, Some("two\r\nlines, \"quoted\"")),
        ];
        assert_eq!(read(&source), (trades.to_vec(), vec![]));
        resumes_everywhere(&source);
        let located = read_all(&source.with_position()).unwrap();
        let places: Vec<_> = located
            .iter()
            .map(|r| (r.value.line, r.value.offset))
            .collect();
        assert_eq!(places, [(2, 19), (4, 29)]);
    }
}

#[test]
fn each_file_has_its_own_header() {
    let directory = directory(&[
        ("a.csv", "symbol,price,note\nA,1,\n"),
        ("b.csv", "note,price,symbol\n,2,B\n"),
    ]);
    let source = FileSource::<Trade>::csv(directory.path().to_str().unwrap());
    let trades = vec![trade("A", 1.0, None), trade("B", 2.0, None)];
    assert_eq!(read(&source), (trades.clone(), vec![]));
    assert_eq!(
        read(&source.clone().one_after_another(FileOrder::Name)).0,
        trades
    );
    resumes_everywhere(&source.one_after_another(FileOrder::Name));
    let error = FileSource::<Trade>::csv("x").split_size(10);
    assert!(error_of(error.enumerator()).contains("ranges"));
}

#[test]
fn bad_rows_are_told_with_their_field() {
    let (_directory, path) = file(
        b"symbol,price,note\nA,1,\nB,dear,\nC\nD,4,,,\n\xc3\x28,9,\nG,10,\"never closed\nH,11,\n",
    );
    let path = path.to_str().unwrap();
    for chunk in [1, 1_000] {
        let source = FileSource::<Trade>::csv(path).chunk_size(chunk);
        let (good, bad) = read(&source);
        let names: Vec<&str> = good.iter().map(|trade| &*trade.symbol).collect();
        assert_eq!(&names[..1], ["A"]);
        assert_eq!(
            names.last(),
            Some(&"H"),
            "a quote that is never closed costs its line only"
        );
        assert!(
            bad[0].starts_with("line 3, byte 23: field 2 \"price\": invalid"),
            "{bad:?}"
        );
        assert!(
            bad[1].starts_with("line 4") && bad[1].contains("1 fields, not 3"),
            "{bad:?}"
        );
        assert!(
            bad[2].starts_with("line 5") && bad[2].contains("5 fields, not 3"),
            "{bad:?}"
        );
        assert!(
            bad[3].starts_with("line 6") && bad[3].contains("\"symbol\": invalid utf-8"),
            "{bad:?}"
        );
        assert!(bad[4].starts_with("line 7"), "{bad:?}");
        resumes_everywhere(&source);
    }
}

#[test]
fn a_stray_quote_costs_its_own_line_only() {
    let (_directory, path) = file("symbol,price,note\nA,1,\nB,\"2,\nC,3,\nD,4,\nE,5,\n");
    let path = path.to_str().unwrap();
    for csv in [Csv::default(), Csv::default().multiline(false)] {
        for max in [20, 1_000] {
            let source = FileSource::<Trade>::with_format(path, csv.clone()).max_record(max);
            let (good, bad) = read(&source);
            let names: Vec<&str> = good.iter().map(|trade| &*trade.symbol).collect();
            assert_eq!(names, ["A", "C", "D", "E"]);
            assert_eq!(bad.len(), 1);
            assert!(bad[0].starts_with("line 3, byte 23: "), "{bad:?}");
            resumes_everywhere(&source);
        }
    }
}

#[test]
fn the_options_of_csv() {
    type Row = (String, u32);
    let row = |name: &str, n| (name.to_owned(), n);
    let default = || Csv::new(false, b',');
    for (csv, text, expected) in [
        (default(), "a,1\nb,2\n", vec![row("a", 1), row("b", 2)]),
        (default().delimiter(b';'), "a,;1\n", vec![row("a,", 1)]),
        (default().header(true), "n,m\na,1", vec![row("a", 1)]),
        (default().comment(b'#'), "#no\na,1\n#\n", vec![row("a", 1)]),
        (default().trim(true), " a , 1 \n", vec![row("a", 1)]),
        (default().quote(b'\''), "'a,b',1\n", vec![row("a,b", 1)]),
        (default().quoting(false), "\"a,1\n", vec![row("\"a", 1)]),
        (
            default().escape(b'\\'),
            "\"a\\\"b\",1\n",
            vec![row("a\"b", 1)],
        ),
        (
            default().flexible(true),
            "a,1\nb,2,3\n",
            vec![row("a", 1), row("b", 2)],
        ),
        (Csv::default(), "\u{feff}n,m\na,1\n", vec![row("a", 1)]),
        (default(), "", vec![]),
        (Csv::default(), "only,header", vec![]),
    ] {
        let (_directory, path) = file(text);
        let source = FileSource::<Row>::with_format(path.to_str().unwrap(), csv);
        assert_eq!(read(&source), (expected, vec![]), "{text:?}");
        resumes_everywhere(&source);
    }
}

#[test]
fn json_lines_and_lines_of_ones_own() {
    let (_directory, path) =
        file("\u{feff}{\"symbol\":\"A\",\"price\":1}\n\n  \n{\"symbol\":\"B\"}\n{oops\n");
    let source = FileSource::<Trade>::json_lines(path.to_str().unwrap());
    let bad = [
        "line 4, byte 32: missing field `price` at its column 14",
        "line 5, byte 47: key must be a string at its column 2",
    ];
    assert_eq!(
        read(&source),
        (vec![trade("A", 1.0, None)], bad.map(str::to_owned).to_vec())
    );
    resumes_everywhere(&source);

    let (_directory, path) = file(b"1\nx\n\xff\n2");
    let numbers = EachLine::new(|line: &str| line.parse::<i64>());
    let source = FileSource::<i64>::with_format(path.to_str().unwrap(), numbers);
    let (good, bad) = read(&source);
    assert_eq!(good, [1, 2]);
    assert_eq!(bad[0], "line 2, byte 2: invalid digit found in string");
    assert!(bad[1].contains("UTF-8"), "{bad:?}");
}

#[test]
fn a_header_is_kept_over_a_restart_and_taken_anew_after_a_rotation() {
    let (directory, path) = file("symbol,price,note\nA,1,\n");
    let source = FileSource::<Trade>::csv(path.to_str().unwrap()).watch(TICK);
    let split = split(&source);
    let mut reader = source.open(&split, None, &reader_context()).unwrap();
    assert_eq!(drain(&mut *reader, 10).unwrap().0.len(), 1);
    let position = reader.position();
    append(&path, "B,2,\n");
    let mut reader = source
        .open(&split, Some(&position), &reader_context())
        .unwrap();
    assert_eq!(
        drain(&mut *reader, 10).unwrap().0[0].value,
        trade("B", 2.0, None)
    );
    fs::rename(&path, directory.path().join("old")).unwrap();
    append(&path, "note,price,symbol\n,3,C\n");
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(drain(&mut *reader, 10).unwrap().0);
    }
    assert_eq!(found[0].value, trade("C", 3.0, None));

    let bare = FileSource::<Trade>::with_format(path.to_str().unwrap(), Csv::new(false, b','));
    let error = error_of(bare.open(&split, Some(&position), &reader_context()));
    assert!(
        error.contains("file.txt") && error.contains("header"),
        "{error}"
    );
}
