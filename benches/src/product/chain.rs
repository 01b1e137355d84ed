//! The chain bench: what a `map` costs. All cases add nine to a number, in one map or in nine.

use super::Tally;
use crate::common::answer::Answer;
use crate::common::throughput::{ThroughputRun, timed};
use millstream_connectors::generator::Generator;
use millstream_operators::Job;
use millstream_runtime::config::JobConfig;
use millstream_runtime::record::Record;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// The number of maps of the long chain.
pub const MAPS: u64 = 9;

/// A run of the bench.
#[derive(Clone, Copy, Debug)]
pub struct ChainCase {
    /// Records to make.
    pub records: u64,
}

/// One map.
pub fn one_map(case: &ChainCase) -> ThroughputRun {
    run(case, 1, true)
}

/// Nine maps, chained into the source.
pub fn chained(case: &ChainCase) -> ThroughputRun {
    run(case, MAPS, true)
}

/// Nine maps, each an operator of its own.
pub fn unchained(case: &ChainCase) -> ThroughputRun {
    run(case, MAPS, false)
}

fn run(case: &ChainCase, maps: u64, chaining: bool) -> ThroughputRun {
    timed(|| {
        let all = Arc::new(Mutex::new(Vec::new()));
        let job = Job::new("chain");
        let made = Generator::new(|at, _| at.index).total(case.records);
        let mut numbers = job.source("numbers", made);
        for _ in 0..maps {
            numbers = numbers.map(move |number| number.wrapping_add(MAPS / maps));
        }
        let tally = Tally {
            all: all.clone(),
            make: Answer::default,
            take: |answer: &mut Answer, records: &[Record<u64>]| {
                records
                    .iter()
                    .for_each(|record| answer.add_pair(record.value, 0));
            },
            item: PhantomData,
        };
        numbers.sink("answer", tally);
        let config = JobConfig {
            spin: true,
            chaining,
            ..Default::default()
        };
        let handle = job.start(config).expect("the job starts");
        handle.wait().expect("the job ends well");
        let parts = all.lock().expect("no sink panicked").clone();
        parts.into_iter().sum()
    })
}
