//! Files as the input of whole jobs, stopped and resumed at random on another number of workers, in both modes; and
//! a log that is rotated under a running job.

use fastrand::Rng;
use millstream::connectors::files::FileOrder;
use millstream::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];
const DEADLINE: Duration = Duration::from_secs(60);
const ROWS: u64 = 6_000;
const KEYS: u64 = 7;

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    key: u64,
    text: String,
}

/// Files of every kind, by jobs of our own: plain, gzip, in folders by key; with a line of rubbish in each.
fn write_input(dir: &Path) {
    for compression in [Compression::None, Compression::Gzip] {
        let job = Job::new("write");
        let rows = Generator::new(|at, _| Row {
            key: at.index % KEYS,
            text: format!("{} \"quoted\",\nin two lines", at.index),
        });
        job.source("rows", rows.total(ROWS / 2)).sink(
            "files",
            FileSink::csv(dir)
                .prefix(format!("{compression:?}"))
                .partition_by(|row: &Row| partition_folder("key", &row.key.to_string()))
                .roll_size(8_000)
                .compression(compression),
        );
        job.start(JobConfig::default()).unwrap().wait().unwrap();
    }
    for folder in fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if folder.is_dir() {
            for file in fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
            {
                if file.extension().is_some_and(|end| end == "csv") {
                    OpenOptions::new()
                        .append(true)
                        .open(file)
                        .unwrap()
                        .write_all(b"rubbish\n")
                        .unwrap();
                }
            }
        }
    }
}

/// Counts the rows of each key; where each row was, rubbish included, goes to files.
fn job(input: &Path, out: &Path, series: bool) -> Job {
    let job = Job::new("count");
    let mut files = FileSource::<Row>::csv(input.display().to_string()).chunk_size(1_000);
    if series {
        files = files.one_after_another(FileOrder::Name);
    }
    let (rows, rubbish) = job.source("rows", files.with_position()).dead_letters();
    rows.map(|row| {
        assert_eq!(row.partition("key").unwrap(), row.value.key.to_string());
        row.value
    })
    .key_by(|row: &Row| row.key)
    .count()
    .map(|(key, count)| format!("{key} {count}"))
    .sink("counts", FileSink::lines(out.join("counts")));
    rubbish
        .map(|letter| format!("{} {}", letter.split.unwrap_or_default(), letter.position))
        .sink("rubbish", FileSink::lines(out.join("rubbish")));
    job
}

fn lines(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
            lines.extend(fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

#[test]
fn stopped_and_resumed_at_random() {
    let input = tempfile::tempdir().unwrap();
    write_input(input.path());
    let mut counts: Vec<String> = (0..ROWS / 2)
        .flat_map(|n| {
            [2 * (n / KEYS) + 1, 2 * (n / KEYS) + 2].map(|count| format!("{} {count}", n % KEYS))
        })
        .collect();
    counts.sort();
    let mut stops = 0;
    for seed in 0..8 {
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let (out, series) = (dir.path().join("out"), seed % 2 == 1);
        loop {
            let config = JobConfig {
                mode: *rng.choice(&MODES).unwrap(),
                workers: rng.usize(1..4),
                checkpoint_dir: Some(dir.path().join("checkpoints")),
                checkpoint_interval: Duration::from_millis(rng.u64(0..3)),
                max_in_flight: 200,
                ..JobConfig::default()
            };
            let handle = job(input.path(), &out, series).start(config).unwrap();
            if handle.wait_for(Duration::from_millis(rng.u64(1..40))) {
                handle.wait().unwrap();
                break;
            }
            handle.stop();
            if handle.wait().unwrap().outcome == Some(Outcome::Finished) {
                break;
            }
            stops += 1;
        }
        assert_eq!(lines(&out.join("counts")), counts, "seed {seed}");
        let rubbish = lines(&out.join("rubbish"));
        let mut once = rubbish.clone();
        once.dedup();
        assert_eq!(rubbish, once, "seed {seed}");
        assert!(rubbish.len() as u64 >= KEYS, "seed {seed}: {rubbish:?}");
    }
    assert!(stops > 0, "no job was stopped in the middle");
}

/// A program writes a log and rotates it; a job follows it, is stopped, and resumed. Each line is read once.
#[test]
fn a_log_is_rotated_under_a_running_job() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("app.log");
        let out = dir.path().join("out");
        let append = |lines: std::ops::Range<u32>| {
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&log)
                .unwrap();
            lines.for_each(|n| writeln!(file, "{n:04}").unwrap());
        };
        let start = || {
            let job = Job::new("follow");
            let files = TextFiles::new(log.display().to_string()).watch(Duration::from_millis(5));
            job.source("log", files)
                .sink("lines", FileSink::lines(&out));
            job.start(JobConfig {
                mode,
                workers: 2,
                checkpoint_dir: Some(dir.path().join("checkpoints")),
                checkpoint_interval: Duration::from_millis(5),
                ..JobConfig::default()
            })
            .unwrap()
        };
        let wait_for = |handle: &JobHandle, count: usize| {
            let watch = millstream::runtime::clock::Stopwatch::start();
            while lines(&out).len() < count {
                assert!(watch.elapsed() < DEADLINE, "{:#?}", handle.report());
                handle.wait_for(Duration::from_millis(2));
            }
        };
        append(0..10);
        let handle = start();
        wait_for(&handle, 10);
        append(10..20);
        fs::rename(&log, dir.path().join("app.log.1")).unwrap();
        wait_for(&handle, 20); // in the old file, while nothing has the name
        append(20..30);
        wait_for(&handle, 30);
        handle.stop();
        handle.wait().unwrap();
        // While it is down.
        append(30..40);
        fs::rename(&log, dir.path().join("app.log.2")).unwrap();
        append(40..50);
        let handle = start();
        wait_for(&handle, 50);
        handle.stop();
        handle.wait().unwrap();
        let expected: Vec<String> = (0..50).map(|n| format!("{n:04}")).collect();
        assert_eq!(lines(&out), expected, "{mode}");
    }
}
