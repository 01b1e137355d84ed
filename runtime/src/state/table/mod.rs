//! Tables of states by key, that can be frozen at a barrier and encoded while they change: [`KeyedTable`], and
//! [`NamespacedTable`] for states by key and window or the like.
//!
//! # How a snapshot is taken without a pause and without a copy
//!
//! Keys live in [`SHARDS`] shards by key group (`shards.rs`). Each entry is marked with the period, from barrier to barrier,
//! in which it changed last, and each shard keeps a set of the places where something changed in this period.
//! [`freeze`](super::Snapshot::freeze) at the barrier begins a new period and swaps sets: a few nanoseconds a
//! shard. [`encode_slice`](super::Snapshot::encode_slice) then works off shard after shard, in the order in which
//! entries lie in memory. An entry that is about to change before its turn came is encoded first, in its old value:
//! so every block shows the shard as it was at the barrier, each changed key is encoded once, and nothing is ever
//! copied twice. What is encoded goes out by `outbox.rs`; what is known of checkpoints is in `ledger.rs`.
//!
//! # How a restore stays short
//!
//! A chain of deltas would grow without bound. So each checkpoint also writes some shards in full, as
//! many as keep the deltas that a restore has to read at about the size of the state; blocks
//! that are older than a shard's last full one are void.
//!
//! # Cost
//!
//! A lookup reads the shard, a group of its hash table's tags, and the entry, which lies in the hash table itself: mostly one
//! line that is not in the first cache. An entry takes what key and state take, and 8 bytes; a hash table of them is between 44 and 88 %
//! full. A table grows a shard at a time, so that a resize never moves more than 1/256 of the keys.

mod bits;
mod column;
mod columnar;
mod ledger;
mod mark;
mod namespaced;
mod outbox;
mod rows;
mod shards;

pub use column::Column;
pub use columnar::{Changes, ColumnId, ColumnarTable, Pass, Passing, Place};
pub(super) use ledger::Decode;
pub use namespaced::{NamespacedTable, Space, Within};

use super::codec::{Codec, Compact};
use super::{BlockSink, BlockView, SHARDS, SliceBudget, Snapshot, StateDescriptor};
use crate::error::Result;
use crate::hash::{KeyGroups, StableHasher, stable_hash};
use crate::prefetch::prefetch;
use crate::record::Key;
use crate::time::CheckpointId;
use ledger::{Filed, Ledger};
use outbox::ByKey;
use shards::{Entry, Shards};
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

/// Names an entry of a [`KeyedTable`] until the entry is removed, and again should its key come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    hash: u64,
    twin: u32,
}

impl Slot {
    /// The hash of its key.
    pub(super) fn hash(self) -> u64 {
        self.hash
    }

    #[inline]
    fn is_of<K: Key, S>(self, entry: &Entry<K, S>) -> bool {
        entry.twin() == self.twin && stable_hash(&entry.key) == self.hash
    }
}

/// A set of slots.
pub(super) type SlotSet = HashSet<Slot, BuildHasherDefault<StableHasher>>;

/// How many keys to look up at once before their states are changed: so many entries fit the first cache.
pub const LOOKUPS: usize = 64;

/// A table of fewer bytes is in caches so near that a processor hides the way there.
const LARGE_BYTES: usize = 8 << 20;

/// A hash table from keys to states that is snapshotted incrementally; see the module's
/// documentation. `C` encodes the states; keys are always in the compact codec.
pub struct KeyedTable<K, S, C = Compact> {
    ledger: Ledger<S, C>,
    shards: Shards<K, S>,
}

