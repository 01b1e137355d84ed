//! The table against a model: whatever is interleaved, what is restored is what was there at the barrier.

use super::*;
use crate::checkpoint::BlockKind;
use crate::hash::stable_hash;
use crate::state::{BlockSink, BlockView, SliceBudget, Snapshot};
use std::collections::BTreeMap;
use std::time::Duration;

type Model = BTreeMap<u64, String>;
type Table = KeyedTable<u64, String>;

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

    fn restore(&self, needs_since: &[CheckpointId], workers: usize) -> Vec<Table> {
        let groups = KeyGroups::new(DEFAULT_KEY_GROUPS, workers);
        let live = self.live(needs_since);
        let restored = (0..workers).map(|worker| {
            let mut table = Table::new("model");
            table.assign(groups, worker);
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
struct Run {
    random: fastrand::Rng,
    tables: Vec<Table>,
    model: Model,
    chain: Chain,
    /// The model at the barrier whose snapshot is being encoded.
    frozen: Option<Model>,
    first: bool,
    keys: u64,
    skips: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = [3, 40, 3_000][random.usize(..3)];
        let skips = random.bool();
        let mut run = Run {
            random,
            tables: Vec::new(),
            model: Model::new(),
            chain: Chain::default(),
            frozen: None,
            first: true,
            keys,
            skips,
        };
        let workers = run.random.usize(1..4);
        run.tables = run.chain.restore(&[], workers);
        run
    }

    fn table(&mut self, key: u64) -> &mut Table {
        let groups = KeyGroups::new(DEFAULT_KEY_GROUPS, self.tables.len());
        &mut self.tables[groups.worker_of_hash(stable_hash(&key))]
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
                let (_, state) = self.table(key).entry(&key, String::new);
                state.push('+');
                self.model.entry(key).or_default().push('+');
            }
            4 => {
                let found = self
                    .table(key)
                    .get_mut(&key)
                    .map(|state| *state = value.clone());
                let expected = self.model.get_mut(&key).map(|state| *state = value);
                assert_eq!(found, expected);
            }
            5 if self.random.u8(..50) == 0 => {
                // Everything goes: shards give their memory back.
                for key in std::mem::take(&mut self.model).into_keys() {
                    assert!(self.table(key).remove(&key).is_some());
                }
            }
            _ => assert_eq!(self.table(key).remove(&key), self.model.remove(&key)),
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
        let restored = self.chain.restore(&needs, workers);
        let mut found = Model::new();
        for table in &restored {
            assert_eq!(table.iter().count(), table.keys());
            found.extend(table.iter().map(|(_, key, state)| (*key, state.clone())));
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

#[test]
fn every_restored_table_is_the_model_as_of_the_barrier() {
    for seed in 0..80 {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.step();
        }
        let mut all: Vec<_> = run.tables.iter().flat_map(Table::iter).collect();
        all.sort_by_key(|(_, key, _)| **key);
        let found = all.into_iter().map(|(_, key, state)| (*key, state.clone()));
        assert!(found.eq(run.model), "seed {seed}");
    }
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
    let restored = chain.restore(&[table.needs_since()], 1);
    assert_eq!(restored[0].get(&1).unwrap(), "new");
}

/// Two keys of one shard whose hashes agree in all the bits that the index keeps: the one found by its hash
/// may be the other, so a lookup compares the key before it believes it.
#[test]
fn keys_of_one_hash_are_told_apart() {
    let (here, other) = (411_617, 1_226_696);
    let mut table = Table::new("model");
    let (a, b) = (stable_hash(&here), stable_hash(&other));
    assert_eq!((a as u32, table.shard_at(a)), (b as u32, table.shard_at(b)));
    let mut found = Vec::new();
    for (key, keys) in [(here, 1), (other, 2), (here, 2)] {
        table.find_all([key].iter(), &mut found);
        table.entry_found(found[0], &key, || key.to_string());
        assert_eq!(table.len(), keys);
    }
    table.find_all([other, 7, here, here].iter(), &mut found);
    for (found, key) in found.iter().zip([other, 7, here, here]) {
        let (_, state) = table.entry_found(*found, &key, || "new".into());
        let expected = if key == 7 {
            "new".into()
        } else {
            key.to_string()
        };
        assert_eq!(*state, expected);
    }
}

/// A key that comes twice in what is looked up at once, and was not there: the second one finds what the first
/// one made.
#[test]
fn a_key_looked_up_twice_is_made_once() {
    let mut table = Table::new("model");
    let mut found = Vec::new();
    table.find_all([5, 5].iter(), &mut found);
    table.entry_found(found[0], &5, || "first".into());
    let (_, state) = table.entry_found(found[1], &5, || "second".into());
    assert_eq!(state, "first");
    assert_eq!(table.len(), 1);
}
