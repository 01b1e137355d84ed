//! What can be asked of a running job, by anyone who may only look.

use super::control::JobControl;
use super::prepare::Prepared;
use super::report::{JobReport, report_of};
use super::watermarks::{WatermarkHold, watermark_holds};
use crate::clock::Stopwatch;
use std::sync::Arc;

/// A look at a job. Clones look at the same job.
#[derive(Clone)]
pub struct JobView {
    job: Arc<Prepared>,
    control: Arc<JobControl>,
    started: Stopwatch,
}

impl JobView {
    pub(super) fn new(job: Arc<Prepared>, control: Arc<JobControl>, started: Stopwatch) -> Self {
        JobView {
            job,
            control,
            started,
        }
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.job.graph.name
    }

    /// What the job did so far.
    pub fn report(&self) -> JobReport {
        report_of(&self.job, &self.control, self.started.elapsed())
    }

    /// Why the job has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        self.control.failure_text()
    }

    /// Who holds whose watermark: for every operator and worker its watermark, and the source split or
    /// operator that keeps it from rising.
    pub fn watermarks(&self) -> Vec<WatermarkHold> {
        watermark_holds(
            &self.job.graph,
            &self.job.uids,
            &self.job.registry,
            self.job.clock.now_ms(),
        )
    }
}
