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

/// An entry of a keyed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The encoded key.
    pub key: &'a [u8],
    /// The encoded value; none when the key went away.
    pub value: Option<&'a [u8]>,
}

/// The entries of the payload of a [`BlockKind::Full`] or [`BlockKind::Delta`], without decoding keys
/// or values. Ends early at an entry that is cut short.
#[derive(Clone, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// The entries of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Entries(payload)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return usize::try_from(length).ok();
            }
        }
        None
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (&what, rest) = self.0.split_first()?;
        self.0 = rest;
        let key = self.slice()?;
        let value = match what {
            1 => Some(self.slice()?),
            _ => None,
        };
        Some(Entry { key, value })
    }
}
