//! Damaged checkpoints are refused by name, with the older one that is sound; and a directory serves
//! one job at a time.

use crate::harness::{
    Numbers, assert_counted, assert_error, copy, counting, durable, failure, finish, names, until,
};
use millstream::prelude::*;
use std::path::{Path, PathBuf};

const COUNT: u64 = 5_000;

/// Leaves several checkpoints behind, the last of a stop in the middle.
fn interrupted(dir: &Path) {
    let numbers = Numbers::new(COUNT, 3).held_at(0);
    let config = JobConfig {
        workers: 2,
        retained_checkpoints: 3,
        ..durable(dir)
    };
    let handle = counting(&numbers, &dir.join("out")).start(config).unwrap();
    for step in 1..=4 {
        numbers.open(step * 500);
        let before = handle.report().checkpoints;
        until(&handle, "records", || {
            (handle.report().records_written() >= step * 500).then_some(())
        });
        until(&handle, "a checkpoint", || {
            (handle.report().checkpoints > before + 1).then_some(())
        });
    }
    handle.stop();
    assert_eq!(finish(handle).unwrap().outcome, Some(Outcome::Stopped));
}

fn resume(dir: &Path, resume: Resume) -> Result<JobReport> {
    let config = JobConfig {
        workers: 2,
        resume,
        ..durable(dir)
    };
    let numbers = Numbers::new(COUNT, 3);
    counting(&numbers, &dir.join("out"))
        .start(config)
        .and_then(finish)
}

/// The files of a checkpoint directory that start so, newest last.
fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let dir = dir.join("checkpoints");
    let names = names(&dir)
        .into_iter()
        .filter(|name| name.starts_with(prefix));
    names.map(|name| dir.join(name)).collect()
}

/// Applies each damage to a copy of the directory: refused, then resumed from what the error advises.
fn refused(dir: &Path, file: &Path, damages: Vec<Vec<u8>>) {
    let name = file.file_name().unwrap().to_str().unwrap();
    for damaged in damages {
        let copied = tempfile::tempdir().unwrap();
        for folder in ["checkpoints", "out"] {
            copy(&dir.join(folder), &copied.path().join(folder));
        }
        std::fs::write(copied.path().join("checkpoints").join(name), damaged).unwrap();
        let error = resume(copied.path(), Resume::Latest).unwrap_err();
        let place = copied.path().join("checkpoints");
        let place = place.to_str().unwrap();
        assert_error(&error, ErrorKind::Restore, &[name, place, "--resume "]);
        let text = error.to_string();
        let (_, advice) = text.split_once("--resume ").unwrap();
        let digits: String = advice.chars().take_while(char::is_ascii_digit).collect();
        let sound = Resume::Checkpoint(digits.parse().unwrap());
        let report = resume(copied.path(), sound).unwrap();
        assert_eq!(report.restored, digits.parse().ok());
        assert_counted(&copied.path().join("out"), COUNT);
    }
}

/// The file cut short at, and with a bit flipped in, some places all over it.
fn damages(file: &Path) -> Vec<Vec<u8>> {
    let sound = std::fs::read(file).unwrap();
    let places = (0..6).map(|i| i * (sound.len() - 1) / 5);
    places
        .flat_map(|at| {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (at % 8);
            [sound[..at].to_vec(), flipped]
        })
        .collect()
}

#[test]
fn damaged_parts() {
    let dir = tempfile::tempdir().unwrap();
    interrupted(dir.path());
    let newest = files(dir.path(), "part-").pop().unwrap();
    refused(dir.path(), &newest, damages(&newest));
}

#[test]
fn damaged_manifests() {
    let dir = tempfile::tempdir().unwrap();
    interrupted(dir.path());
    let newest = files(dir.path(), "manifest-").pop().unwrap();
    refused(dir.path(), &newest, damages(&newest));
}

#[test]
fn a_missing_part() {
    let dir = tempfile::tempdir().unwrap();
    interrupted(dir.path());
    let newest = files(dir.path(), "part-").pop().unwrap();
    std::fs::remove_file(&newest).unwrap();
    let error = resume(dir.path(), Resume::Latest).unwrap_err();
    let name = newest.file_name().unwrap().to_str().unwrap();
    assert_error(&error, ErrorKind::Restore, &[name, "--resume "]);
}

#[test]
fn nothing_sound_is_left() {
    let dir = tempfile::tempdir().unwrap();
    interrupted(dir.path());
    for file in files(dir.path(), "part-") {
        std::fs::write(file, "not a part").unwrap();
    }
    let error = resume(dir.path(), Resume::Latest).unwrap_err();
    assert_error(&error, ErrorKind::Restore, &["part-", "there is no other"]);
}

#[test]
fn one_job_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = Numbers::unbounded(1).held_at(10);
    let first = counting(&numbers, &dir.path().join("out")).start(durable(dir.path()));
    let first = first.unwrap();
    let second = counting(&numbers, &dir.path().join("other")).start(durable(dir.path()));
    let place = dir.path().join("checkpoints");
    let pid = std::process::id().to_string();
    assert_error(
        &failure(second),
        ErrorKind::Locked,
        &[place.to_str().unwrap(), &pid],
    );
    first.stop();
    finish(first).unwrap();
    let third = counting(&numbers, &dir.path().join("out")).start(durable(dir.path()));
    let third = third.unwrap();
    third.stop();
    finish(third).unwrap();
}
