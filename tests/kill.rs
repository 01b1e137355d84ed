//! A job in a process of its own, killed with SIGKILL at many random moments and started again: its files
//! hold exactly what an undisturbed run would have written.

use fastrand::Rng;
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EVENTS: u64 = 30_000;
const KEYS: u64 = 50;
const WINDOW_MS: i64 = 100;
/// A job that is killed again and again gets to its end in this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(120);
const CHILD: &str = "MILLSTREAM_KILL_TEST";

fn key(index: u64) -> u64 {
    (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % KEYS
}

/// Out of order by up to 20 ms.
fn time(index: u64) -> i64 {
    index as i64 - (index.wrapping_mul(0xD129_1A3B) >> 20) as i64 % 20
}

fn job(dir: &Path) -> Job {
    let job = Job::new("killed");
    let events = Generator::new(|at, _| key(at.index))
        .rate(20_000.0)
        .total(EVENTS)
        .splits(3)
        .event_time(time);
    let keyed = job
        .timed_source(
            "events",
            events,
            WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(40)),
        )
        .key_by(|key: &u64| *key);
    keyed
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS as u64)))
        .count()
        .map(|w| format!("{} {} {}", w.window.start, w.key, w.value))
        .sink("windows", FileSink::lines(dir.join("windows")));
    let counts = keyed.count().map(|(key, count)| format!("{key} {count}"));
    counts.sink("counts", FileSink::lines(dir.join("counts")));
    let in_folders = FileSink::lines(dir.join("folders"))
        .partition_by(|line: &String| partition_folder("end", &line[line.len() - 1..]))
        .roll_size(2_000)
        .compression(Compression::Gzip);
    counts.sink("folders", in_folders);
    job
}

/// The lines of compressed files in folders, read by a job; each is in its folder.
fn lines_in_folders(dir: &Path) -> Vec<String> {
    let job = Job::new("look");
    let (sink, lines) = Collect::new();
    job.source(
        "lines",
        TextFiles::new(dir.display().to_string()).with_position(),
    )
    .sink("lines", sink);
    job.start(JobConfig::default()).unwrap().wait().unwrap();
    let mut found = Vec::new();
    for line in lines.take() {
        let folder = line.partition("end").unwrap().into_owned();
        assert!(line.value.ends_with(&folder), "{line:?}");
        found.push(line.value);
    }
    found.sort();
    found
}

/// Not a test of its own: what the child process runs.
#[test]
fn child() {
    let Ok(setting) = std::env::var(CHILD) else {
        return;
    };
    let parts: Vec<&str> = setting.split('|').collect();
    let dir = PathBuf::from(parts[0]);
    let config = JobConfig {
        workers: parts[1].parse().unwrap(),
        mode: match parts[2] {
            "continuous" => Mode::Continuous,
            interval => Mode::MicroBatch {
                interval: Duration::from_millis(interval.parse().unwrap()),
            },
        },
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(parts[3].parse().unwrap()),
        ..JobConfig::default()
    };
    job(&dir).start(config).unwrap().wait().unwrap();
}

fn start_child(dir: &Path, rng: &mut Rng) -> Child {
    let mode = match rng.u8(0..3) {
        0 => rng.u8(0..20).to_string(),
        _ => "continuous".to_owned(),
    };
    let setting = format!(
        "{}|{}|{mode}|{}",
        dir.display(),
        rng.u8(1..4),
        rng.u8(0..30)
    );
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, setting)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the child's end, but kills it after `patience`; whether it ended by itself.
fn run_for(child: &mut Child, patience: Duration) -> bool {
    let started = Stopwatch::start();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the child failed: {}", errors(child));
            return true;
        }
        if started.elapsed() >= patience {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::yield_now();
    }
}

fn errors(child: &mut Child) -> String {
    let stderr = child.stderr.take().unwrap();
    std::io::read_to_string(stderr).unwrap_or_default()
}

fn lines(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().starts_with('.') {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

fn expected() -> (Vec<String>, Vec<String>) {
    let mut windows: BTreeMap<(i64, u64), u64> = BTreeMap::new();
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    let mut updates = Vec::new();
    for index in 0..EVENTS {
        let start = time(index).div_euclid(WINDOW_MS) * WINDOW_MS;
        *windows.entry((start, key(index))).or_default() += 1;
        let count = counts.entry(key(index)).or_default();
        *count += 1;
        updates.push(format!("{} {count}", key(index)));
    }
    let mut windows: Vec<String> = windows
        .into_iter()
        .map(|((start, key), count)| format!("{start} {key} {count}"))
        .collect();
    windows.sort();
    updates.sort();
    (windows, updates)
}

/// `MILLSTREAM_KILLS=200` kills more often.
#[test]
fn killed_at_random_moments() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let wanted: u32 = std::env::var("MILLSTREAM_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(25);
    let (windows, updates) = expected();
    let mut kills = 0;
    for seed in 0.. {
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let overall = Stopwatch::start();
        loop {
            assert!(
                overall.elapsed() < DEADLINE,
                "seed {seed}: the job does not get to its end"
            );
            let patience = Duration::from_millis(rng.u64(20..500));
            let mut child = start_child(dir.path(), &mut rng);
            if run_for(&mut child, patience) {
                break;
            }
            kills += 1;
        }
        assert_eq!(lines(&dir.path().join("windows")), windows, "seed {seed}");
        assert_eq!(lines(&dir.path().join("counts")), updates, "seed {seed}");
        let in_folders = lines_in_folders(&dir.path().join("folders"));
        assert_eq!(in_folders, updates, "seed {seed}");
        if kills >= wanted {
            break;
        }
    }
}
