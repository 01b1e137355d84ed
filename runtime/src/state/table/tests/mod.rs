//! The tables against a model: whatever is interleaved, what is restored is what was there at the barrier.

use super::mark::Mark;
use super::*;
use crate::checkpoint::BlockKind;
use crate::hash::DEFAULT_KEY_GROUPS;
use crate::state::{BlockSink, BlockView, SliceBudget, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

mod columnar;

type Model = BTreeMap<u64, String>;
type Table = KeyedTable<u64, String>;

/// A table as the model sees it.
trait Modelled: Snapshot {
    fn empty() -> Self;
    /// The number of the period.
    fn now(&mut self) -> &mut Mark;
    /// The hash by which a key of the model finds its worker.
    fn hash(key: u64) -> u64;
    fn insert(&mut self, key: u64, value: String);
    fn push(&mut self, key: u64, value: char);
    fn set(&mut self, key: u64, value: String) -> Option<()>;
    fn remove(&mut self, key: u64) -> Option<String>;
    fn all(&self) -> Model;
    /// Removes many keys at once, where a table can.
    fn drain(&mut self, group: u64) -> Option<Model>;
    /// The number of entries.
    fn entries(&self) -> usize {
        self.keys()
    }
}

impl Modelled for Table {
    fn empty() -> Self {
        Table::new("model")
    }
    fn now(&mut self) -> &mut Mark {
        &mut self.ledger.outbox.now
    }
    fn hash(key: u64) -> u64 {
        stable_hash(&key)
    }
    fn insert(&mut self, key: u64, value: String) {
        Table::insert(self, key, value);
    }
    fn push(&mut self, key: u64, value: char) {
        self.entry(&key, String::new).1.push(value);
    }
    fn set(&mut self, key: u64, value: String) -> Option<()> {
        self.get_mut(&key).map(|state| *state = value)
    }
    fn remove(&mut self, key: u64) -> Option<String> {
        Table::remove(self, &key)
    }
    fn all(&self) -> Model {
        self.iter().map(|(_, k, v)| (*k, v.clone())).collect()
    }
    fn drain(&mut self, _: u64) -> Option<Model> {
        None
    }
}

/// Keys of the model in so many namespaces.
const NAMESPACES: u64 = 3;

type Namespaced = NamespacedTable<u64, u8, String>;

fn namespaced(key: u64) -> (u64, u8) {
    (key / NAMESPACES, (key % NAMESPACES) as u8)
}

impl Modelled for Namespaced {
    fn empty() -> Self {
        NamespacedTable::new("model", 1)
    }
    fn now(&mut self) -> &mut Mark {
        self.now()
    }
    fn hash(key: u64) -> u64 {
        stable_hash(&namespaced(key).0)
    }
    fn insert(&mut self, key: u64, value: String) {
        if self.set(key, value.clone()).is_none() {
            let (key, namespace) = namespaced(key);
            let space = self.open(namespace);
            self.insert_vacant(space, key, stable_hash(&key), value);
        }
    }
    fn push(&mut self, key: u64, value: char) {
        let mut state = Modelled::remove(self, key).unwrap_or_default();
        state.push(value);
        Modelled::insert(self, key, state);
    }
    fn set(&mut self, key: u64, value: String) -> Option<()> {
        let (key, namespace) = namespaced(key);
        let space = self.space(&namespace)?;
        let mut within = self.within(space);
        let state = within.touch(stable_hash(&key), |other| *other == key)?;
        *state = value;
        Some(())
    }
    fn remove(&mut self, key: u64) -> Option<String> {
        let (key, namespace) = namespaced(key);
        let space = self.space(&namespace)?;
        let before = self.get(space, &key).cloned();
        assert_eq!(NamespacedTable::remove(self, space, &key), before);
        if self.iter(space).next().is_none() {
            self.close(space);
        }
        before
    }
    fn all(&self) -> Model {
        let spaces = (0..NAMESPACES).filter_map(|n| Some((n, self.space(&(n as u8))?)));
        let all = spaces.flat_map(|(n, space)| {
            let entries = self.iter(space);
            entries.map(move |(key, value)| (key * NAMESPACES + n, value.clone()))
        });
        let all: Model = all.collect();
        assert_eq!(all.len(), self.len());
        all
    }
    fn drain(&mut self, group: u64) -> Option<Model> {
        let namespace = group % NAMESPACES;
        let mut drained = Model::new();
        if let Some(space) = self.space(&(namespace as u8)) {
            for shard in 0..SHARDS {
                self.drain(space, shard, |key, value| {
                    drained.insert(key * NAMESPACES + namespace, value);
                });
            }
            self.close(space);
        }
        Some(drained)
    }
}

/// A block as a checkpoint keeps it.
struct Kept {
    checkpoint: CheckpointId,
    writer: usize,
    kind: BlockKind,
    shard: u32,
    payload: Vec<u8>,
}

/// The blocks of all checkpoints since the last restore, of all writers.
#[derive(Default)]
struct Chain {
    checkpoint: CheckpointId,
    writer: usize,
    kept: Vec<Kept>,
    /// Tables begin a few periods before the last one.
    soon_last: bool,
}

impl BlockSink for Chain {
    fn block(
        &mut self,
        _: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        entries: u32,
        payload: Vec<u8>,
    ) {
        assert_eq!(entries == 0, payload.is_empty());
        self.kept.push(Kept {
            checkpoint: self.checkpoint,
            writer: self.writer,
            kind,
            shard,
            payload,
        });
    }

    fn spare(&mut self) -> Option<Vec<u8>> {
        self.kept
            .len()
            .is_multiple_of(3)
            .then(|| Vec::with_capacity(300))
    }
}

impl Chain {
    /// The blocks that a restore reads: from `needs_since` on, and from each shard's last full block on.
    fn live(&self, needs_since: &[CheckpointId]) -> Vec<&Kept> {
        let mut live: Vec<&Kept> = Vec::new();
        for block in &self.kept {
            if block.checkpoint < needs_since[block.writer] {
                continue;
            }
            if block.kind == BlockKind::Full {
                live.retain(|b| (b.writer, b.shard) != (block.writer, block.shard));
            }
            live.push(block);
        }
        for block in &live {
            let mut chain = live.iter();
            let first = chain.find(|b| (b.writer, b.shard) == (block.writer, block.shard));
            assert_eq!(
                first.map(|b| b.kind),
                Some(BlockKind::Full),
                "the chain is whole"
            );
        }
        live
    }

    fn restore<T: Modelled>(&self, needs_since: &[CheckpointId], workers: usize) -> Vec<T> {
        let groups = KeyGroups::new(DEFAULT_KEY_GROUPS, workers);
        let live = self.live(needs_since);
        let restored = (0..workers).map(|worker| {
            let mut table = T::empty();
            table.assign(groups, worker);
            if self.soon_last {
                *table.now() = Mark::before_last(2);
            }
            for block in &live {
                let view = BlockView {
                    state: &StateDescriptor::new("model"),
                    kind: block.kind,
                    shard: block.shard,
                    payload: &block.payload,
                };
                table.restore(view).unwrap();
            }
            table
        });
        restored.collect()
    }
}

/// A job's worth of tables, one a worker, and what they should hold.
struct Run<T> {
    random: fastrand::Rng,
    tables: Vec<T>,
    model: Model,
    chain: Chain,
    /// The model at the barrier whose snapshot is being encoded.
    frozen: Option<Model>,
    first: bool,
    keys: u64,
    skips: bool,
}

impl<T: Modelled> Run<T> {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = [3, 40, 3_000][random.usize(..3)];
        let skips = random.bool();
        let chain = Chain {
            soon_last: random.bool(),
            ..Chain::default()
        };
        let mut run = Run {
            random,
            tables: Vec::new(),
            model: Model::new(),
            chain,
            frozen: None,
            first: true,
            keys,
            skips,
        };
        let workers = run.random.usize(1..4);
        run.tables = run.chain.restore(&[], workers);
        run
    }

    fn table(&mut self, key: u64) -> &mut T {
        let groups = KeyGroups::new(DEFAULT_KEY_GROUPS, self.tables.len());
        &mut self.tables[groups.worker_of_hash(T::hash(key))]
    }

    fn change(&mut self) {
        let key = self.random.u64(..self.keys);
        let mut length = [0, 5, 127, 128, 300][self.random.usize(..5)];
        if self.random.u8(..100) == 0 {
            length = 40_000; // two fill a block: more follow it for this shard
        }
        let value = format!("{}{}", self.random.u16(..), "x".repeat(length));
        match self.random.u8(..8) {
            0..3 => {
                self.table(key).insert(key, value.clone());
                self.model.insert(key, value);
            }
            3 => {
                self.table(key).push(key, '+');
                self.model.entry(key).or_default().push('+');
            }
            4 => {
                let found = self.table(key).set(key, value.clone());
                let expected = self.model.get_mut(&key).map(|state| *state = value);
                assert_eq!(found, expected);
            }
            5 if self.random.u8(..50) == 0 => {
                // Everything goes: shards give their memory back.
                for key in std::mem::take(&mut self.model).into_keys() {
                    assert!(self.table(key).remove(key).is_some());
                }
            }
            6 if self.random.u8(..20) == 0 => {
                for table in &mut self.tables {
                    for (key, value) in table.drain(key).unwrap_or_default() {
                        assert_eq!(self.model.remove(&key), Some(value));
                    }
                }
            }
            _ => assert_eq!(self.table(key).remove(key), self.model.remove(&key)),
        }
    }

    fn freeze(&mut self) {
        self.chain.checkpoint += 1 + u64::from(self.skips && self.random.u8(..4) == 0);
        for table in &mut self.tables {
            table.freeze(self.chain.checkpoint, self.first);
        }
        self.first = false;
        self.frozen = Some(self.model.clone());
    }

    /// Encodes a slice on each worker; whether all is encoded.
    fn encode(&mut self, budget: &SliceBudget) -> bool {
        let mut done = true;
        for (writer, table) in self.tables.iter_mut().enumerate() {
            self.chain.writer = writer;
            done &= table.encode_slice(budget, &mut self.chain);
        }
        done
    }

    /// The snapshot is whole: restores it elsewhere, compares, and sometimes goes on from there.
    fn check(&mut self) {
        let expected = self.frozen.take().expect("a snapshot was taken");
        let needs: Vec<_> = self.tables.iter().map(Snapshot::needs_since).collect();
        let workers = self.random.usize(1..6);
        let restored: Vec<T> = self.chain.restore(&needs, workers);
        let mut found = Model::new();
        for table in &restored {
            let all = table.all();
            assert_eq!(all.len(), table.entries());
            found.extend(all);
        }
        let wrong = expected.keys().chain(found.keys());
        let wrong = wrong
            .copied()
            .find(|key| found.get(key) != expected.get(key));
        let checkpoint = self.chain.checkpoint;
        assert_eq!(
            wrong, None,
            "key as of checkpoint {checkpoint}, skips: {}",
            self.skips
        );
        if self.random.u8(..4) == 0 {
            self.tables = restored;
            self.model = expected;
            self.chain.kept.clear();
            self.first = true;
        }
    }

    fn step(&mut self) {
        for _ in 0..self.random.usize(..60) {
            self.change();
        }
        if self.frozen.is_none() {
            if self.random.u8(..3) == 0 {
                self.freeze();
            }
            return;
        }
        for _ in 0..self.random.usize(..150) {
            if self.encode(&SliceBudget::new(Duration::ZERO)) {
                return self.check();
            }
        }
        if self.random.u8(..4) == 0 {
            while !self.encode(&SliceBudget::unlimited()) {}
            self.check();
        }
    }
}

