use super::*;
use crate::checkpoint::fixture::{chain, manifest};
use crate::checkpoint::part_name;
use crate::checkpoint::sealed::END;
use crate::checkpoint::testing::MemoryStore;

fn part(checkpoint: CheckpointId, worker: u32, needs_since: CheckpointId) -> PartFile {
    PartFile {
        name: part_name(checkpoint, worker),
        checkpoint,
        worker,
        bytes: 10,
        crc: 0,
        blocks: 1,
        needs_since,
    }
}

fn ids(parts: &[PartFile]) -> Vec<(CheckpointId, u32)> {
    parts
        .iter()
        .map(|part| (part.checkpoint, part.worker))
        .collect()
}

#[test]
fn round_trip() {
    let store = MemoryStore::new();
    let mut written = manifest(41, vec![part(40, 0, 40), part(41, 0, 40)]);
    written.bytes = 0;
    written.publish(&store).unwrap();
    let read = Manifest::load(&store, 41).unwrap();
    assert_eq!(read.bytes, 20);
    written.bytes = 20;
    assert_eq!(read, written);
    let text = String::from_utf8(written.to_bytes()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["kind"], "checkpoint");
    assert_eq!(json["crc32"].as_str().unwrap().len(), 8);
}

#[test]
fn every_change_is_noticed() {
    let bytes = manifest(41, vec![part(41, 0, 41)]).to_bytes();
    for at in 0..bytes.len() {
        for flip in [1, 0x10, 0x20, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let error = Manifest::from_bytes("manifest-x", &damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Restore);
            assert!(error.to_string().contains("manifest-x"));
        }
        assert!(Manifest::from_bytes("manifest-x", &bytes[..at]).is_err());
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..5_000 {
        let mut bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
        if random.bool() {
            bytes.extend_from_slice(END.as_bytes());
        }
        assert!(Manifest::from_bytes("manifest-x", &bytes).is_err());
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut newer = manifest(41, Vec::new());
    newer.format = 9;
    let text = Manifest::from_bytes("m", &newer.to_bytes())
        .unwrap_err()
        .to_string();
    assert!(text.contains("has format version 9"), "{text}");
}

#[test]
fn a_renamed_manifest_is_refused() {
    let store = MemoryStore::new();
    store
        .publish(&manifest_name(8), &manifest(7, Vec::new()).to_bytes())
        .unwrap();
    let text = Manifest::load(&store, 8).unwrap_err().to_string();
    assert!(
        text.contains("manifest-000000000008.json is the manifest of checkpoint 7"),
        "{text}"
    );
}

#[test]
fn newest_first() {
    let store = chain(3);
    store.publish("manifest-4.json", b"not ours").unwrap();
    assert_eq!(Manifest::list(&store).unwrap(), [3, 2, 1]);
}

#[test]
fn a_failed_publication_names_the_file() {
    let store = MemoryStore::new();
    store.fail_next_publishes(1);
    let error = manifest(7, Vec::new()).publish(&store).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains("manifest-000000000007.json"));
    assert!(Manifest::list(&store).unwrap().is_empty());
}

#[test]
fn parts_that_are_needed_come_along() {
    let first = manifest(
        1,
        next_parts(None, vec![part(1, 0, 1), part(1, 1, 1)], 2, false).unwrap(),
    );
    let second = next_parts(Some(&first), vec![part(2, 0, 1), part(2, 1, 2)], 2, false).unwrap();
    assert_eq!(ids(&second), [(1, 0), (2, 0), (2, 1)]);
    let second = manifest(2, second);
    let third = next_parts(Some(&second), vec![part(3, 0, 2), part(3, 1, 2)], 2, false).unwrap();
    assert_eq!(ids(&third), [(2, 0), (2, 1), (3, 0), (3, 1)]);
}

#[test]
fn nothing_comes_along_when_the_new_parts_are_whole() {
    let first = manifest(1, vec![part(1, 0, 1), part(1, 1, 1)]);
    let whole = next_parts(Some(&first), vec![part(2, 0, 2), part(2, 1, 2)], 2, true).unwrap();
    assert_eq!(ids(&whole), [(2, 0), (2, 1)]);
    let rescaled = vec![part(2, 0, 2), part(2, 1, 2), part(2, 2, 2)];
    assert_eq!(
        ids(&next_parts(Some(&first), rescaled, 3, false).unwrap()).len(),
        3
    );
}

/// A part that builds on what is not kept would make a checkpoint that looks complete and is not.
#[test]
fn a_gap_is_refused() {
    let first = manifest(1, vec![part(1, 0, 1), part(1, 1, 1)]);
    for (previous, workers, whole) in [
        (None, 2, false),
        (Some(&first), 2, true),
        (Some(&first), 3, false),
    ] {
        let error = next_parts(previous, vec![part(2, 0, 1)], workers, whole).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(
            error.to_string().contains("builds on checkpoint 1"),
            "{error}"
        );
    }
}
