//! Round trips, damage at every position, foreign layouts, and what the codec costs beside `Compact`.

use super::*;
use crate::checkpoint::BlockKind;
use crate::clock::Stopwatch;
use crate::hash::KeyGroups;
use crate::state::{
    BlockSink, BlockView, Compact, KeyedTable, SliceBudget, Snapshot, StateDescriptor,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    owner: String,
    notes: Vec<u8>,
    balance: i64,
    rates: [f64; 3],
    bookings: u32,
    sign: char,
    locked: bool,
    flags: [u8; 7],
}

crate::abomonate!(Account {
    owner: String,
    notes: Vec<u8>,
    balance: i64,
    rates: [f64; 3],
    bookings: u32,
    sign: char,
    locked: bool,
    flags: [u8; 7],
});

fn account(i: u64) -> Account {
    Account {
        owner: "x".repeat(i as usize % 50),
        notes: vec![i as u8; i as usize % 3],
        balance: -(i as i64),
        rates: [i as f64, 0.5, f64::NEG_INFINITY],
        bookings: i as u32,
        sign: 'ß',
        locked: i.is_multiple_of(2),
        flags: [1, 2, 3, 4, 5, 6, 7],
    }
}

fn encoded<T: Layout>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    Abomonated::<T>::default().encode(value, &mut bytes);
    bytes
}

#[test]
fn values_come_back_from_any_address() {
    let codec = Abomonated::<Account>::default();
    for i in 0..200 {
        let mut bytes = vec![0xA5; i % 17];
        codec.encode(&account(i as u64), &mut bytes);
        let back = codec.decode(&bytes[i % 17..]).unwrap();
        assert_eq!(back, account(i as u64));
    }
    let text = "grüße".to_owned();
    let back = Abomonated::<String>::default().decode(&encoded(&text));
    assert_eq!(back.unwrap(), text);
}

#[test]
fn damage_at_every_position_is_refused() {
    let codec = Abomonated::<Account>::default();
    let sound = encoded(&account(41));
    for at in 0..sound.len() {
        let error = codec.decode(&sound[..at]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Restore, "cut at {at}");
        for bit in 0..8 {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << bit;
            let error = codec.decode(&flipped).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Restore, "flipped at {at}");
            assert!(error.to_string().contains("Account"), "{error}");
        }
    }
    let longer = [&sound[..], &[0]].concat();
    assert!(codec.decode(&longer).is_err());
}

/// With the checksum put right again, what is left is the fingerprint and the lengths.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let right = checksum(&bytes[CHECKSUM..]);
    bytes[..CHECKSUM].copy_from_slice(&right);
    bytes
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let codec = Abomonated::<Account>::default();
    let sound = encoded(&account(41));
    let refused = |bytes: Vec<u8>| codec.decode(&sealed(bytes)).unwrap_err().to_string();
    let longer = [&sound[..], &[0]].concat();
    assert!(refused(longer).contains("1 bytes are left"));
    let shorter = sound[..sound.len() - 1].to_vec();
    assert!(refused(shorter).contains("what it owns is cut short"));
    let header = sound[..HEADER + 20].to_vec();
    assert!(refused(header).contains("20 bytes, its size is"));
}

mod reordered {
    #[derive(Clone)]
    pub struct Pair {
        pub b: u64,
        pub a: u64,
    }
    crate::abomonate!(Pair { b: u64, a: u64 });
}

mod ordered {
    #[derive(Clone)]
    pub struct Pair {
        pub a: u64,
        pub b: u64,
    }
    crate::abomonate!(Pair { a: u64, b: u64 });
}

#[test]
fn another_layout_is_refused() {
    let bytes = encoded(&ordered::Pair { a: 1, b: 2 });
    let codec = Abomonated::<reordered::Pair>::default();
    let Err(error) = codec.decode(&bytes) else {
        panic!("the fields are in another order");
    };
    assert!(error.to_string().contains("another layout"), "{error}");
    let names = [
        Abomonated::<ordered::Pair>::default().fingerprint(),
        codec.fingerprint(),
        Abomonated::<[u64; 2]>::default().fingerprint(),
        Abomonated::<[i64; 2]>::default().fingerprint(),
        Abomonated::<String>::default().fingerprint(),
        Abomonated::<Vec<u8>>::default().fingerprint(),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{names:?}");
    }
}

#[derive(Default)]
struct Blocks(Vec<(StateDescriptor, BlockKind, u32, Vec<u8>)>);

