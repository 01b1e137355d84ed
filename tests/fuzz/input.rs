//! Input files of random bytes, and sound ones that were changed, in every format.

use crate::mutate::{arbitrary, mutate};
use crate::seeds;
use fastrand::Rng;
use millstream::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    name: String,
    price: f64,
    count: Option<u32>,
}

const CSV: &[u8] = b"name,price,count\nada,1.5,3\n\"b,\"\"c\",2,\n\"two\nlines\",1e9,7\nzoe,0,0\n";
const JSON: &[u8] =
    b"{\"name\":\"ada\",\"price\":1.5,\"count\":3}\n{\"name\":\"b\",\"price\":2,\"count\":null}\n";

/// Reads `path` to its end with each format; a record that cannot be read is skipped.
fn read(path: &Path) {
    let path = path.to_str().unwrap();
    let mut ends = Vec::new();
    ends.push(run(TextFiles::new(path)));
    ends.push(run(FileSource::<Vec<u8>>::lines(path).split_size(16)));
    ends.push(run(FileSource::<Row>::csv(path)));
    ends.push(run(FileSource::<Row>::csv(path).split_size(16)));
    ends.push(run(FileSource::<Row>::json_lines(path)));
    for end in ends {
        if let Err(error) = end {
            let text = error.to_string();
            assert!(!text.contains("panic"), "{text}");
            assert!(text.contains(path), "{text}");
        }
    }
}

fn run<S: millstream::runtime::source::Source>(source: S) -> Result<JobReport> {
    let job = Job::new("input");
    job.source("in", source)
        .on_error(ErrorPolicy::Skip)
        .sink("out", Null::new());
    let handle = job.start(JobConfig::default())?;
    assert!(
        handle.wait_for(Duration::from_secs(30)),
        "the job does not end"
    );
    handle.wait()
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    for seed in seeds(25) {
        let mut random = Rng::with_seed(seed);
        for (name, sound) in [("in.csv", CSV), ("in.jsonl", JSON)] {
            let mut bytes = sound.repeat(random.usize(1..4));
            mutate(&mut random, &mut bytes);
            let path = dir.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            read(&path);
        }
        for name in ["noise", "noise.gz", "noise.zst"] {
            let path = dir.path().join(name);
            std::fs::write(&path, arbitrary(&mut random, 300)).unwrap();
            read(&path);
        }
    }
}
