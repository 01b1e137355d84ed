//! Where checkpoints live: the one door to durable storage.
//!
//! A store is a flat set of named files. It promises three things, and everything else in this
//! module rests on them: a file that was finished or published survives a crash; a published file is
//! there whole or not at all; a listing shows every file that survived. What a file *means* is the
//! business of the formats above.

use crate::error::Result;
use crate::time::CheckpointId;
use std::io;

/// A flat set of named files that survive a crash of the process and of the machine.
///
/// All calls may block: they are made on a writer's thread or before a job starts, never on a worker.
pub trait CheckpointStore: Send + Sync + 'static {
    /// What messages call it: a path.
    fn describe(&self) -> String;

    /// Begins a file; one of that name is replaced. Until it is finished it may be there in part.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(&self, name: &str) -> io::Result<Box<dyn PartSink>>;

    /// The whole file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none, or when it cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes a file at once: after a crash at any moment it is there whole, or as it was before.
    ///
    /// # Errors
    /// When it cannot be written; then no new file is there, unless the disk refuses to take it back.
    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// The names of all files, in no order that means anything.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Deletes a file; one that is not there is no error.
    ///
    /// # Errors
    /// When it is there and cannot be deleted.
    fn delete(&self, name: &str) -> io::Result<()>;
}

/// A file that is being written, from front to back.
pub trait PartSink: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// When the disk is full or fails; the file is of no use after that.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file and its directory entry durable. A sink that is dropped without this leaves a
    /// file that may be there in part.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The name of the part that `worker` writes for `checkpoint`.
pub fn part_name(checkpoint: CheckpointId, worker: u32) -> String {
    format!("part-{checkpoint:012}-{worker:04}.mill")
}

/// The checkpoint and the worker of a part's name; none when it is not one.
pub fn parse_part_name(name: &str) -> Option<(CheckpointId, u32)> {
    let numbers = name.strip_prefix("part-")?.strip_suffix(".mill")?;
    let (checkpoint, worker) = numbers.split_once('-')?;
    let parsed = (checkpoint.parse().ok()?, worker.parse().ok()?);
    // Only the one spelling: `part-7-0.mill` is somebody else's.
    (part_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// The name of the manifest of `checkpoint`.
pub fn manifest_name(checkpoint: CheckpointId) -> String {
    format!("manifest-{checkpoint:012}.json")
}

/// The checkpoint of a manifest's name; none when it is not one.
pub fn parse_manifest_name(name: &str) -> Option<CheckpointId> {
    let number = name.strip_prefix("manifest-")?.strip_suffix(".json")?;
    let checkpoint = number.parse().ok()?;
    (manifest_name(checkpoint) == name).then_some(checkpoint)
}

/// The first checkpoint number that no file of the store bears.
///
/// A job that goes on from an *older* checkpoint must not number on from that one: it would write over
/// parts that the newer manifests name. Ask once, when a job starts, and count on from there: of a
/// checkpoint that failed there may be no file, and its number must not be used again by the same tables.
///
/// # Errors
/// [`ErrorKind::Restore`](crate::ErrorKind::Restore) when the store cannot be listed.
pub fn next_checkpoint(store: &dyn CheckpointStore) -> Result<CheckpointId> {
    let names = list(store)?;
    let number = |name: &String| {
        parse_manifest_name(name)
            .or_else(|| parse_part_name(name).map(|(checkpoint, _)| checkpoint))
    };
    Ok(names.iter().filter_map(number).max().unwrap_or(0) + 1)
}

/// All names, with an error that says where.
pub(super) fn list(store: &dyn CheckpointStore) -> Result<Vec<String>> {
    store.list().map_err(|error| {
        crate::Error::new(
            crate::ErrorKind::Restore,
            format!("list the checkpoints in {}", store.describe()),
        )
        .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::testing::MemoryStore;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(part_name(41, 3), "part-000000000041-0003.mill");
        assert_eq!(parse_part_name(&part_name(41, 3)), Some((41, 3)));
        assert_eq!(
            parse_part_name(&part_name(u64::MAX, 70_000)),
            Some((u64::MAX, 70_000))
        );
        assert_eq!(parse_part_name("part-41-3.mill"), None);
        assert_eq!(parse_part_name("part-000000000041-0003.mill.bak"), None);
        assert_eq!(parse_manifest_name(&manifest_name(7)), Some(7));
        assert_eq!(parse_manifest_name("manifest-7.json"), None);
        assert_eq!(parse_manifest_name(".manifest-000000000007.json.tmp"), None);
    }

    #[test]
    fn numbers_go_on_behind_every_file() {
        let store = MemoryStore::new();
        assert_eq!(next_checkpoint(&store).unwrap(), 1);
        store.publish(&manifest_name(4), b"{}").unwrap();
        store.publish(&part_name(6, 0), b"").unwrap();
        store.publish("notes.txt", b"").unwrap();
        assert_eq!(next_checkpoint(&store).unwrap(), 7);
    }
}
