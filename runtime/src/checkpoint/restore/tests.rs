use super::*;
use crate::checkpoint::fixture::{GROUPS, blob, chain, delta, full, manifest, write_part};
use crate::checkpoint::testing::MemoryStore;
use crate::checkpoint::{manifest_name, match_states, next_parts, part_name};

mod tables;

fn latest(store: &MemoryStore) -> Restored {
    Restored::open(store, Which::Latest).unwrap().unwrap()
}

fn refused(store: &MemoryStore, which: Which) -> String {
    let error = Restored::open(store, which)
        .err()
        .expect("the checkpoint is not sound");
    assert_eq!(error.kind(), ErrorKind::Restore);
    error.to_string()
}

#[test]
fn nothing_there_is_no_error() {
    let store = MemoryStore::new();
    store
        .publish(&part_name(1, 0), b"no manifest names it")
        .unwrap();
    assert!(Restored::open(&store, Which::Latest).unwrap().is_none());
    let text = refused(&store, Which::Id(3));
    assert!(
        text.contains("no checkpoint 3 in memory: it has none"),
        "{text}"
    );
    let text = refused(&chain(2), Which::Id(3));
    assert!(text.contains("it has 2, 1"), "{text}");
}

#[test]
fn the_newest_or_the_chosen_one() {
    let store = chain(3);
    assert_eq!(latest(&store).checkpoint(), 3);
    let second = Restored::open(&store, Which::Id(2)).unwrap().unwrap();
    let blobs: Vec<_> = second
        .blocks("source", "positions")
        .iter()
        .map(|b| b.payload)
        .collect();
    assert_eq!(blobs, [b"2", b"2"], "only blobs of the checkpoint itself");
    assert_eq!(second.uids().collect::<Vec<_>>(), ["count", "source"]);
    assert!(second.blocks("count", "other").is_empty() && second.blocks("other", "x").is_empty());
}

#[test]
fn a_full_block_makes_older_ones_void() {
    let store = MemoryStore::new();
    let first = write_part(
        &store,
        1,
        0,
        1,
        &[full(0, &[("a", Some("1"))]), full(1, &[("b", Some("1"))])],
    );
    let blocks = [
        delta(0, &[("a", Some("2"))]),
        delta(1, &[("b", None), ("c", Some("2"))]),
    ];
    let second = write_part(&store, 2, 0, 1, &blocks);
    let blocks = [full(0, &[("a", Some("3"))]), delta(1, &[("d", Some("3"))])];
    let third = write_part(&store, 3, 0, 1, &blocks);
    manifest(3, vec![third, first, second])
        .publish(&store)
        .unwrap();
    let restored = latest(&store);
    let order: Vec<_> = restored
        .blocks("count", "counts")
        .iter()
        .map(|b| (b.shard, b.kind))
        .collect();
    let (whole, change) = (BlockKind::Full, BlockKind::Delta);
    assert_eq!(order, [(0, whole), (1, whole), (1, change), (1, change)]);
    assert_eq!(
        restored.blocks("count", "counts")[0].payload,
        b"\x01\x01a\x013"
    );
    let states = restored.states();
    assert_eq!(
        (states[0].uid.as_str(), states[0].keys),
        ("count", 3),
        "a, c and d"
    );
    assert_eq!(states[0].bytes, 5 + 5 + 8 + 5);
}

/// A shard that two workers share is two chains: a full block of one does not touch the other's keys.
#[test]
fn writers_do_not_replace_each_other() {
    let store = MemoryStore::new();
    let old = write_part(&store, 1, 0, 1, &[full(9, &[("a", Some("1"))])]);
    let one = write_part(&store, 2, 0, 1, &[delta(9, &[("b", Some("1"))])]);
    let two = write_part(&store, 2, 1, 2, &[full(9, &[("c", Some("1"))])]);
    manifest(2, vec![old, one, two]).publish(&store).unwrap();
    assert_eq!(latest(&store).states()[0].keys, 3);
}

#[test]
fn a_chain_without_its_beginning_is_refused() {
    let store = MemoryStore::new();
    let part = write_part(&store, 2, 0, 2, &[delta(9, &[("b", Some("1"))])]);
    manifest(2, vec![part]).publish(&store).unwrap();
    let text = refused(&store, Which::Latest);
    assert!(
        text.contains("\"counts\" of operator \"count\" has changes of shard 9"),
        "{text}"
    );
}

