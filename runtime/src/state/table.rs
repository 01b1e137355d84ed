//! The keyed table: a hash table that can be frozen at a barrier and encoded while it changes.
//!
//! # How a snapshot is taken without a pause and without a copy
//!
//! Keys live in [`SHARDS`] shards by key group. Each entry carries the number of the checkpoint
//! period in which it last changed (`changed`) and of the checkpoint in which it was last
//! encoded (`encoded`); each shard lists the entries that changed in the current period.
//! [`freeze`](Snapshot::freeze) at the barrier of checkpoint `c` only swaps these lists: a few
//! nanoseconds a shard. [`encode_slice`](Snapshot::encode_slice) then works off shard after shard.
//! An entry that is about to change before its turn came is encoded first, in its old value, into
//! its shard's buffer (`early`): so every block shows the shard as it was at the barrier, each
//! changed key is encoded once, and nothing is ever copied twice.
//!
//! # How a restore stays short
//!
//! A chain of deltas would grow without bound. So each checkpoint also writes some shards in full, as
//! many as keep the deltas that a restore has to read at about the size of the state; blocks
//! that are older than a shard's last full one are void.
//!
//! # Cost
//!
//! A lookup is one probe of a small table and one entry; a table grows a shard at a time, so that a
//! resize never moves more than 1/256 of the keys.

use super::codec::{Codec, Compact, put_varint, take_slice};
use super::{
    BlockSink, BlockView, SHARDS, SliceBudget, Snapshot, StateDescriptor, check_descriptor,
    shard_of,
};
use crate::checkpoint::BlockKind;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{DEFAULT_KEY_GROUPS, KeyGroups, stable_hash};
use crate::record::Key;
use crate::time::CheckpointId;
use hashbrown::HashTable;
use std::num::NonZeroU32;

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

struct Entry<K, S> {
    /// The period in which it last changed; a period has the number of the checkpoint that ends it.
    /// Never zero, so that a free cell needs no tag of its own.
    changed: NonZeroU32,
    /// The last checkpoint it was encoded in, or was made too late for; with [`PERSISTED`] when some
    /// checkpoint holds it, so that its removal must be written.
    encoded: u32,
    key: K,
    state: S,
}

/// A table of fewer keys is in the cache anyway.
const WORTH_WARMING: usize = 4096;

/// A flag in [`Entry::encoded`].
const PERSISTED: u32 = 1 << 31;

impl<K, S> Entry<K, S> {
    fn is_encoded_in(&self, checkpoint: u32) -> bool {
        self.encoded & !PERSISTED == checkpoint
    }

    fn is_persisted(&self) -> bool {
        self.encoded & PERSISTED != 0
    }
}

enum Cell<K, S> {
    Used(Entry<K, S>),
    /// Free; listed among the dirty ones in this period, which a new entry need not do again.
    Free(u32),
}

/// What [`KeyedTable::find_all`] found of a key.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    hash: u32,
    shard: u32,
    /// The place in its shard; [`NOWHERE`] when it is not there.
    index: u32,
}

/// How many keys to look up at once before their states are changed: so many entries fit the first cache.
pub const LOOKUPS: usize = 64;

/// No place in a shard.
const NOWHERE: u32 = u32::MAX;

/// Index and the 32 hash bits that a probe needs, so that a resize does not touch the entries.
#[derive(Clone, Copy)]
struct Index {
    hash: u32,
    at: u32,
}

#[inline]
fn probe_hash(hash: u32) -> u64 {
    // hashbrown takes its tag from the top seven bits and the position from the low ones.
    u64::from(hash) | (u64::from(hash) << 32)
}

/// What a lookup needs fills one cache line; the rest lives elsewhere.
struct Shard<K, S> {
    index: HashTable<Index>,
    cells: Vec<Cell<K, S>>,
    cold: Box<Cold>,
}

#[derive(Default)]
struct Cold {
    free: Vec<u32>,
    /// Entries that changed in this period.
    dirty: Vec<u32>,
    /// Encoded removals of this period.
    removed: Vec<u8>,
    removed_count: u32,
    frozen: Option<Frozen>,
}

