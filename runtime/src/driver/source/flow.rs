//! Flow control: what a source instance has sent that has not left the graph yet, and how much it may be.
//!
//! What was sent in an epoch leaves the account when that epoch has left the graph on all workers, so
//! the account is exact to a tick.

use crate::config::JobConfig;
use crate::time::Epoch;
use std::collections::VecDeque;

/// Records and bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    records: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, other: Amount) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    fn reaches(&self, limit: &Amount) -> bool {
        self.records >= limit.records || self.bytes >= limit.bytes
    }
}

/// What was sent in one epoch.
struct Sent {
    epoch: Epoch,
    amount: Amount,
    /// When the first of it was sent, in nanoseconds.
    at_ns: i64,
}

/// What is under way, by epoch.
pub(super) struct InFlight {
    /// Epochs rise.
    sent: VecDeque<Sent>,
    whole: Amount,
    limit: Amount,
    half: Amount,
    /// The epoch in which a tick was last asked for.
    tick_wanted: Option<Epoch>,
}

impl InFlight {
    /// A micro-batch has a limit of its own: there, never too much is under way.
    pub fn new(config: &JobConfig) -> Self {
        if config.mode.is_micro_batch() {
            InFlight::bounded(u64::MAX, u64::MAX)
        } else {
            InFlight::bounded(
                config.max_in_flight as u64,
                config.max_in_flight_bytes as u64,
            )
        }
    }

    fn bounded(records: u64, bytes: u64) -> Self {
        InFlight {
            sent: VecDeque::new(),
            whole: Amount::default(),
            limit: Amount { records, bytes },
            half: Amount {
                records: records.div_ceil(2),
                bytes: bytes.div_ceil(2),
            },
            tick_wanted: None,
        }
    }

    /// Records under way.
    pub fn records(&self) -> u64 {
        self.whole.records
    }

    /// Bytes under way.
    pub fn bytes(&self) -> u64 {
        self.whole.bytes
    }

    /// When the oldest record under way was sent, in nanoseconds.
    pub fn oldest_ns(&self) -> Option<i64> {
        self.sent.front().map(|sent| sent.at_ns)
    }

    /// So much was sent in `epoch`, at `now_ns`.
    pub fn add(&mut self, epoch: Epoch, records: u64, bytes: u64, now_ns: i64) {
        let amount = Amount { records, bytes };
        self.whole.add(amount);
        match self.sent.back_mut() {
            Some(last) if last.epoch == epoch => last.amount.add(amount),
            _ => self.sent.push_back(Sent {
                epoch,
                amount,
                at_ns: now_ns,
            }),
        }
    }

    /// All that was sent below this epoch has left the graph; `done` is told of each epoch when its first record
    /// was sent and how many there were.
    pub fn complete(&mut self, below: Epoch, mut done: impl FnMut(i64, u64)) {
        while let Some(sent) = self.sent.front()
            && sent.epoch < below
        {
            self.whole.records -= sent.amount.records;
            self.whole.bytes -= sent.amount.bytes;
            done(sent.at_ns, sent.amount.records);
            self.sent.pop_front();
        }
    }

    /// Whether the source must stop reading.
    pub fn is_full(&self) -> bool {
        self.whole.reaches(&self.limit)
    }

    /// Whether a tick before its time would help: halfway to the limit, what was sent in this epoch
    /// could leave the account as soon as it has left the graph. True once an epoch.
    pub fn wants_tick(&mut self, epoch: Epoch) -> bool {
        let sent_now = self.sent.back().is_some_and(|last| last.epoch == epoch);
        let wanted = self.whole.reaches(&self.half) && sent_now && self.tick_wanted != Some(epoch);
        if wanted {
            self.tick_wanted = Some(epoch);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_leaves_the_account_with_its_epoch() {
        let mut flow = InFlight::bounded(10, 1_000);
        flow.add(Epoch(1), 4, 40, 100);
        flow.add(Epoch(1), 2, 20, 150);
        flow.add(Epoch(2), 4, 40, 200);
        assert!(flow.is_full());
        let mut left = Vec::new();
        flow.complete(Epoch(1), |at_ns, records| left.push((at_ns, records)));
        assert_eq!((flow.records(), flow.oldest_ns()), (10, Some(100)));
        flow.complete(Epoch(2), |at_ns, records| left.push((at_ns, records)));
        assert_eq!((flow.records(), flow.oldest_ns()), (4, Some(200)));
        assert!(!flow.is_full());
        flow.complete(Epoch::MAX, |at_ns, records| left.push((at_ns, records)));
        assert_eq!((flow.records(), flow.oldest_ns()), (0, None));
        assert_eq!(left, [(100, 6), (200, 4)]);
    }

    #[test]
    fn bytes_are_bounded_as_records_are() {
        let mut flow = InFlight::bounded(10, 1_000);
        flow.add(Epoch(1), 1, 999, 0);
        assert!(!flow.is_full());
        flow.add(Epoch(1), 1, 1, 0);
        assert!(flow.is_full());
    }

    #[test]
    fn a_tick_is_wanted_once_an_epoch_and_only_for_what_was_sent_in_it() {
        let mut flow = InFlight::bounded(9, 1_000);
        flow.add(Epoch(1), 4, 0, 0);
        assert!(!flow.wants_tick(Epoch(1)));
        flow.add(Epoch(1), 1, 0, 0);
        assert!(flow.wants_tick(Epoch(1)));
        assert!(!flow.wants_tick(Epoch(1)));
        assert!(!flow.wants_tick(Epoch(2)), "nothing was sent in 2");
        flow.add(Epoch(2), 1, 0, 0);
        assert!(flow.wants_tick(Epoch(2)));
    }

    #[test]
    fn a_micro_batch_is_never_throttled() {
        let config = JobConfig {
            mode: crate::config::Mode::MicroBatch {
                interval: std::time::Duration::ZERO,
            },
            max_in_flight: 1,
            ..Default::default()
        };
        let mut flow = InFlight::new(&config);
        flow.add(Epoch(1), 1_000, 1_000, 0);
        assert!(!flow.is_full() && !flow.wants_tick(Epoch(1)));
    }
}
