//! State: what operators remember between records, and how it gets into and out of snapshots.
//!
//! All keyed state rests on one structure, [`KeyedTable`]: it knows which keys changed since the
//! last checkpoint, can be frozen at a barrier without being copied, and is encoded in small slices
//! while the operator goes on. Everything above it (value, list and map state, timers, windows) is
//! a table with another value type.

#[cfg(feature = "abomonation")]
pub mod abomonated;
mod blob;
mod broadcast;
mod calendar;
mod cell;
mod codec;
mod keyed;
mod kinds;
mod spec;
mod table;
mod timers;
mod ttl;

#[cfg(feature = "abomonation")]
pub use abomonated::{Abomonated, Layout};
pub use blob::BlobState;
pub use broadcast::BroadcastState;
pub use calendar::Calendar;
pub use cell::Access;
pub use codec::{Codec, Compact};
pub use keyed::{EVENT_TIMERS, KeyedBackend, PROCESSING_TIMERS, StateId};
pub use kinds::{
    ListAccess, ListState, MapAccess, MapState, PerKey, ReducingAccess, ReducingState, ValueAccess,
    ValueState,
};
pub use spec::StateSpec;
pub use table::{
    Changes, Column, ColumnId, ColumnarTable, KeyedTable, LOOKUPS, NamespacedTable, Pass, Passing,
    Place, Slot, Space, Within,
};
pub use timers::{TimeDomain, Timer};
pub use ttl::Ttl;

use crate::checkpoint::BlockKind;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::KeyGroups;
use crate::time::CheckpointId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Key groups are snapshotted in this many shards, so that a block, a pause and a rewrite
/// are each a small part of the state.
pub const SHARDS: u32 = 256;

/// The shard of a key group.
#[inline]
pub fn shard_of(group: u32, groups: u32) -> u32 {
    ((u64::from(group) * u64::from(SHARDS)) / u64::from(groups)) as u32
}

/// A value that can be kept as state: `'static` and serde's two traits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as state",
    label = "state needs serde's `Serialize` and `Deserialize`, and no borrowed data",
    note = "derive them: `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait StateData: Serialize + DeserializeOwned + 'static {}
impl<T: Serialize + DeserializeOwned + 'static> StateData for T {}

/// What identifies a state in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateDescriptor {
    /// The name of the state within its operator.
    pub name: String,
    /// The schema version that the program gives it; raised when the type changes.
    pub version: u32,
    /// How values are encoded, with what else must be equal to decode them: `postcard`, or the name
    /// and layout fingerprint of another codec.
    pub codec: String,
}

impl StateDescriptor {
    /// A state of schema version 1 in the compact codec.
    pub fn new(name: impl Into<String>) -> Self {
        StateDescriptor {
            name: name.into(),
            version: 1,
            codec: "postcard".into(),
        }
    }

    /// The same at another schema version.
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }
}

/// Takes the blocks of a snapshot on the worker that makes it.
pub trait BlockSink {
    /// Takes one block of the state `state`.
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        entries: u32,
        payload: Vec<u8>,
    );

    /// A buffer that earlier blocks came in, empty: cheaper than a new one, whose memory has yet to be had.
    fn spare(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// How much of a snapshot may be encoded before something else gets its turn.
pub struct SliceBudget {
    started: crate::clock::Stopwatch,
    limit: std::time::Duration,
}

impl SliceBudget {
    /// The longest slice: short enough that a record that waits behind it hardly notices.
    pub const DEFAULT: std::time::Duration = std::time::Duration::from_micros(50);

    /// A budget of `limit` from now.
    pub fn new(limit: std::time::Duration) -> Self {
        SliceBudget {
            started: crate::clock::Stopwatch::start(),
            limit,
        }
    }

    /// No limit.
    pub fn unlimited() -> Self {
        SliceBudget::new(std::time::Duration::MAX)
    }

    /// Whether it is used up.
    #[inline]
    pub fn exhausted(&self) -> bool {
        self.started.elapsed() >= self.limit
    }
}

/// A block of an earlier snapshot.
#[derive(Clone, Copy, Debug)]
pub struct BlockView<'a> {
    /// What identifies the state, as it was written.
    pub state: &'a StateDescriptor,
    /// What the payload is.
    pub kind: BlockKind,
    /// The shard, or for a blob the worker that wrote it.
    pub shard: u32,
    /// The bytes.
    pub payload: &'a [u8],
}

/// A state that can be snapshotted and restored.
pub trait Snapshot {
    /// What identifies it.
    fn descriptor(&self) -> &StateDescriptor;

    /// Tells where it lives. Called before anything else.
    fn assign(&mut self, groups: KeyGroups, worker: usize);

    /// From now on changes belong to the checkpoint after `checkpoint`; what is there now is to be
    /// encoded. With `full` all of it, not only what changed; the first one is always full.
    fn freeze(&mut self, checkpoint: CheckpointId, full: bool);

    /// Encodes frozen state until all is done (`true`) or the budget is used up.
    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool;

    /// Takes a block of an earlier snapshot; blocks come in the order they were written. Keys of
    /// groups that another worker owns are passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`] when the block cannot be decoded, [`ErrorKind::Incompatible`] when it
    /// was written by another version of the state.
    fn restore(&mut self, block: BlockView<'_>) -> Result<()>;

    /// The oldest checkpoint whose blocks a restore of the last frozen one has to read.
    fn needs_since(&self) -> CheckpointId;

    /// How many keys it holds.
    fn keys(&self) -> usize;
}

/// Checks that a block was written by the same version and codec.
pub(crate) fn check_descriptor(own: &StateDescriptor, found: &StateDescriptor) -> Result<()> {
    if own.version != found.version {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "state \"{}\" was written at schema version {}, the job has version {} and no \
                 migration from it",
                own.name, found.version, own.version
            ),
        ));
    }
    if own.codec != found.codec {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "state \"{}\" was written by codec {}, the job reads {}",
                own.name, found.codec, own.codec
            ),
        ));
    }
    Ok(())
}
