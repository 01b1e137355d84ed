//! Running a job: preparing it, starting its workers, waiting for its end.

mod builder;
pub(crate) mod control;
mod discovery;
pub(crate) mod events;
mod handle;
mod monitor;
mod prepare;
mod report;
mod stall;
mod view;
mod watermarks;
mod worker;

pub use builder::{Builder, Edge};
pub use control::Outcome;
pub use handle::JobHandle;
pub use prepare::Options;
pub(crate) use prepare::Prepared;
pub use report::{
    InstanceReport, JobReport, LatencyReport, OperatorReport, SourceReport, SplitReport,
    WorkerReport, lag_ms,
};
pub use stall::StallWatch;
pub use view::JobView;
pub use watermarks::{Holder, WatermarkHold, slowest_hold};

use crate::config::JobConfig;
use crate::error::Result;
use crate::graph::Graph;

/// Starts a job in this process.
///
/// # Errors
/// Everything that is wrong before the first record: settings, graph, checkpoint, a missing input.
pub fn start(graph: Graph, config: JobConfig) -> Result<JobHandle> {
    start_with(graph, config, Options::default())
}

/// [`start`], with a clock and a checkpoint store of the caller's.
///
/// # Errors
/// As [`start`].
pub fn start_with(graph: Graph, config: JobConfig, options: Options) -> Result<JobHandle> {
    let _span = events::job_span(&graph.name).entered();
    events::not_started(Prepared::new(graph, config, options).and_then(|prepared| {
        events::starting(&prepared);
        worker::launch(prepared)
    }))
}
