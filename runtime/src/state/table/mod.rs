//! The keyed table: a hash table that can be frozen at a barrier and encoded while it changes.
//!
//! # How a snapshot is taken without a pause and without a copy
//!
//! Keys live in [`SHARDS`] shards by key group (`shard.rs`). Each shard keeps a bit for each entry that changed in
//! the current checkpoint period. [`freeze`](super::Snapshot::freeze) at the barrier only swaps sets of bits: a few nanoseconds a
//! shard. [`encode_slice`](super::Snapshot::encode_slice) then works off shard after shard. An entry that is
//! about to change before its turn came is encoded first, in its old value: so every block shows the
//! shard as it was at the barrier, each changed key is encoded once, and nothing is ever copied
//! twice (`freeze.rs`).
//!
//! # How a restore stays short
//!
//! A chain of deltas would grow without bound. So each checkpoint also writes some shards in full, as
//! many as keep the deltas that a restore has to read at about the size of the state; blocks
//! that are older than a shard's last full one are void.
//!
//! # Cost
//!
//! A lookup reads three cache lines: the shard, one bucket of its index (`index.rs`), and the entry. An entry takes what key and
//! state take and nothing more when either has a bit pattern to spare; beside it, 13 to 26 bytes of index and half a byte of
//! bits. A table grows a shard at a time, so that a resize never moves more than 1/256 of the keys.

mod bits;
mod freeze;
mod index;
mod key;
mod restore;
mod shard;

pub use key::{Namespaced, TableKey};
pub(super) use restore::Decode;

use super::codec::{Codec, Compact};
use super::{SHARDS, StateDescriptor, shard_of};
use crate::hash::{DEFAULT_KEY_GROUPS, KeyGroups};
use crate::time::CheckpointId;
use freeze::Outbox;
use index::NOWHERE;
use restore::Migration;
use shard::Shard;

/// Names an entry of a [`KeyedTable`] until the entry is removed: cheaper than a second lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    shard: u32,
    index: u32,
}

impl Slot {
    /// Its shard and its place there: small numbers that are used again.
    pub(super) fn position(self) -> (usize, usize) {
        (self.shard as usize, self.index as usize)
    }
}

/// What [`KeyedTable::find_all`] found of a key.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    hash: u32,
    shard: u32,
    /// The place in its shard of an entry with this hash; [`NOWHERE`] when there is none.
    index: u32,
}

/// How many keys to look up at once before their states are changed: so many entries fit the first cache.
pub const LOOKUPS: usize = 64;

/// A table of fewer keys is in the first two caches anyway.
const LARGE: usize = 32_768;

/// A hash table from keys to states that is snapshotted incrementally; see the module's
/// documentation. `C` encodes the states; keys are always in the compact codec.
pub struct KeyedTable<K, S, C = Compact> {
    descriptor: StateDescriptor,
    codec: C,
    groups: KeyGroups,
    worker: usize,
    shards: Vec<Shard<K, S>>,
    /// The number of groups is a power of two and no less than that of shards.
    even_shards: bool,
    len: usize,
    outbox: Outbox,
    /// The next shard to encode; [`SHARDS`] when nothing is left.
    next_shard: u32,
    /// Where the next full rewrite goes on.
    rewrite_at: u32,
    /// The checkpoint in which each shard was last written in full.
    full_at: Vec<CheckpointId>,
    migrations: Vec<Migration<S>>,
}

