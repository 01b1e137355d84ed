//! Timers: calls to come, per key, at an event time or a processing time.
//!
//! The pending times of each key are keyed state like any other and go into the snapshot; beside them
//! stands a [calendar](super::Calendar), built after a restore. Timers fire in order of time, those of one time in
//! the order in which they were registered.

use super::keyed::Current;
use super::{Calendar, KeyedTable, Slot, Snapshot};
use crate::record::Key;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Which of the two clocks a time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeDomain {
    /// The time inside the records, which the watermark follows.
    Event,
    /// The time on the wall where they are processed.
    Processing,
}

/// A timer that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timer {
    /// The time it was registered for, in milliseconds since the Unix epoch.
    pub time: EventTime,
    /// Of which clock.
    pub domain: TimeDomain,
}

/// The pending times of one key: nearly always one, and never none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    /// The earliest.
    first: EventTime,
    /// The others, rising, if there are any: one word in the entries of all the keys that have none.
    #[allow(clippy::box_collection)]
    rest: Option<Box<VecDeque<EventTime>>>,
}

impl Times {
    fn only(first: EventTime) -> Self {
        Times { first, rest: None }
    }

    fn contains(&self, time: EventTime) -> bool {
        let among = |rest: &VecDeque<_>| {
            // Times mostly rise.
            rest.back().is_some_and(|last| time <= *last) && rest.binary_search(&time).is_ok()
        };
        self.first == time || self.rest.as_ref().is_some_and(|rest| among(rest))
    }

    /// Adds a time that is not there.
    fn add(&mut self, time: EventTime) {
        let rest = self.rest.get_or_insert_default();
        if time < self.first {
            rest.push_front(self.first);
            self.first = time;
        } else if rest.back().is_none_or(|last| *last < time) {
            rest.push_back(time);
        } else if let Err(at) = rest.binary_search(&time) {
            rest.insert(at, time);
        }
    }

    /// Removes a time that is there and not the only one.
    fn remove(&mut self, time: EventTime) {
        let rest = self.rest.as_mut().expect("it is not the only time");
        if self.first == time {
            self.first = rest.pop_front().expect("it is not the only time");
        } else if let Ok(at) = rest.binary_search(&time) {
            rest.remove(at);
        }
        if rest.is_empty() {
            self.rest = None;
        }
    }

    fn iter(&self) -> impl Iterator<Item = EventTime> {
        std::iter::once(self.first).chain(self.rest.iter().flat_map(|rest| rest.iter().copied()))
    }
}

/// The timers of one clock.
pub(super) struct Timers<K> {
    table: KeyedTable<K, Times>,
    calendar: Calendar,
    /// How many are pending.
    pending: usize,
}

impl<K: Key> Timers<K> {
    pub fn new(name: &str) -> Self {
        Timers {
            table: KeyedTable::new(name),
            calendar: Calendar::default(),
            pending: 0,
        }
    }

    /// Builds the calendar from the restored table.
    pub fn open(&mut self) {
        for (slot, _, times) in self.table.iter() {
            for time in times.iter() {
                self.calendar.add(time, slot);
                self.pending += 1;
            }
        }
    }

    /// Registers a timer for the current key; whether it was not pending already.
    pub fn register(&mut self, current: &Current<K>, time: EventTime) -> bool {
        let (key, hash) = current.key_and_hash();
        let (slot, times) = match self.table.slot_hashed(key, hash) {
            Some(slot) => (slot, self.table.at(slot).1),
            None => {
                let times = Times::only(time);
                let slot = self.table.insert_vacant(key.clone(), hash, times);
                self.note(time, slot);
                return true;
            }
        };
        if times.contains(time) {
            return false;
        }
        self.table.touch(slot).1.add(time);
        self.note(time, slot);
        true
    }

    fn note(&mut self, time: EventTime, slot: Slot) {
        self.calendar.add(time, slot);
        self.pending += 1;
        let table = &self.table;
        (self.calendar).tidy(self.pending, |time, slot| is_pending(table, slot, time));
    }

    /// Deletes a timer of the current key; whether it was pending.
    pub fn delete(&mut self, current: &Current<K>, time: EventTime) -> bool {
        let (key, hash) = current.key_and_hash();
        let slot = self.table.slot_hashed(key, hash);
        let taken = slot.and_then(|slot| self.take(slot, time));
        let table = &self.table;
        (self.calendar).pass_over(|time, slot| is_pending(table, slot, time));
        taken.is_some()
    }

    /// The earliest pending time; one that is past already where a timer was deleted and registered again.
    #[inline]
    pub fn first(&self) -> Option<EventTime> {
        self.calendar.first()
    }

    /// The hashes of the keys whose timers are next.
    pub fn next_hashes(&self, timers: usize, hashes: &mut Vec<u64>) {
        hashes.extend(self.calendar.next(timers).map(Slot::hash));
    }

    /// Brings keys into the cache.
    pub fn warm(&self, hashes: &[u64]) -> usize {
        self.table.warm(hashes.iter().copied())
    }

    /// Takes out the earliest timer, if `is_due` says so of its time; returns its key and time.
    pub fn pop(&mut self, is_due: impl Fn(EventTime) -> bool) -> Option<(K, EventTime)> {
        while let Some((time, slot)) = self.calendar.pop(&is_due) {
            if let Some(key) = self.take(slot, time) {
                return Some((key, time));
            }
        }
        None
    }

    /// Takes a time out of a key's; returns the key, if it was pending.
    fn take(&mut self, slot: Slot, time: EventTime) -> Option<K> {
        let (_, times) = self.table.try_at(slot)?;
        if !times.contains(time) {
            return None;
        }
        self.pending -= 1;
        if times.rest.is_none() {
            return Some(self.table.remove_at(slot).0);
        }
        let (key, times) = self.table.touch(slot);
        times.remove(time);
        Some(key.clone())
    }

    pub fn snapshot(&mut self) -> &mut dyn Snapshot {
        &mut self.table
    }
}

fn is_pending<K: Key>(table: &KeyedTable<K, Times>, slot: Slot, time: EventTime) -> bool {
    let times = table.try_at(slot);
    times.is_some_and(|(_, times)| times.contains(time))
}
