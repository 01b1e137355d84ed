//! Counting votes while the counting machine is killed again and again.
//!
//! ```text
//! cargo run --release --example 06_votes
//! ```
//!
//! 100,000 votes are cast in five seconds, 20,000 each second, and counted per candidate in windows of a second. The
//! program starts itself a second time as the counter, waits until that has committed a few results, kills it with
//! SIGKILL, and starts it again; five times. Then it adds up the files.
//!
//! Nothing is lost and nothing is counted twice, because three things go together in each checkpoint: the
//! position in the votes, the counts of the open windows, and the file of results that becomes visible only when the
//! checkpoint is complete. Look at `target/votes/counts`: one file per checkpoint, under its final name only
//! when it is final.
//!
//! Standard output is the same in each run, whenever the kills come; what happens meanwhile is on standard error.

use millstream::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

const VOTES: u64 = 100_000;
const KILLS: usize = 5;
const CANDIDATES: [&str; 4] = ["Alice", "Hatter", "Queen", "Rabbit"];
const FOLDER: &str = "target/votes";

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some() {
        return count();
    }
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("votes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The job.
fn count() -> ExitCode {
    let program = Program::new("votes")
        .about("counts votes in windows of a second")
        .defaults(JobConfig {
            checkpoint_dir: Some(PathBuf::from(FOLDER).join("checkpoints")),
            checkpoint_interval: Duration::from_millis(100),
            ..JobConfig::default()
        });
    millstream::main(program, |job, _| {
        let votes = Generator::new(|_, rng| {
            // Nobody votes for the Queen without being asked to.
            CANDIDATES[[0, 0, 0, 1, 1, 3, 3, 2][rng.usize(..8)]].to_owned()
        })
        .rate(20_000.0)
        .total(VOTES)
        .event_time(|index| index as i64 / 20);
        job.timed_source("votes", votes, WatermarkStrategy::ascending())
            .key_by(|candidate: &String| candidate.clone())
            .window(Tumbling::of(Duration::from_secs(1)))
            .count()
            .map(|count| (count.window.start, count.key, count.value))
            .sink("counts", FileSink::csv(counts()));
        Ok(())
    })
}

fn counts() -> PathBuf {
    Path::new(FOLDER).join("counts")
}

/// Runs the counter, kills it, runs it again, and reads what came of it.
fn watch() -> anyhow::Result<()> {
    let _ = std::fs::remove_dir_all(FOLDER);
    for kill in 1..=KILLS {
        let before = committed().len();
        let mut counter = start()?;
        let finished = wait(|| Ok(committed().len() > before || counter.try_wait()?.is_some()));
        finished?;
        counter.kill()?;
        counter.wait()?;
        eprintln!(
            "kill {kill}: {} files of results are final",
            committed().len()
        );
    }
    let status = start()?.wait()?;
    anyhow::ensure!(status.success(), "the counter ended with {status}");

    let mut total = 0;
    for (candidate, votes) in results()? {
        println!("{candidate:8} {votes:6}");
        total += votes;
    }
    println!("{:8} {total:6} of {VOTES}", "votes");
    anyhow::ensure!(total == VOTES, "votes were lost, or counted twice");
    Ok(())
}

fn start() -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    let mut counter = Command::new(program);
    let counter = counter.args(["--status", "off"]).stderr(Stdio::null());
    Ok(counter.spawn()?)
}

/// The files that are final.
fn committed() -> Vec<PathBuf> {
    let Ok(files) = std::fs::read_dir(counts()) else {
        return Vec::new();
    };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_final = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("part-")
    };
    paths.filter(is_final).collect()
}

fn results() -> anyhow::Result<BTreeMap<String, u64>> {
    let mut votes = BTreeMap::new();
    for path in committed() {
        for line in std::fs::read_to_string(path)?.lines() {
            let fields: Vec<&str> = line.split(',').collect();
            *votes.entry(fields[1].to_owned()).or_default() += fields[2].parse::<u64>()?;
        }
    }
    Ok(votes)
}

/// Looks again and again, for at most a minute.
#[allow(clippy::disallowed_methods)] // no event tells when another process has renamed a file
fn wait(mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for _ in 0..6_000 {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("the counter has committed nothing for a minute")
}
