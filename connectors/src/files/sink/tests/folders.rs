//! Folders and compression: the same protocol, with a crash at each of its steps.

use super::*;
use crate::compression::tests::ALL;
use crate::files::{FileSource, partition_folder};
use crate::testing::read_all;
use millstream_runtime::record::NO_TIME;
use std::time::Duration;

/// Numbers into folders by their last digit, small files, compressed.
fn partitioned(directory: &TempDir, compression: Compression) -> Numbers {
    let sink = FileSink::lines(directory.path())
        .partition_by(|n: &u64| partition_folder("digit", &(n % 10).to_string()))
        .roll_size(12)
        .compression(compression);
    sink.check().unwrap();
    sink
}

/// What a reader sees, sorted; each number is in its folder.
fn seen(directory: &TempDir) -> Vec<u64> {
    let pattern = directory
        .path()
        .join("digit=*/part-*")
        .display()
        .to_string();
    let source = FileSource::<String>::lines(pattern).with_position();
    let mut numbers = Vec::new();
    for record in read_all(&source).into_iter().flatten() {
        let number: u64 = record.value.value.parse().unwrap();
        let digit = record.value.partition("digit").unwrap().parse::<u64>();
        assert_eq!(digit, Ok(number % 10));
        numbers.push(number);
    }
    numbers.sort();
    numbers
}

/// Hidden files in the directory and in its folders, except commit marks.
fn hidden(directory: &TempDir) -> Vec<String> {
    let mut all = names(directory.path(), true);
    for folder in names(directory.path(), false) {
        let path = directory.path().join(folder);
        if path.is_dir() {
            all.extend(names(&path, true));
        }
    }
    all
}

#[test]
fn a_crash_at_any_step_loses_and_doubles_nothing_in_folders() {
    for &compression in ALL {
        for step in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            let sink = partitioned(&directory, compression);
            let mut writer = started(&sink, 0, &[]).unwrap();
            write(&mut writer, 0..60);
            let first = prepare(&mut writer, 1);
            assert!(seen(&directory).is_empty());
            commit(&mut writer, 1);
            write(&mut writer, 60..120);
            let mut complete = (1, first);
            if step > 0 {
                let second = prepare(&mut writer, 2);
                if step > 1 {
                    complete = (2, second);
                }
            }
            if step > 2 {
                commit(&mut writer, 2);
                write(&mut writer, 120..180);
                prepare(&mut writer, 3);
            }
            drop(writer);
            let (restored, described) = complete;
            let mut writer = started(&sink, restored, &[&described]).unwrap();
            let from = restored * 60;
            assert_eq!(
                seen(&directory),
                (0..from).collect::<Vec<_>>(),
                "step {step}"
            );
            assert_eq!(hidden(&directory), [""; 0], "step {step}");
            write(&mut writer, from..200);
            prepare(&mut writer, restored + 1);
            commit(&mut writer, restored + 1);
            assert_eq!(
                seen(&directory),
                (0..200).collect::<Vec<_>>(),
                "step {step}"
            );
        }
    }
}

#[test]
fn results_of_an_earlier_run_are_found_in_folders() {
    let directory = tempfile::tempdir().unwrap();
    let sink = partitioned(&directory, Compression::Gzip);
    let mut writer = started(&sink, 0, &[]).unwrap();
    write(&mut writer, 0..50);
    prepare(&mut writer, 1);
    commit(&mut writer, 1);
    drop(writer);
    let error = error_of(started(&partitioned(&directory, Compression::Gzip), 0, &[]));
    assert!(
        error.contains("digit=") && error.contains(".txt.gz"),
        "{error}"
    );
    let sink = partitioned(&directory, Compression::Gzip).overwrite(true);
    drop(started(&sink, 0, &[]).unwrap());
    assert!(seen(&directory).is_empty());
}