#[test]
fn a_damaged_newest_names_the_sound_older() {
    let damage: [&dyn Fn(&MemoryStore); 4] = [
        &|store| store.damage(&manifest_name(3), |bytes| bytes[20] ^= 4),
        &|store| store.damage(&part_name(3, 1), |bytes| bytes[70] ^= 4),
        &|store| store.damage(&part_name(3, 1), |bytes| bytes.truncate(70)),
        &|store| store.delete(&part_name(3, 1)).unwrap(),
    ];
    for (case, damage) in damage.iter().enumerate() {
        let store = chain(3);
        damage(&store);
        let text = refused(&store, Which::Latest);
        let file = if case == 0 {
            manifest_name(3)
        } else {
            part_name(3, 1)
        };
        assert!(
            text.contains(&file) && text.contains("--resume 2"),
            "{text}"
        );
        assert!(verify(&store, 3).is_err());
        verify(&store, 2).unwrap();
    }
}

#[test]
fn advice_is_verified() {
    let store = chain(4);
    store.damage(&part_name(4, 0), |bytes| bytes[70] ^= 4);
    store.damage(&part_name(3, 0), |bytes| bytes[70] ^= 4);
    let text = refused(&store, Which::Latest);
    assert!(
        text.contains("--resume 2") && text.contains("part-000000000003-0000.mill"),
        "{text}"
    );
    store.damage(&part_name(1, 0), |bytes| bytes[70] ^= 4);
    let text = refused(&store, Which::Id(3));
    assert!(text.contains("there is no other that is"), "{text}");
}

#[test]
fn a_sound_file_in_anothers_place_is_refused() {
    let store = chain(2);
    let other = store.read(&part_name(2, 0)).unwrap();
    store.damage(&part_name(2, 1), |bytes| *bytes = other);
    let text = refused(&store, Which::Latest);
    assert!(
        text.contains("part-000000000002-0001.mill: its checksum is"),
        "{text}"
    );

    let mut wrong = chain_manifest(2);
    wrong.max_parallelism = 99;
    wrong.publish(&store).unwrap();
    let text = refused(&chain_with(&wrong), Which::Latest);
    assert!(
        text.contains("its key group count is 128, the manifest says 99"),
        "{text}"
    );
}

fn chain_manifest(last: CheckpointId) -> Manifest {
    Manifest::load(&chain(last), last).unwrap()
}

/// A chain whose newest manifest is this one.
fn chain_with(manifest: &Manifest) -> MemoryStore {
    let store = chain(manifest.checkpoint);
    manifest.publish(&store).unwrap();
    store
}

/// Whatever byte of whatever file is damaged: the restore is refused, and nothing panics.
#[test]
fn any_flipped_byte_of_any_file_is_noticed() {
    let store = chain(2);
    for name in [
        manifest_name(2),
        part_name(1, 0),
        part_name(2, 0),
        part_name(2, 1),
    ] {
        let length = store.read(&name).unwrap().len();
        for at in 0..length {
            store.damage(&name, |bytes| bytes[at] ^= 0x55);
            assert!(verify(&store, 2).is_err(), "{name} at {at}");
            store.damage(&name, |bytes| bytes[at] ^= 0x55);
        }
    }
    verify(&store, 2).unwrap();
}

fn job(states: &[(&str, &str)]) -> Vec<(String, Vec<StateDescriptor>)> {
    let state = |(uid, name): &(&str, &str)| ((*uid).to_owned(), vec![StateDescriptor::new(*name)]);
    states.iter().map(state).collect()
}

#[test]
fn state_without_an_operator_is_named() {
    let restored = latest(&chain(1));
    let fits = job(&[
        ("count", "counts"),
        ("source", "positions"),
        ("new", "empty"),
    ]);
    match_states(&fits, GROUPS, &restored, false).unwrap();
    let renamed = job(&[("count", "totals")]);
    let error = match_states(&renamed, GROUPS, &restored, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    for expected in [
        "\"count\" with state \"counts\"",
        "\"source\"",
        "--allow-dropped-state",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    match_states(&renamed, GROUPS, &restored, true).unwrap();
}

#[test]
fn another_number_of_key_groups_is_refused() {
    let error = match_states(&[], 4096, &latest(&chain(1)), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    assert!(
        text.contains("max-parallelism 128") && text.contains("4096"),
        "{text}"
    );
}

#[test]
fn a_crash_while_writing_leaves_the_newest_sound() {
    for keep in [0, 300, 999, 1000] {
        let store = chain(3);
        let mut sink = store.create(&part_name(4, 0)).unwrap();
        sink.write(&store.read(&part_name(3, 0)).unwrap()).unwrap();
        store.crash(keep);
        assert_eq!(latest(&store).checkpoint(), 3);
        let parts = vec![write_part(&store, 5, 0, 5, &[blob(0, b"5")])];
        let previous = Manifest::load(&store, 3).unwrap();
        manifest(5, next_parts(Some(&previous), parts, 2, true).unwrap())
            .publish(&store)
            .unwrap();
        assert_eq!(latest(&store).checkpoint(), 5);
    }
}
