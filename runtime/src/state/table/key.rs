//! What a table is keyed by: the key of a record, or that and something within it.

use crate::hash::stable_hash;
use crate::record::{Data, Key};
use serde::{Deserialize, Serialize};

/// What a [`KeyedTable`](super::KeyedTable) is keyed by: a [`Key`], or a [`Namespaced`] one.
pub trait TableKey: Data + Eq {
    /// The hash by which it is found, the same in every process, build and run. Bits 20 to 51 say in which key
    /// group it lives and must depend on the record's key alone.
    fn table_hash(&self) -> u64;
}

impl<K: Key> TableKey for K {
    #[inline]
    fn table_hash(&self) -> u64 {
        stable_hash(self)
    }
}

/// A key and a namespace within it (a window, say): each has a state of its own, in the key group of the key. Flink has
/// them under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Namespaced<K, N> {
    /// The record's key.
    pub key: K,
    /// What tells the states of one key apart.
    pub namespace: N,
}

/// Only these bits of a hash may depend on the namespace: they say nothing about the key group.
const NAMESPACE_BITS: u32 = 20;

impl<K, N: std::hash::Hash> Namespaced<K, N> {
    /// What [`hash`](Self::hash) mixes in for a namespace; the same for all keys.
    #[inline]
    pub fn salt(namespace: &N) -> u64 {
        stable_hash(namespace) >> (64 - NAMESPACE_BITS)
    }

    /// The hash in a table of a key with this stable hash, in the namespace with this [`salt`](Self::salt).
    #[inline]
    pub fn hash(key_hash: u64, salt: u64) -> u64 {
        key_hash ^ salt
    }
}

impl<K: Key, N: Data + Eq + std::hash::Hash> TableKey for Namespaced<K, N> {
    #[inline]
    fn table_hash(&self) -> u64 {
        Self::hash(stable_hash(&self.key), Self::salt(&self.namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyGroups;

    #[test]
    fn all_namespaces_of_a_key_are_in_its_group() {
        for groups in [1, 100, 4096, 32_768] {
            let groups = KeyGroups::new(groups, 1);
            for key in 0..100u64 {
                let group = groups.group_of(stable_hash(&key));
                let mut hashes = std::collections::BTreeSet::new();
                for namespace in 0..100i64 {
                    let hash = Namespaced { key, namespace }.table_hash();
                    assert_eq!(groups.group_of(hash), group);
                    hashes.insert(hash as u32);
                }
                assert!(
                    hashes.len() > 98,
                    "namespaces of one key are apart in the index"
                );
            }
        }
    }
}
