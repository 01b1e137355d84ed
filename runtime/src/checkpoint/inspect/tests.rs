use super::*;
use crate::checkpoint::fixture::{blob, chain, delta, full, manifest, write_part};
use crate::checkpoint::testing::MemoryStore;
use crate::checkpoint::{CheckpointStore, Which};

fn open(store: &dyn CheckpointStore, checkpoint: CheckpointId) -> Restored {
    Restored::open(store, Which::Id(checkpoint))
        .unwrap()
        .unwrap()
}

#[test]
fn a_description_puts_full_blocks_and_deltas_together() {
    let store = MemoryStore::new();
    let first = [
        full(3, &[("a", Some("1")), ("b", Some("22"))]),
        full(9, &[]),
    ];
    let first = write_part(&store, 1, 0, 1, &first);
    let second = [
        delta(3, &[("a", None), ("c", Some("333"))]),
        blob(0, b"at 7"),
    ];
    let second = write_part(&store, 2, 0, 1, &second);
    manifest(2, vec![first, second]).publish(&store).unwrap();
    let described = open(&store, 2).describe();
    assert_eq!(described.files.len(), 2);
    let uids: Vec<&str> = described.operators.iter().map(|o| &o.uid[..]).collect();
    assert_eq!(uids, ["count", "source"], "the manifest's, then the others");
    let counts = &described.operators[0].states[0];
    assert_eq!((counts.keys, counts.bytes), (2, 1 + 2 + 1 + 3));
    assert!(counts.stored_bytes > counts.bytes);
    let shard = &counts.shards[0];
    assert_eq!((shard.shard, shard.keys), (3, 2));
    assert_eq!(counts.shards.len(), 1, "an empty shard is none");
    let positions = &described.operators[1].states[0];
    assert_eq!(positions.version, 3);
    assert_eq!((positions.keys, positions.bytes), (0, 4));
    assert_eq!(positions.instances[0].worker, 0);
}

#[test]
fn every_group_is_in_the_groups_of_its_shard() {
    for groups in [1, 7, 128, 256, 300, 4_096] {
        for group in 0..groups {
            let shard = crate::state::shard_of(group, groups);
            let (first, end) = groups_of(shard, groups);
            assert!((first..end).contains(&group), "{group} of {groups}");
        }
    }
}

#[test]
fn differences_are_counted_by_key() {
    let store = chain(3);
    let same = Difference::between(&open(&store, 3), &open(&store, 3));
    assert!(same.is_none() && same.same_states == 2, "{same:?}");
    let whole = [full(0, &[("key-0", Some("3")), ("new", Some("x"))])];
    let whole = write_part(&store, 4, 0, 4, &whole);
    manifest(4, vec![whole]).publish(&store).unwrap();
    let difference = Difference::between(&open(&store, 3), &open(&store, 4));
    assert_eq!(difference.fields, []);
    let counts = &difference.states[0];
    assert_eq!(
        (counts.added, counts.removed, counts.changed, counts.same),
        (1, 1, 0, 1),
        "{counts:?}"
    );
    let positions = &difference.states[1];
    assert_eq!(positions.state, "positions");
    assert!(positions.instances_differ && positions.written[1].is_none());
}
