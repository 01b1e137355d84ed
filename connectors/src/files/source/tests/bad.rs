//! Bad records cost nothing but themselves; what is wrong with a file is said with its name.

use super::*;

/// Position, reason, bytes.
type Told = (String, String, Vec<u8>);

fn bad_of(source: &TextFiles) -> (Vec<String>, Vec<Told>) {
    let (records, bad) = read_good_and_bad(source).unwrap();
    let good = records.into_iter().map(|record| record.value).collect();
    let bad = bad
        .into_iter()
        .map(|bad| (bad.position, bad.reason, bad.payload));
    (good, bad.collect())
}

#[test]
fn bad_lines_have_position_reason_and_bytes() {
    let (_directory, path) = file(b"ok\nb\xffd\n12345678901\nlast\n\xfe");
    for chunk in [1, 4, 1_000] {
        let (good, bad) = bad_of(&files(&path).max_record(10).chunk_size(chunk));
        assert_eq!(good, ["ok", "last"]);
        let told = |position: &str, reason: &str, bytes: &[u8]| {
            (position.to_owned(), reason.to_owned(), bytes.to_owned())
        };
        assert_eq!(
            bad,
            [
                told("line 2, byte 3", "not UTF-8 at its byte 2", b"b\xffd"),
                told("line 3, byte 7", "longer than 10 bytes", b"1234567890"),
                told("line 5, byte 24", "not UTF-8 at its byte 1", b"\xfe"),
            ]
        );
    }
    resumes_everywhere(&files(&path).max_record(10).chunk_size(4).with_position());
    let (good, bad) = bad_of(&files(&path).max_record(10).split_size(5));
    assert_eq!(good, ["ok", "last"]);
    let places: Vec<&str> = bad.iter().map(|(place, ..)| &**place).collect();
    assert_eq!(
        places,
        ["byte 3", "byte 7", "byte 24"],
        "ranges have no line numbers"
    );
    let lossy =
        FileSource::<String>::with_format(path.to_str().unwrap(), crate::format::LossyLines);
    assert_eq!(read_all(&lossy).unwrap()[1].value, "b\u{fffd}d");
    let bytes = FileSource::<Vec<u8>>::lines(path.to_str().unwrap());
    assert_eq!(read_all(&bytes).unwrap()[1].value, b"b\xffd");
}

#[test]
fn bad_records_count_towards_a_batch() {
    let (_directory, path) = file(b"\xff\n".repeat(10));
    let source = files(&path);
    let mut reader = source
        .open(&split(&source), None, &reader_context())
        .unwrap();
    let mut batch = Batch::default();
    assert_eq!(reader.poll(&mut batch, 4).unwrap(), ReadStatus::More);
    assert_eq!((batch.bad.len(), batch.bytes), (4, 8));
}

/// What can be wrong with files, and what the error names.
#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = directory(&[
        ("gone.txt", "a\n"),
        ("dir.txt", "a\n"),
        ("short.txt", "a\nb\nc\n"),
    ]);
    let at = |name: &str| files(&directory.path().join(name)).chunk_size(2);
    for (name, spoil, parts) in [
        (
            "gone.txt",
            "remove",
            &["gone.txt", "cannot be opened", "No such file"][..],
        ),
        (
            "dir.txt",
            "replace by a directory",
            &["dir.txt", "cannot be"],
        ),
        (
            "short.txt",
            "cut short",
            &["short.txt", "cut short", "1 bytes now"],
        ),
    ] {
        let source = at(name);
        let mut reader = source
            .open(&split(&source), None, &reader_context())
            .unwrap();
        let mut batch = Batch::default();
        if spoil == "cut short" {
            reader.poll(&mut batch, 1).unwrap();
        }
        let path = directory.path().join(name);
        match spoil {
            "cut short" => fs::write(&path, "a").unwrap(),
            "remove" => fs::remove_file(&path).unwrap(),
            _ => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                fs::write(path.join("x"), "").unwrap();
            }
        }
        let error = loop {
            match reader.poll(&mut batch, 1) {
                Ok(ReadStatus::More) => {}
                Ok(status) => panic!("{spoil}: {status:?}"),
                Err(error) => break error.to_string(),
            }
        };
        for part in parts {
            assert!(error.contains(part), "{spoil}: {error}");
        }
    }
}

/// A file without the right to read it is an error at the start. Root may read everything: nothing to see then.
#[cfg(unix)]
#[test]
fn a_file_without_permission_is_an_error_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = file("a\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&path).is_err() {
        let error = error_of(files(&path).enumerator());
        assert!(
            error.contains("file.txt") && error.contains("ermission"),
            "{error}"
        );
    }
}

/// Lines of rubbish between good ones, cut into chunks anyhow.
#[test]
fn no_rubbish_costs_a_good_line() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut text, mut good) = (Vec::new(), Vec::new());
        for number in 0..rng.usize(0..40) {
            match rng.bool() {
                true => {
                    let line = format!("good {number}");
                    text.extend_from_slice(line.as_bytes());
                    good.push(line);
                }
                false => {
                    // The first byte is never part of UTF-8.
                    text.push(0xff);
                    let rubbish = (0..rng.usize(0..60)).map(|_| rng.u8(..));
                    text.extend(rubbish.filter(|byte| *byte != b'\n'));
                }
            }
            text.extend_from_slice(rng.choice(&[&b"\n"[..], b"\r\n"]).unwrap());
        }
        let (_directory, path) = file(&text);
        let source = files(&path).max_record(30).chunk_size(rng.usize(1..50));
        assert_eq!(bad_of(&source).0, good, "seed {seed}");
        let ranges = source.split_size(rng.u64(1..100));
        assert_eq!(bad_of(&ranges).0, good, "seed {seed} in ranges");
    }
}
