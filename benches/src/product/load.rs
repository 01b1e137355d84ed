//! The open-loop load as a source: the schedule's records as they come due, after one record per key that
//! opens its state.

use crate::common::load::{Clock, Due, Schedule, Share};
use crate::twins::open_loop::{OPENING, part_of};
use millstream_runtime::Result;
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use std::ops::Range;
use std::time::Duration;

/// A source of one split per worker.
pub struct Load {
    /// Which records are due when.
    pub schedule: Schedule,
    /// The run's clock.
    pub clock: Clock,
    /// The number of splits.
    pub workers: usize,
    /// Keys below this are opened, as fast as can be, before the first record.
    pub opened_keys: u64,
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
            opening: part_of(self.opened_keys, split, self.workers),
            share: self.schedule.share(split, self.workers),
            clock: self.clock,
        }))
    }
}

struct Reader {
    opening: Range<u64>,
    share: Share,
    clock: Clock,
}

impl SplitReader<Due> for Reader {
    fn poll(&mut self, batch: &mut Batch<Due>, max: usize) -> Result<ReadStatus> {
        if !self.opening.is_empty() {
            for key in self.opening.by_ref().take(max) {
                let due_ns = OPENING;
                batch.push(0, Due { key, due_ns });
            }
            return Ok(ReadStatus::More);
        }
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

    /// A bench is never resumed.
    fn position(&self) -> Vec<u8> {
        Vec::new()
    }
}
