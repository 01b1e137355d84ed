//! What is encoded on its way out of a table.
//!
//! It leaves in blocks of about [`BLOCK_BYTES`], as soon as there is that much, so that buffers are few, stay in
//! the cache and are used again. The first block of a shard says whether it is full; those that
//! follow it are deltas on top of it.

use super::ledger::Barrier;
use super::mark::Mark;
use crate::checkpoint::BlockKind;
use crate::state::codec::{Codec, Compact, put_sized};
use crate::state::{BlockSink, SHARDS, StateData, StateDescriptor};

/// A block is handed over when it has at least this many bytes.
const BLOCK_BYTES: usize = 48 << 10;
/// Buffers kept for the entries that are encoded between two slices.
const SPARES: usize = 32;

/// How the entries of a table are written.
pub(super) trait Encoder<K, S> {
    fn key(&self, key: &K, to: &mut Vec<u8>);
    fn state(&self, state: &S, to: &mut Vec<u8>);
}

/// A key by itself, and the state by the table's codec.
pub(super) struct ByKey<'a, C>(pub &'a C);

impl<K: StateData, S, C: Codec<S>> Encoder<K, S> for ByKey<'_, C> {
    #[inline]
    fn key(&self, key: &K, to: &mut Vec<u8>) {
        Compact.encode(key, to);
    }

    #[inline]
    fn state(&self, state: &S, to: &mut Vec<u8>) {
        self.0.encode(state, to);
    }
}

/// The same for a key in a namespace, which comes after it.
pub(super) struct InNamespace<'a, N, C>(pub &'a N, pub &'a C);

impl<K: StateData, N: StateData, S, C: Codec<S>> Encoder<K, S> for InNamespace<'_, N, C> {
    #[inline]
    fn key(&self, key: &K, to: &mut Vec<u8>) {
        Compact.encode(key, to);
        Compact.encode(self.0, to);
    }

    #[inline]
    fn state(&self, state: &S, to: &mut Vec<u8>) {
        self.1.encode(state, to);
    }
}

/// See the module's documentation.
pub(super) struct Outbox {
    /// The period: what changes is marked with it.
    pub now: Mark,
    /// Entries that changed in this period, of all shards; one that went away again may count twice.
    pub changed: usize,
    /// How many bytes the length of the last state took.
    length_bytes: usize,
    /// One for each shard.
    writers: Box<[Writer]>,
    blocks: Vec<Block>,
    /// Empty buffers that have grown already.
    spare: Vec<Vec<u8>>,
}

/// What is encoded of a shard.
#[derive(Default)]
struct Writer {
    /// What the next block is.
    kind: Option<BlockKind>,
    /// Entries encoded so far that are in no block yet, removals first.
    buffer: Vec<u8>,
    entries: u32,
    /// Encoded removals of this period, which the next checkpoint writes.
    removed: Vec<u8>,
    removals: u32,
}

struct Block {
    kind: BlockKind,
    shard: u32,
    entries: u32,
    payload: Vec<u8>,
}

impl Outbox {
    pub fn new() -> Self {
        Outbox {
            now: Mark::FIRST,
            changed: 0,
            length_bytes: 0,
            writers: (0..SHARDS).map(|_| Writer::default()).collect(),
            blocks: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// A period begins.
    pub fn begin(&mut self, barrier: Barrier, now: Mark) {
        for (writer, shard) in self.writers.iter_mut().zip(0..) {
            let full = barrier.rewrites(shard);
            writer.kind = Some(if full {
                BlockKind::Full
            } else {
                BlockKind::Delta
            });
            writer.buffer = std::mem::take(&mut writer.removed);
            writer.entries = std::mem::take(&mut writer.removals);
            if full {
                // It replaces earlier blocks: removals need not be said.
                writer.buffer.clear();
                writer.entries = 0;
            }
        }
        self.now = now;
        self.changed = 0;
    }

    /// Encodes an entry.
    #[inline]
    pub fn put<K, S>(&mut self, shard: u8, key: &K, state: &S, encoder: &impl Encoder<K, S>) {
        let writer = &mut self.writers[usize::from(shard)];
        if writer.buffer.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            writer.buffer = spare;
        }
        let buffer = &mut writer.buffer;
        buffer.push(1);
        put_sized(buffer, &mut 1, |to| encoder.key(key, to));
        put_sized(buffer, &mut self.length_bytes, |to| {
            encoder.state(state, to);
        });
        writer.entries += 1;
        if writer.buffer.len() >= BLOCK_BYTES {
            self.end_block(shard);
        }
    }

    /// Encodes that an entry, which some checkpoint holds, is no more.
    pub fn put_removal(&mut self, shard: u8, key: impl FnOnce(&mut Vec<u8>)) {
        let writer = &mut self.writers[usize::from(shard)];
        writer.removed.push(0);
        put_sized(&mut writer.removed, &mut 1, key);
        writer.removals += 1;
    }

    #[cold]
    fn end_block(&mut self, shard: u8) {
        let writer = &mut self.writers[usize::from(shard)];
        self.blocks.push(Block {
            kind: writer
                .kind
                .replace(BlockKind::Delta)
                .expect("a snapshot is being taken"),
            shard: u32::from(shard),
            entries: std::mem::take(&mut writer.entries),
            payload: std::mem::take(&mut writer.buffer),
        });
    }

    /// Nothing of a shard is owed any more. A full one that is empty says so, if `owned`.
    pub fn finish(&mut self, shard: u8, owned: bool) {
        let writer = &mut self.writers[usize::from(shard)];
        let empty = writer.kind == Some(BlockKind::Full) && owned;
        if writer.entries > 0 || empty {
            self.end_block(shard);
        } else if writer.buffer.capacity() > 0 && self.spare.len() < SPARES {
            writer.buffer.clear();
            self.spare.push(std::mem::take(&mut writer.buffer));
        }
        self.writers[usize::from(shard)].kind = None;
    }

    /// Whether there are blocks to hand over.
    pub fn is_full(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Hands all blocks over and takes back empty buffers.
    pub fn hand_over(&mut self, descriptor: &StateDescriptor, sink: &mut dyn BlockSink) {
        for block in self.blocks.drain(..) {
            sink.block(
                descriptor,
                block.kind,
                block.shard,
                block.entries,
                block.payload,
            );
        }
        while self.spare.len() < SPARES
            && let Some(buffer) = sink.spare()
        {
            self.spare.push(buffer);
        }
    }
}