fn every_restored_table_is_the_model<T: Modelled>() {
    for seed in 0..80 {
        let mut run = Run::<T>::new(seed);
        for _ in 0..120 {
            run.step();
        }
        let found: Model = run.tables.iter().flat_map(T::all).collect();
        assert_eq!(found, run.model, "seed {seed}");
    }
}

#[test]
fn every_restored_keyed_table_is_the_model_as_of_the_barrier() {
    every_restored_table_is_the_model::<Table>();
}

#[test]
fn every_restored_namespaced_table_is_the_model_as_of_the_barrier() {
    every_restored_table_is_the_model::<Namespaced>();
}

/// The memory of a namespace serves the next one, and goes when it was much more than was needed.
#[test]
fn the_memory_of_a_namespace_is_used_again() {
    let mut table = Namespaced::new("model", 1);
    let mut capacities = Vec::new();
    for (namespace, keys) in [(0, 10_000), (1, 8_000), (2, 10), (3, 10), (4, 0)] {
        let space = table.open(namespace);
        capacities.push(table.capacity(space));
        for key in 0..keys {
            table.insert_vacant(space, key, stable_hash(&key), String::new());
        }
        (0..SHARDS).for_each(|shard| table.drain(space, shard, |_, _| {}));
        table.close(space);
    }
    assert!(capacities[1] >= 10_000 && capacities[2] >= 10_000);
    assert_eq!(capacities[0], 0);
    assert_eq!(capacities[3], 0);
    assert!(capacities[4] >= 10);
}

