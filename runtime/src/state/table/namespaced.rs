//! States by key and namespace: a table for each namespace.

use super::LARGE_BYTES;
use super::ledger::Ledger;
use super::outbox::InNamespace;
use super::shards::{Entry, Shards};
use crate::error::Result;
use crate::hash::{KeyGroups, stable_hash};
use crate::record::{Data, Key};
use crate::state::codec::{Codec, Compact};
use crate::state::{BlockSink, BlockView, SHARDS, SliceBudget, Snapshot, StateDescriptor};
use crate::time::CheckpointId;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// An open namespace of a [`NamespacedTable`], until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space(usize);

/// A state for each key and namespace, where a namespace (a window, say) comes and goes as a whole: each has a table of its
/// own. Flink has namespaces under the same name. Snapshots are as those of a
/// [`KeyedTable`](super::KeyedTable); an entry is filed under key and namespace, and lives in the key group of the key.
pub struct NamespacedTable<K, N, S, C = Compact> {
    ledger: Ledger<S, C>,
    by_namespace: BTreeMap<N, Space>,
    /// By the number of their [`Space`].
    spaces: Vec<Option<Named<K, N, S>>>,
    /// The numbers of closed spaces.
    free: Vec<Space>,
    /// The memory of a space that was closed, for the next one.
    spare: Option<Shards<K, S>>,
    len: usize,
}

/// One namespace of a table.
pub struct Within<'a, K, N, S, C> {
    named: &'a mut Named<K, N, S>,
    ledger: &'a mut Ledger<S, C>,
}

impl<K: Key, N: Data, S: 'static, C: Codec<S>> Within<'_, K, N, S, C> {
    /// The state of the key with this stable hash for which `is` says that it is the one, for changing.
    #[inline(always)] // for the innermost loops
    pub fn touch(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&mut S> {
        let shard = self.ledger.shard_at(hash);
        let encoder = InNamespace(&self.named.namespace, &self.ledger.codec);
        let outbox = &mut self.ledger.outbox;
        let is = |entry: &Entry<K, S>| is(&entry.key);
        let touched = self.named.shards.touch(shard, hash, is, &encoder, outbox)?;
        Some(&mut touched.state)
    }
}

struct Named<K, N, S> {
    namespace: N,
    shards: Shards<K, S>,
    /// The most entries it had when it was drained.
    most: usize,
}

impl<K: Key, N: Data + Ord, S: 'static, C: Codec<S>> NamespacedTable<K, N, S, C> {
    /// An empty table for the state named `name`, of this schema version.
    pub fn new(name: impl Into<String>, version: u32) -> Self {
        let mut ledger = Ledger::new(name.into());
        ledger.descriptor.version = version;
        NamespacedTable {
            ledger,
            by_namespace: BTreeMap::new(),
            spaces: Vec::new(),
            free: Vec::new(),
            spare: None,
            len: 0,
        }
    }

    /// The number of entries in all namespaces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The space of a namespace, if it is open.
    pub fn space(&self, namespace: &N) -> Option<Space> {
        self.by_namespace.get(namespace).copied()
    }

    /// The first open namespace in a range.
    pub fn first(&self, range: impl RangeBounds<N>) -> Option<(&N, Space)> {
        let (namespace, space) = self.by_namespace.range(range).next()?;
        Some((namespace, *space))
    }

    /// The space of a namespace, which is opened if it is not open.
    pub fn open(&mut self, namespace: N) -> Space {
        if let Some(space) = self.by_namespace.get(&namespace) {
            return *space;
        }
        let named = Named {
            namespace: namespace.clone(),
            shards: self.spare.take().unwrap_or_else(Shards::new),
            most: 0,
        };
        let space = self.free.pop().unwrap_or(Space(self.spaces.len()));
        match self.spaces.get_mut(space.0) {
            Some(place) => *place = Some(named),
            None => self.spaces.push(Some(named)),
        }
        self.by_namespace.insert(namespace, space);
        space
    }

    /// Closes a namespace that has become empty.
    ///
    /// # Panics
    /// When it is not open, or not empty.
    pub fn close(&mut self, space: Space) {
        let Some(mut named) = self.spaces[space.0].take() else {
            unreachable!("{space:?} was closed")
        };
        assert_eq!(named.shards.len(), 0, "a namespace that is closed is empty");
        self.by_namespace.remove(&named.namespace);
        self.free.push(space);
        // Much more memory than it needed is not kept.
        if named.shards.capacity() <= 4 * named.most + SHARDS as usize {
            named.shards.clear();
            self.spare = Some(named.shards);
        }
    }

    fn at(&self, space: Space) -> &Named<K, N, S> {
        match self.spaces.get(space.0) {
            Some(Some(named)) => named,
            _ => unreachable!("{space:?} was closed"),
        }
    }

