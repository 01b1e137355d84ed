//! Checkpoint directories with foreign and damaged files.

use super::{Wrong, check};
use crate::harness::{Numbers, counting, durable, finish};
use millstream::prelude::*;
use millstream::runtime::checkpoint::{parse_manifest_name, parse_part_name};
use std::path::{Path, PathBuf};

const RESTORE: ErrorKind = ErrorKind::Restore;

/// Runs a job that leaves checkpoints, lets `damage` at their files, and starts it again.
fn damaged(dir: &Path, config: JobConfig, damage: impl Fn(&Path)) -> Result<JobHandle> {
    let numbers = Numbers::new(500, 2);
    let job = || counting(&numbers, &dir.join("out"));
    let config = JobConfig {
        retained_checkpoints: 1,
        mode: config.mode,
        ..durable(dir)
    };
    finish(job().start(config.clone()).unwrap()).unwrap();
    damage(&dir.join("checkpoints"));
    job().start(config)
}

/// Runs a job that leaves checkpoints; what it ran with.
fn finished(dir: &Path, config: JobConfig) -> (Numbers, JobConfig) {
    let numbers = Numbers::new(500, 2);
    let config = JobConfig {
        mode: config.mode,
        ..durable(dir)
    };
    let job = counting(&numbers, &dir.join("out"));
    finish(job.start(config.clone()).unwrap()).unwrap();
    (numbers, config)
}

fn files(dir: &Path, is: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let some = all.filter(|file| is(&file.file_name().to_string_lossy()));
    some.map(|file| file.path()).collect()
}

fn manifests(dir: &Path) -> Vec<PathBuf> {
    files(dir, |name| parse_manifest_name(name).is_some())
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    files(dir, |name| parse_part_name(name).is_some())
}

fn change(files: &[PathBuf], change: impl Fn(&mut Vec<u8>)) {
    assert!(!files.is_empty());
    for file in files {
        let mut bytes = std::fs::read(file).unwrap();
        change(&mut bytes);
        std::fs::write(file, bytes).unwrap();
    }
}

pub const ROWS: &[Wrong] = &[
    Wrong {
        name: "an empty manifest",
        start: |dir, config| damaged(dir, config, |dir| change(&manifests(dir), Vec::clear)),
        kind: RESTORE,
        says: &["manifest-", "damaged or cut short", "/checkpoints"],
    },
    Wrong {
        name: "half a manifest",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                change(&manifests(dir), |bytes| bytes.truncate(100))
            })
        },
        kind: RESTORE,
        says: &[
            "manifest-",
            "damaged or cut short",
            "there is no other that is",
        ],
    },
    Wrong {
        name: "a manifest with one letter changed",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                change(&manifests(dir), |bytes| bytes[30] ^= 1)
            })
        },
        kind: RESTORE,
        says: &["manifest-", "damaged"],
    },
    Wrong {
        name: "a manifest that is a picture",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                change(&manifests(dir), |bytes| {
                    *bytes = b"\x89PNG\r\n\x1a\n".repeat(20)
                });
            })
        },
        kind: RESTORE,
        says: &["manifest-", "damaged"],
    },
    Wrong {
        name: "a manifest that is a directory",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                for file in manifests(dir) {
                    std::fs::remove_file(&file).unwrap();
                    std::fs::create_dir(file).unwrap();
                }
            })
        },
        kind: RESTORE,
        says: &["manifest-"],
    },
    Wrong {
        name: "a part that is gone",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                parts(dir)
                    .iter()
                    .for_each(|part| std::fs::remove_file(part).unwrap());
            })
        },
        kind: RESTORE,
        says: &["read part-", "/checkpoints"],
    },
    Wrong {
        name: "an empty part",
        start: |dir, config| damaged(dir, config, |dir| change(&parts(dir), Vec::clear)),
        kind: RESTORE,
        says: &["part-", "length is 0"],
    },
    Wrong {
        name: "a part that is cut short",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                change(&parts(dir), |bytes| bytes.truncate(bytes.len() - 1));
            })
        },
        kind: RESTORE,
        says: &["part-", "length is"],
    },
    Wrong {
        name: "a part with one bit flipped",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                change(&parts(dir), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 16;
                });
            })
        },
        kind: RESTORE,
        says: &["part-", "damaged", "at byte"],
    },
    Wrong {
        name: "a part of a newer format",
        start: |dir, config| damaged(dir, config, |dir| change(&parts(dir), |bytes| bytes[8] = 2)),
        kind: RESTORE,
        says: &["part-", "format version 2", "up to 1"],
    },
    Wrong {
        name: "a checkpoint that is not there",
        start: |dir, config| {
            let (numbers, config) = finished(dir, config);
            let resume = Resume::Checkpoint(4_000_000);
            counting(&numbers, &dir.join("out")).start(JobConfig { resume, ..config })
        },
        kind: RESTORE,
        says: &["no checkpoint 4000000", "it has"],
    },
    Wrong {
        name: "a lock that is a directory",
        start: |dir, config| {
            damaged(dir, config, |dir| {
                std::fs::remove_file(dir.join("LOCK")).unwrap();
                std::fs::create_dir(dir.join("LOCK")).unwrap();
            })
        },
        kind: ErrorKind::Config,
        says: &["checkpoint directory ", "cannot be locked"],
    },
    Wrong {
        name: "state of an operator that is gone",
        start: |dir, config| {
            let (numbers, config) = finished(dir, config);
            let job = Job::new("counting");
            job.source("numbers", numbers)
                .map(|n| n.to_string())
                .sink("out", FileSink::lines(dir.join("out")));
            job.start(config)
        },
        kind: ErrorKind::Incompatible,
        says: &["\"count\""],
    },
    Wrong {
        name: "other key groups",
        start: |dir, config| {
            let (numbers, config) = finished(dir, config);
            let config = JobConfig {
                max_parallelism: 128,
                ..config
            };
            counting(&numbers, &dir.join("out")).start(config)
        },
        kind: ErrorKind::Incompatible,
        says: &["4096", "128"],
    },
    Wrong {
        name: "keys of another type",
        start: |dir, config| {
            let (numbers, config) = finished(dir, config);
            let job = Job::new("counting");
            job.timed_source("numbers", numbers, WatermarkStrategy::ascending())
                .key_by(|n| (n % 7).to_string())
                .count()
                .map(|(key, number)| format!("{key} {number}"))
                .sink("out", FileSink::lines(dir.join("out")));
            job.start(config)
        },
        kind: RESTORE,
        says: &["operator \"count\"", "accumulators"],
    },
];

#[test]
fn checkpoints() {
    check(ROWS);
}

/// What is not a checkpoint's is left alone: notes, hidden files, directories.
#[test]
fn foreign_files_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("checkpoints");
    std::fs::create_dir_all(place.join("manifest-of-mine")).unwrap();
    for name in [
        "notes.txt",
        ".hidden",
        "part-",
        "manifest-",
        "manifest-x.json",
        "part-1-1.mill",
    ] {
        std::fs::write(place.join(name), "mine").unwrap();
    }
    let numbers = Numbers::new(500, 2);
    let job = || counting(&numbers, &dir.path().join("out"));
    for _ in 0..2 {
        finish(job().start(durable(dir.path())).unwrap()).unwrap();
    }
    crate::harness::assert_counted(&dir.path().join("out"), 500);
    assert_eq!(std::fs::read(place.join("notes.txt")).unwrap(), b"mine");
    assert!(place.join("manifest-of-mine").is_dir());
}