/// What a shard still owes to the checkpoint that is being taken.
#[derive(Default)]
struct Frozen {
    full: bool,
    /// The entries to encode (for a full shard: all that existed, by position below `until`).
    dirty: Vec<u32>,
    until: u32,
    next: usize,
    /// Entries encoded so far, removals first.
    buffer: Vec<u8>,
    entries: u32,
}

impl<K, S> Default for Shard<K, S> {
    fn default() -> Self {
        Shard {
            index: HashTable::new(),
            cells: Vec::new(),
            cold: Box::default(),
        }
    }
}

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
    /// The current period: the checkpoint that will end it.
    period: NonZeroU32,
    /// The checkpoint that is being encoded, or the last one that was.
    freezing: u32,
    next_shard: u32,
    /// Where the next full rewrite goes on.
    rewrite_at: u32,
    /// The checkpoint in which each shard was last written in full.
    full_at: Vec<u32>,
    migrations: Vec<Migration<S>>,
}

/// Decodes a state from what an older schema version wrote.
pub(super) type Decode<S> = Box<dyn Fn(&[u8]) -> Result<S>>;

struct Migration<S> {
    from: u32,
    decode: Decode<S>,
}

impl<K: Key, S: 'static, C: Codec<S>> KeyedTable<K, S, C> {
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
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            len: 0,
            period: NonZeroU32::MIN,
            freezing: 0,
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
        self.migrations.push(Migration { from, decode });
        self
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
        stable_hash(key)
    }

    #[inline]
    fn shard_at(&self, hash: u64) -> u32 {
        if self.even_shards {
            // The same without a division, when each shard has the same number of groups.
            return (hash >> 44) as u8 as u32;
        }
        shard_of(self.groups.group_of(hash), self.groups.count())
    }

    fn freezing_period(&self) -> NonZeroU32 {
        NonZeroU32::new(self.freezing).unwrap_or(NonZeroU32::MIN)
    }

    #[inline]
    fn locate(&self, key: &K, hash: u64) -> Option<Slot> {
        let shard = self.shard_at(hash);
        let at = self.shards[shard as usize].find(key, hash as u32)?;
        Some(Slot { shard, index: at })
    }

    /// The slot of a key, if it is there.
    pub fn slot(&self, key: &K) -> Option<Slot> {
        self.locate(key, stable_hash(key))
    }

    /// The slot of a key whose [`hash`](Self::hash) is known, if it is there.
    #[inline]
    pub fn slot_hashed(&self, key: &K, hash: u64) -> Option<Slot> {
        self.locate(key, hash)
    }

    /// Brings the entries with these hashes into the cache, all at once: lookups one after the other
    /// would each wait for memory. Returns a number that means nothing, so that it is not optimised away.
    pub(super) fn warm(&self, hashes: &[u64]) -> usize {
        if self.len < WORTH_WARMING {
            return 0;
        }
        let touched = hashes.iter().filter(|hash| {
            let shard = &self.shards[self.shard_at(**hash) as usize];
            let hash = **hash as u32;
            let index = shard
                .index
                .find(probe_hash(hash), |index| index.hash == hash);
            index.is_some_and(|index| {
                let cell = &shard.cells[index.at as usize];
                matches!(cell, Cell::Used(entry) if entry.changed == self.period)
            })
        });
        touched.count()
    }

    /// Adds a key that is not there, whose [`hash`](Self::hash) is known.
    pub fn insert_vacant(&mut self, key: K, hash: u64, state: S) -> Slot {
        debug_assert!(self.locate(&key, hash).is_none(), "the key is not there");
        let shard = self.shard_at(hash);
        self.insert_new(shard, hash as u32, key, state)
    }

    /// The state of a key, for reading.
    pub fn get(&self, key: &K) -> Option<&S> {
        let slot = self.slot(key)?;
        Some(&self.used(slot).state)
    }

    /// The state of a key, for changing: it counts as changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut S> {
        let slot = self.slot(key)?;
        Some(self.touch(slot).1)
    }

    /// The state of a key, for changing; made by `make` when the key is new.
    #[inline]
    pub fn entry(&mut self, key: &K, make: impl FnOnce() -> S) -> (Slot, &mut S) {
        let hash = stable_hash(key);
        let shard = self.shard_at(hash);
        let slot = match self.shards[shard as usize].find(key, hash as u32) {
            Some(index) => Slot { shard, index },
            None => self.insert_new(shard, hash as u32, key.clone(), make()),
        };
        (slot, self.touch(slot).1)
    }

    /// Looks up many keys at once. One lookup waits for memory two or three times, for each load tells where
    /// the next one is; so all keys take the first step, then all the next: what does not depend on each
    /// other waits together. Good until a key is removed.
    pub fn find_all<'k>(&self, keys: impl Iterator<Item = &'k K> + Clone, found: &mut Vec<Found>) {
        found.clear();
        found.extend(keys.clone().map(|key| {
            let hash = stable_hash(key);
            Found {
                hash: hash as u32,
                shard: self.shard_at(hash),
                index: NOWHERE,
            }
        }));
        for found in found.iter_mut() {
            found.index = self.shards[found.shard as usize].probe(found.hash);
        }
        for (found, key) in found.iter_mut().zip(keys) {
            let shard = &self.shards[found.shard as usize];
            if found.index != NOWHERE && !shard.holds(found.index, key) {
                found.index = shard.find(key, found.hash).unwrap_or(NOWHERE);
            }
        }
    }

    /// [`entry`](Self::entry) for a key that [`find_all`](Self::find_all) has looked up.
    #[inline]
    pub fn entry_found(
        &mut self,
        found: Found,
        key: &K,
        make: impl FnOnce() -> S,
    ) -> (Slot, &mut S) {
        let Found { shard, index, .. } = found;
        let slot = match index {
            NOWHERE => self.entry_missed(found, key, make),
            _ => Slot { shard, index },
        };
        (slot, self.touch(slot).1)
    }

    /// Not there when all keys were looked up, it may have come since: with a record before this one.
    #[inline(never)]
    fn entry_missed(&mut self, found: Found, key: &K, make: impl FnOnce() -> S) -> Slot {
        let Found { hash, shard, .. } = found;
        match self.shards[shard as usize].find(key, hash) {
            Some(index) => Slot { shard, index },
            None => self.insert_new(shard, hash, key.clone(), make()),
        }
    }

    /// Puts a state in place of whatever the key had.
    pub fn insert(&mut self, key: K, state: S) -> Slot {
        let hash = stable_hash(&key);
        match self.locate(&key, hash) {
            Some(slot) => {
                *self.touch(slot).1 = state;
                slot
            }
            None => {
                let shard = self.shard_at(hash);
                self.insert_new(shard, hash as u32, key, state)
            }
        }
    }

    #[inline(never)]
    fn insert_new(&mut self, shard: u32, hash: u32, key: K, state: S) -> Slot {
        let entry = Entry {
            changed: self.period,
            // Made in this period: no part of a checkpoint that is being encoded.
            encoded: self.freezing,
            key,
            state,
        };
        self.len += 1;
        let index = self.shards[shard as usize].add(entry, hash);
        Slot { shard, index }
    }

    /// Key and state in a slot, for reading.
    ///
    /// # Panics
    /// When the slot's entry was removed.
    pub fn at(&self, slot: Slot) -> (&K, &S) {
        let entry = self.used(slot);
        (&entry.key, &entry.state)
    }

    /// Key and state in a slot, if it is in use.
    pub fn try_at(&self, slot: Slot) -> Option<(&K, &S)> {
        match self.shards[slot.shard as usize]
            .cells
            .get(slot.index as usize)
        {
            Some(Cell::Used(entry)) => Some((&entry.key, &entry.state)),
            _ => None,
        }
    }

    /// Key and state in a slot, the state for changing.
    ///
    /// # Panics
    /// When the slot's entry was removed.
    #[inline]
    pub fn touch(&mut self, slot: Slot) -> (&K, &mut S) {
        let shard = &mut self.shards[slot.shard as usize];
        let Cell::Used(entry) = &mut shard.cells[slot.index as usize] else {
            unreachable!("slot {slot:?} was freed");
        };
        if entry.changed != self.period {
            note_change(
                entry,
                slot.index,
                &mut shard.cold,
                (self.period, self.freezing),
                &self.codec,
            );
        }
        (&entry.key, &mut entry.state)
    }

    fn used(&self, slot: Slot) -> &Entry<K, S> {
        match &self.shards[slot.shard as usize].cells[slot.index as usize] {
            Cell::Used(entry) => entry,
            Cell::Free(_) => unreachable!("slot {slot:?} was freed"),
        }
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
        self.touch(slot); // a frozen value is encoded first
        let shard = &mut self.shards[slot.shard as usize];
        let entry = shard.take(slot.index);
        if entry.is_persisted() {
            shard.cold.removed.push(0);
            put_key(&entry.key, &mut shard.cold.removed);
            shard.cold.removed_count += 1;
        }
        self.len -= 1;
        if shard.index.is_empty() {
            shard.release();
        }
        (entry.key, entry.state)
    }

    /// All keys and states, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &K, &S)> {
        self.shards.iter().enumerate().flat_map(|(shard, cells)| {
            cells
                .cells
                .iter()
                .enumerate()
                .filter_map(move |(index, cell)| match cell {
                    Cell::Used(entry) => Some((
                        Slot {
                            shard: shard as u32,
                            index: index as u32,
                        },
                        &entry.key,
                        &entry.state,
                    )),
                    Cell::Free(_) => None,
                })
        })
    }

    fn decode_state(&self, found: &StateDescriptor, bytes: &[u8]) -> Result<S> {
        if found.version != self.descriptor.version
            && let Some(migration) = self.migrations.iter().find(|m| m.from == found.version)
        {
            return (migration.decode)(bytes);
        }
        check_descriptor(&self.descriptor, found)?;
        self.codec.decode(bytes)
    }

    fn restore_entry(&mut self, block: BlockView<'_>, bytes: &mut &[u8]) -> Result<()> {
        let damaged = || {
            Error::new(
                ErrorKind::Restore,
                format!("state \"{}\": an entry is cut short", block.state.name),
            )
        };
        let (&what, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        let of_state = |error: Error| error.within(format!("state \"{}\"", block.state.name));
        let key: K = Compact
            .decode(take_slice(bytes).ok_or_else(damaged)?)
            .map_err(|error: Error| of_state(error.within("a key")))?;
        let value = if what == 1 {
            Some(take_slice(bytes).ok_or_else(damaged)?)
        } else {
            None
        };
        let hash = stable_hash(&key);
        let group = self.groups.group_of(hash);
        if shard_of(group, self.groups.count()) != block.shard {
            return Err(Error::new(
                ErrorKind::Restore,
                format!(
                    "state \"{}\": a key is filed under shard {}, but its hash says {}: the key's \
                     Hash differs from the one that wrote it",
                    block.state.name,
                    block.shard,
                    shard_of(group, self.groups.count())
                ),
            ));
        }
        if self.groups.worker_of(group) != self.worker {
            return Ok(());
        }
        // Restored entries count as changed, so that the first snapshot after a restore is whole.
        match value {
            Some(value) => {
                let state = self.decode_state(block.state, value).map_err(of_state)?;
                self.insert(key, state);
            }
            None => {
                if let Some(slot) = self.locate(&key, hash) {
                    self.remove_at(slot);
                }
            }
        }
        Ok(())
    }

    /// How many shards to write in full at this checkpoint: so many that all had their turn by the
    /// time that the deltas add up to the size of the state, and at least one in 64.
    fn rewrites(&self) -> u32 {
        let dirty: usize = self.shards.iter().map(|s| s.cold.dirty.len()).sum();
        let share = (dirty * SHARDS as usize).div_ceil(self.len.max(1)) as u32;
        share.clamp(SHARDS / 64, SHARDS)
    }
}

