//! The freeze at a barrier, and what is encoded after it.
//!
//! A shard keeps two sets of cells as bits: those that changed in this period, and those that are *pending*: changed
//! before the barrier and not encoded yet. A freeze swaps the two, for when it comes nothing is pending. Who encodes an entry
//! takes its bit: the slices, which go through the cells in the order in which they lie in memory, or a change that
//! comes before them.
//!
//! What is encoded leaves in blocks of about [`BLOCK_BYTES`], as soon as there is that much, so that buffers are few, stay in
//! the cache and are used again. The first block of a shard says whether it is full; those that
//! follow it are deltas on top of it.

use super::bits::Bits;
use super::{KeyedTable, TableKey};
use crate::checkpoint::BlockKind;
use crate::error::Result;
use crate::hash::KeyGroups;
use crate::state::codec::{Codec, Compact, put_sized};
use crate::state::{
    BlockSink, BlockView, SHARDS, SliceBudget, Snapshot, StateDescriptor, shard_of,
};
use crate::time::CheckpointId;

/// A block is handed over when it has at least this many bytes.
const BLOCK_BYTES: usize = 48 << 10;
/// Buffers kept for the entries that are encoded between two slices.
const SPARES: usize = 32;
/// The clock is read once in this many entries.
const CLOCK_EVERY: u32 = 64;

/// What goes out of a table, and what is counted on the way.
#[derive(Default)]
pub(super) struct Outbox {
    /// Entries that changed in this period, of all shards; one that went away again may count twice.
    pub changed: usize,
    /// How many bytes the length of the last state took.
    length_bytes: usize,
    blocks: Vec<Block>,
    /// Empty buffers that have grown already.
    spare: Vec<Vec<u8>>,
}

struct Block {
    kind: BlockKind,
    shard: u32,
    entries: u32,
    payload: Vec<u8>,
}

impl Outbox {
    /// Hands all blocks over and takes back empty buffers.
    fn hand_over(&mut self, descriptor: &StateDescriptor, sink: &mut dyn BlockSink) {
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

/// How far a shard is with the checkpoint that is being taken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// It owes nothing.
    #[default]
    Done,
    /// It owes all entries that were there at the barrier; nothing was added or went away since, and
    /// `pending` is yet to say which they are: the freeze has no time for it.
    Unmarked,
    /// It owes what is pending.
    Marked,
}

/// What a shard still owes to the checkpoint that is being taken.
#[derive(Default)]
pub(super) struct Frozen {
    shard: u32,
    stage: Stage,
    /// The entries to encode. Empty when nothing is owed.
    pending: Bits,
    /// No pending entry lies in a word before this one.
    word: usize,
    /// What the next block is.
    kind: Option<BlockKind>,
    /// Entries encoded so far that are in no block yet, removals first.
    buffer: Vec<u8>,
    entries: u32,
}

impl Frozen {
    /// Of the shard with this number.
    pub fn of(shard: u32) -> Self {
        Frozen {
            shard,
            ..Frozen::default()
        }
    }

    pub fn shard(&self) -> u32 {
        self.shard
    }

    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub fn grow(&mut self, cells: usize) {
        self.pending.grow(cells);
    }

    /// The barrier: what changed is owed from now on, and what was removed.
    pub fn begin(&mut self, changed: &mut Bits, removed: Vec<u8>, removals: u32) {
        debug_assert!(
            self.is_done() && self.pending.is_zero(),
            "the last snapshot is encoded"
        );
        std::mem::swap(changed, &mut self.pending);
        self.stage = Stage::Marked;
        self.word = 0;
        self.kind = Some(BlockKind::Delta);
        self.buffer = removed;
        self.entries = removals;
    }

    /// Owes all that is there. The block replaces earlier ones: removals need not be said.
    pub fn make_full(&mut self) {
        self.stage = Stage::Unmarked;
        self.kind = Some(BlockKind::Full);
        self.buffer.clear();
        self.entries = 0;
    }

    /// To be called before the set of entries changes. `used`: the cells that are in use.
    #[inline]
    pub fn mark(&mut self, used: &Bits) {
        if self.stage == Stage::Unmarked {
            self.pending.copy_from(used);
            self.stage = Stage::Marked;
        }
    }

    /// Whether the entry at `at` is still to be encoded: it is the caller's to do.
    pub fn claim(&mut self, at: u32, used: &Bits) -> bool {
        self.mark(used);
        self.stage == Stage::Marked && self.pending.clear(at)
    }

