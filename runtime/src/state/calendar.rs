//! When which keys have something due, by one clock.
//!
//! An entry is a time and a slot. Whether it still stands is told by the state of its key: an entry whose key no longer
//! waits for that time is stale, and passed over when its time comes. So nothing is searched for when a key changes its mind.
//! Stale entries are thrown out when there are more of them than of others.

use super::Slot;
use super::table::SlotSet;
use crate::time::EventTime;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

/// So few stale entries are not worth a look.
const SPARE: usize = 1024;

/// See the module's documentation.
#[derive(Default)]
pub struct Calendar {
    /// By time, as they were added; no time without an entry.
    due: BTreeMap<EventTime, Bucket>,
    entries: usize,
}

/// The entries of one time. Where keys wait for times of their own there is one in most buckets.
enum Bucket {
    One(Slot),
    Many(VecDeque<Slot>),
}

impl Bucket {
    fn push(&mut self, slot: Slot) {
        match self {
            Bucket::One(first) => *self = Bucket::Many(VecDeque::from([*first, slot])),
            Bucket::Many(slots) => slots.push_back(slot),
        }
    }

    /// Takes out the first entry; whether it was the last.
    fn pop(&mut self) -> (Option<Slot>, bool) {
        match self {
            Bucket::One(slot) => (Some(*slot), true),
            Bucket::Many(slots) => (slots.pop_front(), slots.is_empty()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Slot> {
        let (one, many) = match self {
            Bucket::One(slot) => (Some(*slot), None),
            Bucket::Many(slots) => (None, Some(slots)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// Keeps the entries that `stands` says; how many they are.
    fn retain(&mut self, mut stands: impl FnMut(Slot) -> bool) -> usize {
        match self {
            Bucket::One(slot) => usize::from(stands(*slot)),
            Bucket::Many(slots) => {
                slots.retain(|slot| stands(*slot));
                slots.shrink_to_fit();
                slots.len()
            }
        }
    }
}

impl Calendar {
    /// Adds an entry.
    #[inline]
    pub fn add(&mut self, time: EventTime, slot: Slot) {
        match self.due.entry(time) {
            Entry::Occupied(mut bucket) => bucket.get_mut().push(slot),
            Entry::Vacant(time) => drop(time.insert(Bucket::One(slot))),
        }
        self.entries += 1;
    }

    /// The number of entries, with those that are stale.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The earliest time with an entry.
    #[inline]
    pub fn first(&self) -> Option<EventTime> {
        self.due.first_key_value().map(|(time, _)| *time)
    }

    /// Takes out the earliest entry, if `is_due` says so of its time; those of one time as they were added.
    pub fn pop(&mut self, is_due: impl Fn(EventTime) -> bool) -> Option<(EventTime, Slot)> {
        let mut first = self
            .due
            .first_entry()
            .filter(|first| is_due(*first.key()))?;
        let time = *first.key();
        let (slot, was_last) = first.get_mut().pop();
        if was_last {
            first.remove();
        }
        self.entries -= 1;
        Some((time, slot?))
    }

    /// Throws out the earliest entries as long as they are stale.
    pub fn pass_over(&mut self, stands: impl Fn(EventTime, Slot) -> bool) {
        while let Some((time, slots)) = self.due.first_key_value()
            && slots.iter().next().is_some_and(|slot| !stands(*time, slot))
        {
            self.pop(|_| true);
        }
    }

    /// The next entries, of the earliest time.
    pub fn next(&self, entries: usize) -> impl Iterator<Item = Slot> {
        let first = self.due.first_key_value().into_iter();
        first.flat_map(move |(_, slots)| slots.iter().take(entries))
    }

    /// Throws out stale entries when they outnumber those that are waited for, which are `standing` at the most.
    pub fn tidy(&mut self, standing: usize, stands: impl Fn(EventTime, Slot) -> bool) {
        if self.entries <= 2 * standing + SPARE {
            return;
        }
        self.entries = 0;
        let mut seen = SlotSet::default();
        self.due.retain(|time, slots| {
            seen.clear();
            // A slot that was used again may stand there twice.
            let kept = slots.retain(|slot| stands(*time, slot) && seen.insert(slot));
            self.entries += kept;
            kept > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::KeyedTable;
    use std::collections::BTreeSet;

    /// Keys that change their minds all the time; what stands is popped in order of time, once.
    #[test]
    fn what_stands_comes_in_order_of_time() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut table = KeyedTable::<u64, i64>::new("wake");
            let slots: Vec<Slot> = (0..40).map(|key| table.insert(key, 0)).collect();
            let mut calendar = Calendar::default();
            let mut model: BTreeSet<(EventTime, Slot)> = BTreeSet::new();
            let mut now = 0;
            for _ in 0..3_000 {
                if random.u8(..4) > 0 {
                    let (time, slot) = (now + random.i64(-5..50), slots[random.usize(..40)]);
                    model.retain(|(_, other)| *other != slot);
                    model.insert((time, slot));
                    calendar.add(time, slot);
                    let standing = |time, slot| model.contains(&(time, slot));
                    calendar.tidy(model.len(), standing);
                    assert!(calendar.entries() <= 2 * model.len() + SPARE);
                    continue;
                }
                now += random.i64(0..20);
                let mut before = None;
                let is_due = |time| time <= now;
                while let Some((time, slot)) = calendar.pop(is_due) {
                    assert!(before.is_none_or(|before| before <= time));
                    before = Some(time);
                    if model.remove(&(time, slot)) && random.u8(..4) == 0 {
                        // Earlier than what is being worked off, now and then.
                        let (time, slot) = (time + random.i64(-3..3), slots[0]);
                        model.retain(|(_, other)| *other != slot);
                        model.insert((time, slot));
                        calendar.add(time, slot);
                        before = None;
                    }
                    if random.u8(..10) == 0 {
                        break;
                    }
                }
                calendar.pass_over(|time, slot| model.contains(&(time, slot)));
                let first = model.first().map(|(time, _)| *time);
                assert_eq!(calendar.first(), first);
            }
            while let Some((time, slot)) = calendar.pop(|_| true) {
                model.remove(&(time, slot));
            }
            assert!(model.is_empty() && calendar.entries() == 0, "seed {seed}");
        }
    }
}
