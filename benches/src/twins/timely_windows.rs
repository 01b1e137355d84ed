//! The windows twin: exchange by key, tumbling count per key, on timely. The timestamp is the
//! watermark in milliseconds.
//!
//! The window operator holds one capability, which follows the input's frontier. A capability per
//! window would hold back everything behind the operator.

use super::window_table::WindowTable;
use super::{config, route};
use crate::common::answer::Answer;
use crate::common::throughput::{ThroughputRun, timed};
use crate::common::window_events::{Event, event_of, watermark_ms};
use millstream_runtime::hash::stable_hash;
use std::cell::RefCell;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};

/// A run of the window bench.
#[derive(Clone, Copy, Debug)]
pub struct WindowsCase {
    /// The length of the event stream.
    pub events: u64,
    /// How many keys it has.
    pub keys: u64,
    /// No event's time is further than this behind the place of any event before it.
    pub out_of_order_ms: i64,
    /// Worker threads.
    pub workers: usize,
}

/// One output row: window start in milliseconds, key, count.
pub type WindowCount = (i64, u64, u64);

type Output<'a, T> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<T>>>;

/// Events a source sends in one buffer, and buffers before the watermark moves.
const BUFFER: u64 = 512;
const BUFFERS: u64 = 8;

/// What counts events by window and key.
pub(super) trait WindowCounts: 'static {
    /// WindowCounts an event that is not late.
    fn add(&mut self, key: u64, time_ms: i64);
    /// Hands out `(window start, key, count)` of every window that ends at or below the watermark.
    fn fire(&mut self, watermark_ms: i64, emit: impl FnMut(i64, u64, u64));
}

/// Runs the twin once.
pub fn run(case: &WindowsCase) -> ThroughputRun {
    run_with(*case, WindowTable::default)
}

/// Runs the twin once, with other windows.
pub(super) fn run_with<C: WindowCounts>(
    case: WindowsCase,
    windows: impl Fn() -> C + Send + Sync + 'static,
) -> ThroughputRun {
    timed(move || {
        let guards = timely::execute(config(case.workers), move |worker| {
            let answer = Rc::new(RefCell::new(Answer::default()));
            let sink_answer = Rc::clone(&answer);
            worker.dataflow(|scope| {
                let counts = count_per_window(events(scope, case), windows());
                answer_sink(counts, sink_answer)
            });
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

/// This worker's share of the stream: every `peers`-th buffer, as fast as it can.
fn events(scope: Scope<'_, u64>, case: WindowsCase) -> StreamVec<'_, u64, Event> {
    source(scope, "events", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut next = scope.index() as u64 * BUFFER;
        let stride = scope.peers() as u64 * BUFFER;
        let mut capability = Some(capability);
        let mut buffer = Vec::with_capacity(BUFFER as usize);
        move |output: &mut Output<'_, Event>| {
            let Some(held) = capability.as_mut() else {
                return;
            };
            let mut session = output.session(held);
            for _ in 0..BUFFERS {
                buffer.clear();
                buffer.extend(
                    (next..case.events.min(next + BUFFER))
                        .map(|index| event_of(index, case.keys, case.out_of_order_ms)),
                );
                session.give_container(&mut buffer);
                next += stride;
            }
            drop(session);
            if next < case.events {
                held.downgrade(&(watermark_ms(next) as u64));
                activator.activate();
            } else {
                capability = None;
            }
        }
    })
}

fn count_per_window<C: WindowCounts>(
    events: StreamVec<'_, u64, Event>,
    mut windows: C,
) -> StreamVec<'_, u64, WindowCount> {
    let by_key = Exchange::new(|event: &Event| route(stable_hash(&event.key)));
    events.unary_frontier(by_key, "count per window", |capability, _info| {
        let mut capability = Some(capability);
        move |(input, frontier), output: &mut Output<'_, WindowCount>| {
            input.for_each(|_time, batch| {
                batch
                    .drain(..)
                    .for_each(|event| windows.add(event.key, event.time_ms));
            });
            let Some(held) = capability.as_mut() else {
                return;
            };
            let watermark = frontier.frontier().first().copied();
            let watermark_ms = watermark.map_or(i64::MAX, |watermark| watermark as i64);
            let mut session = output.session(held);
            windows.fire(watermark_ms, |start_ms, key, count| {
                session.give((start_ms, key, count))
            });
            drop(session);
            match watermark {
                Some(watermark) => held.downgrade(&watermark),
                None => capability = None,
            }
        }
    })
}

fn answer_sink(counts: StreamVec<'_, u64, WindowCount>, answer: Rc<RefCell<Answer>>) {
    counts.sink(Pipeline, "answer", move |(input, _frontier)| {
        let mut answer = answer.borrow_mut();
        input.for_each(|_time, batch| {
            for (start_ms, key, count) in batch.drain(..) {
                answer.add_triple(start_ms as u64, key, count);
            }
        });
    });
}
