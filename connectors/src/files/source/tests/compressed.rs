//! gzip and zstd: chosen by name or option, resumed, cut short, damaged, in several members.

use super::*;
use crate::compression::tests::{ALL, compressed};

fn packed(compression: Compression, text: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory
        .path()
        .join(format!("file.txt{}", compression.suffix()));
    fs::write(&path, compressed(compression, text)).unwrap();
    (directory, path)
}

fn text() -> String {
    (0..60)
        .map(|i| format!("line {i} {}\n", "x".repeat(i % 7)))
        .collect()
}

#[test]
fn compressed_files_are_read_by_their_name() {
    for &compression in ALL {
        let (_directory, path) = packed(compression, text().as_bytes());
        let expected: Vec<String> = text().lines().map(str::to_owned).collect();
        for chunk in [1, 50, 100_000] {
            assert_eq!(values(&files(&path).chunk_size(chunk)), expected);
        }
        resumes_everywhere(&files(&path).with_position());
        // A compressed file is one split, whatever the size.
        let source = files(&path).split_size(100);
        assert_eq!(values(&source), expected);
        let other = path.with_file_name("other");
        fs::rename(&path, &other).unwrap();
        assert_eq!(values(&files(&other).compression(compression)), expected);
    }
}

#[test]
fn files_of_several_members_are_one() {
    for &compression in &ALL[1..] {
        let (_directory, path) = packed(compression, b"a\nb");
        let more = compressed(compression, b"b\nc\n");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&more).unwrap();
        assert_eq!(values(&files(&path)), ["a", "bb", "c"]);
        resumes_everywhere(&files(&path));
    }
}

#[test]
fn truncated_and_damaged_files_are_named_after_what_was_good() {
    for &compression in &ALL[1..] {
        let mut rng = fastrand::Rng::with_seed(3);
        let text: String = (0..20_000).map(|_| format!("{}\n", rng.u64(..))).collect();
        let (_directory, path) = packed(compression, text.as_bytes());
        let whole = fs::read(&path).unwrap();
        let cut = whole.len() * 3 / 4;
        let mut flipped = whole.clone();
        flipped[cut] ^= 0xff;
        for (bytes, what) in [(&whole[..cut], "cut short"), (&flipped[..], "damaged")] {
            fs::write(&path, bytes).unwrap();
            let source = files(&path);
            let mut reader = source
                .open(&split(&source), None, &reader_context())
                .unwrap();
            let mut batch = Batch::default();
            let error = loop {
                match reader.poll(&mut batch, 1_000) {
                    Ok(ReadStatus::More) => {}
                    Ok(status) => panic!("{what}: {status:?}"),
                    Err(error) => break error.to_string(),
                }
            };
            for part in [path.to_str().unwrap(), what, "bytes", "line"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(
                batch.records.len() > 10_000,
                "{what}: {}",
                batch.records.len()
            );
            // A checksum comes last: what is behind the damage may be wrong, and nobody knows yet.
            let same = batch.records.iter().take(10_000).zip(text.lines());
            assert!(same.clone().all(|(record, line)| record.value == line));
        }
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_an_error() {
    for &compression in &ALL[1..] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory
            .path()
            .join(format!("plain{}", compression.suffix()));
        fs::write(&path, "just text\n").unwrap();
        let error = error_of(read_good_and_bad(&files(&path)));
        assert!(
            error.contains("damaged") && error.contains("plain"),
            "{error}"
        );
        fs::write(&path, "").unwrap();
        assert!(
            values(&files(&path)).is_empty(),
            "an empty file is one without lines"
        );
    }
}

#[test]
fn a_compressed_file_is_followed_while_it_grows() {
    for &compression in &ALL[1..] {
        let (_directory, path) = packed(compression, b"a\nb\n");
        let first = fs::read(&path).unwrap();
        let both = [&first[..], &compressed(compression, b"c\n")].concat();
        let source = files(&path).watch(TICK);
        let mut reader = source
            .open(&split(&source), None, &reader_context())
            .unwrap();
        let mut found = Vec::new();
        // It grows byte by byte, so it ends within a member most of the time.
        for end in first.len()..=both.len() {
            fs::write(&path, &both[..end]).unwrap();
            let (lines, status) = next(&mut *reader).unwrap();
            assert_eq!(status, ReadStatus::WaitFor(TICK));
            found.extend(lines);
            let position = reader.position();
            reader = source
                .open(&split(&source), Some(&position), &reader_context())
                .unwrap();
        }
        assert_eq!(found, ["a", "b", "c"]);
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn zstd_without_its_feature_is_an_error_at_the_start() {
    let directory = directory(&[("a.txt.zst", "")]);
    let error = error_of(files(directory.path()).enumerator());
    for part in ["a.txt.zst", "feature `zstd`"] {
        assert!(error.contains(part), "{error}");
    }
    let error = error_of(
        files(directory.path())
            .compression(Compression::Zstd)
            .enumerator(),
    );
    assert!(error.contains("feature `zstd`"), "{error}");
}
