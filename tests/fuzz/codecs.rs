//! The compact codec and the reader of dead letters.

use crate::allocations::at_most;
use crate::mutate::{arbitrary, mutate};
use crate::seeds;
use fastrand::Rng;
use millstream::prelude::*;
use millstream::runtime::state::{Codec, Compact};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Nested(Box<Shape>),
    Many(Vec<Shape>),
    Map(BTreeMap<String, Option<f64>>),
    Hashed(HashMap<u64, (char, bool)>),
    Named { big: u128, list: Vec<[u16; 3]> },
}

fn shape(random: &mut Rng, depth: usize) -> Shape {
    match random.u8(..if depth == 0 { 4 } else { 9 }) {
        0 => Shape::Nothing,
        1 => Shape::Number(random.i64(..)),
        2 => Shape::Text((0..random.usize(..20)).map(|_| random.char(..)).collect()),
        3 => Shape::Bytes(arbitrary(random, 40)),
        4 => Shape::Nested(Box::new(shape(random, depth - 1))),
        5 => Shape::Many(
            (0..random.usize(..5))
                .map(|_| shape(random, depth - 1))
                .collect(),
        ),
        6 => Shape::Map(BTreeMap::from([
            ("a".into(), None),
            ("b".into(), Some(random.f64())),
        ])),
        7 => Shape::Hashed(HashMap::from([(
            random.u64(..),
            (random.char(..), random.bool()),
        )])),
        _ => Shape::Named {
            big: random.u128(..),
            list: vec![[random.u16(..); 3]; random.usize(..9)],
        },
    }
}

#[test]
fn compact() {
    for seed in seeds(20_000) {
        let mut random = Rng::with_seed(seed);
        let value = shape(&mut random, 4);
        let mut bytes = Vec::new();
        Compact.encode(&value, &mut bytes);
        let back: Shape = Compact.decode(&bytes).unwrap();
        assert_eq!(back, value, "seed {seed}");
        mutate(&mut random, &mut bytes);
        let noise = arbitrary(&mut random, 60);
        // serde believes a length up to a mebibyte; a hash table of that capacity is twice as large and a bit.
        at_most(1 << 22, &format!("seed {seed}"), || {
            for bytes in [&bytes, &noise] {
                let _: Result<Shape> = Compact.decode(bytes);
                let _: Result<(String, Vec<i64>)> = Compact.decode(bytes);
                let _: Result<Vec<Vec<u64>>> = Compact.decode(bytes);
            }
        });
    }
}

#[test]
fn dead_letters() {
    let letter = DeadLetter {
        operator: "parse".into(),
        uid: "parse".into(),
        worker: 3,
        split: Some("orders.csv".into()),
        position: "line 17".into(),
        kind: DeadLetterKind::Malformed,
        reason: "no number".into(),
        event_time: Some(5),
        encoding: millstream::runtime::dead_letter::PayloadEncoding::Compact,
        payload: "AAEC/w==".into(),
    };
    let json = serde_json::to_vec(&letter).unwrap();
    for seed in seeds(20_000) {
        let mut random = Rng::with_seed(seed);
        let mut bytes = json.clone();
        mutate(&mut random, &mut bytes);
        at_most(1 << 20, &format!("seed {seed}"), || {
            if let Ok(letter) = serde_json::from_slice::<DeadLetter>(&bytes) {
                let _ = letter.bytes();
                let _ = letter.record::<Vec<String>>();
                let _ = letter.record::<i64>();
            }
        });
    }
}