impl<K: Key, S: 'static, C: Codec<S>> Snapshot for KeyedTable<K, S, C> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        assert!(self.is_empty(), "a table is assigned before it is filled");
        self.groups = groups;
        self.even_shards = has_even_shards(groups.count());
        self.worker = worker;
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        debug_assert_eq!(self.next_shard, SHARDS, "the last snapshot is encoded");
        // What changed is marked with the number of the checkpoint that was expected.
        let full = full || checkpoint != CheckpointId::from(self.period.get());
        let rewrites = if full { SHARDS } else { self.rewrites() };
        for shard in &mut self.shards {
            shard.freeze(false);
        }
        for step in 0..rewrites {
            let at = (self.rewrite_at + step) % SHARDS;
            if let Some(frozen) = &mut self.shards[at as usize].cold.frozen {
                frozen.make_full();
            }
            self.full_at[at as usize] = checkpoint as u32;
        }
        self.rewrite_at = (self.rewrite_at + rewrites) % SHARDS;
        self.freezing = checkpoint as u32;
        self.period = self.freezing_period().saturating_add(1);
        self.next_shard = 0;
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        while self.next_shard < SHARDS {
            let number = self.next_shard;
            let owned = self.owns_shard(number);
            let shard = &mut self.shards[number as usize];
            if !shard.encode(self.freezing, &self.codec, budget) {
                return false;
            }
            self.next_shard += 1;
            let frozen = shard.cold.frozen.take().unwrap_or_default();
            if frozen.entries > 0 || (frozen.full && owned) {
                let kind = if frozen.full {
                    BlockKind::Full
                } else {
                    BlockKind::Delta
                };
                sink.block(
                    &self.descriptor,
                    kind,
                    number,
                    frozen.entries,
                    frozen.buffer,
                );
            }
            if budget.exhausted() && self.next_shard < SHARDS {
                return false;
            }
        }
        true
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        let mut bytes = block.payload;
        while !bytes.is_empty() {
            self.restore_entry(block, &mut bytes)?;
        }
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        let range = self.groups.range(self.worker);
        let groups = self.groups.count();
        let owned =
            shard_of(range.start, groups) as usize..=shard_of(range.end - 1, groups) as usize;
        let oldest = self.full_at[owned].iter().min();
        oldest.map_or(0, |at| CheckpointId::from(*at))
    }

    fn keys(&self) -> usize {
        self.len
    }
}

