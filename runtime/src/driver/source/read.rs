//! Reading: the splits are polled in turn, each a batch at a time, until nothing is there, the turn is
//! over or too much is under way.

use super::SourceDriver;
use crate::driver::alarm::after;
use crate::driver::context::Doing;
use crate::driver::control::Report;
use crate::driver::turn::Turn;
use crate::error::Result;
use crate::operator::BATCH_RECORDS;
use crate::source::{Batch, ReadStatus, Source};
use crate::time::EventTime;

/// About the most records of a turn in continuous mode, read or made of those by the chained steps: they are still
/// in the cache when the next operator takes them.
const TURN_RECORDS: u64 = 4 * BATCH_RECORDS as u64;
/// A split that is paused is looked at this often.
const PAUSE_NS: i64 = 10_000_000;

/// How a turn of reading ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is more to read at once.
    More,
    /// Nothing to read for now.
    Dry,
    /// Too much is under way.
    Throttled,
    /// In micro-batch mode: there is something to read, and a batch was asked for.
    Asked,
}

/// How much of a source is read in a turn. Steps chained behind it may make many records of one, and all of those wait
/// until the next operator has its turn: so they count like records that were read.
pub(super) struct Pace {
    /// How many records had been read, and how many sent, when the turn began.
    began: (u64, u64),
    /// The most records read at a time.
    poll: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            began: (0, 0),
            poll: BATCH_RECORDS,
        }
    }
}

impl Pace {
    /// A turn begins, with so many records read and sent before it. If those of the last turn became more when they
    /// were sent, fewer are read at a time.
    fn begin(&mut self, read: u64, sent: u64) {
        let (made_of, made) = (read - self.began.0, sent - self.began.1);
        if made_of > 0 {
            let most = TURN_RECORDS * made_of / made.max(1);
            self.poll = (most.max(1) as usize).min(BATCH_RECORDS);
        }
        self.began = (read, sent);
    }

    /// Whether a turn is long enough, with so many records read and sent by now.
    fn is_over(&self, read: u64, sent: u64) -> bool {
        (read - self.began.0).max(sent - self.began.1) >= TURN_RECORDS
    }
}

impl<S: Source> SourceDriver<S> {
    /// Reads until nothing is there, `limit` records were read, the turn is over or too much is under
    /// way.
    pub(super) fn read(&mut self, turn: &Turn, limit: usize) -> Result<Reading> {
        if self.worker.draining.get() {
            self.splits.end_all();
            return Ok(Reading::Dry);
        }
        if !self.begun {
            return Ok(Reading::Dry);
        }
        let mut left = limit;
        self.pace
            .begin(self.metrics.records_in.get(), self.out.sent());
        loop {
            if self.in_flight.wants_tick(self.held.time().epoch) {
                self.worker.report(Report::TickWanted);
            }
            if self.in_flight.is_full() {
                self.shared.throttled.add(1);
                return Ok(Reading::Throttled);
            }
            if !self.read_round(&mut left)? {
                return Ok(Reading::Dry);
            }
            // Splits that are kept together are looked at after each round.
            let aligned = self
                .strategy
                .as_ref()
                .is_some_and(|s| s.max_drift_ms.is_some());
            let much = !self.worker.config.mode.is_micro_batch()
                && (aligned
                    || self
                        .pace
                        .is_over(self.metrics.records_in.get(), self.out.sent()));
            if left == 0 || much || turn.is_over() {
                return Ok(Reading::More);
            }
        }
    }

    /// Polls each split once, as long as `left` records may be read; whether there is more.
    fn read_round(&mut self, left: &mut usize) -> Result<bool> {
        let mut more = false;
        for _ in 0..self.splits.active.len() {
            if self.splits.active.is_empty() || *left == 0 {
                break;
            }
            if self.in_flight.is_full() {
                return Ok(true); // the limit holds for all splits together
            }
            self.next_split %= self.splits.active.len();
            let (status, count) = self.poll(self.next_split, (*left).min(self.pace.poll))?;
            *left -= count.min(*left);
            match status {
                Some(ReadStatus::Finished) => {}
                Some(ReadStatus::More) => {
                    more = true;
                    self.next_split += 1;
                }
                _ => self.next_split += 1,
            }
        }
        Ok(more)
    }

