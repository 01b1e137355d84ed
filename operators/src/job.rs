//! A job under construction.

use crate::stream::Stream;
use millstream_runtime::config::JobConfig;
use millstream_runtime::error::Result;
use millstream_runtime::graph::{ExplainFormat, Graph};
use millstream_runtime::job::{self, Builder, JobHandle, Options};
use millstream_runtime::source::Source;
use millstream_runtime::watermark::WatermarkStrategy;

/// A job: a named graph of sources, operators and sinks.
///
/// Building it runs nothing; [`start`](Job::start) does, in this process.
pub struct Job {
    builder: Builder,
}

impl Job {
    /// An empty job.
    pub fn new(name: impl Into<String>) -> Self {
        Job {
            builder: Builder::new(name),
        }
    }

    /// Adds a source whose records keep the event times that the source gives them (most give none).
    /// Its watermark stands still until it has ended.
    pub fn source<S: Source>(&self, name: impl Into<String>, source: S) -> Stream<S::Item> {
        let port = self.builder.source(name, source, None);
        Stream::new(self.builder.clone(), port)
    }

    /// Adds a source with event times and watermarks, kept per split.
    pub fn timed_source<S: Source>(
        &self,
        name: impl Into<String>,
        source: S,
        strategy: WatermarkStrategy<S::Item>,
    ) -> Stream<S::Item> {
        let port = self.builder.source(name, source, Some(strategy));
        Stream::new(self.builder.clone(), port)
    }

    /// The graph as it is now.
    pub fn graph(&self) -> Graph {
        self.builder.graph()
    }

    /// Explains the graph and how it is compiled.
    pub fn explain(&self, format: ExplainFormat) -> String {
        self.graph().explain(format, true)
    }

    /// Starts the job in this process.
    ///
    /// # Errors
    /// Everything that is wrong before the first record: settings, graph, checkpoint, a missing
    /// input.
    pub fn start(&self, config: JobConfig) -> Result<JobHandle> {
        job::start(self.graph(), config)
    }

    /// [`start`](Job::start), with a clock and a checkpoint store of the caller's.
    ///
    /// # Errors
    /// As [`start`](Job::start).
    pub fn start_with(&self, config: JobConfig, options: Options) -> Result<JobHandle> {
        job::start_with(self.graph(), config, options)
    }
}
