//! Word count: the words of a text, counted in windows of event time.
//!
//! ```text
//! cargo run --release --example 01_word_count
//! ```
//!
//! A reader reads two poems of Lewis Carroll's aloud, again and again: 100 lines a second, 2,000 lines in
//! all, so the job runs for 20 seconds. Event time is the place in the reading (a line is 10 ms), and
//! each second of it is a window. Results go to CSV files, `window start,word,count`, one file for each
//! checkpoint:
//!
//! ```text
//! cat target/word-count/counts/part-*.csv | LC_ALL=C sort | sha256sum
//! ```
//!
//! Now try to break it. Kill it while it runs (`pkill -9 01_word_count`) and start the same command
//! again: it goes on from its newest checkpoint, and the files hold exactly the same rows. Run it
//! with `--workers 2`. Switch to micro-batches, also in the middle: `-- --mode micro-batch
//! --batch-interval 1s`. The rows stay the same.
//!
//! `-- --fresh` starts from the beginning; `-- --explain` shows the graph; `-- --help` all settings;
//! `-- FILE…` counts files of your own at full speed.

use millstream::prelude::*;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// When the reading begins: midnight of 2025-01-01 UTC.
const BEGIN_MS: i64 = 1_735_689_600_000;
const TEXT: &str = include_str!("data/carroll.txt");

fn main() -> ExitCode {
    let program = Program::new("word-count")
        .about("counts the words of a text in windows of one second of event time")
        .argument(
            "FILE",
            "text files to count; default: two poems, read aloud",
        )
        .defaults(JobConfig {
            checkpoint_dir: Some(PathBuf::from("target/word-count/checkpoints")),
            ..JobConfig::default()
        });
    millstream::main(program, |job, args| {
        let lines = match args.positional(0) {
            Some(pattern) => from_files(job, pattern),
            None => read_aloud(job),
        };
        lines
            .flat_map(|line: String| words(&line))
            .name("words")
            .key_by(|word: &String| word.clone())
            .window(Tumbling::of(Duration::from_secs(1)))
            .count()
            .map(|count| (count.window.start, count.key, count.value))
            .sink(
                "counts",
                FileSink::csv("target/word-count/counts").overwrite(true),
            );
        Ok(())
    })
}

/// The poems, line after line, over and over.
fn read_aloud(job: &Job) -> Stream<String> {
    let lines: Vec<&str> = TEXT.lines().filter(|line| !line.is_empty()).collect();
    let reader = Generator::new(move |at, _| lines[at.index as usize % lines.len()].to_owned())
        .rate(100.0)
        .total(2_000)
        .event_time(|index| BEGIN_MS + index as i64 * 10);
    job.timed_source("reader", reader, WatermarkStrategy::ascending())
}

/// Files have no clock of their own: event time is when a line was read.
fn from_files(job: &Job, pattern: &str) -> Stream<String> {
    let files = TextFiles::new(pattern);
    job.timed_source("files", files, WatermarkStrategy::ingestion_time())
}

/// The words of a line, in lower case, without punctuation around them.
fn words(line: &str) -> Vec<String> {
    let punctuation = |c: char| !c.is_alphanumeric();
    line.split(|c: char| c.is_whitespace() || c == '-')
        .map(|word| word.trim_matches(punctuation).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}