    /// Polls one split; `None` when it is not its turn. Also the number of records read.
    fn poll(&mut self, index: usize, max: usize) -> Result<(Option<ReadStatus>, usize)> {
        let now_ns = self.worker.now_ns();
        let split = &mut self.splits.active[index];
        if !split.is_due(now_ns) {
            return Ok((None, 0));
        }
        let mut batch = Batch {
            records: std::mem::take(&mut self.spare),
            ..Batch::default()
        };
        let running = &self.worker.running;
        let status = running
            .during(Doing::Read, || split.reader.poll(&mut batch, max))
            .map_err(|error| error.within(format!("split {}", split.id())))?;
        split.waiting = status == ReadStatus::Waiting;
        split.wait_until_ns = match status {
            ReadStatus::More | ReadStatus::Finished => None,
            // Polled again when the waker or anything else activates the source.
            ReadStatus::Waiting => None,
            ReadStatus::WaitFor(wait) => Some(after(now_ns, wait)),
        };
        let count = self.take(index, &mut batch, now_ns.div_euclid(1_000_000))?;
        self.spare = batch.records;
        if status == ReadStatus::Finished {
            self.splits.finish(index);
        }
        Ok((Some(status), count))
    }

    /// Takes what a split gave, good and bad; the number of records.
    fn take(
        &mut self,
        index: usize,
        batch: &mut Batch<S::Item>,
        now_ms: EventTime,
    ) -> Result<usize> {
        let split = &mut self.splits.active[index];
        let (good, bad) = (batch.records.len(), batch.bad.len());
        let count = good + bad;
        if count == 0 && batch.skipped == 0 {
            return Ok(0);
        }
        for bad in batch.bad.drain(..) {
            self.faults.bad_record(split.id(), bad)?;
        }
        if good > 0 {
            split.last_record_ms = now_ms;
        }
        if good > 0
            && let Some(assigner) = &mut split.assigner
        {
            let first = self.metrics.records_in.get();
            let id = &split.metrics.id;
            self.faults
                .assign(id, assigner, &mut batch.records, now_ms, first)?;
            split.watermark = split.watermark.max(assigner.watermark());
        }
        self.metrics.skipped.add(batch.skipped);
        self.metrics.records_in.add(count as u64 + batch.skipped);
        self.shared.bytes.add(batch.bytes);
        let epoch = self.held.time().epoch;
        let now_ns = self.worker.now_ns();
        self.in_flight.add(epoch, count as u64, batch.bytes, now_ns);
        self.worker.control.note_activity();
        self.out.push_batch(&mut batch.records);
        Ok(count)
    }

    /// When some split wants to be polled, or an idle timeout is to be looked at.
    pub(super) fn next_poll_ns(&self) -> Option<i64> {
        let now_ns = self.worker.now_ns();
        let splits = &self.splits.active;
        let polls = splits.iter().filter_map(|s| s.wait_until_ns).min();
        let idle = self.strategy.as_ref().and_then(|s| s.idle_timeout);
        let idle = idle.filter(|_| !splits.is_empty());
        let idle = idle.map(|timeout| after(now_ns, timeout));
        let paused = splits.iter().any(|s| s.paused);
        let paused = paused.then(|| now_ns + PAUSE_NS);
        [polls, idle, paused].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u64 = BATCH_RECORDS as u64;

    #[test]
    fn a_turn_ends_with_what_was_read_or_with_what_was_made_of_it() {
        let mut pace = Pace::default();
        pace.begin(10, 500);
        assert!(!pace.is_over(10 + TURN_RECORDS - 1, 500));
        assert!(pace.is_over(10 + TURN_RECORDS, 500), "all filtered out");
        assert!(pace.is_over(11, 500 + TURN_RECORDS), "one became many");
    }

    #[test]
    fn the_more_becomes_of_a_record_the_fewer_are_read_at_a_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.poll, BATCH_RECORDS);
        let (mut read, mut sent) = (0, 0);
        for (each, poll) in [(1, BATCH), (16, BATCH / 4), (1_000_000, 1), (0, BATCH)] {
            read += 100;
            sent += 100 * each;
            pace.begin(read, sent);
            assert_eq!(pace.poll as u64, poll, "{each} of each");
            pace.begin(read, sent);
            assert_eq!(
                pace.poll as u64, poll,
                "a turn without records says nothing"
            );
        }
    }
}
