//! The unit of a snapshot: a block of one state of one operator.

use crate::state::StateDescriptor;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Every key of a shard as of the checkpoint: what older blocks say of the shard is void.
    Full,
    /// The keys of a shard that changed or went away since the checkpoint before.
    Delta,
    /// State of an operator instance that has no keys (positions of a source, prepared output of a
    /// sink), whole. Only those of the newest checkpoint count.
    Blob,
}

/// One block, ready to be written.
///
/// The payload of [`BlockKind::Full`] and [`BlockKind::Delta`] is a sequence of entries:
/// a byte (`0` remove, `1` put), the key's length as LEB128 varint, the key, and for a put the
/// value's length as varint and the value. The payload of a blob is up to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The operator's stable name.
    pub uid: String,
    /// Which of its states.
    pub state: StateDescriptor,
    /// What the payload is.
    pub kind: BlockKind,
    /// The shard of key groups, or for a blob the worker.
    pub shard: u32,
    /// How many entries the payload has (1 for a blob).
    pub entries: u32,
    /// The bytes.
    pub payload: Vec<u8>,
}