impl<K: Key, S: 'static, C: Codec<S>> KeyedTable<K, S, C> {
    /// An empty table for the state named `name`, schema version 1.
    pub fn new(name: impl Into<String>) -> Self {
        KeyedTable {
            ledger: Ledger::new(name.into()),
            shards: Shards::new(),
        }
    }

    /// Gives the state another schema version: raise it when the type's encoding changes.
    pub fn with_version(mut self, version: u32) -> Self {
        self.ledger.descriptor.version = version;
        self
    }

    /// Says how a value of schema version `from`, of type `Old`, becomes a value of now.
    pub fn with_migration<Old>(self, from: u32, migrate: impl Fn(Old) -> S + 'static) -> Self
    where
        Compact: Codec<Old>,
    {
        let decode =
            move |bytes: &[u8]| Ok(migrate(<Compact as Codec<Old>>::decode(&Compact, bytes)?));
        self.with_decoder(from, Box::new(decode))
    }

    /// Says how a value is decoded that schema version `from` wrote.
    pub(super) fn with_decoder(mut self, from: u32, decode: Decode<S>) -> Self {
        self.ledger.add_migration(from, decode);
        self
    }

    /// Encodes states with `codec`.
    pub(super) fn with_codec(mut self, codec: C) -> Self {
        self.ledger.descriptor.codec = codec.fingerprint();
        self.ledger.codec = codec;
        self
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash by which this table finds a key; compute it once per record.
    #[inline]
    pub fn hash(key: &K) -> u64 {
        stable_hash(key)
    }

    /// The slot of a key, if it is there.
    pub fn slot(&self, key: &K) -> Option<Slot> {
        self.slot_hashed(key, stable_hash(key))
    }

    /// The slot of a key whose [`hash`](Self::hash) is known, if it is there.
    #[inline]
    pub fn slot_hashed(&self, key: &K, hash: u64) -> Option<Slot> {
        let shard = self.ledger.shard_at(hash);
        let is = |entry: &Entry<K, S>| entry.key == *key;
        let twin = self.shards.find(shard, hash, is)?.twin();
        Some(Slot { hash, twin })
    }

    /// Brings the entries with these hashes into the cache, all at once: lookups one after the other
    /// would each wait for memory. Returns a number that means nothing, so that it is not optimised away.
    pub fn warm(&self, hashes: impl Iterator<Item = u64>) -> usize {
        if !self.is_large() {
            return 0;
        }
        let found = hashes.filter(|hash| {
            let shard = self.ledger.shard_at(*hash);
            let is = |entry: &Entry<K, S>| entry.twin() == 0; // nearly always the one
            let found = self.shards.find(shard, *hash, is);
            found.inspect(|entry| prefetch(*entry)).is_some()
        });
        found.count()
    }

    /// Adds a key that is not there, whose [`hash`](Self::hash) is known.
    pub fn insert_vacant(&mut self, key: K, hash: u64, state: S) -> Slot {
        debug_assert!(
            self.slot_hashed(&key, hash).is_none(),
            "the key is not there"
        );
        let (shard, outbox) = (self.ledger.shard_at(hash), &mut self.ledger.outbox);
        let added = self.shards.add(shard, hash, key, state, outbox);
        let twin = added.twin();
        Slot { hash, twin }
    }

    /// The state of a key, for reading.
    pub fn get(&self, key: &K) -> Option<&S> {
        let hash = stable_hash(key);
        let shard = self.ledger.shard_at(hash);
        let found = self.shards.find(shard, hash, |entry| entry.key == *key)?;
        Some(&found.state)
    }

    /// The state of a key, for changing: it counts as changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut S> {
        let hash = stable_hash(key);
        let shard = self.ledger.shard_at(hash);
        let (encoder, outbox) = (ByKey(&self.ledger.codec), &mut self.ledger.outbox);
        let is = |entry: &Entry<K, S>| entry.key == *key;
        let touched = self.shards.touch(shard, hash, is, &encoder, outbox)?;
        Some(&mut touched.state)
    }

    /// The state of a key, for changing; made by `make` when the key is new.
    #[inline]
    pub fn entry(&mut self, key: &K, make: impl FnOnce() -> S) -> (Slot, &mut S) {
        self.entry_hashed(key, stable_hash(key), make)
    }

    /// [`entry`](Self::entry) for a key whose [`hash`](Self::hash) is known.
    #[inline]
    pub fn entry_hashed(&mut self, key: &K, hash: u64, make: impl FnOnce() -> S) -> (Slot, &mut S) {
        let shard = self.ledger.shard_at(hash);
        let (encoder, outbox) = (ByKey(&self.ledger.codec), &mut self.ledger.outbox);
        let is = |entry: &Entry<K, S>| entry.key == *key;
        let make = || (key.clone(), make());
        let entry = self.shards.entry(shard, hash, is, make, &encoder, outbox);
        let twin = entry.twin();
        (Slot { hash, twin }, &mut entry.state)
    }

    /// Whether there are so many entries that they are seldom in a cache: looking up many at once pays then.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.len() * size_of::<Entry<K, S>>() >= LARGE_BYTES
    }

    /// Computes the hashes of keys that are about to be looked up. In a large table it also brings
    /// their entries into the cache: a lookup waits for memory two or three times, for each load tells where
    /// the next one is; so what does not depend on each other waits together.
    pub fn prepare<'k>(&self, keys: impl Iterator<Item = &'k K>, hashes: &mut Vec<u64>) {
        hashes.clear();
        hashes.extend(keys.map(stable_hash));
        std::hint::black_box(self.warm(hashes.iter().copied()));
    }

    /// Puts a state in place of whatever the key had.
    pub fn insert(&mut self, key: K, state: S) -> Slot {
        let hash = stable_hash(&key);
        match self.slot_hashed(&key, hash) {
            Some(slot) => {
                *self.touch(slot).1 = state;
                slot
            }
            None => self.insert_vacant(key, hash, state),
        }
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
        let shard = self.ledger.shard_at(slot.hash);
        let is = |entry: &Entry<K, S>| slot.is_of(entry);
        let entry = self.shards.find(shard, slot.hash, is)?;
        Some((&entry.key, &entry.state))
    }

    /// Key and state in a slot, the state for changing.
    ///
    /// # Panics
    /// When the slot's entry was removed.
    #[inline]
    pub fn touch(&mut self, slot: Slot) -> (&K, &mut S) {
        match self.try_touch(slot) {
            Some(entry) => entry,
            None => unreachable!("slot {slot:?} was freed"),
        }
    }

    /// Key and state in a slot, the state for changing, if it is in use.
    #[inline]
    pub fn try_touch(&mut self, slot: Slot) -> Option<(&K, &mut S)> {
        let shard = self.ledger.shard_at(slot.hash);
        let (encoder, outbox) = (ByKey(&self.ledger.codec), &mut self.ledger.outbox);
        let is = |entry: &Entry<K, S>| slot.is_of(entry);
        let entry = self.shards.touch(shard, slot.hash, is, &encoder, outbox)?;
        Some((&entry.key, &mut entry.state))
    }

    /// Removes a key; returns its state.
    pub fn remove(&mut self, key: &K) -> Option<S> {
        let (_, state) = self.take(stable_hash(key), |entry| entry.key == *key)?;
        Some(state)
    }

    /// Removes the entry in a slot; returns key and state.
    ///
    /// # Panics
    /// When it was removed before.
    pub fn remove_at(&mut self, slot: Slot) -> (K, S) {
        match self.take(slot.hash, |entry| slot.is_of(entry)) {
            Some(entry) => entry,
            None => unreachable!("slot {slot:?} was freed"),
        }
    }

    fn take(&mut self, hash: u64, is: impl Fn(&Entry<K, S>) -> bool) -> Option<(K, S)> {
        let shard = self.ledger.shard_at(hash);
        let (encoder, outbox) = (ByKey(&self.ledger.codec), &mut self.ledger.outbox);
        self.shards.remove(shard, hash, is, &encoder, outbox)
    }

    /// All keys and states, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &K, &S)> {
        (0..SHARDS).flat_map(|shard| self.iter_shard(shard))
    }

    /// The keys and states of one of the [`SHARDS`] shards.
    pub fn iter_shard(&self, shard: u32) -> impl Iterator<Item = (Slot, &K, &S)> {
        self.shards.iter(shard as u8).map(|entry| {
            let slot = Slot {
                hash: stable_hash(&entry.key),
                twin: entry.twin(),
            };
            (slot, &entry.key, &entry.state)
        })
    }
}

impl<K: Key, S: 'static, C: Codec<S>> Snapshot for KeyedTable<K, S, C> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.ledger.descriptor
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        assert!(self.is_empty(), "a table is assigned before it is filled");
        self.ledger.live_on(groups, worker);
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        let barrier = self.ledger.freeze(checkpoint, full, self.shards.len());
        self.shards.freeze(barrier);
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let shards = &mut self.shards;
        self.ledger
            .encode(budget, sink, |shard, codec, outbox, pause| {
                shards.encode(shard, &ByKey(codec), outbox, pause)
            })
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        for Filed { under, state, .. } in self.ledger.read(block, |key: &K| key)? {
            // Restored entries count as changed, so that the first snapshot after a restore is whole.
            match state {
                Some(state) => drop(self.insert(under, state)),
                None => drop(self.remove(&under)),
            }
        }
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        self.ledger.needs_since()
    }

    fn keys(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests;
