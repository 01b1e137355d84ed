//! Rolling, lower guarantees, a slow disk, and directories that cannot be written.

use super::*;
use millstream_runtime::source::Waker;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn files_roll_by_size_with_a_header_each() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::<(u32, char)>::csv(directory.path())
        .roll_size(8)
        .prefix("rows");
    let context = writer_context(0, 1, Guarantee::ExactlyOnce, 0);
    let mut writer = sink.writer(context).unwrap();
    writer.settle(Vec::new()).unwrap();
    let mut records: Vec<_> = (0..6).map(|i| Record::new(0, (i, 'x'))).collect();
    assert_eq!(writer.write(&mut records).unwrap(), Written::All);
    writer.prepare(4).unwrap();
    until("prepared", || {
        matches!(writer.poll_prepared().unwrap(), Ready::Yes(_)).then_some(())
    });
    writer.commit(4).unwrap();
    until("committed", || {
        (writer.poll_committed().unwrap() == Ready::Yes(())).then_some(())
    });
    let expected: Vec<_> = (0..3)
        .map(|i| format!("rows-000000004-000-{i:03}.csv"))
        .collect();
    assert_eq!(names(directory.path(), false), expected);
    let second = fs::read_to_string(directory.path().join(&expected[1])).unwrap();
    assert_eq!(second, "2,x\n3,x\n");
}

#[test]
fn below_exactly_once_files_appear_at_once_and_are_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let rolling = sink(&directory).roll_size(4);
    for attempt in 0..2 {
        let context = writer_context(0, 1, Guarantee::AtLeastOnce, 0);
        let mut writer = rolling.writer(context).unwrap();
        writer.settle(Vec::new()).unwrap();
        write(&mut writer, [10, 11, 12]);
        until("the rolled files", || {
            writer.flush().unwrap();
            (visible(&directory).len() > attempt * 3).then_some(())
        });
        prepare(&mut writer, 1);
        assert_eq!(visible(&directory).len(), (attempt + 1) * 3);
    }
    // Another process starts anew, and is refused as often as it tries.
    let other = sink(&directory);
    for guarantee in [
        Guarantee::AtMostOnce,
        Guarantee::AtLeastOnce,
        Guarantee::ExactlyOnce,
    ] {
        let mut writer = other.writer(writer_context(0, 1, guarantee, 0)).unwrap();
        assert!(error_of(writer.settle(Vec::new())).contains("starts anew"));
    }
}

#[test]
fn a_slow_disk_makes_the_writer_full_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    write(&mut writer, 0..1_000_000);
    prepare(&mut writer, 1);
    commit(&mut writer, 1);
    assert!(visible(&directory).into_iter().eq(0..1_000_000));
}

#[test]
fn two_sinks_do_not_replace_each_others_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut writers = [(); 2].map(|()| started(&sink(&directory), 0, &[]).unwrap());
    for writer in &mut writers {
        write(writer, 0..3);
    }
    prepare(&mut writers[0], 1);
    writers[1].prepare(1).unwrap();
    let error = until("the error", || writers[1].poll_prepared().err()).to_string();
    assert!(
        error.contains("there already") && error.contains("prefix"),
        "{error}"
    );
}

#[test]
fn a_full_writer_wakes_its_worker() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let wakes = Arc::new(AtomicUsize::new(0));
    // The thread that writes stands still in here while the test holds the gate.
    let wake = {
        let (gate, wakes) = (gate.clone(), wakes.clone());
        move || {
            drop(gate.lock().unwrap());
            wakes.fetch_add(1, Ordering::SeqCst);
        }
    };
    let context = WriterContext {
        waker: Waker::new(wake),
        ..writer_context(0, 1, Guarantee::ExactlyOnce, 0)
    };
    let mut writer = sink(&directory).writer(context).unwrap();
    let closed = gate.lock().unwrap();
    prepare(&mut writer, 1);
    let mut records: Vec<_> = (0..1_000_000).map(|i| Record::new(0, i)).collect();
    assert_eq!(writer.write(&mut records).unwrap(), Written::Full);
    let left = records.len();
    assert_eq!(writer.write(&mut records).unwrap(), Written::Full);
    assert_eq!((records.len(), wakes.load(Ordering::SeqCst)), (left, 0));
    drop(closed);
    until("the waker", || {
        (wakes.load(Ordering::SeqCst) > 1).then_some(())
    });
    until("room", || {
        (writer.write(&mut records).unwrap() == Written::All).then_some(())
    });
}

#[test]
fn a_directory_that_goes_away_is_an_error_of_the_next_call() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = started(&sink(&directory), 0, &[]).unwrap();
    fs::remove_dir_all(directory.path()).unwrap();
    write(&mut writer, 0..3);
    writer.flush().unwrap();
    let error = until("the error", || writer.flush().err());
    assert_eq!(error.kind(), ErrorKind::Sink);
    assert!(
        error
            .to_string()
            .contains(directory.path().to_str().unwrap()),
        "{error}"
    );
    assert!(writer.prepare(1).is_err());
    assert!(writer.poll_prepared().is_err());
}

#[test]
fn what_cannot_be_written_is_told_before_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "").unwrap();
    let error = error_of(FileSink::<u64>::lines(&path).check());
    assert!(
        error.contains("file") && error.contains("cannot be written"),
        "{error}"
    );
    let wrong = FileSink::<u64>::lines(directory.path()).prefix("a/b");
    assert!(error_of(wrong.check()).contains("a/b"));
}
