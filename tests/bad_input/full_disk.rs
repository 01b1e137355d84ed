//! A disk that is really full, where the machine lets a test make one; elsewhere only its twin in memory is tried
//! (`tests/failure/disk.rs`).

use crate::harness::{MODES, finish};
use millstream::prelude::*;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A file system of a few pages, for as long as this lives.
struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64k", "tiny"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(TinyDisk(at))
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// The checkpoints fail, and the report says so; the job goes on and its results are whole.
#[test]
fn checkpoints_on_a_full_disk_fail_and_the_job_goes_on() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = TinyDisk::mount(dir.path()) else {
            println!("no file system can be mounted here");
            return;
        };
        let job = Job::new("full");
        let (sink, results) = Collect::new();
        let numbers = Collection::timed((0..20_000).map(|n| (n, n)).collect());
        job.source("numbers", numbers.batch(100))
            .key_by(|n| *n)
            .count()
            .sink("out", sink);
        let config = JobConfig {
            mode,
            max_batch_records: 1_000,
            max_in_flight: 1_000,
            checkpoint_dir: Some(disk.0.join("checkpoints")),
            checkpoint_interval: Duration::from_millis(1),
            guarantee: Some(Guarantee::AtLeastOnce),
            ..JobConfig::default()
        };
        // The last checkpoint fails, too: there is no room for what it has to say.
        match finish(job.start(config).unwrap()) {
            Ok(report) => assert!(report.failed_checkpoints > 0, "{report:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}"),
        }
        assert_eq!(results.take().len(), 20_000);
    }
}