/// More folders than files may be open: those that are closed early are rolled, and nothing is lost.
#[test]
fn many_folders_with_a_header_each() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::<(u64, u64)>::with_format(directory.path(), crate::format::Csv::default())
        .partition_by(|(n, _)| format!("{}", n % 200));
    let context = writer_context(0, 1, Guarantee::ExactlyOnce, 0);
    let mut writer = sink.writer(context).unwrap();
    writer.settle(Vec::new()).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut expected: Vec<(u64, u64)> = (0..5_000).map(|i| (rng.u64(0..200), i)).collect();
    let mut records: Vec<_> = expected.iter().map(|row| Record::new(0, *row)).collect();
    until("room", || {
        (writer.write(&mut records).unwrap() == Written::All).then_some(())
    });
    writer.prepare(1).unwrap();
    until("prepared", || match writer.poll_prepared().unwrap() {
        Ready::Yes(described) => Some(described),
        Ready::NotYet => None,
    });
    writer.commit(1).unwrap();
    until("committed", || {
        (writer.poll_committed().unwrap() == Ready::Yes(())).then_some(())
    });
    let pattern = directory.path().join("*/*.csv").display().to_string();
    let bare = crate::format::Csv::default().header(false);
    let source = FileSource::<(u64, u64)>::with_format(pattern, bare);
    let mut found: Vec<_> = read_all(&source)
        .unwrap()
        .into_iter()
        .map(|r| r.value)
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn event_time_makes_folders() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::<u64>::lines(directory.path()).partition_by_time(TimeBucket::Hour);
    let context = writer_context(0, 1, Guarantee::AtLeastOnce, 0);
    let mut writer = sink.writer(context).unwrap();
    writer.settle(Vec::new()).unwrap();
    let times = [0, 3_599_999, 3_600_000, NO_TIME];
    let mut records = times
        .into_iter()
        .zip(0..)
        .map(|(time, n)| Record::new(time, n))
        .collect();
    assert_eq!(writer.write(&mut records).unwrap(), Written::All);
    prepare(&mut writer, 1);
    let lines = |folder: &str| {
        let path = directory
            .path()
            .join(folder)
            .join("part-000000001-000-000.txt");
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(lines("date=1970-01-01/hour=00"), "0\n1\n");
    assert_eq!(lines("date=1970-01-01/hour=01"), "2\n");
    assert_eq!(lines("date=__HIVE_DEFAULT_PARTITION__"), "3\n");
}

/// A folder that is none, and a function that panics, are the record's fault: the writer says which record it
/// was, and goes on with the others.
#[test]
fn a_folder_that_is_none_is_the_records_fault() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::<u64>::lines(directory.path()).partition_by(|n| {
        assert_ne!(*n, 4, "no folder");
        if *n == 2 {
            "../out".into()
        } else {
            "in".into()
        }
    });
    let mut writer = started(&sink, 0, &[]).unwrap();
    let numbers = |numbers: &[u64]| -> Vec<Record<u64>> {
        numbers.iter().map(|n| Record::new(0, *n)).collect()
    };
    let error = writer.write(&mut numbers(&[1, 2, 3])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserFunction);
    assert!(error.to_string().contains("\"../out\""), "{error}");
    assert_eq!(writer.failed_at(), Some(1));
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        writer.write(&mut numbers(&[1, 3, 4]))
    }));
    assert!(panics.is_err());
    assert_eq!(writer.failed_at(), Some(2));
    assert!(!directory.path().parent().unwrap().join("out").exists());
}

/// A worker that sleeps is woken for it.
#[test]
fn files_are_rolled_by_time() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::<u64>::lines(directory.path()).roll_after(Duration::from_millis(20));
    let (sender, wakes) = std::sync::mpsc::channel();
    let context = WriterContext {
        waker: millstream_runtime::source::Waker::new(move || {
            let _ = sender.send(());
        }),
        ..writer_context(0, 1, Guarantee::AtLeastOnce, 0)
    };
    let mut writer = sink.writer(context).unwrap();
    writer.settle(Vec::new()).unwrap();
    write(&mut writer, [7]);
    until("the rolled file", || {
        writer.flush().unwrap();
        let _ = wakes.recv_timeout(Duration::from_secs(1));
        (!names(directory.path(), false).is_empty()).then_some(())
    });
    assert_eq!(visible(&directory), [7]);
}