    /// The next entry that is still to be encoded; it is the caller's to do.
    #[inline]
    pub fn claim_next(&mut self, used: &Bits) -> Option<u32> {
        self.mark(used);
        let at = self.pending.first_from(self.word)?;
        self.word = at as usize / 64;
        self.pending.clear(at);
        Some(at)
    }

    /// Encodes an entry that was claimed.
    #[inline]
    pub fn put<K: TableKey, S>(
        &mut self,
        key: &K,
        state: &S,
        codec: &impl Codec<S>,
        outbox: &mut Outbox,
    ) {
        if self.buffer.capacity() == 0
            && let Some(spare) = outbox.spare.pop()
        {
            self.buffer = spare;
        }
        self.buffer.push(1);
        put_sized(&mut self.buffer, &mut 1, |to| Compact.encode(key, to));
        put_sized(&mut self.buffer, &mut outbox.length_bytes, |to| {
            codec.encode(state, to);
        });
        self.entries += 1;
        if self.buffer.len() >= BLOCK_BYTES {
            self.end_block(outbox);
        }
    }

    #[cold]
    fn end_block(&mut self, outbox: &mut Outbox) {
        outbox.blocks.push(Block {
            kind: self
                .kind
                .replace(BlockKind::Delta)
                .expect("a snapshot is being taken"),
            shard: self.shard,
            entries: std::mem::take(&mut self.entries),
            payload: std::mem::take(&mut self.buffer),
        });
    }

    /// Nothing is pending any more. A full shard that is empty says so, if `owned`.
    fn finish(&mut self, owned: bool, outbox: &mut Outbox) {
        let empty = self.kind == Some(BlockKind::Full) && owned;
        if self.entries > 0 || empty {
            self.end_block(outbox);
        } else if self.buffer.capacity() > 0 && outbox.spare.len() < SPARES {
            self.buffer.clear();
            outbox.spare.push(std::mem::take(&mut self.buffer));
        }
        self.stage = Stage::Done;
        self.kind = None;
    }
}

impl<K: TableKey, S: 'static, C: Codec<S>> Snapshot for KeyedTable<K, S, C> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        self.live_on(groups, worker);
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        debug_assert_eq!(self.next_shard, SHARDS, "the last snapshot is encoded");
        let rewrites = if full { SHARDS } else { self.rewrites() };
        for shard in &mut self.shards {
            shard.freeze();
        }
        for step in 0..rewrites {
            let at = ((self.rewrite_at + step) % SHARDS) as usize;
            self.shards[at].cold.frozen.make_full();
            self.full_at[at] = checkpoint;
        }
        self.rewrite_at = (self.rewrite_at + rewrites) % SHARDS;
        self.outbox.changed = 0;
        self.next_shard = 0;
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let mut entries = 0;
        while self.next_shard < SHARDS {
            let owned = self.owns_shard(self.next_shard);
            let shard = &mut self.shards[self.next_shard as usize];
            let done = shard.encode(&self.codec, &mut self.outbox, |outbox| {
                entries += 1;
                !outbox.blocks.is_empty() || entries % CLOCK_EVERY == 0 && budget.exhausted()
            });
            if done {
                shard.cold.frozen.finish(owned, &mut self.outbox);
                self.next_shard += 1;
            }
            self.outbox.hand_over(&self.descriptor, sink);
            if budget.exhausted() && self.next_shard < SHARDS {
                return false;
            }
        }
        true
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        self.restore_block(block)
    }

    fn needs_since(&self) -> CheckpointId {
        let range = self.groups.range(self.worker);
        let groups = self.groups.count();
        let owned =
            shard_of(range.start, groups) as usize..=shard_of(range.end - 1, groups) as usize;
        self.full_at[owned].iter().min().copied().unwrap_or(0)
    }

    fn keys(&self) -> usize {
        self.len
    }
}

impl<K, S, C> KeyedTable<K, S, C> {
    /// How many shards to write in full at this checkpoint: so many that all had their turn by the
    /// time that the deltas add up to the size of the state, and at least one in 64.
    fn rewrites(&self) -> u32 {
        let share = (self.outbox.changed * SHARDS as usize).div_ceil(self.len.max(1));
        share.clamp(SHARDS as usize / 64, SHARDS as usize) as u32
    }

    /// Whether a group of this shard belongs to this worker.
    fn owns_shard(&self, shard: u32) -> bool {
        let range = self.groups.range(self.worker);
        let groups = self.groups.count();
        !range.is_empty()
            && shard_of(range.start, groups) <= shard
            && shard <= shard_of(range.end - 1, groups)
    }
}
