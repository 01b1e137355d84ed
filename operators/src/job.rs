//! A job under construction.

use crate::stream::Stream;
use millstream_runtime::cli::{Args, Program};
use millstream_runtime::config::JobConfig;
use millstream_runtime::dead_letter::DeadLetter;
use millstream_runtime::error::{BoxError, Result};
use millstream_runtime::graph::{ExplainFormat, Graph};
use millstream_runtime::job::{self, Builder, JobHandle, Options};
use millstream_runtime::source::Source;
use millstream_runtime::watermark::WatermarkStrategy;
use std::ffi::OsString;
use std::process::ExitCode;

/// The `main` of a program that runs one job: `build` adds sources, operators and sinks to the job.
///
/// Settings come from flags, environment variables and a settings file; `--help` lists them. The
/// program's own arguments are in [`Args`]. An error of `build` ends the program with one line.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     millstream_operators::main("word-count", |job, args| {
///         let path: String = args.required(0, "INPUT")?;
///         let top: usize = args.parsed("top")?.unwrap_or(10);
///         // job.source("lines", TextFiles::new(path)) …
///         Ok(())
///     })
/// }
/// ```
pub fn main<B>(program: impl Into<Program>, build: B) -> ExitCode
where
    B: FnOnce(&Job, &Args) -> Result<(), BoxError>,
{
    let program = program.into();
    let job = Job::new(program.name());
    program.run(|args| {
        build(&job, args)?;
        Ok(job.graph())
    })
}

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

    /// The dead letters of all operators so far whose policy is
    /// [`ErrorPolicy::DeadLetter`](millstream_runtime::dead_letter::ErrorPolicy::DeadLetter), as one
    /// stream; none if there is no such operator. Call it when the job is built but for this.
    ///
    /// ```
    /// # use millstream_operators::{Job, Stream};
    /// # use millstream_runtime::dead_letter::{DeadLetter, ErrorPolicy};
    /// # use millstream_runtime::sink::Sink;
    /// # fn build(job: &Job, lines: Stream<String>, sink: impl Sink<Item = DeadLetter>) {
    /// let rows = lines.try_map(|line| line.parse::<f64>()).on_error(ErrorPolicy::DeadLetter);
    /// let roots = rows.try_map(|x| root(x)).on_error(ErrorPolicy::DeadLetter);
    /// // …
    /// if let Some(dead) = job.dead_letters() {
    ///     dead.sink("dead letters", sink);
    /// }
    /// # }
    /// # fn root(x: f64) -> Result<f64, String> { Ok(x) }
    /// ```
    pub fn dead_letters(&self) -> Option<Stream<DeadLetter>> {
        let ports = self.builder.all_dead_letters().into_iter();
        let mut streams = ports.map(|port| Stream::new(self.builder.clone(), port));
        let first = streams.next()?;
        Some(first.union(streams).name("dead letters"))
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

    /// Runs the job as this process's work, with the flags, the environment and the signals of the
    /// process; returns the exit status. For programs without arguments of their own; others use
    /// [`main`](crate::main()).
    ///
    /// ```no_run
    /// use millstream_operators::Job;
    /// fn main() -> std::process::ExitCode {
    ///     let job = Job::new("word-count");
    ///     // sources, operators, sinks
    ///     job.run_main()
    /// }
    /// ```
    pub fn run_main(self) -> ExitCode {
        let graph = self.graph();
        Program::new(&*graph.name).run(|_| Ok(graph.clone()))
    }

    /// [`run_main`](Job::run_main) with these arguments (without the program's name) and no
    /// environment: for tests and for programs that run several jobs.
    pub fn run<A>(&self, args: A) -> ExitCode
    where
        A: IntoIterator<Item: Into<OsString>>,
    {
        let graph = self.graph();
        let no_environment = std::iter::empty();
        Program::new(&*graph.name).run_with(args, no_environment, |_| Ok(graph.clone()))
    }
}
