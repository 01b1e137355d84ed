//! Settings that are impossible or contradict each other, and graphs that make no sense.

use super::{Wrong, check, numbers};
use crate::harness::counting;
use millstream::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

const CONFIG: ErrorKind = ErrorKind::Config;
const GRAPH: ErrorKind = ErrorKind::Graph;

fn with(config: JobConfig) -> Result<JobHandle> {
    let (job, numbers) = numbers();
    numbers.sink("out", Null::new());
    job.start(config)
}

/// A job over keyed numbers.
fn keyed(config: JobConfig, build: impl FnOnce(KeyedStream<i64, i64>)) -> Result<JobHandle> {
    let (job, numbers) = numbers();
    build(numbers.key_by(|n| n % 7));
    job.start(config)
}

pub const ROWS: &[Wrong] = &[
    Wrong {
        name: "no workers",
        start: |_, config| {
            with(JobConfig {
                workers: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["workers must be at least 1"],
    },
    Wrong {
        name: "more workers than key groups",
        start: |_, config| {
            let config = JobConfig {
                workers: 9,
                max_parallelism: 8,
                ..config
            };
            with(config)
        },
        kind: CONFIG,
        says: &["9 workers", "max-parallelism is 8"],
    },
    Wrong {
        name: "no key groups",
        start: |_, config| {
            with(JobConfig {
                max_parallelism: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["max-parallelism", "not 0"],
    },
    Wrong {
        name: "too many key groups",
        start: |_, config| {
            with(JobConfig {
                max_parallelism: 1 << 16,
                ..config
            })
        },
        kind: CONFIG,
        says: &["max-parallelism", "65536"],
    },
    Wrong {
        name: "nothing may be in flight",
        start: |_, config| {
            with(JobConfig {
                max_in_flight: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["max-in-flight"],
    },
    Wrong {
        name: "no byte may be in flight",
        start: |_, config| {
            with(JobConfig {
                max_in_flight_bytes: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["max-in-flight-bytes"],
    },
    Wrong {
        name: "empty batches",
        start: |_, config| {
            with(JobConfig {
                max_batch_records: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["max-batch-records"],
    },
    Wrong {
        name: "a tick of no time",
        start: |_, config| {
            with(JobConfig {
                tick: Duration::ZERO,
                ..config
            })
        },
        kind: CONFIG,
        says: &["tick must be at least 1 ms"],
    },
    Wrong {
        name: "no checkpoint is kept",
        start: |_, config| {
            with(JobConfig {
                retained_checkpoints: 0,
                ..config
            })
        },
        kind: CONFIG,
        says: &["retained-checkpoints"],
    },
    Wrong {
        name: "exactly-once without a directory",
        start: |_, config| {
            let guarantee = Some(Guarantee::ExactlyOnce);
            with(JobConfig {
                guarantee,
                ..config
            })
        },
        kind: CONFIG,
        says: &["exactly-once needs a checkpoint directory"],
    },
    Wrong {
        name: "at-least-once without a directory",
        start: |_, config| {
            let guarantee = Some(Guarantee::AtLeastOnce);
            with(JobConfig {
                guarantee,
                ..config
            })
        },
        kind: CONFIG,
        says: &["at-least-once needs a checkpoint directory"],
    },
    Wrong {
        name: "at-most-once with a directory",
        start: |dir, config| {
            let guarantee = Some(Guarantee::AtMostOnce);
            let checkpoint_dir = Some(dir.join("c"));
            with(JobConfig {
                guarantee,
                checkpoint_dir,
                ..config
            })
        },
        kind: CONFIG,
        says: &["at-most-once takes no checkpoints", "/c is given"],
    },
    Wrong {
        name: "a checkpoint to resume, but no directory",
        start: |_, config| {
            with(JobConfig {
                resume: Resume::Checkpoint(4),
                ..config
            })
        },
        kind: CONFIG,
        says: &["checkpoint 4", "--checkpoint-dir"],
    },
    Wrong {
        name: "a job without a source",
        start: |_, config| Job::new("empty").start(config),
        kind: GRAPH,
        says: &["no source"],
    },
    Wrong {
        name: "a job without a sink",
        start: |_, config| numbers().0.start(config),
        kind: GRAPH,
        says: &["no sink"],
    },
    Wrong {
        name: "two operators with one uid",
        start: |_, config| {
            let (job, numbers) = numbers();
            let first = numbers.map(|n| n).name("first").uid("same");
            first
                .map(|n| n)
                .name("second")
                .uid("same")
                .sink("out", Null::new());
            job.start(config)
        },
        kind: GRAPH,
        says: &["\"first\"", "\"second\"", "uid \"same\""],
    },
    Wrong {
        name: "dead letters that nobody reads",
        start: |_, config| {
            let (job, numbers) = numbers();
            let numbers = numbers.map(|n| n).on_error(ErrorPolicy::DeadLetter);
            numbers.sink("out", Null::new());
            job.start(config)
        },
        kind: GRAPH,
        says: &["nobody reads the dead letters of operator \"map\""],
    },
    Wrong {
        name: "an idle timeout of nothing",
        start: |_, config| {
            let job = Job::new("idle");
            let strategy = WatermarkStrategy::ascending().idle_after(Duration::ZERO);
            job.timed_source("in", Collection::new(vec![1]), strategy)
                .sink("out", Null::new());
            job.start(config)
        },
        kind: GRAPH,
        says: &["\"in\"", "idle timeout of less than 1 ms"],
    },
    Wrong {
        name: "ingestion time and timestamps",
        start: |_, config| {
            let job = Job::new("both");
            let strategy = WatermarkStrategy::ingestion_time().with_timestamps(|n: &i64| *n);
            job.timed_source("in", Collection::new(vec![1]), strategy)
                .sink("out", Null::new());
            job.start(config)
        },
        kind: GRAPH,
        says: &["\"in\"", "ingestion"],
    },
    Wrong {
        name: "a tumbling window of no size",
        start: |_, config| {
            let windows = Tumbling::of(Duration::ZERO);
            keyed(config, |keyed| {
                keyed.window(windows).count().sink("out", Null::new())
            })
        },
        kind: GRAPH,
        says: &["\"window\"", "at least 1 ms"],
    },
    Wrong {
        name: "a sliding window that does not slide",
        start: |_, config| {
            let windows = Sliding::of(Duration::from_secs(1), Duration::ZERO);
            keyed(config, |keyed| {
                keyed.window(windows).count().sink("out", Null::new())
            })
        },
        kind: GRAPH,
        says: &["\"window\"", "at least 1 ms"],
    },
    Wrong {
        name: "a count window of no records",
        start: |_, config| {
            let windows = CountWindow::of(0);
            keyed(config, |keyed| {
                keyed.window(windows).count().sink("out", Null::new())
            })
        },
        kind: GRAPH,
        says: &["\"window\"", "at least 1"],
    },
    Wrong {
        name: "a session without a gap",
        start: |_, config| {
            let windows = Session::with_gap(Duration::ZERO);
            keyed(config, |keyed| {
                keyed.window(windows).count().sink("out", Null::new())
            })
        },
        kind: GRAPH,
        says: &["\"window\"", "at least 1 ms"],
    },
    Wrong {
        name: "a window over records without event time",
        start: |_, config| {
            let job = Job::new("untimed");
            let windows = Tumbling::of(Duration::from_secs(1));
            let keyed = job
                .source("in", Collection::new(vec![1]))
                .key_by(|n: &i64| *n);
            keyed.window(windows).count().sink("out", Null::new());
            job.start(config)
        },
        kind: ErrorKind::UserFunction,
        says: &["\"window\"", "record 0", "no event time"],
    },
    Wrong {
        name: "a savepoint that is not there",
        start: |dir, config| {
            let resume = Resume::Savepoint(dir.join("gone"));
            with(JobConfig { resume, ..config })
        },
        kind: ErrorKind::Restore,
        says: &["/gone"],
    },
    Wrong {
        name: "a savepoint that is a file",
        start: |dir, config| {
            let file = dir.join("file");
            std::fs::write(&file, "x").unwrap();
            let resume = Resume::Savepoint(file);
            with(JobConfig { resume, ..config })
        },
        kind: ErrorKind::Restore,
        says: &["/file"],
    },
    Wrong {
        name: "a checkpoint directory under a file",
        start: |_, config| {
            let checkpoint_dir = Some(PathBuf::from("/dev/null/checkpoints"));
            with(JobConfig {
                checkpoint_dir,
                ..config
            })
        },
        kind: CONFIG,
        says: &["checkpoint directory /dev/null/checkpoints"],
    },
    Wrong {
        name: "a checkpoint directory where nobody can write",
        start: |_, config| {
            let checkpoint_dir = Some(PathBuf::from("/proc/checkpoints"));
            with(JobConfig {
                checkpoint_dir,
                ..config
            })
        },
        kind: CONFIG,
        says: &["checkpoint directory /proc/checkpoints"],
    },
    Wrong {
        name: "a port in use",
        start: |_, config| {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let metrics_addr = Some(taken.local_addr().unwrap());
            with(JobConfig {
                metrics_addr,
                ..config
            })
        },
        kind: CONFIG,
        says: &["127.0.0.1:"],
    },
    Wrong {
        name: "two jobs on one checkpoint directory",
        start: |dir, config| {
            let checkpoint_dir = Some(dir.join("c"));
            let config = JobConfig {
                checkpoint_dir,
                ..config
            };
            let numbers = crate::harness::Numbers::unbounded(1).held_at(10);
            let first = counting(&numbers, &dir.join("first"))
                .start(config.clone())
                .unwrap();
            let second = counting(&numbers, &dir.join("second")).start(config);
            drop(first);
            second
        },
        kind: ErrorKind::Locked,
        says: &["/c"],
    },
];

#[test]
fn settings() {
    check(ROWS);
}
