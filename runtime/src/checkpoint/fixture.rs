//! What the tests of this folder write again and again.

use super::format::{PartEncoder, PartHeader};
use super::*;
use crate::state::StateDescriptor;
use crate::time::CheckpointId;

pub(super) const GROUPS: u32 = 128;

pub(super) fn header(checkpoint: CheckpointId, worker: u32) -> PartHeader {
    PartHeader {
        checkpoint,
        worker,
        workers: 2,
        groups: GROUPS,
        job: "wordcount".into(),
    }
}

/// A block of entries; a value of none is a removal.
pub(super) fn keyed(kind: BlockKind, shard: u32, entries: &[(&str, Option<&str>)]) -> Block {
    let mut payload = Vec::new();
    for (key, value) in entries {
        payload.push(u8::from(value.is_some()));
        for text in [Some(*key), *value].into_iter().flatten() {
            payload.push(text.len() as u8);
            payload.extend_from_slice(text.as_bytes());
        }
    }
    Block {
        uid: "count".into(),
        state: StateDescriptor::new("counts"),
        kind,
        shard,
        entries: entries.len() as u32,
        payload,
    }
}

pub(super) fn full(shard: u32, entries: &[(&str, Option<&str>)]) -> Block {
    keyed(BlockKind::Full, shard, entries)
}

pub(super) fn delta(shard: u32, entries: &[(&str, Option<&str>)]) -> Block {
    keyed(BlockKind::Delta, shard, entries)
}

pub(super) fn blob(worker: u32, payload: &[u8]) -> Block {
    Block {
        uid: "source".into(),
        state: StateDescriptor::new("positions").with_version(3),
        kind: BlockKind::Blob,
        shard: worker,
        entries: 1,
        payload: payload.to_vec(),
    }
}

pub(super) fn encode(header: &PartHeader, blocks: &[Block]) -> Vec<u8> {
    let mut encoder = PartEncoder::new(Vec::new(), header).unwrap();
    for block in blocks {
        encoder.block(block).unwrap();
    }
    encoder.finish().unwrap().0
}

/// Writes the part of one worker; each checkpoint builds on the first unless `needs_since` differs.
pub(super) fn write_part(
    store: &dyn CheckpointStore,
    checkpoint: CheckpointId,
    worker: u32,
    needs_since: CheckpointId,
    blocks: &[Block],
) -> PartFile {
    let bytes = encode(&header(checkpoint, worker), blocks);
    let name = part_name(checkpoint, worker);
    store.publish(&name, &bytes).unwrap();
    PartFile {
        name,
        checkpoint,
        worker,
        bytes: bytes.len() as u64,
        crc: crc32fast::hash(&bytes),
        blocks: blocks.len() as u32,
        needs_since,
    }
}

pub(super) fn manifest(checkpoint: CheckpointId, parts: Vec<PartFile>) -> Manifest {
    Manifest {
        format: MANIFEST_VERSION,
        job: "wordcount".into(),
        checkpoint,
        kind: CheckpointKind::Checkpoint,
        created_ms: 1_700_000_000_000 + checkpoint as i64,
        graph_fingerprint: "00c0ffee".into(),
        workers: 2,
        max_parallelism: GROUPS,
        mode: "continuous".into(),
        guarantee: "exactly-once".into(),
        operators: vec![OperatorEntry {
            uid: "count".into(),
            name: "count words".into(),
            states: vec![StateDescriptor::new("counts")],
        }],
        bytes: parts.iter().map(|part| part.bytes).sum(),
        parts,
    }
}

/// A store with checkpoints 1 to `last`, each a change upon the one before, all resting on number 1.
pub(super) fn chain(last: CheckpointId) -> testing::MemoryStore {
    let store = testing::MemoryStore::new();
    let mut previous: Option<Manifest> = None;
    for checkpoint in 1..=last {
        let number = checkpoint.to_string();
        let parts = (0..2)
            .map(|worker| {
                let key = format!("key-{worker}");
                let entry = [(key.as_str(), Some(number.as_str()))];
                let block = match checkpoint {
                    1 => full(worker, &entry),
                    _ => delta(worker, &entry),
                };
                let blocks = [block, blob(worker, number.as_bytes())];
                write_part(&store, checkpoint, worker, 1, &blocks)
            })
            .collect();
        let parts = next_parts(previous.as_ref(), parts, 2, false).unwrap();
        let manifest = manifest(checkpoint, parts);
        manifest.publish(&store).unwrap();
        previous = Some(manifest);
    }
    store
}
