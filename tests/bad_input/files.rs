//! Files of every format with rubbish in them, under each policy, in both modes.

use crate::harness::{MODES, assert_error, failure, finish};
use millstream::connectors::files::{FileSource, Parse};
use millstream::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row {
    name: String,
    count: u32,
}

/// A format with a file in it: the rows `n, 0` to `n, 9`, and three pieces of rubbish.
struct Case {
    name: &'static str,
    header: &'static str,
    row: fn(u32) -> String,
    rubbish: [(&'static [u8], &'static str); 3],
}

const CASES: [Case; 2] = [
    Case {
        name: "rows.csv",
        header: "count,name\n",
        row: |n| format!("{n},n\n"),
        rubbish: [
            (b"many,n", "field 1 \"count\": invalid digit"),
            (b"1", "1 fields, not 2"),
            (b"7,\xff\xfe", "field 2 \"name\": invalid utf-8"),
        ],
    },
    Case {
        name: "rows.jsonl",
        header: "",
        row: |n| format!("{{\"name\":\"n\",\"count\":{n}}}\n"),
        rubbish: [
            (b"{\"name\":\"n\",\"count\":-1}", "invalid value"),
            (b"{\"name\":", "EOF"),
            (b"\xff\xfe", "expected value"),
        ],
    },
];

impl Case {
    fn write(&self, dir: &Path) -> String {
        let mut text = self.header.as_bytes().to_vec();
        for n in 0..10 {
            text.extend((self.row)(n).into_bytes());
            if let Some((rubbish, _)) = self.rubbish.get(n as usize / 3).filter(|_| n % 3 == 1) {
                text.extend_from_slice(rubbish);
                text.push(b'\n');
            }
        }
        let path = dir.join(self.name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn add(&self, job: &Job, path: &str) -> Stream<Row> {
        fn add<P: Parse<Row>>(job: &Job, files: FileSource<Row, P>) -> Stream<Row> {
            job.source("rows", files.chunk_size(11))
        }
        match self.name {
            "rows.csv" => add(job, FileSource::csv(path)),
            _ => add(job, FileSource::json_lines(path)),
        }
    }
}

fn good() -> Vec<Row> {
    let row = |count| Row {
        name: "n".into(),
        count,
    };
    (0..10).map(row).collect()
}

fn config(mode: Mode) -> JobConfig {
    JobConfig {
        mode,
        workers: 2,
        ..JobConfig::default()
    }
}

#[test]
fn every_policy_for_every_format() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        let path = case.write(dir.path());
        for mode in MODES {
            let job = Job::new("fail");
            case.add(&job, &path).sink("out", Null::new());
            let error = failure(job.start(config(mode)));
            let names = ["operator \"rows\"", &path, "line ", case.rubbish[0].1];
            assert_error(&error, ErrorKind::Record, &names);

            let job = Job::new("skip");
            let (sink, results) = Collect::new();
            case.add(&job, &path)
                .on_error(ErrorPolicy::Skip)
                .sink("out", sink);
            let report = finish(job.start(config(mode)).unwrap()).unwrap();
            assert_eq!(results.take(), good());
            assert_eq!(report.operator("rows").unwrap().skipped, 3);

            let job = Job::new("dead letters");
            let (sink, results) = Collect::new();
            let (letters, dead) = Collect::new();
            let (rows, rubbish) = case.add(&job, &path).dead_letters();
            rows.sink("out", sink);
            rubbish.sink("dead", letters);
            finish(job.start(config(mode)).unwrap()).unwrap();
            assert_eq!(results.take(), good());
            let dead: Vec<DeadLetter> = dead.take();
            assert_eq!(dead.len(), 3);
            for (letter, (bytes, reason)) in dead.iter().zip(case.rubbish) {
                assert_eq!(&*letter.bytes().unwrap(), bytes);
                assert!(letter.reason.contains(reason), "{letter:?}");
                assert!(letter.position.starts_with("line "), "{letter:?}");
                assert_eq!(letter.split.as_deref(), Some(&*path));
            }
        }
    }
}
