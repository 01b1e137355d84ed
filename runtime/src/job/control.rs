//! What the threads of one process share about a running job: its failure, its end, requests to it.

use crate::error::Error;
use crate::graph::NodeId;
use crate::source::Waker;
use crate::state::StateDescriptor;
use crate::time::CheckpointId;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All sources ended and everything was worked off.
    Finished,
    /// It was stopped; where it stood is in the last checkpoint.
    Stopped,
}

/// What a user asks of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Stop,
    Savepoint,
    Drain,
}

/// News from the threads that discover splits.
#[derive(Clone, Debug)]
pub(crate) enum BoardEntry {
    Split {
        node: NodeId,
        worker: usize,
        split: Vec<u8>,
    },
    /// The first discovery is done: reading may begin.
    Begin {
        node: NodeId,
    },
    NoMore {
        node: NodeId,
    },
}

/// What the manifest says of the job.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobDescription {
    pub name: String,
    pub fingerprint: u64,
    pub operators: Vec<(String, String, Vec<StateDescriptor>)>,
    pub sources: usize,
}

/// What became of savepoints; periodic checkpoints that fail are no concern of who asked for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Savepoints {
    /// The newest complete one; 0: none.
    pub complete: CheckpointId,
    /// The last one that failed, and why.
    pub failed: Option<(CheckpointId, String)>,
}

#[derive(Default)]
struct Shared {
    failure: Option<Error>,
    outcome: Option<(Outcome, CheckpointId)>,
    requests: VecDeque<Request>,
    board: VecDeque<BoardEntry>,
    coordinator: Option<Waker>,
    threads: Vec<Thread>,
    savepoints: Savepoints,
}

pub(crate) struct JobControl {
    job: JobDescription,
    shared: Mutex<Shared>,
    changed: Condvar,
    failed: AtomicBool,
    ended: AtomicBool,
    /// Records were sent since the last tick.
    activity: AtomicBool,
    /// The ticker sleeps until there is activity.
    ticker_sleeps: AtomicBool,
    committed: AtomicU64,
}

impl JobControl {
    pub fn new(job: JobDescription) -> Self {
        JobControl {
            job,
            shared: Mutex::default(),
            changed: Condvar::new(),
            failed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            activity: AtomicBool::new(false),
            ticker_sleeps: AtomicBool::new(true),
            committed: AtomicU64::new(0),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn job(&self) -> &JobDescription {
        &self.job
    }

    pub fn sources(&self) -> usize {
        self.job.sources
    }

    /// Ends the job with an error; the first one counts.
    pub fn fail(&self, error: Error) {
        let mut shared = self.shared();
        if shared.failure.is_none() {
            shared.failure = Some(error);
        }
        self.failed.store(true, Ordering::Release);
        for thread in &shared.threads {
            thread.unpark();
        }
        self.changed.notify_all();
    }

    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What ended the job, in words.
    pub fn failure_text(&self) -> Option<String> {
        self.shared().failure.as_ref().map(ToString::to_string)
    }

    pub fn take_failure(&self) -> Option<Error> {
        self.shared().failure.take()
    }

    pub fn add_thread(&self, thread: Thread) {
        self.shared().threads.push(thread);
    }

    pub fn set_coordinator(&self, waker: Waker) {
        self.shared().coordinator = Some(waker);
    }

    fn wake_coordinator(&self) {
        let waker = self.shared().coordinator.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn request(&self, request: Request) {
        self.shared().requests.push_back(request);
        self.wake_coordinator();
    }

    pub fn take_requests(&self) -> Vec<Request> {
        self.shared().requests.drain(..).collect()
    }

    pub fn post(&self, entries: Vec<BoardEntry>) {
        self.shared().board.extend(entries);
        self.wake_coordinator();
    }

    pub fn take_board(&self) -> Vec<BoardEntry> {
        self.shared().board.drain(..).collect()
    }

    /// A source has sent records. Wakes the ticker if it sleeps.
    #[inline]
    pub fn note_activity(&self) {
        if !self.activity.load(Ordering::Relaxed) {
            self.activity.store(true, Ordering::SeqCst);
            if self.ticker_sleeps.swap(false, Ordering::SeqCst) {
                self.wake_coordinator();
            }
        }
    }

    /// Whether records were sent since the last call; if not, the ticker sleeps from now on.
    pub fn take_activity(&self) -> bool {
        if self.activity.swap(false, Ordering::SeqCst) {
            return true;
        }
        self.ticker_sleeps.store(true, Ordering::SeqCst);
        // A record that came in between has seen the ticker awake.
        if self.activity.swap(false, Ordering::SeqCst) {
            self.ticker_sleeps.store(false, Ordering::SeqCst);
            return true;
        }
        false
    }

    pub fn note_committed(&self, checkpoint: CheckpointId) {
        self.committed.store(checkpoint, Ordering::Release);
        let _shared = self.shared();
        self.changed.notify_all();
    }

    pub fn committed(&self) -> CheckpointId {
        self.committed.load(Ordering::Acquire)
    }

    pub fn note_savepoint(&self, savepoint: CheckpointId, result: Result<(), &str>) {
        let savepoints = &mut self.shared().savepoints;
        match result {
            Ok(()) => savepoints.complete = savepoint,
            Err(failure) => savepoints.failed = Some((savepoint, failure.to_owned())),
        }
        self.changed.notify_all();
    }

    /// A checkpoint was completed or has failed: who waits for one looks again.
    pub fn note_checkpoint(&self) {
        self.changed.notify_all();
    }

    pub fn savepoints(&self) -> Savepoints {
        self.shared().savepoints.clone()
    }

    pub fn set_outcome(&self, outcome: Outcome, checkpoint: CheckpointId) {
        self.shared().outcome = Some((outcome, checkpoint));
    }

    pub fn outcome(&self) -> Option<(Outcome, CheckpointId)> {
        self.shared().outcome
    }

    /// All workers are gone.
    pub fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
        let _shared = self.shared();
        self.changed.notify_all();
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until the job has ended or failed, a checkpoint was committed or has failed, or the time is
    /// over; whether the job has ended.
    pub fn wait(&self, at_most: Duration) -> bool {
        let shared = self.shared();
        if !self.has_ended() {
            let _ = self.changed.wait_timeout(shared, at_most);
        }
        self.has_ended()
    }
}