impl<K, S, C> KeyedTable<K, S, C> {
    /// Whether a group of this shard belongs to this worker.
    fn owns_shard(&self, shard: u32) -> bool {
        let range = self.groups.range(self.worker);
        let groups = self.groups.count();
        !range.is_empty()
            && shard_of(range.start, groups) <= shard
            && shard <= shard_of(range.end - 1, groups)
    }
}

fn has_even_shards(groups: u32) -> bool {
    groups.is_power_of_two() && groups >= SHARDS
}

fn put_key<K: Key>(key: &K, to: &mut Vec<u8>) {
    put_sized(to, |to| Compact.encode(key, to));
}

/// Appends what `encode` writes behind its length. Most keys and states are shorter than 128 bytes: a
/// length of one byte is tried first.
#[inline]
fn put_sized(to: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.push(0);
    encode(to);
    let length = to.len() - start - 1;
    if length < 0x80 {
        to[start] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(5);
        put_varint(length as u64, &mut prefix);
        to.splice(start..=start, prefix);
    }
}

/// An entry is about to change for the first time in this period.
#[inline(never)]
fn note_change<K: Key, S, C: Codec<S>>(
    entry: &mut Entry<K, S>,
    index: u32,
    cold: &mut Cold,
    (period, freezing): (NonZeroU32, u32),
    codec: &C,
) {
    if let Some(frozen) = &mut cold.frozen
        && !entry.is_encoded_in(freezing)
        && (frozen.full || entry.changed.get() == freezing)
    {
        frozen.put(entry, freezing, codec);
    }
    entry.changed = period;
    cold.dirty.push(index);
}

