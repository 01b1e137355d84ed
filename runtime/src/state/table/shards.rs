//! The entries of a table, a hash table for each shard, and which of them changed.
//!
//! An entry lies in the hash table itself, in the place where that put it until it grows, and carries a
//! [`Mark`] that says when it changed: what a shard owes to a checkpoint is told by the marks alone. The sets of
//! places beside them only save a snapshot from looking at entries that it has no business with.

use super::bits::Bits;
use super::ledger::{Barrier, Pause};
use super::mark::{Mark, Owed};
use super::outbox::{Encoder, Outbox};
use crate::hash::stable_hash;
use crate::prefetch::prefetch;
use crate::record::Key;
use crate::state::SHARDS;
use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use std::collections::VecDeque;

/// A key and its state. What a lookup reads comes first, in one cache line.
#[repr(C)]
pub(super) struct Entry<K, S> {
    mark: Mark,
    /// Twice the number that tells entries of one hash apart; one more when some checkpoint
    /// holds the entry, so that its removal must be written.
    twin_and_persisted: u32,
    pub key: K,
    pub state: S,
}

impl<K, S> Entry<K, S> {
    /// Tells it from other entries with the same hash: nearly always zero.
    #[inline]
    pub fn twin(&self) -> u32 {
        self.twin_and_persisted >> 1
    }

    fn is_persisted(&self) -> bool {
        self.twin_and_persisted & 1 != 0
    }
}

/// Where in a shard what is.
#[derive(Default)]
struct Places {
    /// Where entries are, or were, that changed in this period.
    changed: Bits,
    owed: Owed,
    /// Every entry that is owed lies in a place of this set, unless it is `unmarked`.
    pending: Bits,
    /// All entries are owed and `pending` does not say so yet: a freeze has no time for it.
    unmarked: bool,
    /// No pending place lies in a word before this one.
    word: usize,
}

impl Places {
    /// Whether an entry with this mark is still to be encoded, `now` being the period after the barrier.
    #[inline]
    fn owes(&self, mark: Mark, now: Mark) -> bool {
        self.owed.holds(mark, now)
    }

    /// Entries have moved: there are so many places now, of which nothing is known.
    fn reset(&mut self, places: usize) {
        self.changed.reset(places);
        self.reset_pending(places);
    }

    fn reset_pending(&mut self, places: usize) {
        self.pending.reset(places);
        self.word = 0;
        self.unmarked = false;
    }

    /// The barrier: what changed is owed from now on, or all there is.
    fn freeze(&mut self, all: bool) {
        debug_assert!(
            self.owed == Owed::Nothing && self.pending.is_zero(),
            "the last snapshot is encoded"
        );
        std::mem::swap(&mut self.changed, &mut self.pending);
        self.word = 0;
        self.unmarked = all;
        self.owed = Owed::at_barrier(all);
    }

    /// Puts a place back.
    fn pend(&mut self, place: usize) {
        self.pending.set(place);
        self.word = self.word.min(place / 64);
    }

    /// The next place where an entry may be that is to be encoded.
    #[inline]
    fn next_pending(&mut self) -> Option<usize> {
        let at = self.pending.take_from(self.word)?;
        self.word = at / 64;
        Some(at)
    }
}

/// See the module's documentation.
pub(super) struct Shards<K, S> {
    entries: Box<[HashTable<Entry<K, S>>; SHARDS as usize]>,
    places: Box<[Places; SHARDS as usize]>,
    len: usize,
}

