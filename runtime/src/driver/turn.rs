//! How long an operator may run before others get their turn.

use crate::clock::Stopwatch;
use std::cell::Cell;
use std::time::Duration;

/// After this long an operator lets others run.
const TURN: Duration = Duration::from_millis(1);
/// The clock is read once in this many batches: reading it costs as much as a few records.
const BATCHES: u32 = 16;

/// One turn of an operator. Most take one batch, and never read a clock.
#[derive(Default)]
pub(crate) struct Turn {
    batches: Cell<u32>,
    started: Cell<Option<Stopwatch>>,
}

impl Turn {
    /// A batch was processed: whether the turn is over.
    #[inline]
    pub fn is_over(&self) -> bool {
        let batches = self.batches.get() + 1;
        self.batches.set(batches);
        batches.is_multiple_of(BATCHES) && self.is_over_now()
    }

    /// Much work was done: whether the turn is over. The first call begins to measure.
    pub fn is_over_now(&self) -> bool {
        match self.started.get() {
            Some(started) => started.elapsed() > TURN,
            None => {
                self.started.set(Some(Stopwatch::start()));
                false
            }
        }
    }
}
