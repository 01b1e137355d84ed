//! What a table knows of itself and its checkpoints, whatever it holds: its description, where it lives, which
//! shards were written in full when, and how far the snapshot under way is.

use super::mark::Mark;
use super::outbox::Outbox;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{DEFAULT_KEY_GROUPS, KeyGroups};
use crate::record::Key;
use crate::state::codec::{Codec, Compact, take_slice};
use crate::state::{
    BlockSink, BlockView, SHARDS, SliceBudget, StateData, StateDescriptor, check_descriptor,
    shard_of,
};
use crate::time::CheckpointId;

/// The clock is read once in this many entries.
const CLOCK_EVERY: u32 = 64;

/// Decodes a state from what an older schema version wrote.
pub(in crate::state) type Decode<S> = Box<dyn Fn(&[u8]) -> Result<S>>;

struct Migration<S> {
    from: u32,
    decode: Decode<S>,
}

/// An entry of a block.
pub(super) struct Filed<Q, S> {
    /// The key, or the key and more.
    pub under: Q,
    /// The key's.
    pub hash: u64,
    /// Nothing if it was removed.
    pub state: Option<S>,
}

/// See the module's documentation.
pub(super) struct Ledger<S, C> {
    pub descriptor: StateDescriptor,
    pub codec: C,
    pub outbox: Outbox,
    sharding: Sharding,
    worker: usize,
    /// The next shard to encode; [`SHARDS`] when nothing is left.
    next_shard: u32,
    /// Where the next full rewrite goes on.
    rewrite_at: u32,
    /// The checkpoint in which each shard was last written in full.
    full_at: Vec<CheckpointId>,
    migrations: Vec<Migration<S>>,
}

/// Which shard a key is in.
#[derive(Clone, Copy)]
pub(super) struct Sharding {
    groups: KeyGroups,
    /// The number of groups is a power of two and no less than that of shards.
    even: bool,
}

impl Sharding {
    fn of(groups: KeyGroups) -> Self {
        let count = groups.count();
        let even = count.is_power_of_two() && count >= SHARDS;
        Sharding { groups, even }
    }

    /// The shard of a key with this hash.
    #[inline]
    pub fn shard_at(self, hash: u64) -> u8 {
        if self.even {
            // The same without a division, when each shard has the same number of groups.
            return (hash >> 44) as u8;
        }
        shard_of(self.groups.group_of(hash), self.groups.count()) as u8
    }
}

/// What a barrier asks of the shards.
#[derive(Clone, Copy)]
pub(super) struct Barrier {
    /// Periods are counted from the first again, which is what this one is called from here on.
    pub counted_anew: Option<Mark>,
    /// The shards to write in full: so many from this one on, and around.
    rewrite_at: u32,
    rewrites: u32,
}

impl Barrier {
    /// Whether all of a shard is to be written.
    pub fn rewrites(self, shard: u32) -> bool {
        (shard + SHARDS - self.rewrite_at) % SHARDS < self.rewrites
    }
}

/// When encoding has to pause.
pub(super) struct Pause<'a> {
    budget: &'a SliceBudget,
    entries: u32,
}

impl Pause<'_> {
    /// Asked after each entry.
    #[inline]
    pub fn is_due(&mut self, outbox: &Outbox) -> bool {
        self.entries += 1;
        outbox.is_full() || self.entries.is_multiple_of(CLOCK_EVERY) && self.budget.exhausted()
    }
}

