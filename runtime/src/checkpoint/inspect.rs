//! What a checkpoint holds, told without the job that wrote it: operators, states, shards, keys, and how two
//! checkpoints differ. Keys and values are bytes here: the compact codec does not describe itself.

use super::block::{BlockKind, Entries};
use super::manifest::{CheckpointKind, Manifest};
use super::restore::Restored;
use crate::state::SHARDS;
use crate::time::CheckpointId;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// The job that wrote it.
    pub job: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// What the job graph looked like: equal for equal graphs.
    pub graph_fingerprint: String,
    /// The number of workers that wrote it.
    pub workers: u32,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// The mode the job ran in.
    pub mode: String,
    /// Its delivery guarantee.
    pub guarantee: String,
    /// The length of all its files.
    pub bytes: u64,
    /// Its files, oldest first.
    pub files: Vec<String>,
    /// The operators of the job, in its order; then those of which only the files know.
    pub operators: Vec<OperatorDescription>,
}

/// What a checkpoint holds of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorDescription {
    /// Its stable name.
    pub uid: String,
    /// What it is called in displays.
    pub name: String,
    /// Its states that hold something.
    pub states: Vec<StateDescription>,
}

/// What a checkpoint holds of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateDescription {
    /// Its name within the operator.
    pub name: String,
    /// Its schema version.
    pub version: u32,
    /// How it is encoded.
    pub codec: String,
    /// How many keys it has.
    pub keys: usize,
    /// Bytes of keys and values that hold now; what deltas have made void is not counted.
    pub bytes: u64,
    /// Bytes that a restore reads for it.
    pub stored_bytes: u64,
    /// Its shards that have keys, in order.
    pub shards: Vec<ShardDescription>,
    /// State without keys: one per worker that wrote it.
    pub instances: Vec<InstanceDescription>,
}

/// What a checkpoint holds of a shard of key groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardDescription {
    /// The shard.
    pub shard: u32,
    /// Its first key group.
    pub first_group: u32,
    /// The key group behind its last.
    pub end_group: u32,
    /// How many keys it has.
    pub keys: usize,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// State of one operator instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceDescription {
    /// The worker that wrote it.
    pub worker: u32,
    /// Its length.
    pub bytes: u64,
}

/// The key groups of a shard: `first .. end`.
fn groups_of(shard: u32, groups: u32) -> (u32, u32) {
    let first = |shard: u32| (u64::from(shard) * u64::from(groups)).div_ceil(u64::from(SHARDS));
    (first(shard) as u32, first(shard + 1) as u32)
}

/// The keys of a state, by shard and encoded key.
pub type KeyedEntries<'a> = BTreeMap<(u32, &'a [u8]), &'a [u8]>;

impl Restored {
    /// The entries of a state with keys that hold now: full blocks and deltas put together.
    pub fn entries(&self, uid: &str, state: &str) -> KeyedEntries<'_> {
        let mut entries = KeyedEntries::new();
        // Chains of different writers hold different keys, and each begins with a full block of its own: what
        // a full block voids was left out when the checkpoint was indexed.
        for block in self.blocks(uid, state) {
            if block.kind == BlockKind::Blob {
                continue;
            }
            for entry in Entries::new(block.payload) {
                match entry.value {
                    Some(value) => entries.insert((block.shard, entry.key), value),
                    None => entries.remove(&(block.shard, entry.key)),
                };
            }
        }
        entries
    }

    /// State without keys: the worker that wrote it, and its bytes.
    pub fn instances(&self, uid: &str, state: &str) -> Vec<(u32, &[u8])> {
        let blocks = self.blocks(uid, state).into_iter();
        blocks
            .filter(|block| block.kind == BlockKind::Blob)
            .map(|block| (block.shard, block.payload))
            .collect()
    }

    /// What the checkpoint holds. Takes a pass over all entries.
    pub fn describe(&self) -> Description {
        let manifest = self.manifest();
        let named = manifest.operators.iter().map(|o| (&o.uid[..], &o.name[..]));
        let known: BTreeSet<&str> = manifest.operators.iter().map(|o| &o.uid[..]).collect();
        let others = self.uids().filter(|uid| !known.contains(uid));
        let operators = named.chain(others.map(|uid| (uid, uid)));
        Description {
            checkpoint: manifest.checkpoint,
            kind: manifest.kind,
            job: manifest.job.clone(),
            created_ms: manifest.created_ms,
            graph_fingerprint: manifest.graph_fingerprint.clone(),
            workers: manifest.workers,
            max_parallelism: manifest.max_parallelism,
            mode: manifest.mode.clone(),
            guarantee: manifest.guarantee.clone(),
            bytes: manifest.parts.iter().map(|part| part.bytes).sum(),
            files: manifest
                .parts
                .iter()
                .map(|part| part.name.clone())
                .collect(),
            operators: operators
                .map(|(uid, name)| OperatorDescription {
                    uid: uid.to_owned(),
                    name: name.to_owned(),
                    states: self.describe_states(uid),
                })
                .collect(),
        }
    }

    fn describe_states(&self, uid: &str) -> Vec<StateDescription> {
        let all = self.states();
        let summaries = all.iter().filter(|summary| summary.uid == uid);
        summaries
            .map(|summary| {
                let name = &summary.descriptor.name;
                let shards = self.describe_shards(uid, name);
                let instances = self.instances(uid, name).into_iter();
                let instances: Vec<_> = instances
                    .map(|(worker, payload)| InstanceDescription {
                        worker,
                        bytes: payload.len() as u64,
                    })
                    .collect();
                let bytes = shards.iter().map(|shard| shard.bytes);
                let blobs = instances.iter().map(|instance| instance.bytes);
                StateDescription {
                    name: name.clone(),
                    version: summary.descriptor.version,
                    codec: summary.descriptor.codec.clone(),
                    keys: shards.iter().map(|shard| shard.keys).sum(),
                    bytes: bytes.chain(blobs).sum(),
                    stored_bytes: summary.bytes,
                    shards,
                    instances,
                }
            })
            .collect()
    }

    fn describe_shards(&self, uid: &str, state: &str) -> Vec<ShardDescription> {
        let mut shards: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
        for ((shard, key), value) in self.entries(uid, state) {
            let (keys, bytes) = shards.entry(shard).or_default();
            *keys += 1;
            *bytes += (key.len() + value.len()) as u64;
        }
        shards
            .into_iter()
            .map(|(shard, (keys, bytes))| {
                let (first_group, end_group) = groups_of(shard, self.manifest().max_parallelism);
                ShardDescription {
                    shard,
                    first_group,
                    end_group,
                    keys,
                    bytes,
                }
            })
            .collect()
    }
}

