//! The word-count twins on timely: `updates` shuffles every word and sends an update for each;
//! `totals` counts on each worker first and shuffles the counts at the end of the text.

use super::word_table::{WordTable, word_hash};
use super::{config, route};
use crate::common::answer::Answer;
use crate::common::text::{LineChunks, words};
use crate::common::throughput::{ThroughputRun, timed};
use compact_str::CompactString;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};

/// A run of the word-count bench.
#[derive(Clone, Debug)]
pub struct WordCountCase {
    /// The text.
    pub path: PathBuf,
    /// Worker threads.
    pub workers: usize,
}

/// A word on its way to the worker that counts it, hashed once.
type HashedWord = (u64, CompactString);
/// The same with the count of one worker.
type HashedCount = (u64, CompactString, u64);
type WordCount = (CompactString, u64);
type Output<'a, T> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<T>>>;

/// What a source reads before others have their turn.
const CHUNK_BYTES: usize = 16 * 1024;

/// Every word shuffled, an update for each.
pub fn updates(case: &WordCountCase) -> ThroughputRun {
    run(case, |scope, case, answer| {
        answer_sink(update_counts(word_stream(scope, case)), answer);
    })
}

/// Counted on each worker, the counts shuffled at the end.
pub fn totals(case: &WordCountCase) -> ThroughputRun {
    run(case, |scope, case, answer| {
        answer_sink(merge_counts(local_counts(scope, case)), answer);
    })
}

type Build = for<'s> fn(Scope<'s, u64>, &WordCountCase, Rc<RefCell<Answer>>);

fn run(case: &WordCountCase, build: Build) -> ThroughputRun {
    timed(|| {
        let case = case.clone();
        let guards = timely::execute(config(case.workers), move |worker| {
            let answer = Rc::new(RefCell::new(Answer::default()));
            let sink_answer = Rc::clone(&answer);
            worker.dataflow(|scope| build(scope, &case, sink_answer));
            while worker.step() {}
            *answer.borrow()
        });
        let results = guards.expect("the workers start").join();
        results
            .into_iter()
            .map(|result| result.expect("no worker panicked"))
            .sum()
    })
}

fn own_part(scope: Scope<'_, u64>, case: &WordCountCase) -> LineChunks {
    LineChunks::open(&case.path, scope.index(), scope.peers(), CHUNK_BYTES)
        .expect("the text is there")
}

/// The words of this worker's part of the text, a chunk at each schedule.
fn word_stream<'s>(scope: Scope<'s, u64>, case: &WordCountCase) -> StreamVec<'s, u64, HashedWord> {
    let mut chunks = own_part(scope, case);
    source(scope, "words", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output: &mut Output<'_, HashedWord>| {
            let Some(held) = capability.as_mut() else {
                return;
            };
            match chunks.next_chunk().expect("the text is readable") {
                Some(chunk) => {
                    let mut session = output.session(held);
                    for word in words(chunk) {
                        session.give((word_hash(word), CompactString::new(word)));
                    }
                    drop(session);
                    held.downgrade(&(held.time() + 1));
                    activator.activate();
                }
                None => capability = None,
            }
        }
    })
}

fn update_counts(words: StreamVec<'_, u64, HashedWord>) -> StreamVec<'_, u64, WordCount> {
    let by_word = Exchange::new(|word: &HashedWord| route(word.0));
    words.unary(by_word, "update counts", |_capability, _info| {
        let mut table = WordTable::default();
        move |input, output: &mut Output<'_, WordCount>| {
            input.for_each_time(|time, batches| {
                let mut session = output.session(&time);
                for (hash, word) in batches.flat_map(|batch| batch.drain(..)) {
                    let count = table.add(hash, &word, 1);
                    session.give((word, count));
                }
            });
        }
    })
}

/// The counts of this worker's part of the text, sent once it is read.
fn local_counts<'s>(
    scope: Scope<'s, u64>,
    case: &WordCountCase,
) -> StreamVec<'s, u64, HashedCount> {
    let mut chunks = own_part(scope, case);
    source(scope, "local counts", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        let mut table = WordTable::default();
        move |output: &mut Output<'_, HashedCount>| {
            let Some(held) = capability.as_ref() else {
                return;
            };
            if let Some(chunk) = chunks.next_chunk().expect("the text is readable") {
                words(chunk).for_each(|word| {
                    table.add(word_hash(word), word, 1);
                });
                activator.activate();
            } else {
                let mut session = output.session(held);
                for (word, count) in table.drain() {
                    session.give((word_hash(&word), word, count));
                }
                drop(session);
                capability = None;
            }
        }
    })
}

fn merge_counts(counts: StreamVec<'_, u64, HashedCount>) -> StreamVec<'_, u64, WordCount> {
    let by_word = Exchange::new(|word: &HashedCount| route(word.0));
    counts.unary_frontier(by_word, "merge counts", |capability, _info| {
        let mut capability = Some(capability);
        let mut table = WordTable::default();
        move |(input, frontier), output: &mut Output<'_, WordCount>| {
            input.for_each(|_time, batch| {
                batch.drain(..).for_each(|(hash, word, count)| {
                    table.add(hash, &word, count);
                });
            });
            if frontier.is_empty()
                && let Some(held) = capability.take()
            {
                output.session(&held).give_iterator(table.drain());
            }
        }
    })
}

fn answer_sink(counts: StreamVec<'_, u64, WordCount>, answer: Rc<RefCell<Answer>>) {
    counts.sink(Pipeline, "answer", move |(input, _frontier)| {
        let mut answer = answer.borrow_mut();
        input.for_each(|_time, batch| {
            for (word, count) in batch.drain(..) {
                answer.add_word(word.as_bytes(), count);
            }
        });
    });
}