impl<S: 'static, C: Codec<S>> Ledger<S, C> {
    /// Of the state named `name`, schema version 1.
    pub fn new(name: String) -> Self {
        let codec = C::default();
        let mut descriptor = StateDescriptor::new(name);
        descriptor.codec = codec.fingerprint();
        Ledger {
            descriptor,
            codec,
            outbox: Outbox::new(),
            sharding: Sharding::of(KeyGroups::new(DEFAULT_KEY_GROUPS, 1)),
            worker: 0,
            next_shard: SHARDS,
            rewrite_at: 0,
            full_at: vec![0; SHARDS as usize],
            migrations: Vec::new(),
        }
    }

    /// Says how a value is decoded that schema version `from` wrote.
    pub fn add_migration(&mut self, from: u32, decode: Decode<S>) {
        self.migrations.push(Migration { from, decode });
    }

    /// Tells where the table lives.
    pub fn live_on(&mut self, groups: KeyGroups, worker: usize) {
        self.sharding = Sharding::of(groups);
        self.worker = worker;
    }

    /// The shard of a key with this hash.
    #[inline]
    pub fn shard_at(&self, hash: u64) -> u8 {
        self.sharding.shard_at(hash)
    }

    /// Which shard a key is in.
    pub fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// The barrier, for a table of `len` entries: what changes from now on belongs to the next checkpoint.
    pub fn freeze(&mut self, checkpoint: CheckpointId, full: bool, len: usize) -> Barrier {
        debug_assert_eq!(self.next_shard, SHARDS, "the last snapshot is encoded");
        let now = self.outbox.now;
        let counted_anew = (now == Mark::LAST).then_some(now);
        let barrier = Barrier {
            counted_anew,
            rewrite_at: self.rewrite_at,
            rewrites: if full { SHARDS } else { self.rewrites(len) },
        };
        for shard in (0..SHARDS).filter(|shard| barrier.rewrites(*shard)) {
            self.full_at[shard as usize] = checkpoint;
        }
        self.rewrite_at = (self.rewrite_at + barrier.rewrites) % SHARDS;
        let now = counted_anew.map_or(now, |_| Mark::FIRST);
        self.outbox.begin(barrier, now.next());
        self.next_shard = 0;
        barrier
    }

    /// How many shards to write in full at this checkpoint: so many that all had their turn by the
    /// time that the deltas add up to the size of the state, and at least one in 64.
    fn rewrites(&self, len: usize) -> u32 {
        let share = (self.outbox.changed * SHARDS as usize).div_ceil(len.max(1));
        share.clamp(SHARDS as usize / 64, SHARDS as usize) as u32
    }

    /// Encodes shard after shard, as far as the budget goes; whether all is encoded. `encode` does it for one, and says
    /// whether it came to its end.
    pub fn encode(
        &mut self,
        budget: &SliceBudget,
        sink: &mut dyn BlockSink,
        mut encode: impl FnMut(u8, &C, &mut Outbox, &mut Pause<'_>) -> bool,
    ) -> bool {
        let mut pause = Pause { budget, entries: 0 };
        while self.next_shard < SHARDS {
            let shard = self.next_shard as u8;
            if encode(shard, &self.codec, &mut self.outbox, &mut pause) {
                let owned = self.owns_shard(self.next_shard);
                self.outbox.finish(shard, owned);
                self.next_shard += 1;
            }
            self.outbox.hand_over(&self.descriptor, sink);
            if budget.exhausted() && self.next_shard < SHARDS {
                return false;
            }
        }
        true
    }

    /// The oldest checkpoint whose blocks a restore of the last frozen one has to read.
    pub fn needs_since(&self) -> CheckpointId {
        let range = self.sharding.groups.range(self.worker);
        let groups = self.sharding.groups.count();
        let owned =
            shard_of(range.start, groups) as usize..=shard_of(range.end - 1, groups) as usize;
        self.full_at[owned].iter().min().copied().unwrap_or(0)
    }

    /// Whether a group of this shard belongs to this worker.
    fn owns_shard(&self, shard: u32) -> bool {
        let range = self.sharding.groups.range(self.worker);
        let groups = self.sharding.groups.count();
        !range.is_empty()
            && shard_of(range.start, groups) <= shard
            && shard <= shard_of(range.end - 1, groups)
    }

    /// The entries of a block whose keys this worker owns, in order; `key` is the key of what one is filed under.
    pub fn read<Q: StateData, K: Key>(
        &self,
        block: BlockView<'_>,
        key: impl Fn(&Q) -> &K,
    ) -> Result<Vec<Filed<Q, S>>> {
        let (mut bytes, mut entries) = (block.payload, Vec::new());
        while !bytes.is_empty() {
            entries.extend(self.read_entry(block, &mut bytes, &key)?);
        }
        Ok(entries)
    }

    /// Takes an entry off the front of a block's payload. Nothing when another worker owns the key.
    fn read_entry<Q: StateData, K: Key>(
        &self,
        block: BlockView<'_>,
        bytes: &mut &[u8],
        key: impl Fn(&Q) -> &K,
    ) -> Result<Option<Filed<Q, S>>> {
        let name = &block.state.name;
        let damaged = || {
            Error::new(
                ErrorKind::Restore,
                format!("state \"{name}\": an entry is cut short"),
            )
        };
        let (&what, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        let of_state = |error: Error| error.within(format!("state \"{name}\""));
        let filed: Q = Compact
            .decode(take_slice(bytes).ok_or_else(damaged)?)
            .map_err(|error: Error| of_state(error.within("a key")))?;
        let value = if what == 1 {
            Some(take_slice(bytes).ok_or_else(damaged)?)
        } else {
            None
        };
        let hash = crate::hash::stable_hash(key(&filed));
        let group = self.sharding.groups.group_of(hash);
        let shard = shard_of(group, self.sharding.groups.count());
        if shard != block.shard {
            return Err(Error::new(
                ErrorKind::Restore,
                format!(
                    "state \"{name}\": a key is filed under shard {}, but its hash says {shard}: the key's \
                     Hash differs from the one that wrote it",
                    block.shard,
                ),
            ));
        }
        if self.sharding.groups.worker_of(group) != self.worker {
            return Ok(None);
        }
        let state = value.map(|value| self.decode_state(block.state, value));
        Ok(Some(Filed {
            under: filed,
            hash,
            state: state.transpose().map_err(of_state)?,
        }))
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
}