/// A barrier that comes before an operator was scheduled for the one before it makes it pass both at
/// once, and a checkpoint number is skipped. What had changed in between was then marked with the
/// number of the checkpoint that never came, no delta took it up, and a restore brought back the value
/// before. The table writes everything when a number is skipped.
#[test]
fn a_skipped_checkpoint_loses_no_change() {
    let mut table = Table::new("model");
    let mut chain = Chain::default();
    for key in 0..10_000 {
        table.insert(key, "old".into()); // so many that a few changes do not rewrite every shard
    }
    for (checkpoint, value) in [(1, "new"), (3, "newer")] {
        chain.checkpoint = checkpoint;
        table.freeze(checkpoint, checkpoint == 1);
        assert!(table.encode_slice(&SliceBudget::unlimited(), &mut chain));
        *table.get_mut(&1).unwrap() = value.into();
    }
    let restored: Vec<Table> = chain.restore(&[table.needs_since()], 1);
    assert_eq!(restored[0].get(&1).unwrap(), "new");
}

/// A key whose `Hash` says the same of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Alike(u64);

impl Hash for Alike {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// They share a hash, and yet a slot names one of them, also when others have gone and come back.
#[test]
fn keys_of_one_hash_are_told_apart() {
    let mut table = KeyedTable::<Alike, u64>::new("alike");
    let mut slots: BTreeMap<u64, Slot> = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(0);
    for step in 0..2_000 {
        let key = random.u64(..100);
        if random.u8(..3) > 0 {
            let is_new = !slots.contains_key(&key);
            let (slot, state) = table.entry(&Alike(key), || key);
            assert_eq!(*state, key);
            let before = slots.insert(key, slot);
            assert!(is_new || before == Some(slot));
        } else if let Some(slot) = slots.remove(&key) {
            assert_eq!(table.remove_at(slot), (Alike(key), key));
            assert!(table.try_at(slot).is_none());
        }
        assert_eq!(table.len(), slots.len(), "step {step}");
        for (key, slot) in &slots {
            assert_eq!(table.at(*slot), (&Alike(*key), key));
            assert_eq!(table.slot(&Alike(*key)), Some(*slot));
        }
    }
    assert_eq!(table.iter().count(), slots.len());
    for (slot, Alike(key), _) in table.iter() {
        assert_eq!(slots[key], slot);
    }
}

/// A key that comes twice in what is looked up at once, and was not there: the second one finds what the first
/// one made.
#[test]
fn a_key_looked_up_twice_is_made_once() {
    let mut table = Table::new("model");
    let mut hashes = Vec::new();
    table.prepare([5, 5].iter(), &mut hashes);
    table.entry_hashed(&5, hashes[0], || "first".into());
    let (_, state) = table.entry_hashed(&5, hashes[1], || "second".into());
    assert_eq!(state, "first");
    assert_eq!(table.len(), 1);
}
