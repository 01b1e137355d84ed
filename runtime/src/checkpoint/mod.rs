//! Checkpoints: how snapshots become durable and are found again.
//!
//! # Why a crash at any moment leaves the newest complete checkpoint sound
//!
//! A checkpoint `c` is its manifest and the parts that the manifest names. It comes about in three
//! steps, each begun when the one before is durable:
//!
//! 1. every worker writes its part of `c` and syncs the file and its directory entry;
//! 2. the coordinator publishes the manifest of `c`, atomically, by a rename;
//! 3. files that no kept manifest names are deleted, manifests before parts.
//!
//! A crash in step 1 leaves parts that no manifest names: the newest manifest is that of an older
//! checkpoint, whose parts were durable before it was published and of which none was deleted,
//! because step 3 spares what a kept manifest names. A crash in step 2 leaves the new manifest whole
//! or not at all. A crash in step 3 leaves files too many, which the next run of it removes. A job
//! numbers its checkpoints on behind every file that is there ([`next_checkpoint`]), so that a part is
//! not written over while a manifest names it.
//!
//! What the disk itself damages is found by checksums: each block, each part as a whole, and the
//! manifest have one. [`Restored::open`] reads and checks everything before the job starts, and names
//! an older sound checkpoint when the chosen one is not.
//!
//! # Where things stand
//!
//! [`CheckpointStore`] is the door to the disk, with [`DirectoryStore`] and, for tests,
//! [`testing::MemoryStore`] behind it; [`mod@format`] is the layout of parts, [`Manifest`] that of
//! manifests; [`PartWriter`] is the thread that writes, [`Restored`] what a job starts from. The layout is
//! described byte by byte in `docs/checkpoint-format.md`.

mod block;
mod directory;
#[cfg(test)]
mod fixture;
pub mod format;
mod inspect;
mod manifest;
mod matching;
mod restore;
mod retention;
mod sealed;
mod start;
mod store;
pub mod testing;
mod writer;

pub use block::{Block, BlockKind, Entries, Entry};
pub use directory::{DirectoryLock, DirectoryStore};
pub use inspect::{
    Description, Difference, InstanceDescription, KeyedEntries, OperatorDescription,
    ShardDescription, StateDescription, StateDifference,
};
pub use manifest::{
    CheckpointKind, MANIFEST_VERSION, Manifest, OperatorEntry, PartFile, next_parts,
};
pub use matching::match_states;
pub use restore::{Restored, StateSummary, Which, verify};
pub use retention::{Collected, Removal, collect_garbage, forget_checkpoints};
pub use start::{START_NAME, Start, StartFrom};
pub use store::{
    CheckpointStore, PartSink, manifest_name, next_checkpoint, parse_manifest_name,
    parse_part_name, part_name,
};
pub use writer::{PartDone, PartInfo, PartWriter, WriterEvent};
