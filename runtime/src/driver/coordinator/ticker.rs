//! When the epoch rises while records flow.
//!
//! A tick is a round of progress through every operator, and a record that is due during it waits for some
//! microseconds. A source that sends at even intervals and a tick that began with one of its records would stay in
//! step: at 1,000 records a second every tenth record would be such a one. So the first tick after a pause does not come with
//! the record that ended it but an odd fraction of an interval later.

use super::super::alarm::after;
use std::time::Duration;

/// Where between two ticks the first one after a pause is put, in thousandths: the golden section, which is far from
/// every small fraction.
const PHASE: u32 = 618;

/// What the ticker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// The epoch rises now.
    Now,
    /// Look again at this time, in nanoseconds of the clock.
    At(i64),
    /// Nothing until a record is sent.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Records flow.
    Running,
    /// None was sent for an interval.
    Asleep,
    /// One was sent after a pause; its tick is to come.
    Roused,
}

pub(super) struct Ticker {
    interval: Duration,
    last_ns: i64,
    state: State,
}

impl Ticker {
    pub fn new(interval: Duration, now_ns: i64) -> Self {
        Ticker {
            interval,
            last_ns: now_ns,
            state: State::Running,
        }
    }

    /// The epoch has risen, for whatever reason.
    pub fn ticked(&mut self, now_ns: i64) {
        self.last_ns = now_ns;
        self.state = State::Running;
    }

    /// `sent`: whether records were sent since it was last asked; it sleeps when none were.
    pub fn look(&mut self, now_ns: i64, sent: impl FnOnce() -> bool) -> Tick {
        let due_ns = after(self.last_ns, self.interval);
        if now_ns < due_ns {
            return Tick::At(due_ns);
        }
        match self.state {
            State::Roused => Tick::Now,
            _ if !sent() => {
                self.state = State::Asleep;
                Tick::Never
            }
            State::Running => Tick::Now,
            State::Asleep => {
                self.state = State::Roused;
                let first_ns = after(now_ns, self.interval * PHASE / 1_000);
                self.last_ns = first_ns - (due_ns - self.last_ns);
                Tick::At(first_ns)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Ticks began with the record that ended a pause, and stayed in step with a source of 1,000 a second.
    #[test]
    fn the_first_tick_after_a_pause_is_out_of_step_with_the_record_that_ended_it() {
        let mut ticker = Ticker::new(Duration::from_millis(10), 0);
        assert_eq!(ticker.look(4 * MS, || true), Tick::At(10 * MS));
        assert_eq!(ticker.look(10 * MS, || false), Tick::Never);
        assert_eq!(ticker.look(200 * MS, || true), Tick::At(206_180_000));
        assert_eq!(ticker.look(203 * MS, || true), Tick::At(206_180_000));
        // The one record of the pause gets its tick, although none came after it.
        assert_eq!(ticker.look(206_180_000, || false), Tick::Now);
        ticker.ticked(206_180_000);
        assert_eq!(ticker.look(207 * MS, || true), Tick::At(216_180_000));
        assert_eq!(ticker.look(216_180_000, || true), Tick::Now);
        ticker.ticked(216_180_000);
        assert_eq!(ticker.look(226_180_000, || false), Tick::Never);
    }
}
