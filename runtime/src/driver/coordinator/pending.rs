//! The checkpoint under way: why it was begun, how far it is, and which workers have done their part.

use crate::checkpoint::{CheckpointKind, PartFile};
use crate::clock::Stopwatch;
use crate::time::CheckpointId;
use std::collections::HashSet;

/// Why a barrier was injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The interval has passed.
    Periodic,
    /// The user asked for a savepoint and the job goes on.
    Savepoint,
    /// The user asked the job to stop.
    Stop,
    /// All sources have ended.
    Final,
}

impl Purpose {
    pub fn ends_the_job(self) -> bool {
        matches!(self, Purpose::Stop | Purpose::Final)
    }

    /// As what the manifest files it.
    pub fn kind(self) -> CheckpointKind {
        match self {
            Purpose::Periodic | Purpose::Stop => CheckpointKind::Checkpoint,
            Purpose::Savepoint => CheckpointKind::Savepoint,
            Purpose::Final => CheckpointKind::Final,
        }
    }
}

/// The life of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// None is under way.
    Idle,
    /// The barrier travels; workers make their parts durable.
    Parts,
    /// All parts are durable; the manifest is being written.
    Manifest,
    /// It is complete; sinks commit.
    Commit,
    /// The job is over.
    Halted,
}

/// The checkpoint under way.
pub(super) struct Pending {
    pub checkpoint: CheckpointId,
    pub purpose: Purpose,
    /// Its snapshot is complete in itself.
    pub whole: bool,
    pub started: Stopwatch,
    /// What was made durable.
    pub parts: Vec<PartFile>,
    pub failure: Option<String>,
    reported: HashSet<usize>,
    committed: HashSet<usize>,
}

impl Pending {
    pub fn new(checkpoint: CheckpointId, purpose: Purpose, whole: bool) -> Self {
        Pending {
            checkpoint,
            purpose,
            whole,
            started: Stopwatch::start(),
            parts: Vec::new(),
            failure: None,
            reported: HashSet::new(),
            committed: HashSet::new(),
        }
    }

    /// Takes what a worker says of its part: durable, nothing to write, or failed.
    pub fn take_part(&mut self, worker: usize, part: Result<Option<PartFile>, String>) {
        self.reported.insert(worker);
        match part {
            Ok(part) => self.parts.extend(part),
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// Whether all workers have reported their part.
    pub fn is_reported(&self, workers: usize) -> bool {
        self.reported.len() == workers
    }

    /// The sinks of a worker have committed; whether those of all workers have.
    pub fn take_committed(&mut self, worker: usize, workers: usize) -> bool {
        self.committed.insert(worker);
        self.committed.len() == workers
    }

    /// Bytes that were written for it.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_reported_when_each_worker_has_done_so_once() {
        let mut pending = Pending::new(1, Purpose::Periodic, true);
        pending.take_part(0, Ok(None));
        pending.take_part(0, Ok(None));
        assert!(!pending.is_reported(2));
        pending.take_part(1, Err("disk full".into()));
        assert!(pending.is_reported(2));
        assert_eq!(pending.failure.as_deref(), Some("disk full"));
    }

    #[test]
    fn a_failed_part_is_not_forgotten_when_a_later_one_is_sound() {
        let mut pending = Pending::new(1, Purpose::Periodic, true);
        pending.take_part(0, Err("disk full".into()));
        pending.take_part(1, Ok(None));
        assert_eq!(pending.failure.as_deref(), Some("disk full"));
    }

    #[test]
    fn it_is_committed_when_each_worker_has_done_so_once() {
        let mut pending = Pending::new(1, Purpose::Final, true);
        assert!(!pending.take_committed(1, 2));
        assert!(!pending.take_committed(1, 2));
        assert!(pending.take_committed(0, 2));
    }
}
