//! The latency bench: a source of due records, an exchange, a rolling count per key, a sink that records.

use super::Tally;
use crate::common::latency::{LatencyRun, Recorder};
use crate::common::load::{Clock, Due, Schedule, Share};
use crate::twins::open_loop::{Idle, OpenLoopCase};
use millstream_operators::Job;
use millstream_runtime::Result;
use millstream_runtime::config::JobConfig;
use millstream_runtime::record::Record;
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::watermark::WatermarkStrategy;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs Millstream once.
pub fn latency(case: &OpenLoopCase) -> LatencyRun {
    let case = *case;
    let clock = Clock::start();
    run(case, clock)
}

type Counted = (u64, (u64, u64));

fn run(case: OpenLoopCase, clock: Clock) -> LatencyRun {
    let all: Arc<Mutex<Vec<Vec<Recorder>>>> = Arc::default();
    let job = Job::new("latency");
    let schedule = case.schedule;
    job.timed_source(
        "load",
        Load {
            schedule,
            clock,
            workers: case.workers,
        },
        WatermarkStrategy::ascending(),
    )
    .map(|due: Due| (due.key, due.due_ns))
    .keyed()
    .fold((0u64, 0u64), |counted, due_ns| {
        *counted = (counted.0 + 1, due_ns);
    })
    .sink(
        "recorder",
        Tally {
            all: all.clone(),
            make: Vec::new,
            take: move |recorders: &mut Vec<Recorder>, records: &mut Vec<Record<Counted>>| {
                if recorders.is_empty() {
                    recorders.push(Recorder::new(&schedule));
                }
                for Record { value, .. } in records.iter() {
                    let (key, (count, due_ns)) = *value;
                    recorders[0].record(key, count, due_ns, clock.now_ns());
                }
            },
            item: PhantomData,
        },
    );
    let config = JobConfig {
        workers: case.workers,
        spin: case.idle == Idle::Spin,
        ..Default::default()
    };
    let handle = job.start(config).expect("the job starts");
    handle.wait().expect("the job ends well");
    let mut whole = Recorder::new(&schedule);
    for recorder in all.lock().expect("no sink panicked").iter().flatten() {
        whole.merge(recorder);
    }
    whole.finish()
}

struct Load {
    schedule: Schedule,
    clock: Clock,
    workers: usize,
}

impl Source for Load {
    type Item = Due;
    type Split = String;

    fn describe(&self) -> String {
        "open-loop load".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = (0..self.workers).map(|split| split.to_string()).collect();
        Ok(Box::new(FixedSplits(splits)))
    }

    fn open(
        &self,
        split: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Due>>> {
        let split: usize = split.parse().expect("made above");
        Ok(Box::new(Reader {
            share: self.schedule.share(split, self.workers),
            clock: self.clock,
        }))
    }
}

struct Reader {
    share: Share,
    clock: Clock,
}

impl SplitReader<Due> for Reader {
    fn poll(&mut self, batch: &mut Batch<Due>, max: usize) -> Result<ReadStatus> {
        let now_ns = self.clock.now_ns();
        for _ in 0..max {
            match self.share.take_due(now_ns) {
                Some(due) => batch.push((due.due_ns / 1_000_000) as i64, due),
                None => break,
            }
        }
        Ok(match self.share.next_due_ns() {
            None => ReadStatus::Finished,
            Some(due_ns) if due_ns <= now_ns => ReadStatus::More,
            Some(due_ns) => ReadStatus::WaitFor(Duration::from_nanos(due_ns - now_ns)),
        })
    }

    fn position(&self) -> Vec<u8> {
        Vec::new()
    }
}
