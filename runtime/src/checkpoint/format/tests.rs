use super::*;
use crate::checkpoint::fixture::{blob, delta, encode, full, header};
use crate::checkpoint::{Entries, part_name};
use crate::state::StateDescriptor;

const FILE: &str = "part-000000000007-0001.mill";

fn sample() -> (Vec<Block>, Vec<u8>) {
    let blocks = vec![
        full(3, &[("a", Some("1")), ("b", Some(""))]),
        delta(200, &[("gone", None)]),
        full(255, &[]),
        blob(1, b"\0\0\0\0positions"),
    ];
    let bytes = encode(&header(7, 1), &blocks);
    (blocks, bytes)
}

fn read(bytes: &[u8]) -> Result<(PartHeader, Vec<Block>)> {
    let mut reader = PartReader::new(FILE, bytes)?;
    let blocks = reader
        .by_ref()
        .map(|block| block.map(own))
        .collect::<Result<Vec<_>>>()?;
    Ok((reader.header().clone(), blocks))
}

fn own(block: PartBlock<'_>) -> Block {
    Block {
        uid: block.uid.into(),
        state: StateDescriptor {
            name: block.state.into(),
            version: block.version,
            codec: block.codec.into(),
        },
        kind: block.kind,
        shard: block.shard,
        entries: block.entries,
        payload: block.payload.to_vec(),
    }
}

/// The error that reading must end with.
fn refused(bytes: &[u8]) -> String {
    let error = read(bytes).expect_err("the file is not sound");
    assert_eq!(error.kind(), ErrorKind::Restore);
    let text = error.to_string();
    assert!(text.contains(FILE) && text.contains("at byte"), "{text}");
    text
}

#[test]
fn round_trip() {
    let (blocks, bytes) = sample();
    assert_eq!(read(&bytes).unwrap(), (header(7, 1), blocks));
    let none = encode(&header(7, 1), &[]);
    assert_eq!(read(&none).unwrap().1, []);
}

#[test]
fn payloads_are_where_they_say() {
    let (_, bytes) = sample();
    for block in PartReader::new(FILE, &bytes).unwrap() {
        let block = block.unwrap();
        assert_eq!(&bytes[block.offset..][..block.payload.len()], block.payload);
        if block.kind != BlockKind::Blob {
            assert_eq!(Entries::new(block.payload).count(), block.entries as usize);
        }
    }
}

/// The layout is a promise: what version 1 wrote is read for ever. These bytes were worked out by
/// hand from `docs/checkpoint-format.md`, apart from the checksums.
#[test]
fn version_1_is_pinned() {
    let mut small = header(7, 1);
    small.job = "j".into();
    let bytes = encode(&small, &[blob(1, b"xyz")]);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "4d494c4c50415254", /* MILLPART */
        "01000000",
        "00000000",
        "17000000",
        "CRC1____",
        "0700000000000000",
        "01000000",
        "02000000",
        "80000000",
        "0100",
        "6a",
        "2d000000",
        "CRC2____",
        "0600",
        "736f75726365", /* source */
        "0900",
        "706f736974696f6e73", /* positions */
        "03000000",
        "0800",
        "706f737463617264", /* postcard */
        "02",
        "01000000",
        "01000000",
        "78797a",
        "00000000",
        "01000000",
        "8000000000000000",
        "CRC3____",
        "4d494c4c454e442e", /* MILLEND. */
    ];
    let mut at = 0;
    for field in expected {
        let found = &hex[at..at + field.len()];
        assert!(
            field.starts_with("CRC") || found == field,
            "at {at}: {found}, not {field}"
        );
        at += field.len();
    }
    assert_eq!(at, hex.len());
}

#[test]
fn summary_tells_of_the_whole_file() {
    let encoder = PartEncoder::new(Vec::new(), &header(1, 0)).unwrap();
    let (bytes, summary) = encoder.finish().unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.crc, crc32fast::hash(&bytes));
    assert_eq!(summary.blocks, 0);
}

#[test]
fn every_truncation_is_noticed() {
    let (_, bytes) = sample();
    for length in 0..bytes.len() {
        refused(&bytes[..length]);
    }
    assert!(refused(&[&bytes[..], b"x"].concat()).contains("footer"));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (_, bytes) = sample();
    for at in 0..bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xFF]) {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            refused(&damaged);
        }
    }
}

#[test]
fn foreign_and_newer_files_are_told_apart() {
    assert!(refused(b"{\"format\": 1}").contains("is not a part of a checkpoint"));
    assert!(refused(b"").contains("cut short"));
    let (_, mut bytes) = sample();
    bytes[8] = 2;
    assert!(refused(&bytes).contains("has format version 2, this program reads up to 1"));
}

/// A length of 4 GiB in front of a few bytes must not be believed.
#[test]
fn huge_lengths_are_not_believed() {
    let (_, mut bytes) = sample();
    bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&bytes).contains("cut short"));
}

#[test]
fn too_long_names_are_refused() {
    let mut encoder = PartEncoder::new(Vec::new(), &header(1, 0)).unwrap();
    let mut block = blob(0, b"");
    block.uid = "u".repeat(70_000);
    assert_eq!(
        encoder.block(&block).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
}

fn random_block(random: &mut fastrand::Rng) -> Block {
    let kinds = [BlockKind::Full, BlockKind::Delta, BlockKind::Blob];
    Block {
        uid: format!("operator-{}", random.u8(0..5)),
        state: StateDescriptor::new("s".repeat(random.usize(0..9))).with_version(random.u32(..)),
        kind: kinds[random.usize(0..3)],
        shard: random.u32(..),
        entries: random.u32(..),
        payload: (0..random.usize(0..300)).map(|_| random.u8(..)).collect(),
    }
}

#[test]
fn random_files_survive_and_random_damage_does_not() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let blocks: Vec<_> = (0..random.usize(0..8))
            .map(|_| random_block(&mut random))
            .collect();
        let mut bytes = encode(&header(7, 1), &blocks);
        assert_eq!(read(&bytes).unwrap().1, blocks);
        match random.u8(0..3) {
            0 => bytes.truncate(random.usize(0..bytes.len())),
            1 => {
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = bytes[at].wrapping_add(random.u8(1..128));
                }
            }
            _ => {
                // A sector that was never written.
                let at = random.usize(0..bytes.len() - 16);
                bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0);
            }
        }
        refused(&bytes);
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(12);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = match random.bool() {
            true => sample().1[..random.usize(0..60)].to_vec(),
            false => Vec::new(),
        };
        bytes.extend((0..random.usize(0..80)).map(|_| random.u8(..)));
        refused(&bytes);
        let _ = Entries::new(&bytes).count();
    }
}

#[test]
fn names_in_the_fixture_are_those_of_the_store() {
    assert_eq!(part_name(7, 1), FILE);
}
