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
use std::collections::BTreeSet;

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
    /// The others, the latest first.
    rest: Vec<EventTime>,
}

impl Times {
    fn place(&self, time: EventTime) -> Result<usize, usize> {
        self.rest.binary_search_by(|other| time.cmp(other))
    }

    fn contains(&self, time: EventTime) -> bool {
        self.first == time || self.place(time).is_ok()
    }

    /// Adds a time that is not there.
    fn add(&mut self, time: EventTime) {
        if time < self.first {
            self.rest.push(self.first);
            self.first = time;
        } else if let Err(at) = self.place(time) {
            self.rest.insert(at, time);
        }
    }

    /// Removes a time that is there and not the only one.
    fn remove(&mut self, time: EventTime) {
        if self.first == time {
            self.first = self.rest.pop().expect("it is not the only time");
        } else if let Ok(at) = self.place(time) {
            self.rest.remove(at);
        }
    }

    fn iter(&self) -> impl Iterator<Item = EventTime> {
        std::iter::once(self.first).chain(self.rest.iter().copied())
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
                let times = Times {
                    first: time,
                    rest: Vec::new(),
                };
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

    /// Takes out the earliest timer; returns its key and time.
    pub fn pop(&mut self) -> Option<(K, EventTime)> {
        let (time, slot) = self.calendar.pop_first()?;
        Some((self.take(slot, time), time))
    }

    /// Takes a time out of a key's; returns the key.
    fn take(&mut self, slot: Slot, time: EventTime) -> K {
        if self.table.at(slot).1.rest.is_empty() {
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
