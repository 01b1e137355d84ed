//! When which keys have something due, by each of the two clocks.
//!
//! An entry of a calendar stands while its key's state says the same time (its `wake`). A key whose time moves on, as that of
//! a session does with every record, is not touched here: the earlier entry comes first and finds out.

use millstream_runtime::state::{Calendar, Slot, TimeDomain};
use millstream_runtime::time::EventTime;

/// No time at all: nothing is ever due at the greatest one.
pub(super) const NEVER: EventTime = EventTime::MAX;

/// When nothing but the end of input can come: a time that only the last watermark passes.
pub(super) const END_OF_INPUT: EventTime = EventTime::MAX - 1;

/// Two times, one of each clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    pub event: EventTime,
    pub processing: EventTime,
}

impl Wake {
    pub const NEVER: Wake = Wake {
        event: NEVER,
        processing: NEVER,
    };

    #[inline]
    pub fn of(&self, domain: TimeDomain) -> EventTime {
        match domain {
            TimeDomain::Event => self.event,
            TimeDomain::Processing => self.processing,
        }
    }

    /// Nothing is to come by one clock.
    pub fn never(&mut self, domain: TimeDomain) {
        match domain {
            TimeDomain::Event => self.event = NEVER,
            TimeDomain::Processing => self.processing = NEVER,
        }
    }

    /// Takes up what is earlier.
    #[inline]
    pub fn note(&mut self, other: Wake) {
        self.event = self.event.min(other.event);
        self.processing = self.processing.min(other.processing);
    }
}

impl Default for Wake {
    fn default() -> Self {
        Wake::NEVER
    }
}

/// The calendars of both clocks.
#[derive(Default)]
pub(super) struct Calendars {
    pub event: Calendar,
    pub processing: Calendar,
}

impl Calendars {
    pub fn of(&mut self, domain: TimeDomain) -> &mut Calendar {
        match domain {
            TimeDomain::Event => &mut self.event,
            TimeDomain::Processing => &mut self.processing,
        }
    }

    /// Wakes a key for `next`, unless it wakes earlier anyway.
    #[inline]
    pub fn wake(&mut self, wake: &mut Wake, next: Wake, slot: Slot) {
        if next.event < wake.event {
            wake.event = next.event;
            self.event.add(next.event, slot);
        }
        if next.processing < wake.processing {
            wake.processing = next.processing;
            self.processing.add(next.processing, slot);
        }
    }

    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.event.entries() + self.processing.entries()
    }

    /// Throws out stale entries; `wake` says when a slot's key wakes.
    pub fn tidy(&mut self, keys: usize, wake: impl Fn(Slot) -> Wake) {
        self.event.tidy(keys, |time, slot| wake(slot).event == time);
        self.processing
            .tidy(keys, |time, slot| wake(slot).processing == time);
    }
}
