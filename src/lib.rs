//! Millstream is a continuous, record-at-a-time stream processor, as a library.
//!
//! A job is a Rust graph of sources, operators and sinks. Records flow through it one by one with
//! microsecond latency; watermarks and checkpoint barriers are carried by timely dataflow's own
//! progress tracking; one switch runs the very same job as micro-batches.
//!
//! ```
//! use millstream::prelude::*;
//! use std::time::Duration;
//!
//! let job = Job::new("temperatures");
//! let readings = vec![(1_000, ("cellar", 11.5)), (2_000, ("roof", 24.0)), (61_000, ("cellar", 12.0))];
//! let readings = readings.into_iter().map(|(ms, (room, t))| (ms, (room.to_string(), t))).collect();
//! let (sink, results) = Collect::new();
//! job.timed_source("readings", Collection::timed(readings), WatermarkStrategy::ascending())
//!     .keyed()
//!     .window(Tumbling::of(Duration::from_secs(60)))
//!     .aggregate(Max::of(|t: &f64| *t))
//!     .sink("results", sink);
//! job.start(JobConfig::default())?.wait()?;
//!
//! let mut rows: Vec<String> = results.take().into_iter().map(|w| format!("{} {} {}", w.window, w.key, w.value)).collect();
//! rows.sort();
//! assert_eq!(rows, ["[0, 60000) cellar 11.5", "[0, 60000) roof 24", "[60000, 120000) cellar 12"]);
//! # Ok::<(), millstream::Error>(())
//! ```
//!
//! # Where to look
//! - [`operators`]: streams, keyed streams, windows
//! - [`connectors`]: sources and sinks, each with its delivery guarantee
//! - [`runtime`]: what connectors and operators are written against: the contracts of
//!   [sources](runtime::source), [sinks](runtime::sink) and [operators](runtime::operator), state,
//!   checkpoints
//! - [`testing`]: operators without a job, scripts, the contract kit
//! - [`runtime::config`]: every setting of a job

pub mod testing;

pub use millstream_connectors as connectors;
pub use millstream_operators as operators;
pub use millstream_runtime as runtime;

pub use millstream_operators::{Job, main};
pub use millstream_runtime::cli::{Args, Program};
pub use millstream_runtime::config::{Guarantee, JobConfig, Mode, Resume, Trigger};
pub use millstream_runtime::job::{JobHandle, JobReport, Outcome};
pub use millstream_runtime::{Error, ErrorKind, Result};

/// Everything that a job usually needs.
pub mod prelude {
    pub use crate::connectors::callback::{ForEach, ForEachBatch, PollSource, Polled, RecvSource};
    pub use crate::connectors::collect::Collect;
    pub use crate::connectors::console::Console;
    pub use crate::connectors::files::{Compression, FileSink, FileSource, TextFiles, TimeBucket};
    pub use crate::connectors::format::{Csv, JsonLines, Lines, Located, partition_folder};
    pub use crate::connectors::generator::Generator;
    pub use crate::connectors::memory::{self, Collection};
    pub use crate::connectors::null::Null;
    pub use crate::connectors::stdin::Stdin;
    pub use crate::connectors::tcp::{TcpSink, TcpSource};
    pub use crate::operators::*;
    pub use crate::runtime::config::{Guarantee, JobConfig, Mode, Resume, Trigger};
    pub use crate::runtime::dead_letter::{DeadLetter, DeadLetterKind, ErrorPolicy};
    pub use crate::runtime::job::{JobHandle, JobReport, Outcome};
    pub use crate::runtime::operator::UserResult;
    pub use crate::runtime::record::{Data, Key, Record};
    pub use crate::runtime::watermark::{WatermarkGenerator, WatermarkStrategy};
    pub use crate::runtime::{Error, ErrorKind, Result};
    pub use crate::{Args, Program};
}

/// The README's snippets are tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;

/// So are those of the page on process functions.
#[cfg(feature = "async")]
#[doc = include_str!("../docs/process-functions.md")]
#[cfg(doctest)]
struct ProcessFunctions;

/// So are those of the page on windows.
#[doc = include_str!("../docs/windows.md")]
#[cfg(doctest)]
struct WindowsPage;

/// And of the page on aggregates.
#[doc = include_str!("../docs/aggregates.md")]
#[cfg(doctest)]
struct AggregatesPage;

/// The snippets of the pages on connectors are tests.
#[doc = include_str!("../docs/connectors.md")]
#[doc = include_str!("../docs/writing-connectors.md")]
#[cfg(doctest)]
struct ConnectorPages;

/// The snippets of the page on errors are tests.
#[doc = include_str!("../docs/errors-and-dead-letters.md")]
#[cfg(doctest)]
struct ErrorsPage;
