use super::*;
use crate::checkpoint::fixture::{chain, full, manifest, write_part};
use crate::checkpoint::testing::MemoryStore;
use crate::checkpoint::{PartFile, next_parts, part_name, verify};

#[test]
fn parts_of_kept_manifests_stay() {
    let store = chain(5);
    let collected = collect_garbage(&store, 2).unwrap();
    // Every checkpoint rests on number 1 and all between: manifests go, parts stay.
    assert_eq!(
        collected,
        Collected {
            checkpoints: vec![3, 2, 1],
            parts: 0
        }
    );
    assert_eq!(Manifest::list(&store).unwrap(), [5, 4]);
    verify(&store, 5).unwrap();
    verify(&store, 4).unwrap();
    assert_eq!(collect_garbage(&store, 2).unwrap(), Collected::default());
}

#[test]
fn parts_that_nobody_names_go_unless_they_are_new() {
    let store = chain(2);
    let whole = write_part(&store, 3, 0, 3, &[full(0, &[])]);
    manifest(3, vec![whole]).publish(&store).unwrap();
    for name in [part_name(2, 7), part_name(3, 7), part_name(4, 0)] {
        store
            .publish(&name, b"being written, or left by a crash")
            .unwrap();
    }
    store.publish("notes.txt", b"not ours").unwrap();
    let collected = collect_garbage(&store, 1).unwrap();
    assert_eq!(
        collected,
        Collected {
            checkpoints: vec![2, 1],
            parts: 5
        }
    );
    let left = [
        manifest_name(3),
        "notes.txt".into(),
        part_name(3, 0),
        part_name(3, 7),
        part_name(4, 0),
    ];
    assert_eq!(store.names(), left);
}

#[test]
fn savepoints_stay() {
    let store = chain(4);
    let mut savepoint = Manifest::load(&store, 2).unwrap();
    savepoint.kind = CheckpointKind::Savepoint;
    savepoint.publish(&store).unwrap();
    collect_garbage(&store, 1).unwrap();
    assert_eq!(Manifest::list(&store).unwrap(), [4, 2]);
    verify(&store, 2).unwrap();
}

#[test]
fn a_damaged_manifest_does_not_take_a_sound_ones_place() {
    let store = chain(4);
    store.damage(&manifest_name(4), |bytes| bytes[40] ^= 1);
    collect_garbage(&store, 2).unwrap();
    assert_eq!(Manifest::list(&store).unwrap(), [4, 3, 2]);
    verify(&store, 3).unwrap();
    verify(&store, 2).unwrap();
}

#[test]
fn a_newer_programs_manifest_stops_everything() {
    let store = chain(3);
    let mut newer = Manifest::load(&store, 1).unwrap();
    newer.format = 2;
    newer.publish(&store).unwrap();
    let before = store.names();
    assert!(collect_garbage(&store, 1).is_err());
    assert_eq!(store.names(), before);
}

#[test]
fn an_empty_store_is_left_alone() {
    let store = MemoryStore::new();
    store
        .publish(&part_name(1, 0), b"the first, being written")
        .unwrap();
    assert_eq!(collect_garbage(&store, 1).unwrap(), Collected::default());
    assert_eq!(store.names().len(), 1);
}

/// Random histories with failed checkpoints, savepoints and restarts: after every collection each
/// manifest that is left can be restored.
#[test]
fn what_is_referenced_is_never_deleted() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = MemoryStore::new();
        let mut previous: Option<Manifest> = None;
        let mut must_be_whole = true;
        for checkpoint in 1..30 {
            let whole = must_be_whole || random.u8(0..6) == 0;
            let parts: Vec<PartFile> = (0..2)
                .map(|worker| {
                    random_part(
                        &mut random,
                        &store,
                        (checkpoint, worker),
                        whole,
                        previous.as_ref(),
                    )
                })
                .collect();
            must_be_whole = random.u8(0..5) == 0;
            if must_be_whole {
                continue; // it failed before its manifest was written
            }
            let parts = next_parts(previous.as_ref(), parts, 2, whole).unwrap();
            let mut next = manifest(checkpoint, parts);
            if random.u8(0..8) == 0 {
                next.kind = CheckpointKind::Savepoint;
            }
            next.publish(&store).unwrap();
            previous = Some(next);
            collect_garbage(&store, random.usize(1..4)).unwrap();
            for left in Manifest::list(&store).unwrap() {
                verify(&store, left).unwrap();
            }
        }
    }
}

/// A part that is whole, or builds on one of the previous manifest.
fn random_part(
    random: &mut fastrand::Rng,
    store: &MemoryStore,
    (checkpoint, worker): (CheckpointId, u32),
    whole: bool,
    previous: Option<&Manifest>,
) -> PartFile {
    let earlier: Vec<_> = previous
        .map(|previous| previous.parts.as_slice())
        .unwrap_or_default()
        .iter()
        .filter(|part| part.worker == worker)
        .map(|part| part.checkpoint)
        .collect();
    let needs_since = match random.choice(&earlier) {
        Some(base) if !whole => *base,
        _ => checkpoint,
    };
    write_part(
        store,
        checkpoint,
        worker,
        needs_since,
        &[full(worker, &[("k", Some("v"))])],
    )
}

/// Every checkpoint rests on the parts of number 1: whichever goes, what others need stays.
#[test]
fn a_removal_leaves_what_others_need() {
    let store = chain(4);
    let removal = Removal::of(&store, &[1, 3], false).unwrap();
    assert_eq!(removal.checkpoints, [3, 1]);
    assert_eq!(removal.parts, Vec::<String>::new());
    removal.apply(&store).unwrap();
    assert_eq!(Manifest::list(&store).unwrap(), [4, 2]);
    verify(&store, 2).unwrap();
    verify(&store, 4).unwrap();
    let removal = Removal::of(&store, &[4], true).unwrap();
    assert_eq!(
        removal.parts.len(),
        4,
        "those of 3 and 4, which 2 does not know"
    );
    removal.apply(&store).unwrap();
    verify(&store, 2).unwrap();
}

#[test]
fn what_may_not_go() {
    let store = chain(3);
    Start::new(4, StartFrom::Checkpoint(2))
        .publish(&store)
        .unwrap();
    for (unwanted, why) in [
        (3, "checkpoint 3 in memory is the newest"),
        (
            2,
            "checkpoint 2 in memory is what the next start goes on from",
        ),
        (9, "checkpoint 9 in memory is not there"),
    ] {
        let error = Removal::of(&store, &[unwanted], false).unwrap_err();
        assert!(error.to_string().ends_with(why), "{error}");
    }
    assert_eq!(Removal::beyond(&store, 2, false).unwrap().checkpoints, [1]);
    let forced = Removal::of(&store, &[3, 2, 1], true).unwrap();
    forced.apply(&store).unwrap();
    assert_eq!(store.names(), ["start.json"]);
}