impl<K: Key, S> Shards<K, S> {
    pub fn new() -> Self {
        Shards {
            entries: Box::new(std::array::from_fn(|_| HashTable::new())),
            places: Box::new(std::array::from_fn(|_| Places::default())),
            len: 0,
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many entries there is memory for.
    pub fn capacity(&self) -> usize {
        self.entries.iter().map(HashTable::capacity).sum()
    }

    /// The entry with this hash for which `is` says that it is the one.
    #[inline]
    pub fn find(
        &self,
        shard: u8,
        hash: u64,
        is: impl Fn(&Entry<K, S>) -> bool,
    ) -> Option<&Entry<K, S>> {
        self.entries[usize::from(shard)].find(hash, is)
    }

    /// The same for changing: it is noted as changed, and encoded first if it is still to be.
    #[inline(always)] // a call would cost a third of it
    pub fn touch(
        &mut self,
        shard: u8,
        hash: u64,
        is: impl Fn(&Entry<K, S>) -> bool,
        encoder: &impl Encoder<K, S>,
        outbox: &mut Outbox,
    ) -> Option<&mut Entry<K, S>> {
        let found = self.entries[usize::from(shard)].find_entry(hash, is).ok()?;
        Some(changing(found, shard, &mut self.places, encoder, outbox))
    }

    /// The same; what is not there is added as `make` says.
    #[inline]
    pub fn entry(
        &mut self,
        shard: u8,
        hash: u64,
        is: impl Fn(&Entry<K, S>) -> bool,
        make: impl FnOnce() -> (K, S),
        encoder: &impl Encoder<K, S>,
        outbox: &mut Outbox,
    ) -> &mut Entry<K, S> {
        match self.entries[usize::from(shard)].find_entry(hash, is) {
            Ok(found) => changing(found, shard, &mut self.places, encoder, outbox),
            Err(absent) => {
                let (entries, places) = (absent.into_table(), &mut self.places[usize::from(shard)]);
                self.len += 1;
                let (key, state) = make();
                add(entries, places, hash, key, state, outbox)
            }
        }
    }

    /// Adds an entry that is not there; it counts as changed and is no part of a checkpoint that is being encoded.
    pub fn add(
        &mut self,
        shard: u8,
        hash: u64,
        key: K,
        state: S,
        outbox: &mut Outbox,
    ) -> &mut Entry<K, S> {
        let (entries, places) = (
            &mut self.entries[usize::from(shard)],
            &mut self.places[usize::from(shard)],
        );
        self.len += 1;
        add(entries, places, hash, key, state, outbox)
    }

    /// Takes out the entry with this hash for which `is` says that it is the one.
    pub fn remove(
        &mut self,
        shard: u8,
        hash: u64,
        is: impl Fn(&Entry<K, S>) -> bool,
        encoder: &impl Encoder<K, S>,
        outbox: &mut Outbox,
    ) -> Option<(K, S)> {
        let entries = &mut self.entries[usize::from(shard)];
        let (entry, _) = entries.find_entry(hash, is).ok()?.remove();
        if entries.is_empty() {
            *entries = HashTable::new(); // the last one went: gives the memory back
            self.places[usize::from(shard)].reset(0);
        }
        self.len -= 1;
        Some(part_with(
            entry,
            shard,
            &self.places[usize::from(shard)],
            encoder,
            outbox,
        ))
    }

    /// Takes out all entries of a shard, which keeps its memory.
    pub fn drain(
        &mut self,
        shard: u8,
        encoder: &impl Encoder<K, S>,
        outbox: &mut Outbox,
        mut take: impl FnMut(K, S),
    ) {
        let places = &self.places[usize::from(shard)];
        self.len -= self.entries[usize::from(shard)].len();
        for entry in self.entries[usize::from(shard)].drain() {
            let (key, state) = part_with(entry, shard, places, encoder, outbox);
            take(key, state);
        }
    }

    /// Forgets, all entries being gone, what was known of them.
    pub fn clear(&mut self) {
        debug_assert_eq!(self.len, 0);
        for (entries, places) in self.entries.iter().zip(&mut *self.places) {
            places.owed = Owed::Nothing;
            places.reset(entries.num_buckets());
        }
    }

    /// The entries of a shard, in no order that means anything.
    pub fn iter(&self, shard: u8) -> impl Iterator<Item = &Entry<K, S>> {
        self.entries[usize::from(shard)].iter()
    }

    /// What changed belongs to a checkpoint from now on.
    pub fn freeze(&mut self, barrier: Barrier) {
        if let Some(now) = barrier.counted_anew {
            for entry in self.entries.iter_mut().flat_map(HashTable::iter_mut) {
                entry.mark = entry.mark.counted_anew(now);
            }
        }
        for (places, shard) in self.places.iter_mut().zip(0..) {
            places.freeze(barrier.rewrites(shard));
        }
    }

    /// Encodes what is left of a shard's frozen entries, in the order in which they lie in memory; `false` when
    /// there is a pause before the end.
    pub fn encode(
        &mut self,
        shard: u8,
        encoder: &impl Encoder<K, S>,
        outbox: &mut Outbox,
        pause: &mut Pause<'_>,
    ) -> bool {
        let (entries, places) = (
            &mut self.entries[usize::from(shard)],
            &mut self.places[usize::from(shard)],
        );
        if places.unmarked {
            places.reset_pending(entries.num_buckets());
            entries
                .iter_buckets()
                .for_each(|place| places.pending.set(place));
        }
        let mut ahead = VecDeque::new();
        loop {
            while ahead.len() <= AHEAD
                && let Some(place) = places.next_pending()
            {
                if let Some(entry) = entries.get_bucket(place) {
                    prefetch(entry);
                    ahead.push_back(place);
                }
            }
            let Some(entry) = ahead
                .pop_front()
                .and_then(|place| entries.get_bucket_mut(place))
            else {
                break;
            };
            if places.owes(entry.mark, outbox.now) {
                encode(entry, shard, encoder, outbox);
                if pause.is_due(outbox) {
                    ahead.iter().for_each(|place| places.pend(*place));
                    return false;
                }
            }
        }
        places.owed = Owed::Nothing;
        true
    }
}

/// So many entries are asked for before they are encoded.
const AHEAD: usize = 6;

/// An entry that is about to change: noted, unless it was in this period.
#[inline(always)] // as what calls it
fn changing<'e, K, S>(
    mut found: OccupiedEntry<'e, Entry<K, S>>,
    shard: u8,
    places: &mut [Places; SHARDS as usize],
    encoder: &impl Encoder<K, S>,
    outbox: &mut Outbox,
) -> &'e mut Entry<K, S> {
    if found.get().mark != outbox.now {
        let place = found.bucket_index();
        note_change(found.get_mut(), shard, place, places, encoder, outbox);
    }
    found.into_mut()
}

