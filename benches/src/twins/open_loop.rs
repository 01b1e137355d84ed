//! Both ends of an open-loop twin on timely: a source that sends what is due, a sink that takes the
//! time. Timely's timestamps are the run's milliseconds.

use super::config;
use crate::common::latency::{LatencyRun, Recorder};
use crate::common::load::{Clock, Due, Schedule};
use crate::common::machine;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};

/// What a worker does while nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Steps again at once: lowest latency, one core per worker.
    Spin,
    /// Parks until the next record is due or a message arrives.
    Park,
}

/// A run of an open-loop bench.
#[derive(Clone, Copy, Debug)]
pub struct OpenLoopCase {
    /// What is due when.
    pub schedule: Schedule,
    /// Worker threads.
    pub workers: usize,
    /// What they do between records.
    pub idle: Idle,
    /// Keys below this are opened, as fast as can be, by a record each before the first one that is due.
    pub opened_keys: u64,
}

impl OpenLoopCase {
    /// The keys that a worker, or a split of the source, opens.
    pub fn opening(&self, worker: usize) -> Range<u64> {
        part_of(self.opened_keys, worker, self.workers)
    }
}

/// One of so many even parts of the keys.
pub fn part_of(keys: u64, part: usize, parts: usize) -> Range<u64> {
    let bound = |part: usize| keys * part as u64 / parts as u64;
    bound(part)..bound(part + 1)
}

/// The due time of a record that only opens the state of its key.
pub const OPENING: u64 = 0;

/// One output row: the key, its count so far, and when the record was due.
pub type Counted = (u64, u64, u64);

/// A source sends at most this many records before others have their turn.
const BATCH: usize = 1_024;
const NS_PER_TICK: u64 = 1_000_000;

/// Runs a dataflow of source, `count`, and sink on the case's workers.
pub fn run(
    case: &OpenLoopCase,
    count: for<'s> fn(StreamVec<'s, u64, Due>) -> StreamVec<'s, u64, Counted>,
) -> LatencyRun {
    let case = *case;
    let clock = Clock::start();
    let guards = timely::execute(config(case.workers), move |worker| {
        let recorder = Rc::new(RefCell::new(Recorder::new(&case.schedule)));
        let sink_recorder = Rc::clone(&recorder);
        worker.dataflow(|scope| {
            let due = due_records(scope, case, clock);
            latency_sink(count(due), clock, sink_recorder);
        });
        match case.idle {
            Idle::Spin => while worker.step() {},
            Idle::Park => {
                machine::lower_timer_slack();
                while worker.step_or_park(None) {}
            }
        }
        recorder.borrow().clone()
    });
    merged(guards.expect("the workers start").join())
}

fn merged(results: Vec<Result<Recorder, String>>) -> LatencyRun {
    let mut recorders = results
        .into_iter()
        .map(|result| result.expect("no worker panicked"));
    let mut whole = recorders.next().expect("at least one worker");
    recorders.for_each(|part| whole.merge(&part));
    whole.finish()
}

/// Sends this worker's share of the schedule, each record as soon as it is due.
fn due_records(scope: Scope<'_, u64>, case: OpenLoopCase, clock: Clock) -> StreamVec<'_, u64, Due> {
    source(scope, "due records", move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut opening = case.opening(scope.index());
        let mut share = case.schedule.share(scope.index(), scope.peers());
        let mut capability = Some(capability);
        move |output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<Due>>>| {
            let Some(held) = capability.as_mut() else {
                return;
            };
            if !opening.is_empty() {
                let mut session = output.session(held);
                for key in opening.by_ref().take(BATCH) {
                    let due_ns = OPENING;
                    session.give(Due { key, due_ns });
                }
                return activator.activate();
            }
            let now_ns = clock.now_ns();
            if now_ns / NS_PER_TICK > *held.time() {
                held.downgrade(&(now_ns / NS_PER_TICK));
            }
            let mut session = output.session(held);
            for _ in 0..BATCH {
                let Some(due) = share.take_due(now_ns) else {
                    break;
                };
                session.give(due);
            }
            drop(session);
            match (share.next_due_ns(), case.idle) {
                (None, _) => capability = None,
                (Some(_), Idle::Spin) => activator.activate(),
                (Some(due_ns), Idle::Park) => {
                    let wait_ns = due_ns.saturating_sub(clock.now_ns());
                    activator.activate_after(Duration::from_nanos(wait_ns));
                }
            }
        }
    })
}

/// Takes the time of every row as it comes in.
fn latency_sink(rows: StreamVec<'_, u64, Counted>, clock: Clock, recorder: Rc<RefCell<Recorder>>) {
    rows.sink(Pipeline, "latency", move |(input, _frontier)| {
        let mut recorder = recorder.borrow_mut();
        input.for_each(|_time, batch| {
            for (key, count, due_ns) in batch.drain(..) {
                recorder.record(key, count, due_ns, clock.now_ns());
            }
        });
    });
}
