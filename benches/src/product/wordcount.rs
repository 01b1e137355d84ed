//! The word-count bench: a text file in one range per worker, words, a count per word.
//!
//! `totals` has no operator that counts on each worker before the shuffle: every word travels, and a
//! tumbling window whose end only the end of the text brings gives one row per word.

use super::{Tally, spinning};
use crate::common::answer::Answer;
use crate::common::text::words;
use crate::common::throughput::{ThroughputRun, timed};
use crate::twins::timely_wordcount::WordCountCase;
use compact_str::CompactString;
use millstream_connectors::files::TextFiles;
use millstream_operators::{Collector, Job, Stream, Tumbling, Windowed};
use millstream_runtime::config::JobConfig;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::watermark::WatermarkStrategy;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A row per word read: the word and its count so far.
pub fn word_updates(case: &WordCountCase) -> ThroughputRun {
    word_updates_with(case, spinning(case.workers))
}

/// The same with other settings.
pub fn word_updates_with(case: &WordCountCase, config: JobConfig) -> ThroughputRun {
    timed(|| {
        let job = Job::new("word-count");
        let lines = job.source("text", text(case));
        let counts = word_stream(&lines).keyed().count();
        answer(job, config, &counts, |answer, (word, count)| {
            answer.add_word(word.as_bytes(), *count);
        })
    })
}

/// A row per word of the text.
pub fn word_totals(case: &WordCountCase) -> ThroughputRun {
    timed(|| {
        let job = Job::new("word-totals");
        // All of the text is at one time, so that the window ends with the text.
        let one_time = WatermarkStrategy::ascending().with_timestamps(|_: &String| 0);
        let lines = job.timed_source("text", text(case), one_time);
        let window = Tumbling::of(Duration::from_secs(1));
        let counts = word_stream(&lines).keyed().window(window).count();
        answer(
            job,
            spinning(case.workers),
            &counts,
            |answer, row: &Windowed<_, u64>| {
                answer.add_word(row.key.as_bytes(), row.value);
            },
        )
    })
}

/// The text in as many ranges as there are workers.
fn text(case: &WordCountCase) -> TextFiles {
    let bytes = std::fs::metadata(&case.path)
        .expect("the text is there")
        .len();
    let path = case.path.to_str().expect("the path is text");
    TextFiles::new(path).split_size(bytes.div_ceil(case.workers as u64))
}

fn word_stream(lines: &Stream<String>) -> Stream<(CompactString, ())> {
    lines.flat_map_with(|line, out: &mut Collector<'_, _>| {
        words(&line).for_each(|word| out.push((CompactString::new(word), ())));
    })
}

/// Runs the job with a sink that hashes the rows.
fn answer<T: Data>(
    job: Job,
    config: JobConfig,
    rows: &Stream<T>,
    add: fn(&mut Answer, &T),
) -> Answer {
    let all = Arc::new(Mutex::new(Vec::new()));
    let tally = Tally {
        all: all.clone(),
        make: Answer::default,
        take: move |answer: &mut Answer, records: &[Record<T>]| {
            records.iter().for_each(|record| add(answer, &record.value));
        },
        item: PhantomData,
    };
    rows.sink("answer", tally);
    let handle = job.start(config).expect("the job starts");
    handle.wait().expect("the job ends well");
    let parts = all.lock().expect("no sink panicked").clone();
    parts.into_iter().sum()
}
