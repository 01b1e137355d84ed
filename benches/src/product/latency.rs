//! The latency bench: a source of due records, an exchange, a rolling count per key, a sink that records.

use super::Tally;
use super::checkpoint::{Folder, config};
use super::load::Load;
use crate::common::latency::{LatencyRun, Recorder};
use crate::common::load::{Clock, Due, Schedule};
use crate::twins::open_loop::{Idle, OpenLoopCase};
use millstream_operators::Job;
use millstream_runtime::record::Record;
use millstream_runtime::sink::Sink;
use millstream_runtime::watermark::WatermarkStrategy;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// A key, its count so far, and when the record was due.
pub(super) type Counted = (u64, (u64, u64));

/// What the sinks recorded, one entry a worker.
pub(super) type Recorders = Arc<Mutex<Vec<Vec<Recorder>>>>;

/// Runs Millstream once.
pub fn latency(case: &OpenLoopCase) -> LatencyRun {
    run(case, None)
}

/// The same, exactly-once, with a checkpoint each second.
pub fn latency_with_checkpoints(case: &OpenLoopCase) -> LatencyRun {
    run(case, Some(Folder::new()))
}

fn run(case: &OpenLoopCase, folder: Option<Folder>) -> LatencyRun {
    let case = *case;
    let clock = Clock::start();
    let all = Recorders::default();
    let job = Job::new("latency");
    let load = Load {
        schedule: case.schedule,
        clock,
        workers: case.workers,
        opened_keys: case.opened_keys,
    };
    job.timed_source("load", load, WatermarkStrategy::ascending())
        .map(|due: Due| (due.key, due.due_ns))
        .keyed()
        .fold((0u64, 0u64), |counted, due_ns| {
            *counted = (counted.0 + 1, due_ns);
        })
        .sink("recorder", recorder(&all, case.schedule, clock));
    let config = config(case.workers, case.idle == Idle::Spin, folder.as_ref());
    let handle = job.start(config).expect("the job starts");
    handle.wait().expect("the job ends well");
    merged(&all, &case.schedule)
}

/// A sink that takes the time of every row.
pub(super) fn recorder(
    all: &Recorders,
    schedule: Schedule,
    clock: Clock,
) -> impl Sink<Item = Counted> + use<> {
    Tally {
        all: all.clone(),
        make: Vec::new,
        take: move |recorders: &mut Vec<Recorder>, records: &[Record<Counted>]| {
            if recorders.is_empty() {
                recorders.push(Recorder::new(&schedule));
            }
            for Record { value, .. } in records.iter() {
                let (key, (count, due_ns)) = *value;
                recorders[0].record(key, count, due_ns, clock.now_ns());
            }
        },
        item: PhantomData,
    }
}

/// What all workers recorded.
pub(super) fn merged(all: &Recorders, schedule: &Schedule) -> LatencyRun {
    let mut whole = Recorder::new(schedule);
    for recorder in all.lock().expect("no sink panicked").iter().flatten() {
        whole.merge(recorder);
    }
    whole.finish()
}
