//! Lines, ranges, watching, resuming and bad input, on real files.

use super::*;
use crate::testing::{
    drain, error_of, read_all, read_good_and_bad, reader_context, resumes_everywhere,
};
use millstream_runtime::source::{Batch, ReadStatus};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod bad;
mod compressed;
mod follow;
mod formats;

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
fn split<T: Data, P: Parse<T>>(source: &FileSource<T, P>) -> FileSplit {
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
    let records = read_all(&files(&directory.path().join("b.*")).with_position()).unwrap();
    let line = &records[0].value;
    assert!(line.path.ends_with("b.txt"));
    assert_eq!((line.line, line.offset, line.value.as_str()), (1, 0, "2"));
}

#[test]
fn resumes_at_every_line() {
    let text: String = (0..40)
        .map(|i| format!("line {i}\r\n{}\n", "x".repeat(i)))
        .collect();
    let (_directory, path) = file(text);
    for chunk in [1, 16, 1_000] {
        resumes_everywhere(&files(&path).chunk_size(chunk));
        resumes_everywhere(&files(&path).chunk_size(chunk).with_position());
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
    assert!(error_of(ranges.clone().with_position().enumerator()).contains("lines"));
    let series = ranges.one_after_another(FileOrder::Name);
    assert!(error_of(series.enumerator()).contains("one after another"));
    let series = at("x").one_after_another(FileOrder::Name).watch(TICK);
    assert!(error_of(series.enumerator()).contains("side by side"));
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
fn a_foreign_position_is_refused() {
    let (_directory, path) = file("a\n");
    let source = files(&path);
    for position in [&b"xyz"[..], b"", &[2; 65 + 3]] {
        let error = error_of(source.open(&split(&source), Some(position), &reader_context()));
        assert!(error.contains("file.txt"), "{error}");
    }
    // Well formed, but behind the end of any file.
    let mut position = vec![255; 65];
    position[0] = 2;
    position[17..25].copy_from_slice(&5u64.to_le_bytes()); // aligned, and of a certain file
    for source in [source.clone(), source.watch(TICK)] {
        let mut reader = source
            .open(&split(&source), Some(&position), &reader_context())
            .unwrap();
        assert!(error_of(reader.poll(&mut Batch::default(), 1)).contains("file.txt"));
    }
}

#[test]
fn files_one_after_another_in_order() {
    let directory = directory(&[
        ("b.txt", "3\n4"),
        ("a.txt", "1\n2\n"),
        ("c.txt", ""),
        ("d.txt", "5\n"),
    ]);
    let source = files(directory.path()).one_after_another(FileOrder::Name);
    let splits = source.enumerator().unwrap().discover().unwrap();
    assert_eq!(splits.len(), 1, "a series is one split");
    assert_eq!(values(&source), ["1", "2", "3", "4", "5"]);
    resumes_everywhere(&source);
    resumes_everywhere(&source.clone().with_position());

    append(&directory.path().join("b.txt"), "\n");
    let wrong = FileSource::<u8>::json_lines(directory.path().to_str().unwrap())
        .max_record(0)
        .one_after_another(FileOrder::Name);
    let (_, bad) = read_good_and_bad(&wrong).unwrap();
    assert!(
        bad[2].position.ends_with("b.txt, line 1, byte 0"),
        "{bad:?}"
    );

    for (name, seconds) in [("a.txt", 30), ("b.txt", 10), ("d.txt", 20), ("c.txt", 40)] {
        let file = OpenOptions::new()
            .append(true)
            .open(directory.path().join(name))
            .unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }
    let source = files(directory.path()).one_after_another(FileOrder::Modified);
    assert_eq!(values(&source), ["3", "4", "5", "1", "2"]);
    let source = files(directory.path()).order(FileOrder::Modified);
    let splits = source.enumerator().unwrap().discover().unwrap();
    let names: Vec<char> = splits
        .iter()
        .map(|split| split.id().chars().nth_back(4).unwrap())
        .collect();
    assert_eq!(names, ['b', 'd', 'a', 'c']);
}

#[test]
fn partition_folders_are_descended_into() {
    let directory = tempfile::tempdir().unwrap();
    for (folder, text) in [
        ("date=2025-01-02", "b\n"),
        ("date=2025-01-01/place=New%20York", "a\n"),
        (".hidden=1", "no\n"),
        ("other", "no\n"),
    ] {
        let folder = directory.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("part.txt"), text).unwrap();
    }
    let records = read_all(&files(directory.path()).with_position()).unwrap();
    let found: Vec<_> = records
        .iter()
        .map(|record| {
            let line = &record.value;
            (
                &*line.value,
                line.partition("date"),
                line.partition("place"),
            )
        })
        .collect();
    let some = |text: &'static str| Some(text.into());
    assert_eq!(
        found,
        [
            ("a", some("2025-01-01"), some("New York")),
            ("b", some("2025-01-02"), None)
        ]
    );
}