/// How two checkpoints differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What the manifests say differently: name of the field, left, right.
    pub fields: Vec<(String, String, String)>,
    /// States that differ.
    pub states: Vec<StateDifference>,
    /// How many states hold the same on both sides.
    pub same_states: usize,
}

/// How a state differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateDifference {
    /// The operator.
    pub uid: String,
    /// The state.
    pub state: String,
    /// Schema version and codec on each side; none: the state is not there.
    pub written: [Option<(u32, String)>; 2],
    /// Keys that are only on the right.
    pub added: usize,
    /// Keys that are only on the left.
    pub removed: usize,
    /// Keys whose value differs.
    pub changed: usize,
    /// Keys with the same value.
    pub same: usize,
    /// Whether state without keys differs.
    pub instances_differ: bool,
}

impl Difference {
    /// Whether there is none that matters to a job: state, and what a job is matched with. Number, time and files of
    /// two checkpoints always differ.
    pub fn is_none(&self) -> bool {
        self.fields.is_empty() && self.states.is_empty()
    }

    /// Compares two checkpoints, key by key.
    pub fn between(left: &Restored, right: &Restored) -> Difference {
        let names = |of: &Restored| -> Vec<(String, String)> {
            let states = of.states().into_iter();
            states.map(|s| (s.uid, s.descriptor.name)).collect()
        };
        let all: BTreeSet<_> = names(left).into_iter().chain(names(right)).collect();
        let count = all.len();
        let states: Vec<_> = all
            .iter()
            .map(|(uid, state)| compare_state(left, right, uid, state))
            .filter(|state| !state.is_none())
            .collect();
        Difference {
            fields: compare_manifests(left.manifest(), right.manifest()),
            same_states: count - states.len(),
            states,
        }
    }
}

impl StateDifference {
    fn is_none(&self) -> bool {
        self.written[0] == self.written[1]
            && self.added + self.removed + self.changed == 0
            && !self.instances_differ
    }
}

fn compare_manifests(left: &Manifest, right: &Manifest) -> Vec<(String, String, String)> {
    let field = |name: &str, of: fn(&Manifest) -> String| (name.to_owned(), of(left), of(right));
    let fields = [
        field("job", |m| m.job.clone()),
        field("graph_fingerprint", |m| m.graph_fingerprint.clone()),
        field("max_parallelism", |m| m.max_parallelism.to_string()),
        field("guarantee", |m| m.guarantee.clone()),
    ];
    let differ = fields.into_iter().filter(|(_, left, right)| left != right);
    differ.collect()
}

fn compare_state(left: &Restored, right: &Restored, uid: &str, state: &str) -> StateDifference {
    let written = [left, right].map(|side| {
        let states = side.states().into_iter();
        let mut found = states.filter(|s| s.uid == uid && s.descriptor.name == state);
        found
            .next()
            .map(|s| (s.descriptor.version, s.descriptor.codec))
    });
    let (old, new) = (left.entries(uid, state), right.entries(uid, state));
    let kept = || {
        old.iter()
            .filter_map(|(key, value)| Some((value, new.get(key)?)))
    };
    let changed = kept().filter(|(old, new)| old != new).count();
    let both = kept().count();
    StateDifference {
        uid: uid.to_owned(),
        state: state.to_owned(),
        written,
        added: new.len() - both,
        removed: old.len() - both,
        changed,
        same: both - changed,
        instances_differ: left.instances(uid, state) != right.instances(uid, state),
    }
}

#[cfg(test)]
mod tests;
