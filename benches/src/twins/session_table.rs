//! Counts by key and session: the open sessions of each key in a hash table, and a calendar of their ends.
//!
//! Sessions that touch are one. Invariant: each open session is in the calendar once, at its end or before; an entry that finds it grown is
//! put off to its end.

use super::timely_windows::WindowCounts;
use hashbrown::HashTable;
use millstream_runtime::hash::stable_hash;
use std::collections::BTreeMap;

/// The counts of open sessions.
pub struct SessionTable {
    gap_ms: i64,
    keys: HashTable<Sessions>,
    ends: BTreeMap<i64, Vec<u64>>,
}

struct Sessions {
    key: u64,
    /// Rising; nearly always one.
    open: Vec<Session>,
}

struct Session {
    start_ms: i64,
    end_ms: i64,
    /// The calendar has it here.
    filed_ms: i64,
    count: u64,
}

impl SessionTable {
    /// A table for sessions that end after `gap_ms` without an event.
    pub fn new(gap_ms: i64) -> Self {
        SessionTable {
            gap_ms,
            keys: HashTable::new(),
            ends: BTreeMap::new(),
        }
    }

    #[cold]
    fn fire_at(&mut self, filed_ms: i64, key: u64, emit: &mut impl FnMut(i64, u64, u64)) {
        let hash = stable_hash(&key);
        let Ok(mut found) = self.keys.find_entry(hash, |sessions| sessions.key == key) else {
            return;
        };
        let open = &mut found.get_mut().open;
        let Some(at) = open.iter().position(|session| session.filed_ms == filed_ms) else {
            return; // it was merged into another
        };
        let session = &mut open[at];
        if session.end_ms > filed_ms {
            session.filed_ms = session.end_ms;
            self.ends.entry(session.end_ms).or_default().push(key);
            return;
        }
        emit(session.start_ms, key, session.count);
        open.remove(at);
        if open.is_empty() {
            found.remove();
        }
    }
}

impl WindowCounts for SessionTable {
    #[inline]
    fn add(&mut self, key: u64, time_ms: i64) {
        let (hash, end_ms) = (stable_hash(&key), time_ms + self.gap_ms);
        let same = |sessions: &Sessions| sessions.key == key;
        let of_key = self
            .keys
            .entry(hash, same, |sessions| stable_hash(&sessions.key));
        let new = || Sessions {
            key,
            open: Vec::with_capacity(1),
        };
        let open = &mut of_key.or_insert_with(new).into_mut().open;
        // The first one that is not over before this event; it may touch the next ones too.
        let at = open
            .iter()
            .position(|session| session.end_ms >= time_ms)
            .unwrap_or(open.len());
        if open.get(at).is_none_or(|session| session.start_ms > end_ms) {
            self.ends.entry(end_ms).or_default().push(key);
            let session = Session {
                start_ms: time_ms,
                end_ms,
                filed_ms: end_ms,
                count: 1,
            };
            return open.insert(at, session);
        }
        let session = &mut open[at];
        session.start_ms = session.start_ms.min(time_ms);
        session.end_ms = session.end_ms.max(end_ms);
        session.count += 1;
        while open.len() > at + 1 && open[at + 1].start_ms <= open[at].end_ms {
            let next = open.remove(at + 1);
            open[at].end_ms = open[at].end_ms.max(next.end_ms);
            open[at].count += next.count;
        }
    }

    #[inline]
    fn fire(&mut self, watermark_ms: i64, mut emit: impl FnMut(i64, u64, u64)) {
        while let Some(entry) = self.ends.first_entry()
            && *entry.key() < watermark_ms
        // an event at the watermark would touch it
        {
            let (filed_ms, keys) = entry.remove_entry();
            for key in keys {
                self.fire_at(filed_ms, key, &mut emit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_grow_merge_and_end() {
        let mut table = SessionTable::new(10);
        let mut rows = Vec::new();
        let mut row = |start, key, count| rows.push((start, key, count));
        table.add(7, 0);
        table.add(7, 15);
        table.add(7, 9); // touches both
        table.add(8, 0);
        table.fire(11, &mut row);
        table.fire(25, &mut row);
        table.add(7, 40);
        table.fire(i64::MAX, &mut row);
        assert_eq!(rows, [(0, 8, 1), (0, 7, 3), (40, 7, 1)]);
    }
}
