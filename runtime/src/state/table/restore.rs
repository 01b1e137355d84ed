//! Restoring: blocks of earlier snapshots, entry by entry, and values of older schema versions.

use super::{KeyedTable, TableKey};
use crate::error::{Error, ErrorKind, Result};
use crate::state::codec::{Codec, Compact, take_slice};
use crate::state::{BlockView, StateDescriptor, check_descriptor, shard_of};

/// Decodes a state from what an older schema version wrote.
pub(in crate::state) type Decode<S> = Box<dyn Fn(&[u8]) -> Result<S>>;

pub(super) struct Migration<S> {
    from: u32,
    decode: Decode<S>,
}

impl<K: TableKey, S: 'static, C: Codec<S>> KeyedTable<K, S, C> {
    /// Says how a value of schema version `from`, of type `Old`, becomes a value of now.
    pub fn with_migration<Old>(self, from: u32, migrate: impl Fn(Old) -> S + 'static) -> Self
    where
        Compact: Codec<Old>,
    {
        let decode =
            move |bytes: &[u8]| Ok(migrate(<Compact as Codec<Old>>::decode(&Compact, bytes)?));
        self.with_decoder(from, Box::new(decode))
    }

    /// Says how a value is decoded that schema version `from` wrote.
    pub(in crate::state) fn with_decoder(mut self, from: u32, decode: Decode<S>) -> Self {
        self.migrations.push(Migration { from, decode });
        self
    }

    /// Takes all entries of a block.
    pub(super) fn restore_block(&mut self, block: BlockView<'_>) -> Result<()> {
        let mut bytes = block.payload;
        while !bytes.is_empty() {
            self.restore_entry(block, &mut bytes)?;
        }
        Ok(())
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

    fn restore_entry(&mut self, block: BlockView<'_>, bytes: &mut &[u8]) -> Result<()> {
        let damaged = || {
            Error::new(
                ErrorKind::Restore,
                format!("state \"{}\": an entry is cut short", block.state.name),
            )
        };
        let (&what, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        let of_state = |error: Error| error.within(format!("state \"{}\"", block.state.name));
        let key: K = Compact
            .decode(take_slice(bytes).ok_or_else(damaged)?)
            .map_err(|error: Error| of_state(error.within("a key")))?;
        let value = if what == 1 {
            Some(take_slice(bytes).ok_or_else(damaged)?)
        } else {
            None
        };
        let hash = key.table_hash();
        let group = self.groups.group_of(hash);
        if shard_of(group, self.groups.count()) != block.shard {
            return Err(Error::new(
                ErrorKind::Restore,
                format!(
                    "state \"{}\": a key is filed under shard {}, but its hash says {}: the key's \
                     Hash differs from the one that wrote it",
                    block.state.name,
                    block.shard,
                    shard_of(group, self.groups.count())
                ),
            ));
        }
        if self.groups.worker_of(group) != self.worker {
            return Ok(());
        }
        // Restored entries count as changed, so that the first snapshot after a restore is whole.
        match value {
            Some(value) => {
                let state = self.decode_state(block.state, value).map_err(of_state)?;
                self.insert(key, state);
            }
            None => {
                if let Some(slot) = self.slot_hashed(&key, hash) {
                    self.remove_at(slot);
                }
            }
        }
        Ok(())
    }
}
