//! Files that are followed while they grow, are rotated, cut short, removed.

use super::*;
use crate::testing::until;

const WAITS: ReadStatus = ReadStatus::WaitFor(TICK);

fn open(source: &TextFiles, position: Option<&[u8]>) -> Box<dyn SplitReader<String>> {
    let split = FileSplit {
        path: source.options.pattern.clone(),
        part: Part::Whole,
        identity: None,
    };
    source.open(&split, position, &reader_context()).unwrap()
}

/// What is there, looking `looks` times.
fn look(reader: &mut dyn SplitReader<String>, looks: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..looks {
        let (lines, status) = next(reader).unwrap();
        found.extend(lines);
        assert_eq!(status, WAITS);
    }
    found
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
        }
    }
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
    let (directory, path) = file("1\n2\n");
    let source = files(&path).watch(TICK);
    let mut reader = open(&source, None);
    assert_eq!(look(&mut *reader, 1), ["1", "2"]);
    append(&path, "3\n");
    let old = directory.path().join("file.txt.1");
    fs::rename(&path, &old).unwrap();
    append(&path, "new 1\n");
    assert_eq!(look(&mut *reader, 1), ["3"], "the new one has to wait");
    // The program that writes has not noticed yet.
    append(&old, "4\nno line end");
    assert_eq!(look(&mut *reader, 1), ["4"]);
    assert_eq!(look(&mut *reader, 2), ["no line end", "new 1"]);
    append(&path, "new 2\n");
    assert_eq!(look(&mut *reader, 1), ["new 2"]);
    let position = reader.position();
    append(&path, "new 3\n");
    assert_eq!(look(&mut *open(&source, Some(&position)), 1), ["new 3"]);
}

#[test]
fn a_file_rotated_while_the_job_was_down_is_found_under_its_new_name() {
    let (directory, path) = file("1\n2\n");
    let source = files(&path).watch(TICK);
    let mut reader = open(&source, None);
    assert_eq!(look(&mut *reader, 1), ["1", "2"]);
    let position = reader.position();
    drop(reader);
    append(&path, "3\n");
    fs::rename(&path, directory.path().join("file.txt.1")).unwrap();
    for there in [false, true] {
        if there {
            append(&path, "new\n");
        }
        let mut reader = open(&source, Some(&position));
        let expected: &[&str] = if there { &["3", "new"] } else { &["3"] };
        assert_eq!(look(&mut *reader, 4), expected);
    }
}

/// The file in the middle was passed over without a word: it had come and gone under its name between two looks.
#[test]
fn several_rotations_between_two_looks_lose_nothing() {
    for down in [false, true] {
        let (directory, path) = file("1\n");
        let at = |name: &str| directory.path().join(name);
        let born = |path: &Path| Identity::of(&fs::metadata(path).unwrap()).born_ns;
        if born(&path) == 0 {
            return; // the file system does not say which came first
        }
        let source = files(&path).watch(TICK);
        let mut reader = open(&source, None);
        assert_eq!(look(&mut *reader, 1), ["1"]);
        append(&path, "2\n");
        fs::copy(&path, at("file.txt.bak")).unwrap();
        for number in 3..6 {
            for old in (1..number - 2).rev() {
                let (old, new) = (format!("file.txt.{old}"), format!("file.txt.{}", old + 1));
                fs::rename(at(&old), at(&new)).unwrap();
            }
            let before = born(&path);
            fs::rename(&path, at("file.txt.1")).unwrap();
            // The system's clock for this is a coarse one.
            until("a later time of birth", || {
                let _ = fs::remove_file(&path);
                append(&path, &format!("{number}\n"));
                (born(&path) > before).then_some(())
            });
        }
        if down {
            reader = open(&source, Some(&reader.position()));
        }
        let mut found = look(&mut *reader, 4);
        // Also in the middle of it.
        reader = open(&source, Some(&reader.position()));
        found.extend(look(&mut *reader, 8));
        assert_eq!(found, ["2", "3", "4", "5"], "down: {down}");
    }
}

#[test]
fn a_removed_file_is_read_to_its_end_and_waited_for() {
    let (_directory, path) = file("a\nrest");
    let source = files(&path).watch(TICK);
    let mut reader = open(&source, None);
    assert_eq!(look(&mut *reader, 1), ["a"]);
    append(&path, " of it\nb\n");
    fs::remove_file(&path).unwrap();
    assert_eq!(look(&mut *reader, 3), ["rest of it", "b"]);
    append(&path, "new, and of the same name\n");
    assert_eq!(look(&mut *reader, 2), ["new, and of the same name"]);
}

#[test]
fn a_file_gone_after_a_restart_is_an_error_unless_it_had_been_read() {
    let (_directory, path) = file("a\nb\n");
    let source = files(&path).watch(TICK);
    let mut reader = open(&source, None);
    let mut batch = Batch::default();
    reader.poll(&mut batch, 1).unwrap();
    let amid = reader.position();
    look(&mut *reader, 1);
    let at_end = reader.position();
    fs::remove_file(&path).unwrap();
    assert_eq!(look(&mut *open(&source, Some(&at_end)), 2), [""; 0]);
    let error = error_of(next(&mut *open(&source, Some(&amid))));
    for part in ["file.txt", "gone", "byte 2", "on_loss"] {
        assert!(error.contains(part), "{error}");
    }
    append(&path, "new\n");
    assert_eq!(look(&mut *open(&source, Some(&at_end)), 2), ["new"]);
    let error = error_of(next(&mut *open(&source, Some(&amid))));
    assert!(error.contains("replaced"), "{error}");
    let tolerant = source.on_loss(OnLoss::GoOn);
    assert_eq!(look(&mut *open(&tolerant, Some(&amid)), 1), ["new"]);
}

