//! Part files and manifests: as bytes, and with their checksums made right again after they were changed.

use crate::allocations::at_most;
use crate::mutate::{arbitrary, mutate};
use crate::seeds;
use fastrand::Rng;
use millstream::prelude::*;
use millstream::runtime::checkpoint::format::{PartEncoder, PartHeader, PartReader};
use millstream::runtime::checkpoint::{
    Block, BlockKind, CheckpointKind, CheckpointStore, Entries, Manifest, OperatorEntry, PartFile,
    Restored, Which, manifest_name, part_name, testing::MemoryStore,
};
use millstream::runtime::state::StateDescriptor;

/// A few bytes more than the largest thing that was read.
const LIMIT: usize = 1 << 20;

fn part(random: &mut Rng) -> Vec<u8> {
    let header = PartHeader {
        checkpoint: 7,
        worker: 0,
        workers: 1,
        groups: 4_096,
        job: "job".into(),
    };
    let mut encoder = PartEncoder::new(Vec::new(), &header).unwrap();
    for _ in 0..random.usize(..6) {
        let kinds = [BlockKind::Full, BlockKind::Delta, BlockKind::Blob];
        let block = Block {
            uid: "count".into(),
            state: StateDescriptor::new("accumulators"),
            kind: kinds[random.usize(..3)],
            shard: random.u32(..256),
            entries: random.u32(..),
            payload: arbitrary(random, 200),
        };
        encoder.block(&block).unwrap();
    }
    encoder.finish().unwrap().0
}

fn read_part(bytes: &[u8]) -> Result<usize> {
    let mut blocks = 0;
    for block in PartReader::new("part", bytes)? {
        let block = block?;
        // Entries of a damaged payload end; they do not panic.
        let _ = Entries::new(block.payload).take(10_000).count();
        blocks += 1;
    }
    Ok(blocks)
}

#[test]
fn part_files() {
    for seed in seeds(10_000) {
        let mut random = Rng::with_seed(seed);
        let sound = part(&mut random);
        read_part(&sound).unwrap();
        let mut bytes = sound.clone();
        mutate(&mut random, &mut bytes);
        let noise = arbitrary(&mut random, 300);
        at_most(LIMIT, &format!("seed {seed}"), || {
            if bytes != sound {
                assert!(
                    read_part(&bytes).is_err(),
                    "seed {seed}: a change went unnoticed"
                );
            }
            assert!(read_part(&noise).is_err());
        });
    }
}

fn manifest(part: &[u8]) -> Manifest {
    Manifest {
        format: 1,
        job: "job".into(),
        checkpoint: 7,
        kind: CheckpointKind::Savepoint,
        created_ms: 1_700_000_000_000,
        graph_fingerprint: "00c0ffee".into(),
        workers: 1,
        max_parallelism: 4_096,
        mode: "continuous".into(),
        guarantee: "exactly-once".into(),
        operators: vec![OperatorEntry {
            uid: "count".into(),
            name: "count".into(),
            states: vec![StateDescriptor::new("accumulators")],
        }],
        parts: vec![PartFile {
            name: part_name(7, 0),
            checkpoint: 7,
            worker: 0,
            bytes: part.len() as u64,
            crc: crc32fast::hash(part),
            blocks: read_part(part).unwrap() as u32,
            needs_since: 7,
        }],
        bytes: part.len() as u64,
    }
}

/// Puts the right checksum behind the text of a manifest.
fn seal(text: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(text);
    let mut bytes = text.to_vec();
    bytes.extend_from_slice(format!(",\n  \"crc32\": \"{crc:08x}\"\n}}\n").as_bytes());
    bytes
}

#[test]
fn manifests() {
    let sound = manifest(&part(&mut Rng::with_seed(1))).to_bytes();
    Manifest::from_bytes("manifest", &sound).unwrap();
    let end = sound.windows(9).position(|w| w == b"\"crc32\": ").unwrap() - 4;
    assert_eq!(seal(&sound[..end]), sound);
    for seed in seeds(10_000) {
        let mut random = Rng::with_seed(seed);
        let mut bytes = sound.clone();
        mutate(&mut random, &mut bytes);
        let mut text = sound[..end].to_vec();
        mutate(&mut random, &mut text);
        at_most(LIMIT, &format!("seed {seed}"), || {
            if bytes != sound {
                assert!(
                    Manifest::from_bytes("manifest", &bytes).is_err(),
                    "seed {seed}"
                );
            }
            // Sealed, it may be anything; but it is read or refused.
            let _ = Manifest::from_bytes("manifest", &seal(&text));
        });
    }
}

fn put(store: &MemoryStore, name: &str, bytes: &[u8]) {
    store.publish(name, bytes).unwrap();
}

/// A store of which any file is changed, sealed again or not: it opens or is refused.
#[test]
fn stores() {
    for seed in seeds(5_000) {
        let mut random = Rng::with_seed(seed);
        let sound = part(&mut random);
        let whole = manifest(&sound).to_bytes();
        let end = whole.windows(9).position(|w| w == b"\"crc32\": ").unwrap() - 4;
        let mut text = whole[..end].to_vec();
        let mut bytes = sound.clone();
        match random.u8(..3) {
            0 => mutate(&mut random, &mut text),
            1 => mutate(&mut random, &mut bytes),
            _ => {
                text = String::from_utf8(text)
                    .unwrap()
                    .replace("\"blocks\": ", "\"blocks\": 9")
                    .into_bytes()
            }
        }
        let store = MemoryStore::new();
        put(&store, &part_name(7, 0), &bytes);
        put(&store, &manifest_name(7), &seal(&text));
        put(
            &store,
            &manifest_name(u64::MAX),
            &arbitrary(&mut random, 100),
        );
        put(&store, "manifest-", b"");
        at_most(LIMIT, &format!("seed {seed}"), || {
            for which in [Which::Latest, Which::Id(7), Which::Id(0)] {
                match Restored::open(&store, which) {
                    Ok(restored) => {
                        let restored = restored.expect("there are manifests");
                        restored.states();
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Restore, "seed {seed}: {error}")
                    }
                }
            }
        });
    }
}
