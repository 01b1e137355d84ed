//! When which keys have something due, by one clock.
//!
//! An entry is a time and a slot. It stands while its key's state says the same time (its `wake`); others are stale
//! and passed over when their time comes. A key whose time moves on, as that of a session does with every record, is
//! not touched here: the earlier entry comes first and finds out. Stale entries are thrown out when there are more
//! of them than of keys.

use millstream_runtime::state::{Slot, TimeDomain};
use millstream_runtime::time::EventTime;
use std::collections::BTreeMap;

/// No time at all: nothing is ever due at the greatest one.
pub(super) const NEVER: EventTime = EventTime::MAX;

/// When nothing but the end of input can come: a time that only the last watermark passes.
pub(super) const END_OF_INPUT: EventTime = EventTime::MAX - 1;

/// So few stale entries are not worth a look.
const SPARE: usize = 1024;

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
        self.event.entries + self.processing.entries
    }

    /// Throws out stale entries; `wake` says when a slot's key wakes.
    pub fn tidy(&mut self, keys: usize, wake: impl Fn(Slot) -> Wake) {
        self.event.tidy(keys, |time, slot| wake(slot).event == time);
        self.processing
            .tidy(keys, |time, slot| wake(slot).processing == time);
    }
}

#[derive(Default)]
pub(super) struct Calendar {
    due: BTreeMap<EventTime, Vec<Slot>>,
    entries: usize,
    /// The time that is being worked off, and what is left of it, from the back.
    current: Option<(EventTime, Vec<Slot>)>,
}

impl Calendar {
    fn add(&mut self, time: EventTime, slot: Slot) {
        self.due.entry(time).or_default().push(slot);
        self.entries += 1;
    }

    /// The earliest time with an entry.
    pub fn first(&self) -> Option<EventTime> {
        let current = self.current.as_ref().map(|(time, _)| *time);
        let next = self.due.first_key_value().map(|(time, _)| *time);
        match (current, next) {
            (Some(current), Some(next)) => Some(current.min(next)),
            (current, next) => current.or(next),
        }
    }

    /// Takes out the next entry at `until` or before; those of one time as they were added.
    pub fn pop(&mut self, until: EventTime) -> Option<(EventTime, Slot)> {
        loop {
            if let Some((time, slots)) = &mut self.current {
                if let Some(slot) = slots.pop() {
                    self.entries -= 1;
                    return Some((*time, slot));
                }
                self.current = None;
            }
            let next = self.due.first_entry()?;
            if *next.key() > until {
                return None;
            }
            let (time, mut slots) = next.remove_entry();
            slots.reverse();
            self.current = Some((time, slots));
        }
    }

    /// Throws out stale entries when they outnumber the `keys`.
    fn tidy(&mut self, keys: usize, stands: impl Fn(EventTime, Slot) -> bool) {
        if self.entries <= 2 * keys + SPARE {
            return;
        }
        let current = self.current.iter_mut().map(|(time, slots)| (*time, slots));
        let due = self.due.iter_mut().map(|(time, slots)| (*time, slots));
        self.entries = 0;
        for (time, slots) in current.chain(due) {
            slots.retain(|slot| stands(time, *slot));
            slots.sort_unstable(); // a slot that was used again may stand there twice
            slots.dedup();
            slots.shrink_to_fit();
            self.entries += slots.len();
        }
        self.due.retain(|_, slots| !slots.is_empty());
    }
}
