//! The same jobs as bare loops on one thread, without an engine: what the work itself costs.

use super::timely_windows::{WindowCounts, WindowsCase};
use super::timely_wordcount::WordCountCase;
use super::window_table::WindowTable;
use super::word_table::{WordTable, word_hash};
use crate::common::answer::Answer;
use crate::common::text::{LineChunks, words};
use crate::common::throughput::{ThroughputRun, timed};
use crate::common::window_events::{event, watermark_ms};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Events between two looks at the watermark.
const WATERMARK_EVERY: u64 = 4_096;
const CHUNK_BYTES: usize = 64 * 1024;

/// Tumbling counts.
pub fn windows(case: &WindowsCase) -> ThroughputRun {
    timed(|| {
        let mut windows = WindowTable::default();
        let mut answer = Answer::default();
        let mut emit = |start_ms, key, count| answer.add_triple(start_ms as u64, key, count);
        let mut next = 0;
        while next < case.events {
            let end = case.events.min(next + WATERMARK_EVERY);
            for event in (next..end).map(event) {
                windows.add(event.key, event.time_ms);
            }
            next = end;
            windows.fire(watermark_ms(next), &mut emit);
        }
        windows.fire(i64::MAX, &mut emit);
        answer
    })
}

/// Word count with an update, `(word, count so far)`, for every word of the text.
pub fn word_updates(case: &WordCountCase) -> ThroughputRun {
    timed(|| {
        let mut table = WordTable::default();
        let mut answer = Answer::default();
        for_each_word(case, |word| {
            let count = table.add(word_hash(word), word, 1);
            answer.add_word(word.as_bytes(), count);
        });
        answer
    })
}

/// The same as one would write it without a second thought: lines, words, the standard library's map.
pub fn plain_word_updates(case: &WordCountCase) -> ThroughputRun {
    timed(|| {
        let text = File::open(&case.path).expect("the text is there");
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut answer = Answer::default();
        for line in BufReader::new(text).lines() {
            for word in words(&line.expect("the text is readable")) {
                let count = match counts.get_mut(word) {
                    Some(count) => count,
                    None => counts.entry(word.to_owned()).or_default(),
                };
                *count += 1;
                answer.add_word(word.as_bytes(), *count);
            }
        }
        answer
    })
}

/// Word count with one row per word at the end.
pub fn word_totals(case: &WordCountCase) -> ThroughputRun {
    timed(|| {
        let mut table = WordTable::default();
        for_each_word(case, |word| {
            table.add(word_hash(word), word, 1);
        });
        table.answer()
    })
}

fn for_each_word(case: &WordCountCase, mut take: impl FnMut(&str)) {
    let mut chunks = LineChunks::open(&case.path, 0, 1, CHUNK_BYTES).expect("the text is there");
    while let Some(chunk) = chunks.next_chunk().expect("the text is readable") {
        words(chunk).for_each(&mut take);
    }
}