impl BlockSink for Blocks {
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        _: u32,
        payload: Vec<u8>,
    ) {
        self.0.push((state.clone(), kind, shard, payload));
    }
}

fn restored<C: Codec<ordered::Pair>>(blocks: &Blocks) -> Result<KeyedTable<u64, ordered::Pair, C>> {
    let mut table = KeyedTable::new("pairs");
    table.assign(KeyGroups::new(4096, 1), 0);
    for (state, kind, shard, payload) in &blocks.0 {
        table.restore(BlockView {
            state,
            kind: *kind,
            shard: *shard,
            payload,
        })?;
    }
    Ok(table)
}

/// The codec of a table: what another layout, or another codec, wrote is refused by its name.
#[test]
fn a_table_of_copied_memory() {
    type Table = KeyedTable<u64, ordered::Pair, Abomonated<ordered::Pair>>;
    let mut table = Table::new("pairs");
    table.assign(KeyGroups::new(4096, 1), 0);
    for key in 0..1_000 {
        table.insert(key, ordered::Pair { a: key, b: key + 1 });
    }
    let mut blocks = Blocks::default();
    table.freeze(1, true);
    assert!(table.encode_slice(&SliceBudget::unlimited(), &mut blocks));
    let back: Table = restored(&blocks).unwrap();
    assert_eq!(back.len(), 1_000);
    assert!((0..1_000).all(|key| back.get(&key).is_some_and(|pair| pair.b == key + 1)));

    for (state, ..) in &mut blocks.0 {
        state.codec = Abomonated::<reordered::Pair>::default().fingerprint();
    }
    let Err(error) = restored::<Abomonated<ordered::Pair>>(&blocks) else {
        panic!("the layout is another one");
    };
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    assert!(
        text.contains("\"pairs\"") && text.contains("abomonation-16-8-"),
        "{text}"
    );
}

/// A hundred bytes of plain fields; an alignment of eight makes it 104.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Filled {
    plain: PlainHead,
    counts: [u32; 5],
    fill: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PlainHead {
    ids: [u64; 6],
    sums: [f64; 4],
}

crate::abomonate!(PlainHead {
    ids: [u64; 6],
    sums: [f64; 4]
});
crate::abomonate!(Filled {
    plain: PlainHead,
    counts: [u32; 5],
    fill: u32
});

fn filled(i: u64) -> Filled {
    let i = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Filled {
        plain: PlainHead {
            ids: std::array::from_fn(|at| i >> (at * 8)),
            sums: std::array::from_fn(|at| i as f64 / (at + 1) as f64),
        },
        counts: std::array::from_fn(|at| (i >> (at * 7)) as u32),
        fill: 0,
    }
}

/// Nanoseconds for each of `values` to be encoded and decoded, and the bytes of one. Values are taken some
/// thousands at a time, as the shards of a table are, so that it is not memory that is measured.
fn cost<C: Codec<Filled>>(values: &[Filled]) -> (f64, f64, usize) {
    let codec = C::default();
    let (mut encoding, mut decoding, mut size) = (Duration::ZERO, Duration::ZERO, 0);
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for shard in values.chunks(4_096) {
        bytes.clear();
        ends.clear();
        let watch = Stopwatch::start();
        for value in shard {
            codec.encode(value, &mut bytes);
            ends.push(bytes.len());
        }
        encoding += watch.elapsed();
        size += bytes.len();
        let watch = Stopwatch::start();
        let mut start = 0;
        for (end, value) in ends.iter().zip(shard) {
            assert_eq!(codec.decode(&bytes[start..*end]).unwrap(), *value);
            start = *end;
        }
        decoding += watch.elapsed();
    }
    let per = |time: Duration| time.as_nanos() as f64 / values.len() as f64;
    (per(encoding), per(decoding), size / values.len())
}

#[test]
#[ignore = "a measurement: run it optimised, by name, with --nocapture"]
fn measure_beside_compact() {
    let values: Vec<Filled> = (0..1_000_000).map(filled).collect();
    for round in 0..3 {
        let (encode, decode, size) = cost::<Abomonated<Filled>>(&values);
        let (encode_compact, decode_compact, size_compact) = cost::<Compact>(&values);
        println!(
            "round {round}: encode {encode:.0} ns, compact {encode_compact:.0} ns, ratio {:.1}; \
             decode {decode:.0} ns, compact {decode_compact:.0} ns, ratio {:.1}; \
             {size} bytes, compact {size_compact}",
            encode_compact / encode,
            decode_compact / decode,
        );
    }
}
