//! Sources and sinks that cannot be opened, read or written.

use super::{Wrong, check, numbers};
use millstream::prelude::*;
use std::path::Path;

const SOURCE: ErrorKind = ErrorKind::Source;
const SINK: ErrorKind = ErrorKind::Sink;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Row {
    name: String,
}

fn lines(pattern: impl Into<String>, config: JobConfig) -> Result<JobHandle> {
    let job = Job::new("lines");
    job.source("lines", TextFiles::new(pattern))
        .sink("out", Null::new());
    job.start(config)
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn sink<S: millstream::runtime::sink::Sink<Item = i64>>(
    sink: S,
    config: JobConfig,
) -> Result<JobHandle> {
    let (job, numbers) = numbers();
    numbers.sink("out", sink);
    job.start(config)
}

pub const ROWS: &[Wrong] = &[
    Wrong {
        name: "a file that is not there",
        start: |dir, config| lines(dir.join("gone.txt").to_str().unwrap(), config),
        kind: SOURCE,
        says: &["\"lines\"", "gone.txt"],
    },
    Wrong {
        name: "a pattern that is none",
        start: |dir, config| lines(dir.join("[a").to_str().unwrap(), config),
        kind: ErrorKind::Config,
        says: &["\"lines\"", "[a"],
    },
    Wrong {
        name: "a file under a file",
        start: |_, config| lines("/dev/null/x.txt", config),
        kind: SOURCE,
        says: &["\"lines\"", "/dev/null/x.txt"],
    },
    Wrong {
        name: "gzip that is none",
        start: |dir, config| lines(file(dir, "a.gz", b"plain text\n"), config),
        kind: SOURCE,
        says: &["\"lines\"", "a.gz"],
    },
    Wrong {
        name: "gzip that is cut short",
        start: |dir, config| {
            let bytes = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48";
            lines(file(dir, "b.gz", bytes), config)
        },
        kind: SOURCE,
        says: &["\"lines\"", "b.gz"],
    },
    Wrong {
        name: "zstd that is none",
        start: |dir, config| lines(file(dir, "a.zst", b"plain text\n"), config),
        kind: match cfg!(feature = "zstd") {
            true => SOURCE,
            false => ErrorKind::Config, // "zstd is not in this build"
        },
        says: &["\"lines\"", "a.zst"],
    },
    Wrong {
        name: "a directory that is a file",
        start: |dir, config| sink(FileSink::lines(file(dir, "taken", b"")), config),
        kind: SINK,
        says: &["\"out\"", "/taken"],
    },
    Wrong {
        name: "output under a file",
        start: |_, config| sink(FileSink::lines("/dev/null/out"), config),
        kind: SINK,
        says: &["\"out\"", "/dev/null/out"],
    },
    Wrong {
        name: "output where nobody can write",
        start: |_, config| sink(FileSink::lines("/proc/out"), config),
        kind: SINK,
        says: &["\"out\"", "/proc/out"],
    },
    Wrong {
        name: "results of another run in the way",
        start: |dir, config| {
            let out = dir.join("out");
            let first = sink(FileSink::lines(&out), config.clone())?;
            crate::harness::finish(first)?;
            sink(FileSink::lines(&out), config)
        },
        kind: SINK,
        says: &["\"out\"", "/out"],
    },
    Wrong {
        name: "a source that fails in the middle",
        start: |_, config| {
            use millstream::testing::{Event, Script, scripted};
            let job = Job::new("script");
            let events = [
                Event::Record(1, 1_i64),
                Event::Fail("the cable was pulled".into()),
            ];
            scripted(&job, "in", Script::new(events)).sink("out", Null::new());
            job.start(config)
        },
        kind: SOURCE,
        says: &["\"in\"", "split ", "the cable was pulled"],
    },
    Wrong {
        name: "records that have no row",
        start: |dir, config| {
            let (job, numbers) = numbers();
            let nested = numbers.map(|n| std::collections::BTreeMap::from([(n, n)]));
            nested.sink("out", FileSink::csv(dir.join("out")));
            job.start(config)
        },
        kind: ErrorKind::Record,
        says: &["\"out\"", "at record 0", "cannot be written as CSV"],
    },
    Wrong {
        name: "a line that is no text, by default",
        start: |dir, config| lines(file(dir, "a.txt", b"one\ntwo\n\xff\n"), config),
        kind: ErrorKind::Record,
        says: &["\"lines\"", "a.txt", "line 3"],
    },
    Wrong {
        name: "a row without a column, by default",
        start: |dir, config| {
            let job = Job::new("rows");
            let path = file(dir, "a.csv", b"nome\nada\n");
            job.source("rows", FileSource::<Row>::csv(path))
                .sink("out", Null::new());
            job.start(config)
        },
        kind: ErrorKind::Record,
        says: &["\"rows\"", "a.csv", "line 2", "name"],
    },
];

#[test]
fn connectors() {
    check(ROWS);
}