    /// A namespace, for changing states in it.
    #[inline]
    pub fn within(&mut self, space: Space) -> Within<'_, K, N, S, C> {
        let Some(Some(named)) = self.spaces.get_mut(space.0) else {
            unreachable!("{space:?} was closed")
        };
        Within {
            named,
            ledger: &mut self.ledger,
        }
    }

    /// Adds a key that is not there, with this stable hash.
    pub fn insert_vacant(&mut self, space: Space, key: K, hash: u64, state: S) {
        debug_assert!(self.get(space, &key).is_none(), "the key is not there");
        let Within { named, ledger } = self.within(space);
        let shard = ledger.shard_at(hash);
        let outbox = &mut ledger.outbox;
        named.shards.add(shard, hash, key, state, outbox);
        self.len += 1;
    }

    /// The state of a key, for reading.
    pub fn get(&self, space: Space, key: &K) -> Option<&S> {
        let hash = stable_hash(key);
        let shard = self.ledger.shard_at(hash);
        let is = |entry: &Entry<K, S>| entry.key == *key;
        let entry = self.at(space).shards.find(shard, hash, is)?;
        Some(&entry.state)
    }

    /// Removes a key; returns its state.
    pub fn remove(&mut self, space: Space, key: &K) -> Option<S> {
        let hash = stable_hash(key);
        let Within { named, ledger } = self.within(space);
        let shard = ledger.shard_at(hash);
        let encoder = InNamespace(&named.namespace, &ledger.codec);
        let outbox = &mut ledger.outbox;
        let is = |entry: &Entry<K, S>| entry.key == *key;
        let (_, state) = named.shards.remove(shard, hash, is, &encoder, outbox)?;
        self.len -= 1;
        Some(state)
    }

    /// Removes all entries of a namespace that are in one of the [`SHARDS`] shards, and hands them to `take`.
    pub fn drain(&mut self, space: Space, shard: u32, take: impl FnMut(K, S)) {
        let Within { named, ledger } = self.within(space);
        let encoder = InNamespace(&named.namespace, &ledger.codec);
        let before = named.shards.len();
        named.most = named.most.max(before);
        let outbox = &mut ledger.outbox;
        named.shards.drain(shard as u8, &encoder, outbox, take);
        let drained = before - named.shards.len();
        self.len -= drained;
    }

    /// Whether there are so many entries that they are seldom in a cache: [warming](Self::warm) them pays then.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.len * size_of::<Entry<K, S>>() >= LARGE_BYTES
    }

    /// Brings the entry of a key with this stable hash into the cache. Returns a number that means nothing, so that it is not
    /// optimised away.
    #[inline]
    pub fn warm(&self, space: Space, hash: u64) -> usize {
        let shard = self.ledger.shard_at(hash);
        let is = |entry: &Entry<K, S>| entry.twin() == 0; // nearly always the one
        usize::from(self.at(space).shards.find(shard, hash, is).is_some())
    }

    /// The entries of a namespace, in no order that means anything.
    pub fn iter(&self, space: Space) -> impl Iterator<Item = (&K, &S)> {
        let shards = &self.at(space).shards;
        let entries = (0..SHARDS).flat_map(|shard| shards.iter(shard as u8));
        entries.map(|entry| (&entry.key, &entry.state))
    }
}

#[cfg(test)]
impl<K: Key, N, S, C> NamespacedTable<K, N, S, C> {
    /// The number of the period.
    pub(super) fn now(&mut self) -> &mut super::mark::Mark {
        &mut self.ledger.outbox.now
    }

    /// How many entries of a namespace there is memory for.
    pub(super) fn capacity(&self, space: Space) -> usize {
        let named = self.spaces[space.0].as_ref().expect("it is open");
        named.shards.capacity()
    }
}

impl<K: Key, N: Data + Ord, S: 'static, C: Codec<S>> Snapshot for NamespacedTable<K, N, S, C> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.ledger.descriptor
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        assert!(self.is_empty(), "a table is assigned before it is filled");
        self.ledger.live_on(groups, worker);
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        let barrier = self.ledger.freeze(checkpoint, full, self.len);
        for named in self.spaces.iter_mut().flatten() {
            named.shards.freeze(barrier);
        }
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let spaces = &mut self.spaces;
        self.ledger
            .encode(budget, sink, |shard, codec, outbox, pause| {
                // Those that are done already come to their end at once.
                spaces.iter_mut().flatten().all(|named| {
                    let encoder = InNamespace(&named.namespace, codec);
                    named.shards.encode(shard, &encoder, outbox, pause)
                })
            })
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        for entry in self.ledger.read(block, |(key, _): &(K, N)| key)? {
            let (key, namespace) = entry.under;
            // Restored entries count as changed, so that the first snapshot after a restore is whole.
            match (entry.state, self.space(&namespace)) {
                (Some(state), _) => {
                    let space = self.open(namespace);
                    self.remove(space, &key);
                    self.insert_vacant(space, key, entry.hash, state);
                }
                (None, Some(space)) => {
                    self.remove(space, &key);
                    if self.at(space).shards.len() == 0 {
                        self.close(space);
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        self.ledger.needs_since()
    }

    fn keys(&self) -> usize {
        self.len
    }
}
