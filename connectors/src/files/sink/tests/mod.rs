//! The protocol of the file sink, with a crash at each of its steps.

use super::*;
use crate::testing::{error_of, until, writer_context};
use layout::{Name, Part};
use millstream_runtime::config::Guarantee;
use millstream_runtime::record::Record;
use millstream_runtime::sink::{Ready, Written};
use std::path::Path;
use tempfile::TempDir;

mod folders;
mod limits;

type Numbers = FileSink<u64>;
type NumberWriter = Box<dyn SinkWriter<u64>>;

fn sink(directory: &TempDir) -> Numbers {
    let sink = FileSink::lines(directory.path());
    sink.check().unwrap();
    sink
}

/// The only worker of an exactly-once job, settled.
fn started(sink: &Numbers, restored: u64, prepared: &[&[u8]]) -> Result<NumberWriter> {
    let context = writer_context(0, 1, Guarantee::ExactlyOnce, restored);
    let mut writer = sink.writer(context)?;
    writer.settle(prepared.iter().map(|bytes| bytes.to_vec()).collect())?;
    Ok(writer)
}

fn write(writer: &mut NumberWriter, values: impl IntoIterator<Item = u64>) {
    let mut records = values
        .into_iter()
        .map(|value| Record::new(0, value))
        .collect();
    until("room to write", || {
        (writer.write(&mut records).unwrap() == Written::All).then_some(())
    });
}

fn prepare(writer: &mut NumberWriter, checkpoint: u64) -> Vec<u8> {
    writer.prepare(checkpoint).unwrap();
    until("prepared", || match writer.poll_prepared().unwrap() {
        Ready::Yes(described) => Some(described),
        Ready::NotYet => None,
    })
}

fn commit(writer: &mut NumberWriter, checkpoint: u64) {
    writer.commit(checkpoint).unwrap();
    until("committed", || {
        (writer.poll_committed().unwrap() == Ready::Yes(())).then_some(())
    });
}

/// Flushes until a file in progress is there.
fn show(writer: &mut NumberWriter, directory: &TempDir) {
    until("a file in progress", || {
        writer.flush().unwrap();
        let names = names(directory.path(), true);
        names
            .iter()
            .any(|name| name.ends_with(".inprogress"))
            .then_some(())
    });
}

/// Names in the directory, sorted, hidden or not.
fn names(directory: &Path, hidden: bool) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') == hidden && !name.ends_with(".committed"))
        .collect();
    names.sort();
    names
}

/// What a reader of the directory sees.
fn visible(directory: &TempDir) -> Vec<u64> {
    names(directory.path(), false)
        .iter()
        .flat_map(|name| {
            let text = fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(!text.is_empty(), "no empty files");
            text.lines()
                .map(|line| line.parse().unwrap())
                .collect::<Vec<u64>>()
        })
        .collect()
}

#[test]
fn names_are_told_apart() {
    let layout = sink(&tempfile::tempdir().unwrap()).layout();
    let part = Part {
        folder: String::new(),
        checkpoint: 12,
        worker: 3,
        sequence: 4,
    };
    assert!(
        layout
            .final_path(&part)
            .ends_with("part-000000012-003-004.txt")
    );
    let name = |path: PathBuf| layout.parse("", path.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        name(layout.final_path(&part)),
        Some(Name::Final(part.clone()))
    );
    assert_eq!(
        name(layout.prepared_path(&part)),
        Some(Name::Prepared(part))
    );
    assert_eq!(
        name(layout.in_progress_path("", 3, 9)),
        Some(Name::InProgress { worker: 3 })
    );
    let committed = Name::Committed {
        checkpoint: 12,
        worker: 3,
    };
    assert_eq!(name(layout.committed_path(12, 3)), Some(committed));
    for foreign in [
        "part-1.txt",
        "part-1-2-x.txt",
        "part-1-2-+3.txt",
        "part-1-2-3.csv",
        "part-1-2-3-4.txt",
        "parts-1-2-3.txt",
        "part-1-2-3txt",
        "readme",
        ".part-1-2-3.txt",
        "part-1-2-.txt",
    ] {
        assert_eq!(layout.parse("", foreign), None, "{foreign}");
    }
}

#[test]
fn results_appear_with_their_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..5);
    writer.flush().unwrap();
    prepare(&mut writer, 1);
    write(&mut writer, 5..7);
    assert!(names(directory.path(), false).is_empty());
    commit(&mut writer, 1);
    assert_eq!(visible(&directory), (0..5).collect::<Vec<_>>());
    prepare(&mut writer, 2);
    commit(&mut writer, 2);
    commit(&mut writer, 2);
    prepare(&mut writer, 3); // nothing was written
    commit(&mut writer, 3);
    assert_eq!(
        names(directory.path(), false),
        ["part-000000001-000-000.txt", "part-000000002-000-000.txt"]
    );
    assert!(names(directory.path(), true).is_empty());
    assert_eq!(visible(&directory), (0..7).collect::<Vec<_>>());
}

