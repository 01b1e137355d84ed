//! How a job runs: mode, guarantee, workers, checkpoints. The same settings come from code, from
//! a TOML file, from environment variables and from flags; `cli` fixes the precedence.

use crate::error::{Error, ErrorKind, Result};
use crate::hash::DEFAULT_KEY_GROUPS;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The switch: how records are driven through the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Record by record, as they arrive.
    Continuous,
    /// As Spark does it: at each trigger every source takes what is there as one batch, stages
    /// work it off one after the other, and only then does the next batch begin.
    MicroBatch {
        /// The time from one trigger to the next; zero is back to back.
        interval: Duration,
    },
}

impl Mode {
    /// Whether this is [`Mode::MicroBatch`].
    pub fn is_micro_batch(self) -> bool {
        matches!(self, Mode::MicroBatch { .. })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Continuous => f.write_str("continuous"),
            Mode::MicroBatch { interval } => write!(f, "micro-batch ({interval:?})"),
        }
    }
}

/// When a job ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// When every source has ended; unbounded sources never do.
    #[default]
    Unbounded,
    /// Work off what is there when the job starts, then end (Spark's `Trigger.AvailableNow`).
    AvailableNow,
}

/// What a job promises about the effect of each record after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Guarantee {
    /// No checkpoints: after a failure the job starts anew, and what was under way is lost.
    AtMostOnce,
    /// Checkpoints without alignment: after a failure some records are counted twice.
    AtLeastOnce,
    /// Aligned checkpoints: state and transactional sinks show each record exactly once.
    #[default]
    ExactlyOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::AtMostOnce => "at-most-once",
            Guarantee::AtLeastOnce => "at-least-once",
            Guarantee::ExactlyOnce => "exactly-once",
        })
    }
}

/// What a job starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// The newest complete checkpoint in the checkpoint directory; from the start when there is
    /// none.
    #[default]
    Latest,
    /// From the start, whatever the checkpoint directory holds. Older checkpoints go away once sources and
    /// sinks are open; savepoints stay.
    Fresh,
    /// This checkpoint of the checkpoint directory.
    Checkpoint(u64),
    /// A savepoint (or a checkpoint directory of another job): its path.
    Savepoint(PathBuf),
}

/// Whether the status line is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Only when standard error is a terminal.
    #[default]
    Auto,
    /// Always, one line a second.
    On,
    /// Never.
    Off,
}

/// How a job runs. All fields have defaults: `JobConfig { workers: 2, ..Default::default() }`.
#[derive(Clone, Debug, PartialEq)]
pub struct JobConfig {
    /// Worker threads in this process. Default 1.
    pub workers: usize,
    /// Continuous or micro-batch. Default continuous.
    pub mode: Mode,
    /// When the job ends by itself.
    pub trigger: Trigger,
    /// Default exactly-once when there is a checkpoint directory, at-most-once when there is none.
    pub guarantee: Option<Guarantee>,
    /// Where checkpoints go; none: no checkpoints.
    pub checkpoint_dir: Option<PathBuf>,
    /// The time from the completion of one checkpoint to the next barrier. Default 1 s.
    pub checkpoint_interval: Duration,
    /// How many complete checkpoints are kept. Default 2.
    pub retained_checkpoints: usize,
    /// What to start from.
    pub resume: Resume,
    /// Go on although the checkpoint holds state of operators that the job does not have.
    pub allow_dropped_state: bool,
    /// The number of key groups, the most workers the job can ever run on. Default 4,096. Fixed for
    /// the life of a job's state.
    pub max_parallelism: u32,
    /// How often the epoch rises while records flow. Default 10 ms.
    pub tick: Duration,
    /// The most records that one source instance has under way (sent, and not yet through the
    /// job); it stops reading at that many. Default 262,144.
    pub max_in_flight: usize,
    /// The most bytes that one source instance has under way, for sources that count bytes.
    /// Default 64 MiB.
    pub max_in_flight_bytes: usize,
    /// The most records that one source instance takes into one micro-batch. Default 1,000,000.
    pub max_batch_records: usize,
    /// Workers never sleep: lower latency for a core each.
    pub spin: bool,
    /// Progress is sent eagerly rather than on demand (timely's `ProgressMode`).
    pub eager_progress: bool,
    /// Chain stateless steps into the operator before them. Default true.
    pub chaining: bool,
    /// The status line on standard error.
    pub status: Status,
    /// Serve metrics, health and status over HTTP at this address. Default none.
    pub metrics_addr: Option<SocketAddr>,
    /// Measure what is not counted anyway: busy and back-pressured time, latency. Default true. Without it
    /// those are zero in reports.
    pub measure: bool,
    /// Count timely's progress messages, which costs two allocations for each. Default false.
    pub count_progress: bool,
}