#[inline(never)]
fn add<'e, K: Key, S>(
    entries: &'e mut HashTable<Entry<K, S>>,
    places: &mut Places,
    hash: u64,
    key: K,
    state: S,
    outbox: &mut Outbox,
) -> &'e mut Entry<K, S> {
    let twins = entries.iter_hash(hash);
    let twins = twins.filter(|entry| stable_hash(&entry.key) == hash);
    let twin = twins.map(|entry| entry.twin() + 1).max().unwrap_or(0);
    if entries.len() == entries.capacity() {
        make_room(entries, places, outbox.now);
    }
    let entry = Entry {
        mark: outbox.now,
        twin_and_persisted: twin << 1,
        key,
        state,
    };
    let added = entries.insert_unique(hash, entry, |entry| stable_hash(&entry.key));
    places.changed.set(added.bucket_index());
    outbox.changed += 1;
    added.into_mut()
}

/// Entries move: what is known by their places is found anew.
#[inline(never)]
fn make_room<K: Key, S>(entries: &mut HashTable<Entry<K, S>>, places: &mut Places, now: Mark) {
    entries.reserve(1, |entry| stable_hash(&entry.key));
    places.reset(entries.num_buckets());
    for place in entries.iter_buckets() {
        let Some(Entry { mark, .. }) = entries.get_bucket(place) else {
            continue;
        };
        if *mark == now {
            places.changed.set(place);
        } else if places.owes(*mark, now) {
            places.pending.set(place);
        }
    }
}

/// An entry has gone: encodes it if it is still owed, and its removal if that must be known.
#[inline]
fn part_with<K: Key, S>(
    mut entry: Entry<K, S>,
    shard: u8,
    places: &Places,
    encoder: &impl Encoder<K, S>,
    outbox: &mut Outbox,
) -> (K, S) {
    if places.owes(entry.mark, outbox.now) {
        encode(&mut entry, shard, encoder, outbox);
    }
    if entry.is_persisted() {
        outbox.put_removal(shard, |to| encoder.key(&entry.key, to));
    }
    (entry.key, entry.state)
}

/// Encodes an entry that is owed.
#[inline]
fn encode<K, S>(
    entry: &mut Entry<K, S>,
    shard: u8,
    encoder: &impl Encoder<K, S>,
    outbox: &mut Outbox,
) {
    outbox.put(shard, &entry.key, &entry.state, encoder);
    entry.mark = outbox.now.encoded();
    entry.twin_and_persisted |= 1;
}

/// An entry is about to change for the first time in this period.
#[inline(never)]
fn note_change<K, S>(
    entry: &mut Entry<K, S>,
    shard: u8,
    place: usize,
    places: &mut [Places; SHARDS as usize],
    encoder: &impl Encoder<K, S>,
    outbox: &mut Outbox,
) {
    let places = &mut places[usize::from(shard)];
    if places.owes(entry.mark, outbox.now) {
        encode(entry, shard, encoder, outbox);
    }
    entry.mark = outbox.now;
    places.changed.set(place);
    outbox.changed += 1;
}