impl Frozen {
    fn make_full(&mut self) {
        self.full = true;
        // The block replaces all earlier ones: removals need not be said.
        self.buffer.clear();
        self.entries = 0;
        self.dirty = Vec::new();
    }

    fn put<K: Key, S, C: Codec<S>>(&mut self, entry: &mut Entry<K, S>, checkpoint: u32, codec: &C) {
        self.buffer.push(1);
        put_key(&entry.key, &mut self.buffer);
        put_sized(&mut self.buffer, |to| codec.encode(&entry.state, to));
        self.entries += 1;
        entry.encoded = checkpoint | PERSISTED;
    }
}

impl<K: Key, S> Shard<K, S> {
    #[inline]
    fn find(&self, key: &K, hash: u32) -> Option<u32> {
        self.index
            .find(probe_hash(hash), |index| {
                index.hash == hash
                    && matches!(&self.cells[index.at as usize], Cell::Used(e) if e.key == *key)
            })
            .map(|index| index.at)
    }

    /// The place of an entry with this hash: nearly always the one looked for.
    #[inline]
    fn probe(&self, hash: u32) -> u32 {
        let index = self
            .index
            .find(probe_hash(hash), |index| index.hash == hash);
        index.map_or(NOWHERE, |index| index.at)
    }

    #[inline]
    fn holds(&self, at: u32, key: &K) -> bool {
        matches!(&self.cells[at as usize], Cell::Used(entry) if entry.key == *key)
    }

