//! Timers: calls to come, per key, at an event time or a processing time.
//!
//! The pending times of each key are keyed state like any other and go into the snapshot; beside them
//! stands a calendar of `(time, slot)`, built after a restore. A time is in the calendar exactly
//! once and only while it is pending, so a key that moves its timer with every record leaves nothing
//! behind. Timers fire in order of time, those of one time in order of their key's slot.

use super::keyed::Current;
use super::{KeyedTable, Slot, Snapshot};
use crate::record::Key;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

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
    calendar: BTreeSet<(EventTime, Slot)>,
}

impl<K: Key> Timers<K> {
    pub fn new(name: &str) -> Self {
        Timers {
            table: KeyedTable::new(name),
            calendar: BTreeSet::new(),
        }
    }

    /// Builds the calendar from the restored table.
    pub fn open(&mut self) {
        let times = self.table.iter();
        self.calendar = times
            .flat_map(|(slot, _, times)| times.iter().map(move |time| (time, slot)))
            .collect();
    }

    /// Registers a timer for the current key; whether it was not pending already.
    pub fn register(&mut self, current: &Current<K>, time: EventTime) -> bool {
        let (key, hash) = current.key_and_hash();
        let slot = match self.table.slot_hashed(key, hash) {
            Some(slot) if self.table.at(slot).1.contains(time) => return false,
            Some(slot) => {
                self.table.touch(slot).1.add(time);
                slot
            }
            None => {
                let times = Times::only(time);
                self.table.insert_vacant(key.clone(), hash, times)
            }
        };
        self.calendar.insert((time, slot))
    }

    /// Deletes a timer of the current key; whether it was pending.
    pub fn delete(&mut self, current: &Current<K>, time: EventTime) -> bool {
        let (key, hash) = current.key_and_hash();
        let Some(slot) = self.table.slot_hashed(key, hash) else {
            return false;
        };
        if !self.calendar.remove(&(time, slot)) {
            return false;
        }
        self.take(slot, time);
        true
    }

    /// The earliest pending time.
    #[inline]
    pub fn first(&self) -> Option<EventTime> {
        self.calendar.first().map(|(time, _)| *time)
    }

    /// The hashes of the keys whose timers are next.
    pub fn next_hashes(&self, timers: usize, hashes: &mut Vec<u64>) {
        let next = self.calendar.iter().take(timers);
        hashes.extend(next.map(|(_, slot)| slot.hash()));
    }

    /// Brings keys into the cache.
    pub fn warm(&self, hashes: &[u64]) -> usize {
        self.table.warm(hashes.iter().copied())
    }

    /// Takes out the earliest timer; returns its key and time.
    pub fn pop(&mut self) -> Option<(K, EventTime)> {
        let (time, slot) = self.calendar.pop_first()?;
        Some((self.take(slot, time), time))
    }

    /// Takes a time out of a key's; returns the key.
    fn take(&mut self, slot: Slot, time: EventTime) -> K {
        if self.table.at(slot).1.rest.is_none() {
            return self.table.remove_at(slot).0;
        }
        let (key, times) = self.table.touch(slot);
        times.remove(time);
        key.clone()
    }

    pub fn snapshot(&mut self) -> &mut dyn Snapshot {
        &mut self.table
    }
}
