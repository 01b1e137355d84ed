//! The word-count bench on Renoir.
//!
//! `updates`: every word is shuffled and gives an update. `totals`: `fold_assoc`, a local table merged
//! at the end, as in Renoir's own fastest example.

use millstream_rivals::common::answer::Answer;
use millstream_rivals::common::contest::{Contender, take_turns};
use millstream_rivals::common::options::Options;
use millstream_rivals::common::report::Report;
use millstream_rivals::common::text::{text_file, words};
use millstream_rivals::common::throughput::{ThroughputRun, timed};
use millstream_rivals::{local, shared_answer};
use renoir::prelude::*;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::path::PathBuf;
use std::process::ExitCode;
use wyhash::WyHash;

struct Case {
    path: PathBuf,
    workers: usize,
}

type Counts = HashMap<String, u64, BuildHasherDefault<WyHash>>;

/// As in Renoir's own word-count examples.
const BATCH: usize = 1_024;

fn contenders(run: fn(&Case) -> ThroughputRun) -> Vec<Contender<Case, ThroughputRun>> {
    vec![Contender::new("renoir", run)]
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("renoir_wordcount");
    let path = text_file(if options.quick { 20 } else { 500 })?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    let mut report = Report::open("wordcount", &options)?;
    for workers in [1, 2] {
        let case = Case {
            path: path.clone(),
            workers,
        };
        for (job, contenders) in [
            ("updates", contenders(updates)),
            ("totals", contenders(totals)),
        ] {
            let name = format!("{job}-{workers}w");
            let results = take_turns(&contenders, &case, &name, &options);
            report.throughput(&name, megabytes, "MB/s", &results)?;
        }
    }
    Ok(report.finish())
}

fn updates(case: &Case) -> ThroughputRun {
    timed(|| {
        let env = local(case.workers);
        let (answer, mut part) = shared_answer();
        env.stream_file(&case.path)
            .batch_mode(BatchMode::fixed(BATCH))
            .flat_map(|line| words(&line).map(String::from).collect::<Vec<_>>())
            .group_by(|word| word.clone())
            .rich_map({
                let mut count = 0;
                move |(_word, _same): (&String, String)| {
                    count += 1;
                    count
                }
            })
            .for_each(move |(word, count)| {
                part.add(|answer| answer.add_word(word.as_bytes(), count));
            });
        env.execute_blocking();
        answer.sum()
    })
}

fn totals(case: &Case) -> ThroughputRun {
    timed(|| {
        let env = local(case.workers);
        let counts = env
            .stream_file(&case.path)
            .batch_mode(BatchMode::fixed(BATCH))
            .fold_assoc(Counts::default(), count_line, merge)
            .collect_vec();
        env.execute_blocking();
        let counts = counts.get().expect("this process has the output");
        let mut answer = Answer::default();
        let rows = counts.iter().flatten();
        rows.for_each(|(word, count)| answer.add_word(word.as_bytes(), *count));
        answer
    })
}

fn count_line(counts: &mut Counts, line: String) {
    for word in words(&line) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.into(), 1)),
        }
    }
}

fn merge(counts: &mut Counts, other: Counts) {
    for (word, count) in other {
        *counts.entry(word).or_default() += count;
    }
}
