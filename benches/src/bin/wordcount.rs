//! Throughput of word count over a text of 500 MB, Zipf over 100,000 words.
//!
//! `updates`: every word is shuffled and gives an update. `totals`: one row per word at the end, so
//! that a worker may count its own part first.

use millstream_benches::common::contest::{Contender, take_turns};
use millstream_benches::common::options::Options;
use millstream_benches::common::report::Report;
use millstream_benches::common::text::text_file;
use millstream_benches::common::throughput::ThroughputRun;
use millstream_benches::product;
use millstream_benches::twins::bare;
use millstream_benches::twins::timely_wordcount::{self, WordCountCase};
use std::process::ExitCode;

type WordCount = Contender<WordCountCase, ThroughputRun>;

/// Who takes part with an update per word. The first is the one that the others are compared with.
fn updates_contenders(workers: usize) -> Vec<WordCount> {
    let mut contenders = vec![
        Contender::new("twin", timely_wordcount::updates),
        Contender::new("millstream", product::word_updates),
    ];
    if workers == 1 {
        contenders.push(Contender::new("bare", bare::word_updates));
        contenders.push(Contender::new("plain", bare::plain_word_updates));
    }
    contenders
}

/// Who takes part with one row per word at the end.
fn totals_contenders(workers: usize) -> Vec<WordCount> {
    let mut contenders = vec![
        Contender::new("twin", timely_wordcount::totals),
        Contender::new("millstream", product::word_totals),
    ];
    if workers == 1 {
        contenders.push(Contender::new("bare", bare::word_totals));
    }
    contenders
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::from_args("wordcount");
    let path = text_file(if options.quick { 20 } else { 500 })?;
    let megabytes = std::fs::read(&path)?.len() as f64 / 1e6;
    let mut report = Report::open("wordcount", &options)?;
    for workers in [1, 2] {
        let case = WordCountCase {
            path: path.clone(),
            workers,
        };
        let jobs = [
            ("updates", updates_contenders(workers)),
            ("totals", totals_contenders(workers)),
        ];
        for (job, contenders) in jobs {
            let name = format!("{job}-{workers}w");
            let results = take_turns(&contenders, &case, &name, &options);
            report.throughput(&name, megabytes, "MB/s", &results)?;
        }
    }
    Ok(report.finish())
}
