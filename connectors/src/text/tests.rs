//! Lines, ranges, watching, resuming and bad input, on real files.

use super::*;
use crate::testing::{drain, error_of, read_all, reader_context, resumes_everywhere};
use millstream_runtime::source::{Batch, ReadStatus};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TICK: Duration = Duration::from_millis(5);

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.txt");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn files(path: &Path) -> TextFiles {
    TextFiles::new(path.to_str().unwrap())
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn values(source: &TextFiles) -> Vec<String> {
    read_all(source)
        .unwrap()
        .into_iter()
        .map(|record| record.value)
        .collect()
}

/// The only split of a source.
fn split<L: FromLine>(source: &TextFiles<L>) -> FileSplit {
    let mut splits = source.enumerator().unwrap().discover().unwrap();
    assert_eq!(splits.len(), 1);
    splits.remove(0)
}

fn next(reader: &mut dyn SplitReader<String>) -> Result<(Vec<String>, ReadStatus)> {
    let (records, status) = drain(reader, 100)?;
    Ok((
        records.into_iter().map(|record| record.value).collect(),
        status,
    ))
}

#[test]
fn lines_and_line_ends() {
    for (text, expected) in [
        ("", &[][..]),
        ("a\nb\n", &["a", "b"]),
        ("a\r\nb", &["a", "b"]),
        ("\n\r\n", &["", ""]),
        ("grün\n", &["grün"]),
    ] {
        let (_directory, path) = file(text);
        for chunk in [1, 2, 3, 1_000] {
            assert_eq!(
                values(&files(&path).chunk_size(chunk)),
                expected,
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_directory_is_read_by_name_without_hidden_files() {
    let directory = directory(&[("b.txt", "2\n"), ("a.log", "1"), (".hidden", "no\n")]);
    fs::create_dir(directory.path().join("deeper")).unwrap();
    fs::write(directory.path().join("deeper/c.txt"), "3\n").unwrap();
    assert_eq!(values(&files(directory.path())), ["1", "2"]);
    assert_eq!(values(&files(&directory.path().join("*.txt"))), ["2"]);
    assert_eq!(
        values(&files(&directory.path().join("**/*.txt"))),
        ["2", "3"]
    );
    let names: Vec<NumberedLine> = read_all(&files(&directory.path().join("b.*")).numbered())
        .unwrap()
        .into_iter()
        .map(|record| record.value)
        .collect();
    assert!(names[0].path.ends_with("b.txt"));
    assert_eq!((names[0].number, names[0].text.as_str()), (1, "2"));
}

#[test]
fn resumes_at_every_line() {
    let text: String = (0..40)
        .map(|i| format!("line {i}\r\n{}\n", "x".repeat(i)))
        .collect();
    let (_directory, path) = file(text);
    for chunk in [1, 16, 1_000] {
        resumes_everywhere(&files(&path).chunk_size(chunk));
        resumes_everywhere(&files(&path).chunk_size(chunk).numbered());
        resumes_everywhere(&files(&path).chunk_size(chunk).split_size(100));
    }
    resumes_everywhere(&files(&path).watch(TICK));
}

#[test]
fn ranges_of_every_size_yield_every_line_once() {
    for text in [
        "a\nbb\n\nccc\r\ndddddddddd\ne",
        "\n",
        "",
        "no line end",
        "abc\ndef\n",
    ] {
        let (_directory, path) = file(text);
        let whole = values(&files(&path));
        for size in 1..=text.len() as u64 + 2 {
            for chunk in [1, 3, 100] {
                let source = files(&path).split_size(size).chunk_size(chunk);
                assert_eq!(values(&source), whole, "{text:?} in ranges of {size}");
            }
        }
    }
}

#[test]
fn a_random_file_is_cut_anywhere() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..50 {
        let length = rng.usize(0..300);
        let text: String = (0..length)
            .map(|_| *rng.choice(&['a', '\n', '\r', 'ß']).unwrap())
            .collect();
        let (_directory, path) = file(&text);
        let expected: Vec<&str> = text.lines().collect();
        let source = files(&path)
            .split_size(rng.u64(1..100))
            .chunk_size(rng.usize(1..50));
        assert_eq!(values(&source), expected, "{text:?}");
    }
}

#[test]
fn bytes_and_counts_are_told() {
    let (_directory, path) = file("a\r\nbb\nccc");
    let source = files(&path);
    let mut reader = source
        .open(&split(&source), None, &reader_context())
        .unwrap();
    let mut batch = Batch::default();
    assert_eq!(reader.poll(&mut batch, 2).unwrap(), ReadStatus::More);
    assert_eq!((batch.records.len(), batch.bytes), (2, 6));
    assert_eq!(reader.poll(&mut batch, 2).unwrap(), ReadStatus::Finished);
    assert_eq!((batch.records.len(), batch.bytes), (3, 9));
}

#[test]
fn bad_lines_fail_or_are_skipped() {
    let (_directory, path) = file(b"ok\nb\xffd\n12345678901\nlast\n\xfe");
    let source = files(&path).max_line(10).chunk_size(4);
    let error = error_of(read_all(&source));
    for part in ["file.txt", "line 2", "byte 4", "UTF-8"] {
        assert!(error.contains(part), "{error}");
    }
    let source = source.on_bad_line(OnBadLine::Skip);
    let mut reader = source
        .open(&split(&source), None, &reader_context())
        .unwrap();
    let mut batch = Batch::default();
    while reader.poll(&mut batch, 10).unwrap() == ReadStatus::More {}
    assert_eq!(batch.skipped, 3);
    let numbered: Vec<_> = read_all(&source.numbered()).unwrap();
    assert_eq!(numbered[1].value.number, 4, "skipped lines count");
    assert_eq!(batch.records.len(), 2);

    let (_directory, path) = file("short\n12345678901\n");
    let error = error_of(read_all(&files(&path).max_line(10)));
    for part in ["file.txt", "line 2", "byte 6", "longer than 10"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_long_line_is_skipped_again_after_a_restart() {
    let (_directory, path) = file(format!("a\n{}\nb\n", "x".repeat(100)));
    let source = files(&path)
        .max_line(10)
        .chunk_size(7)
        .on_bad_line(OnBadLine::Skip)
        .numbered();
    resumes_everywhere(&source);
    let mut reader = source
        .open(&split(&source), None, &reader_context())
        .unwrap();
    let mut batch = Batch::default();
    while batch.skipped == 0 {
        reader.poll(&mut batch, 1).unwrap();
    }
    let position = reader.position();
    let mut reader = source
        .open(&split(&source), Some(&position), &reader_context())
        .unwrap();
    let (records, _) = drain(&mut *reader, 10).unwrap();
    assert_eq!(
        (records[0].value.number, records[0].value.text.as_str()),
        (3, "b")
    );
}

#[test]
fn wrong_paths_are_errors_at_the_start() {
    let directory = directory(&[(".hidden", "")]);
    let at = |name: &str| files(&directory.path().join(name));
    for (source, part) in [
        (at("missing.txt"), "missing.txt"),
        (at("*.csv"), "no files"),
        (files(directory.path()), "no files"),
        (at("a[b"), "not a glob pattern"),
        (
            files(Path::new("/dev/null")),
            "neither a file nor a directory",
        ),
    ] {
        let error = error_of(source.enumerator());
        assert!(error.contains(part), "{error}");
        assert!(error.contains(&source.options.pattern), "{error}");
    }
    let ranges = at("x").split_size(10);
    assert!(error_of(ranges.clone().watch(TICK).enumerator()).contains("watched"));
    assert!(error_of(ranges.numbered().enumerator()).contains("line numbers"));
}

#[test]
fn new_files_are_found() {
    let directory = directory(&[]);
    let source = files(directory.path()).watch(TICK);
    let mut enumerator = source.enumerator().unwrap();
    assert_eq!(enumerator.interval(), Some(TICK));
    assert!(enumerator.discover().unwrap().is_empty());
    append(&directory.path().join("new.txt"), "x\n");
    let splits = enumerator.discover().unwrap();
    assert!(splits[0].id().ends_with("new.txt"));
    drop(directory);
    assert!(error_of(enumerator.discover()).contains("cannot be read"));
}

#[test]
fn appended_lines_follow_when_their_line_end_comes() {
    let (_directory, path) = file("a\nb");
    let source = files(&path).watch(TICK);
    let mut reader = source
        .open(&split(&source), None, &reader_context())
        .unwrap();
    let waits = ReadStatus::WaitFor(TICK);
    assert_eq!(next(&mut *reader).unwrap(), (vec!["a".into()], waits));
    append(&path, "c");
    assert_eq!(next(&mut *reader).unwrap(), (vec![], waits));
    let position = reader.position();
    append(&path, "\nd\n");
    let both = vec!["bc".to_string(), "d".to_string()];
    assert_eq!(next(&mut *reader).unwrap(), (both.clone(), waits));
    let mut resumed = source
        .open(&split(&source), Some(&position), &reader_context())
        .unwrap();
    assert_eq!(next(&mut *resumed).unwrap(), (both, waits));
}

#[test]
fn available_now_ends_before_a_line_that_is_not_complete() {
    let (_directory, path) = file("a\nb");
    let source = files(&path).watch(TICK).chunk_size(1);
    let context = ReaderContext {
        available_now: true,
        ..reader_context()
    };
    let mut reader = source.open(&split(&source), None, &context).unwrap();
    let mut batch = Batch::default();
    assert_eq!(reader.poll(&mut batch, 1).unwrap(), ReadStatus::More);
    append(&path, "c\nd\n");
    let (records, status) = next(&mut *reader).unwrap();
    assert_eq!(
        (records, status),
        (vec!["a".to_string()], ReadStatus::Finished)
    );
    let position = reader.position();
    let mut reader = source
        .open(&split(&source), Some(&position), &context)
        .unwrap();
    assert_eq!(next(&mut *reader).unwrap().0, ["bc", "d"]);
}

#[test]
fn a_file_cut_short_or_replaced_is_an_error() {
    let (_directory, path) = file("one\ntwo\nthree\n");
    for watched in [true, false] {
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let source = match watched {
            true => files(&path).watch(TICK),
            false => files(&path),
        };
        let split = split(&source);
        let mut reader = source.open(&split, None, &reader_context()).unwrap();
        let mut batch = Batch::default();
        reader.poll(&mut batch, 2).unwrap();
        let position = reader.position();
        fs::write(&path, "one\n").unwrap();
        let mut resumed = source
            .open(&split, Some(&position), &reader_context())
            .unwrap();
        let error = error_of(resumed.poll(&mut batch, 1));
        assert!(
            error.contains("cut short") && error.contains("file.txt"),
            "{error}"
        );
        if watched {
            assert_eq!(reader.poll(&mut batch, 1).unwrap(), ReadStatus::More);
            assert!(error_of(reader.poll(&mut batch, 1)).contains("cut short"));
            fs::write(&path, "another file, and a longer one\n").unwrap();
            let mut resumed = source
                .open(&split, Some(&position), &reader_context())
                .unwrap();
            assert!(error_of(resumed.poll(&mut batch, 1)).contains("replaced"));
            assert!(error_of(reader.poll(&mut batch, 1)).contains("replaced"));
        }
    }
}

#[test]
fn a_removed_file_ends_once_it_was_read() {
    let (_directory, path) = file("a\nrest");
    let source = files(&path).watch(TICK);
    let split = split(&source);
    let mut reader = source.open(&split, None, &reader_context()).unwrap();
    next(&mut *reader).unwrap();
    let amid_a_line = reader.position();
    fs::remove_file(&path).unwrap();
    assert_eq!(
        next(&mut *reader).unwrap(),
        (vec!["rest".into()], ReadStatus::Finished)
    );
    let at_end = reader.position();
    let mut resumed = source
        .open(&split, Some(&at_end), &reader_context())
        .unwrap();
    assert_eq!(next(&mut *resumed).unwrap(), (vec![], ReadStatus::Finished));
    let mut resumed = source
        .open(&split, Some(&amid_a_line), &reader_context())
        .unwrap();
    assert!(error_of(next(&mut *resumed)).contains("cannot be opened"));
}

#[test]
fn a_foreign_position_is_refused() {
    let (_directory, path) = file("a\n");
    let source = files(&path);
    let error = error_of(source.open(&split(&source), Some(b"xyz"), &reader_context()));
    assert!(error.contains("file.txt"), "{error}");
}