impl Default for JobConfig {
    fn default() -> Self {
        JobConfig {
            workers: 1,
            mode: Mode::Continuous,
            trigger: Trigger::Unbounded,
            guarantee: None,
            checkpoint_dir: None,
            checkpoint_interval: Duration::from_secs(1),
            retained_checkpoints: 2,
            resume: Resume::Latest,
            allow_dropped_state: false,
            max_parallelism: DEFAULT_KEY_GROUPS,
            tick: Duration::from_millis(10),
            max_in_flight: 1 << 18,
            max_in_flight_bytes: 64 << 20,
            max_batch_records: 1_000_000,
            spin: false,
            eager_progress: false,
            chaining: true,
            status: Status::Auto,
            metrics_addr: None,
            measure: true,
            count_progress: false,
        }
    }
}

impl JobConfig {
    /// The guarantee in force: the one given, or what the checkpoint directory implies.
    pub fn effective_guarantee(&self) -> Guarantee {
        self.guarantee.unwrap_or(if self.checkpoint_dir.is_some() {
            Guarantee::ExactlyOnce
        } else {
            Guarantee::AtMostOnce
        })
    }

    /// Checks that the settings are possible and do not contradict each other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the setting.
    pub fn validate(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::new(ErrorKind::Config, text));
        if self.workers == 0 {
            return wrong("workers must be at least 1".into());
        }
        if self.max_parallelism == 0 || self.max_parallelism > 1 << 15 {
            return wrong(format!(
                "max-parallelism must lie in 1..=32768, not {}",
                self.max_parallelism
            ));
        }
        if self.workers as u64 > u64::from(self.max_parallelism) {
            return wrong(format!(
                "{} workers, but max-parallelism is {}",
                self.workers, self.max_parallelism
            ));
        }
        if self.max_in_flight == 0 || self.max_in_flight_bytes == 0 || self.max_batch_records == 0 {
            return wrong(
                "max-in-flight, max-in-flight-bytes and max-batch-records must be at least 1"
                    .into(),
            );
        }
        if self.tick < Duration::from_millis(1) {
            return wrong(format!("tick must be at least 1 ms, not {:?}", self.tick));
        }
        if self.retained_checkpoints == 0 {
            return wrong("retained-checkpoints must be at least 1".into());
        }
        match (self.guarantee, &self.checkpoint_dir) {
            (Some(g @ (Guarantee::AtLeastOnce | Guarantee::ExactlyOnce)), None) => {
                return wrong(format!(
                    "{g} needs a checkpoint directory (--checkpoint-dir)"
                ));
            }
            (Some(Guarantee::AtMostOnce), Some(dir)) => {
                return wrong(format!(
                    "at-most-once takes no checkpoints, but the checkpoint directory {} is given",
                    dir.display()
                ));
            }
            _ => {}
        }
        if !cfg!(feature = "http")
            && let Some(addr) = self.metrics_addr
        {
            return wrong(format!(
                "metrics-addr {addr}: this program was built without the feature `http`"
            ));
        }
        if let (Resume::Checkpoint(id), None) = (&self.resume, &self.checkpoint_dir) {
            return wrong(format!(
                "to resume from checkpoint {id} a checkpoint directory is needed (--checkpoint-dir)"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let message = |config: JobConfig| config.validate().unwrap_err().to_string();
        assert!(
            message(JobConfig {
                workers: 0,
                ..Default::default()
            })
            .contains("workers")
        );
        assert!(
            message(JobConfig {
                guarantee: Some(Guarantee::ExactlyOnce),
                ..Default::default()
            })
            .contains("checkpoint directory")
        );
        assert!(
            message(JobConfig {
                workers: 5,
                max_parallelism: 4,
                ..Default::default()
            })
            .contains("max-parallelism is 4")
        );
    }
}
