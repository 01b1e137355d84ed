//! Sockets and functions as ends of a job, in both modes.

use millstream::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];
const DEADLINE: Duration = Duration::from_secs(30);

fn config(mode: Mode, dir: &Path) -> JobConfig {
    JobConfig {
        mode,
        workers: 2,
        checkpoint_dir: Some(dir.to_owned()),
        checkpoint_interval: Duration::from_millis(5),
        ..JobConfig::default()
    }
}

fn finish(handle: JobHandle) -> JobReport {
    if !handle.wait_for(DEADLINE) {
        let report = handle.report();
        std::mem::forget(handle); // dropping it would wait for the end that does not come
        panic!("the job does not end: {report:#?}");
    }
    handle.wait().unwrap()
}

/// From a server, doubled, to another server.
#[test]
fn from_socket_to_socket() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (listener(), listener());
        let job = Job::new("relay");
        let source = TcpSource::connect(address(&input)).until_closed();
        job.source("in", source.json_lines::<u64>())
            .map(|n| n * 2)
            .sink("out", TcpSink::lines(address(&output)));
        let handle = job.start(config(mode, dir.path())).unwrap();
        let mut server = input.accept().unwrap().0;
        for n in 0..10_000 {
            writeln!(server, "{n}").unwrap();
        }
        drop(server);
        // One connection from the worker that had records.
        let received = BufReader::new(output.accept().unwrap().0).lines();
        let numbers: Vec<u64> = received
            .map(|line| line.unwrap().parse().unwrap())
            .collect();
        finish(handle);
        assert_eq!(numbers, (0..10_000).map(|n| n * 2).collect::<Vec<_>>());
    }
}

/// Several clients at a listener; the job is stopped, as it has no end.
#[test]
fn from_many_clients() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let listener = listener();
        let address = address(&listener);
        let job = Job::new("clients");
        let (sender, received) = mpsc::channel();
        job.source("in", TcpSource::from_listener(listener).unwrap())
            .sink(
                "out",
                ForEach::new(move |line: String| drop(sender.send(line))),
            );
        let handle = job.start(config(mode, dir.path())).unwrap();
        for client in 0..3 {
            let mut stream = TcpStream::connect(&address).unwrap();
            for n in 0..100 {
                writeln!(stream, "{client} {n}").unwrap();
            }
        }
        let mut lines: Vec<String> = (0..300)
            .map(|_| received.recv_timeout(DEADLINE).unwrap())
            .collect();
        lines.sort_by_key(|line| {
            let (client, n) = line.split_once(' ').unwrap();
            (client.to_owned(), n.parse::<u32>().unwrap())
        });
        let expected = (0..3).flat_map(|client| (0..100).map(move |n| format!("{client} {n}")));
        assert_eq!(lines, expected.collect::<Vec<_>>());
        handle.stop();
        finish(handle);
    }
}

/// From functions to a function of batches: a checkpoint is complete when the function has seen what came before.
#[test]
fn from_functions_to_a_function() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let (mut received, mut polled) = (0..5_000u64, 5_000..10_000u64);
        let receive = RecvSource::new(move || Ok::<_, String>(received.next()));
        let poll = PollSource::new(Duration::from_millis(1), move || {
            Ok::<_, String>(polled.next().map_or(Polled::Ended, Polled::Value))
        });
        let (sender, batches) = mpsc::channel();
        let job = Job::new("functions");
        let polled = job.source("polled", poll);
        job.source("received", receive).union([polled]).sink(
            "out",
            ForEachBatch::new(move |batch| sender.send(batch)).max_records(50),
        );
        finish(job.start(config(mode, dir.path())).unwrap());
        let batches: Vec<Vec<Record<u64>>> = batches.try_iter().collect();
        assert!(batches.iter().all(|batch| batch.len() <= 50));
        let mut numbers: Vec<u64> = batches.into_iter().flatten().map(|r| r.value).collect();
        numbers.sort();
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn address(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().to_string()
}