    fn add(&mut self, entry: Entry<K, S>, hash: u32) -> u32 {
        let period = entry.changed.get();
        let at = match self.cold.free.pop() {
            Some(at) => {
                let cell = std::mem::replace(&mut self.cells[at as usize], Cell::Used(entry));
                if !matches!(cell, Cell::Free(listed) if listed == period) {
                    self.cold.dirty.push(at);
                }
                at
            }
            None => {
                if self.cells.len() == self.cells.capacity() {
                    // A quarter at a time: memory per key matters more than copies.
                    self.cells.reserve_exact((self.cells.len() / 4).max(4));
                }
                self.cells.push(Cell::Used(entry));
                let at = self.cells.len() as u32 - 1;
                self.cold.dirty.push(at);
                at
            }
        };
        self.index
            .insert_unique(probe_hash(hash), Index { hash, at }, |i| probe_hash(i.hash));
        at
    }

    /// Takes out an entry that was noted as changed in the current period.
    fn take(&mut self, at: u32) -> Entry<K, S> {
        let Some(Cell::Used(entry)) = self.cells.get(at as usize) else {
            unreachable!("cell {at} was freed");
        };
        let (hash, listed) = (stable_hash(&entry.key) as u32, entry.changed.get());
        let cell = std::mem::replace(&mut self.cells[at as usize], Cell::Free(listed));
        let Cell::Used(entry) = cell else {
            unreachable!("cell {at} was in use");
        };
        self.cold.free.push(at);
        if let Ok(found) = self
            .index
            .find_entry(probe_hash(hash), |index| index.at == at)
        {
            found.remove();
        }
        entry
    }

    /// The last key went: give the memory back.
    fn release(&mut self) {
        self.index = HashTable::new();
        if self.cold.frozen.is_none() {
            self.cells = Vec::new();
            self.cold.free = Vec::new();
            self.cold.dirty = Vec::new();
        }
    }

    fn freeze(&mut self, full: bool) {
        let cold = &mut *self.cold;
        cold.frozen = Some(Frozen {
            full,
            dirty: std::mem::take(&mut cold.dirty),
            until: self.cells.len() as u32,
            next: 0,
            entries: std::mem::take(&mut cold.removed_count),
            buffer: std::mem::take(&mut cold.removed),
        });
    }

    /// Encodes what is left of this shard; `false` when the budget ran out before.
    fn encode<C: Codec<S>>(&mut self, checkpoint: u32, codec: &C, budget: &SliceBudget) -> bool {
        let Some(frozen) = &mut self.cold.frozen else {
            return true;
        };
        let total = if frozen.full {
            frozen.until as usize
        } else {
            frozen.dirty.len()
        };
        while frozen.next < total {
            let at = if frozen.full {
                frozen.next
            } else {
                frozen.dirty[frozen.next] as usize
            };
            frozen.next += 1;
            if let Some(Cell::Used(entry)) = self.cells.get_mut(at)
                && !entry.is_encoded_in(checkpoint)
                && (frozen.full || entry.changed.get() == checkpoint)
            {
                frozen.put(entry, checkpoint, codec);
            }
            if frozen.next.is_multiple_of(64) && budget.exhausted() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
