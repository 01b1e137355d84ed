//! A job that has nothing to do does nothing.

use crate::harness::{DEADLINE, MODES, finish};
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use millstream::runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Has nothing to read and will call its waker when it has; counts how often it is asked all the same.
#[derive(Clone, Default)]
struct Silent(Arc<AtomicU64>);

impl Source for Silent {
    type Item = u64;
    type Split = String;

    fn describe(&self) -> String {
        "silent".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        Ok(Box::new(FixedSplits(vec!["a".to_owned()])))
    }

    fn open(
        &self,
        _: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<u64>>> {
        Ok(Box::new(self.clone()))
    }
}

impl SplitReader<u64> for Silent {
    fn poll(&mut self, _: &mut Batch<u64>, _: usize) -> Result<ReadStatus> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(ReadStatus::Waiting)
    }

    fn position(&self) -> Vec<u8> {
        Vec::new()
    }
}

fn is_left_alone(mode: Mode) {
    let silent = Silent::default();
    let job = Job::new("idle");
    job.source("silent", silent.clone())
        .sink("out", Null::new());
    let config = JobConfig {
        mode,
        ..JobConfig::default()
    };
    let handle = job.start(config).unwrap();
    let polls = || silent.0.load(Ordering::SeqCst);
    let watch = Stopwatch::start();
    loop {
        let before = polls();
        handle.wait_for(Duration::from_millis(50));
        if before > 0 && polls() == before {
            break;
        }
        let spent = watch.elapsed();
        assert!(spent < DEADLINE, "{mode}: {} polls in {spent:?}", polls());
    }
    handle.stop();
    finish(handle).unwrap();
}

#[test]
fn continuous() {
    is_left_alone(MODES[0]);
}

/// A split that waited for its waker counted as one that has something to read, so that one empty batch followed
/// the other.
#[test]
fn micro_batch() {
    is_left_alone(MODES[1]);
}
