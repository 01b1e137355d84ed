//! Real tables through real parts, against a plain map: random changes, failed checkpoints, restarts on
//! other numbers of workers.

use crate::checkpoint::fixture::manifest;
use crate::checkpoint::testing::MemoryStore;
use crate::checkpoint::*;
use crate::hash::{KeyGroups, stable_hash};
use crate::source::Waker;
use crate::state::{BlockSink, KeyedTable, SliceBudget, Snapshot, StateDescriptor};
use crate::time::CheckpointId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const GROUPS: u32 = 300; // no multiple of the number of shards

struct Worker {
    table: KeyedTable<u32, String>,
    writer: PartWriter,
    wakes: Receiver<()>,
}

struct To<'a>(&'a PartWriter, CheckpointId);

impl BlockSink for To<'_> {
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        entries: u32,
        payload: Vec<u8>,
    ) {
        let block = Block {
            uid: "op".into(),
            state: state.clone(),
            kind,
            shard,
            entries,
            payload,
        };
        self.0.block(self.1, block);
    }
}

fn start(store: &MemoryStore, spread: KeyGroups) -> Vec<Worker> {
    let restored = Restored::open(store, Which::Latest).unwrap();
    (0..spread.workers())
        .map(|worker| {
            let mut table = KeyedTable::new("words");
            table.assign(spread, worker);
            for block in restored
                .iter()
                .flat_map(|restored| restored.blocks("op", "words"))
            {
                table.restore(block).unwrap();
            }
            let (wake, wakes) = channel();
            let waker = Waker::new(move || {
                let _ = wake.send(());
            });
            let info = PartInfo {
                job: "test".into(),
                worker: worker as u32,
                workers: spread.workers() as u32,
                groups: GROUPS,
            };
            let writer = PartWriter::spawn(Arc::new(store.clone()), info, waker).unwrap();
            Worker {
                table,
                writer,
                wakes,
            }
        })
        .collect()
}

impl Worker {
    fn snapshot(&mut self, checkpoint: CheckpointId, full: bool) -> crate::Result<PartFile> {
        self.table.freeze(checkpoint, full);
        let mut sink = To(&self.writer, checkpoint);
        while !self
            .table
            .encode_slice(&SliceBudget::unlimited(), &mut sink)
        {}
        self.writer.finish(checkpoint, self.table.needs_since());
        self.wakes
            .recv_timeout(Duration::from_secs(20))
            .expect("an event in time");
        match self.writer.poll() {
            Some(WriterEvent::Part(done)) => done.result,
            other => panic!("{other:?}"),
        }
    }
}

fn change(
    random: &mut fastrand::Rng,
    workers: &mut [Worker],
    spread: KeyGroups,
    model: &mut BTreeMap<u32, String>,
) {
    for _ in 0..random.usize(0..60) {
        let key = random.u32(0..400);
        let table = &mut workers[spread.worker_of_hash(stable_hash(&key))].table;
        if random.u8(0..4) == 0 {
            table.remove(&key);
            model.remove(&key);
        } else {
            let value = format!("{}", random.u32(..));
            table.insert(key, value.clone());
            model.insert(key, value);
        }
    }
}

/// What all workers hold together.
fn contents(workers: &[Worker]) -> BTreeMap<u32, String> {
    let entries = workers.iter().flat_map(|worker| worker.table.iter());
    entries
        .map(|(_, key, value)| (*key, value.clone()))
        .collect()
}

/// Takes checkpoint `checkpoint`; `None` when a part of it failed.
fn take(
    store: &MemoryStore,
    workers: &mut [Worker],
    checkpoint: CheckpointId,
    previous: Option<&Manifest>,
    full: bool,
) -> Option<Manifest> {
    let parts: Vec<_> = workers
        .iter_mut()
        .map(|worker| worker.snapshot(checkpoint, full))
        .collect();
    store.heal();
    let parts = parts.into_iter().collect::<crate::Result<Vec<_>>>().ok()?;
    let count = workers.len() as u32;
    let mut next = manifest(
        checkpoint,
        next_parts(previous, parts, count, full).unwrap(),
    );
    next.workers = count;
    next.max_parallelism = GROUPS;
    next.publish(store).unwrap();
    collect_garbage(store, 2).unwrap();
    Some(next)
}

#[test]
fn what_was_checkpointed_comes_back() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = MemoryStore::new();
        let mut durable = BTreeMap::new();
        for _attempt in 0..4 {
            let spread = KeyGroups::new(GROUPS, random.usize(1..4));
            let mut workers = start(&store, spread);
            assert_eq!(contents(&workers), durable, "seed {seed}");
            let mut model = durable.clone();
            let mut previous = None;
            let first = next_checkpoint(&store).unwrap();
            for checkpoint in first..first + random.u64(1..12) {
                change(&mut random, &mut workers, spread, &mut model);
                if random.u8(0..5) == 0 {
                    store.fail_after_bytes(random.usize(0..3000));
                }
                // After a failure the changes of the failed period are in no part: all is written.
                let full = previous.is_none();
                previous = take(&store, &mut workers, checkpoint, previous.as_ref(), full);
                if previous.is_some() {
                    durable = model.clone();
                }
            }
            drop(workers);
            store.crash(random.usize(0..1000));
        }
    }
}