impl<K: TableKey, S: 'static, C: Codec<S>> KeyedTable<K, S, C> {
    /// An empty table for the state named `name`, schema version 1.
    pub fn new(name: impl Into<String>) -> Self {
        let codec = C::default();
        let mut descriptor = StateDescriptor::new(name);
        descriptor.codec = codec.fingerprint();
        KeyedTable {
            descriptor,
            codec,
            groups: KeyGroups::new(DEFAULT_KEY_GROUPS, 1),
            worker: 0,
            even_shards: has_even_shards(DEFAULT_KEY_GROUPS),
            shards: (0..SHARDS).map(Shard::new).collect(),
            len: 0,
            outbox: Outbox::default(),
            next_shard: SHARDS,
            rewrite_at: 0,
            full_at: vec![0; SHARDS as usize],
            migrations: Vec::new(),
        }
    }

    /// Gives the state another schema version: raise it when the type's encoding changes.
    pub fn with_version(mut self, version: u32) -> Self {
        self.descriptor.version = version;
        self
    }

    /// Encodes states with `codec`.
    pub(super) fn with_codec(mut self, codec: C) -> Self {
        self.descriptor.codec = codec.fingerprint();
        self.codec = codec;
        self
    }

    fn live_on(&mut self, groups: KeyGroups, worker: usize) {
        assert!(self.is_empty(), "a table is assigned before it is filled");
        self.groups = groups;
        self.even_shards = has_even_shards(groups.count());
        self.worker = worker;
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash by which this table finds a key; compute it once per record.
    #[inline]
    pub fn hash(key: &K) -> u64 {
        key.table_hash()
    }

    #[inline]
    fn shard_at(&self, hash: u64) -> u32 {
        if self.even_shards {
            // The same without a division, when each shard has the same number of groups.
            return (hash >> 44) as u8 as u32;
        }
        shard_of(self.groups.group_of(hash), self.groups.count())
    }

    /// The slot of the key with this [`hash`](Self::hash) for which `is` says that it is the one: for a key
    /// that is not at hand as a `K`.
    #[inline]
    pub fn slot_by(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<Slot> {
        let shard = self.shard_at(hash);
        let index = self.shards[shard as usize].find(hash as u32, is)?;
        Some(Slot { shard, index })
    }

    /// [`slot_by`](Self::slot_by) and [`touch`](Self::touch) in one. Always inlined: for the innermost loops.
    #[inline(always)]
    pub fn touch_by(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&mut S> {
        let shard = self.shard_at(hash);
        let shard = &mut self.shards[shard as usize];
        let index = shard.find(hash as u32, is)?;
        Some(shard.touch(index, &self.codec, &mut self.outbox).1)
    }

    /// The slot of a key, if it is there.
    pub fn slot(&self, key: &K) -> Option<Slot> {
        self.slot_hashed(key, key.table_hash())
    }

    /// The slot of a key whose [`hash`](Self::hash) is known, if it is there.
    #[inline]
    pub fn slot_hashed(&self, key: &K, hash: u64) -> Option<Slot> {
        self.slot_by(hash, |other| other == key)
    }

    /// Brings the entries with these hashes into the cache, all at once: lookups one after the other
    /// would each wait for memory. Returns a number that means nothing, so that it is not optimised away.
    pub(super) fn warm(&self, hashes: &[u64]) -> usize {
        if !self.is_large() {
            return 0;
        }
        let found = hashes.iter().filter(|hash| {
            let slot = self.slot_by(**hash, |_| true);
            slot.is_some_and(|slot| self.try_at(slot).is_some())
        });
        found.count()
    }

    /// Adds a key that is not there, whose [`hash`](Self::hash) is known.
    pub fn insert_vacant(&mut self, key: K, hash: u64, state: S) -> Slot {
        debug_assert!(
            self.slot_hashed(&key, hash).is_none(),
            "the key is not there"
        );
        self.insert_new(hash, key, state)
    }

    /// The state of a key, for reading.
    pub fn get(&self, key: &K) -> Option<&S> {
        let slot = self.slot(key)?;
        Some(self.at(slot).1)
    }

    /// The state of a key, for changing: it counts as changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut S> {
        let slot = self.slot(key)?;
        Some(self.touch(slot).1)
    }

    /// The state of a key, for changing; made by `make` when the key is new.
    #[inline]
    pub fn entry(&mut self, key: &K, make: impl FnOnce() -> S) -> (Slot, &mut S) {
        let hash = key.table_hash();
        let slot = match self.slot_hashed(key, hash) {
            Some(slot) => slot,
            None => self.insert_new(hash, key.clone(), make()),
        };
        (slot, self.touch(slot).1)
    }

    /// Whether there are so many entries that they are seldom in the nearest caches: looking up many at once
    /// pays then.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.len >= LARGE
    }

    /// Looks up many keys at once. A lookup waits for memory two or three times, for each load tells where
    /// the next one is; so what does not depend on each other waits together. Good until a key is removed.
    pub fn find_all<'k>(&self, keys: impl Iterator<Item = &'k K> + Clone, found: &mut Vec<Found>) {
        self.find_hashes(keys.map(K::table_hash), found);
    }

    /// [`find_all`](Self::find_all) for keys whose [`hash`](Self::hash) is known.
    #[inline]
    pub fn find_hashes(&self, hashes: impl Iterator<Item = u64>, found: &mut Vec<Found>) {
        found.clear();
        found.extend(hashes.map(|hash| {
            let (shard, hash) = (self.shard_at(hash), hash as u32);
            // Nearly always the one looked for; whoever takes the entry compares the keys.
            let place = self.shards[shard as usize].index.find(hash, |_| true);
            Found {
                hash,
                shard,
                index: place.unwrap_or(NOWHERE),
            }
        }));
    }

    /// [`entry`](Self::entry) for a key that [`find_all`](Self::find_all) has looked up.
    #[inline]
    pub fn entry_found(
        &mut self,
        found: Found,
        key: &K,
        make: impl FnOnce() -> S,
    ) -> (Slot, &mut S) {
        let slot = match self.slot_found(found, |other| other == key) {
            Some(slot) => slot,
            None => self.insert_new(key.table_hash(), key.clone(), make()),
        };
        (slot, self.touch(slot).1)
    }

    /// [`slot_by`](Self::slot_by) for a key that [`find_hashes`](Self::find_hashes) has looked up.
    #[inline]
    pub fn slot_found(&self, found: Found, is: impl Fn(&K) -> bool) -> Option<Slot> {
        let Found { shard, index, .. } = found;
        if self.shards[shard as usize].holds(index, &is) {
            return Some(Slot { shard, index });
        }
        self.missed(found, is)
    }

    /// Not there when all keys were looked up, it may have come since, with a record before this one; or another key has
    /// the same hash.
    #[inline(never)]
    fn missed(&self, found: Found, is: impl Fn(&K) -> bool) -> Option<Slot> {
        let Found { hash, shard, .. } = found;
        let index = self.shards[shard as usize].find(hash, is)?;
        Some(Slot { shard, index })
    }

    /// Puts a state in place of whatever the key had.
    pub fn insert(&mut self, key: K, state: S) -> Slot {
        let hash = key.table_hash();
        match self.slot_hashed(&key, hash) {
            Some(slot) => {
                *self.touch(slot).1 = state;
                slot
            }
            None => self.insert_vacant(key, hash, state),
        }
    }

    #[inline(never)]
    fn insert_new(&mut self, hash: u64, key: K, state: S) -> Slot {
        self.len += 1;
        let shard = self.shard_at(hash);
        let index = self.shards[shard as usize].add(key, state, hash as u32, &mut self.outbox);
        Slot { shard, index }
    }

    /// Key and state in a slot, for reading.
    ///
    /// # Panics
    /// When the slot's entry was removed.
    #[inline]
    pub fn at(&self, slot: Slot) -> (&K, &S) {
        match self.try_at(slot) {
            Some(entry) => entry,
            None => unreachable!("slot {slot:?} was freed"),
        }
    }

    /// Key and state in a slot, if it is in use.
    #[inline]
    pub fn try_at(&self, slot: Slot) -> Option<(&K, &S)> {
        self.shards[slot.shard as usize].get(slot.index)
    }

    /// Key and state in a slot, the state for changing.
    ///
    /// # Panics
    /// When the slot's entry was removed.
    #[inline]
    pub fn touch(&mut self, slot: Slot) -> (&K, &mut S) {
        let shard = &mut self.shards[slot.shard as usize];
        shard.touch(slot.index, &self.codec, &mut self.outbox)
    }

    /// Removes a key; returns its state.
    pub fn remove(&mut self, key: &K) -> Option<S> {
        let slot = self.slot(key)?;
        Some(self.remove_at(slot).1)
    }

    /// Removes the entry in a slot; returns key and state.
    ///
    /// # Panics
    /// When it was removed before.
    pub fn remove_at(&mut self, slot: Slot) -> (K, S) {
        self.len -= 1;
        let shard = &mut self.shards[slot.shard as usize];
        shard.remove(slot.index, &self.codec, &mut self.outbox)
    }

    /// All keys and states, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &K, &S)> {
        (0..SHARDS).flat_map(|shard| self.iter_shard(shard))
    }

    /// The keys and states of one of the [`SHARDS`] shards.
    pub fn iter_shard(&self, shard: u32) -> impl Iterator<Item = (Slot, &K, &S)> {
        let cells = &self.shards[shard as usize];
        let places = 0..cells.cells.len() as u32;
        places.filter_map(move |index| {
            let (key, state) = cells.get(index)?;
            Some((Slot { shard, index }, key, state))
        })
    }
}

fn has_even_shards(groups: u32) -> bool {
    groups.is_power_of_two() && groups >= SHARDS
}

#[cfg(test)]
mod tests;