#[test]
fn a_checkpoint_that_failed_is_committed_with_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..2);
    prepare(&mut writer, 1);
    write(&mut writer, 2..4);
    let described = prepare(&mut writer, 2);
    drop(writer);
    let mut writer = started(&sink(&directory), 2, &[&described]).unwrap();
    assert_eq!(visible(&directory), [0, 1, 2, 3]);
    commit(&mut writer, 2);
}

/// A crash after each step of checkpoint 2, then a restart from the newest complete checkpoint.
#[test]
fn a_crash_at_any_step_loses_and_doubles_nothing() {
    for step in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = started(&sink(&directory), 0, &[]).unwrap();
        write(&mut writer, 0..3);
        let first = prepare(&mut writer, 1);
        commit(&mut writer, 1);
        write(&mut writer, 3..6);
        show(&mut writer, &directory);
        let mut complete = (1, first);
        if step > 0 {
            let second = prepare(&mut writer, 2);
            if step > 1 {
                complete = (2, second); // the manifest was written, the commit not begun
            }
        }
        if step > 2 {
            commit(&mut writer, 2);
        }
        if step > 3 {
            write(&mut writer, 6..9);
            prepare(&mut writer, 3);
        }
        drop(writer);

        let (restored, described) = complete;
        let mut writer = started(&sink(&directory), restored, &[&described]).unwrap();
        let from = restored * 3;
        assert_eq!(
            visible(&directory),
            (0..from).collect::<Vec<_>>(),
            "step {step}"
        );
        assert!(names(directory.path(), true).is_empty(), "step {step}");
        write(&mut writer, from..12);
        prepare(&mut writer, restored + 1);
        commit(&mut writer, restored + 1);
        assert_eq!(
            visible(&directory),
            (0..12).collect::<Vec<_>>(),
            "step {step}"
        );
    }
}

#[test]
fn settling_twice_is_settling_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..3);
    let described = prepare(&mut writer, 1);
    drop(writer);
    for _ in 0..3 {
        drop(started(&sink(&directory), 1, &[&described]).unwrap());
        assert_eq!(visible(&directory), [0, 1, 2]);
    }
    // Somebody takes the results away: they were committed, so nothing is lost.
    fs::remove_file(directory.path().join("part-000000001-000-000.txt")).unwrap();
    drop(started(&sink(&directory), 1, &[&described]).unwrap());
    assert!(visible(&directory).is_empty());
}

#[test]
fn lost_results_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..3);
    let described = prepare(&mut writer, 1);
    drop(writer);
    fs::remove_file(
        directory
            .path()
            .join(".part-000000001-000-000.txt.prepared"),
    )
    .unwrap();
    let error = error_of(started(&sink(&directory), 1, &[&described]));
    assert!(
        error.contains("part-000000001-000-000.txt") && error.contains("lost"),
        "{error}"
    );
    let error = error_of(started(&sink(&directory), 1, &[b"junk"]));
    assert!(error.contains("unreadable"), "{error}");
}

#[test]
fn an_older_checkpoint_chosen_by_hand_takes_later_results_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    for checkpoint in 1..4 {
        write(&mut writer, checkpoint * 10..checkpoint * 10 + 2);
        prepare(&mut writer, checkpoint);
        commit(&mut writer, checkpoint);
    }
    drop(writer);
    drop(started(&sink(&directory), 1, &[]).unwrap());
    assert_eq!(visible(&directory), [10, 11]);
}

#[test]
fn a_restart_on_fewer_workers_cleans_up_after_all() {
    let directory = tempfile::tempdir().unwrap();
    let sink_of_all = sink(&directory);
    let mut described = Vec::new();
    for worker in 0..3 {
        let context = writer_context(worker, 3, Guarantee::ExactlyOnce, 0);
        let mut writer = sink_of_all.writer(context).unwrap();
        writer.settle(Vec::new()).unwrap();
        write(&mut writer, [worker as u64]);
        described.push(prepare(&mut writer, 1));
        write(&mut writer, [100]);
        prepare(&mut writer, 2);
        write(&mut writer, [200]);
        show(&mut writer, &directory);
    }
    // The other worker's share is untouched until it settles itself.
    let sink = sink(&directory);
    let context = |worker| writer_context(worker, 2, Guarantee::ExactlyOnce, 1);
    sink.writer(context(1)).unwrap().settle(described).unwrap();
    assert_eq!(visible(&directory), [0, 1, 2]);
    let left = names(directory.path(), true);
    assert!(left.iter().all(|name| !name.contains("-001")), "{left:?}");
    assert!(left.iter().any(|name| name.contains("-002-")), "{left:?}");
    sink.writer(context(0)).unwrap().settle(Vec::new()).unwrap();
    assert!(names(directory.path(), true).is_empty());
    assert_eq!(visible(&directory), [0, 1, 2]);
}

#[test]
fn a_fresh_start_refuses_old_results() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..3);
    prepare(&mut writer, 1);
    commit(&mut writer, 1);
    drop(writer);
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let error = error_of(started(&sink(&directory), 0, &[]));
    let path = directory.path().to_str().unwrap();
    assert!(
        error.contains(path) && error.contains("overwrite"),
        "{error}"
    );
    drop(started(&sink(&directory).overwrite(true), 0, &[]).unwrap());
    assert_eq!(names(directory.path(), false), ["notes.txt"]);
}