#[test]
fn a_file_cut_short_is_read_from_its_start_if_that_was_chosen() {
    let (_directory, path) = file("1\n2\n3\nhalf a li");
    let source = files(&path).watch(TICK).on_loss(OnLoss::GoOn);
    let mut reader = open(&source, None);
    assert_eq!(look(&mut *reader, 1), ["1", "2", "3"]);
    fs::write(&path, "new\n").unwrap();
    assert_eq!(look(&mut *reader, 1), ["half a li", "new"]);
    fs::write(&path, "longer than what was read before\n").unwrap();
    assert_eq!(look(&mut *reader, 1), ["longer than what was read before"]);
}

#[test]
fn a_new_name_of_a_followed_file_is_no_new_file() {
    let directory = directory(&[("app.log", "1\n")]);
    let source = files(directory.path()).watch(TICK);
    let mut enumerator = source.enumerator().unwrap();
    let ids = |enumerator: &mut dyn SplitEnumerator<FileSplit>| -> Vec<String> {
        let splits = enumerator.discover().unwrap();
        let name = |split: &FileSplit| Path::new(&split.path).file_name().unwrap().to_owned();
        splits
            .iter()
            .map(|split| name(split).into_string().unwrap())
            .collect()
    };
    assert_eq!(ids(&mut *enumerator), ["app.log"]);
    for number in 1..3 {
        let at = |name: &str| directory.path().join(name);
        for old in (1..number).rev() {
            fs::rename(
                at(&format!("app.log.{old}")),
                at(&format!("app.log.{}", old + 1)),
            )
            .unwrap();
        }
        fs::rename(at("app.log"), at("app.log.1")).unwrap();
        append(&at("app.log"), "new\n");
        assert_eq!(
            ids(&mut *enumerator),
            ["app.log"],
            "after rotation {number}"
        );
    }
    append(&directory.path().join("other.log"), "x\n");
    assert_eq!(ids(&mut *enumerator), ["app.log", "other.log"]);
}

/// vim, for one, makes a file and removes it again, to see whether it may.
#[test]
fn a_file_gone_before_it_was_read_is_an_error_unless_it_was_empty() {
    for text in ["", "1\n"] {
        let directory = directory(&[("a", text)]);
        let path = directory.path().join("a");
        let source = files(directory.path()).watch(TICK);
        let split = split(&source);
        fs::rename(&path, directory.path().join("b")).unwrap();
        let open = || source.open(&split, None, &reader_context()).unwrap();
        if !text.is_empty() {
            assert_eq!(
                look(&mut *open(), 1),
                ["1"],
                "it is found under its new name"
            );
            fs::remove_file(directory.path().join("b")).unwrap();
            assert!(error_of(next(&mut *open())).contains("gone"));
            continue;
        }
        let mut reader = open();
        assert_eq!(look(&mut *reader, 2), [""; 0]);
        append(&path, "2\n");
        assert_eq!(look(&mut *reader, 1), ["2"]);
    }
}

/// Rotation leaves a moment in which nothing has the name: looking for new files then was an error, and
/// ended the job.
#[test]
fn a_name_that_is_free_for_a_moment_is_no_error() {
    let (directory, path) = file("1\n");
    let source = files(&path).watch(TICK);
    let mut enumerator = source.enumerator().unwrap();
    assert_eq!(enumerator.discover().unwrap().len(), 1);
    fs::rename(&path, directory.path().join("old")).unwrap();
    assert!(enumerator.discover().unwrap().is_empty());
    append(&path, "2\n");
    assert_eq!(enumerator.discover().unwrap().len(), 1);
}

/// A file grows in random pieces and is rotated at random moments, while a reader looks at it, is stopped and
/// opened again at random positions: each line is read once.
#[test]
fn nothing_is_lost_or_doubled_by_rotation() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (directory, path) = file("");
        let source = files(&path).watch(TICK).chunk_size(rng.usize(1..100));
        let mut reader = open(&source, None);
        let mut found = look(&mut *reader, 1);
        let (mut written, mut rotations) = (0, 0);
        for _ in 0..200 {
            match rng.u8(0..10) {
                0 => {
                    rotations += 1;
                    let old = directory.path().join(format!("file.txt.{rotations}"));
                    fs::rename(&path, old).unwrap();
                    append(&path, "");
                    // One rotation at a time: the reader comes to the new file before it goes.
                    for _ in 0..4 {
                        found.extend(next(&mut *reader).unwrap().0);
                    }
                }
                1 => reader = open(&source, Some(&reader.position())),
                2..6 => {
                    let line = format!("{written}{}\n", "x".repeat(rng.usize(0..30)));
                    let cut = rng.usize(0..line.len());
                    append(&path, &line[..cut]);
                    if rng.bool() {
                        found.extend(next(&mut *reader).unwrap().0);
                    }
                    append(&path, &line[cut..]);
                    written += 1;
                }
                _ => found.extend(next(&mut *reader).unwrap().0),
            }
        }
        found.extend(look(&mut *reader, 4));
        let numbers: Vec<usize> = found
            .iter()
            .map(|line| line.trim_end_matches('x').parse().unwrap())
            .collect();
        assert_eq!(numbers, (0..written).collect::<Vec<_>>(), "seed {seed}");
    }
}
