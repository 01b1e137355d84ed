//! Tests of jobs and of your own operators, from the cheapest on:
//!
//! | | what runs | for |
//! |---|---|---|
//! | [`Harness`] | one operator, without a job: records, watermarks and processing time go in by hand | results, late records, timers, state size |
//! | [`contract`] | the same script one by one, batched, with snapshots, restarted, rescaled | operators of your own, process functions |
//! | [`scripted`] | a job on a [`Script`]: records, watermarks, pauses and failures in a fixed order | whole jobs, in both modes |
//!
//! A job that depends on processing time is started with a [`ManualClock`]:
//!
//! ```
//! use millstream::prelude::*;
//! use millstream::runtime::job::Options;
//! use millstream::testing::{Event, ManualClock, Script, scripted};
//! use std::time::Duration;
//! use std::sync::Arc;
//!
//! let job = Job::new("test");
//! let script = Script::new([
//!     Event::Record(1_000, ("ada".to_string(), 1)),
//!     Event::Record(12_000, ("ada".to_string(), 1)),
//!     Event::Watermark(10_000), // fires the first window
//!     Event::Pause,
//!     Event::Record(2_000, ("ada".to_string(), 1)), // late
//! ]);
//! let script_handle = script.handle();
//! let (sink, results) = Collect::new();
//! let (late_sink, late) = Collect::new();
//! let (windows, late_records) = scripted(&job, "clicks", script)
//!     .keyed()
//!     .window(Tumbling::of(Duration::from_secs(10)))
//!     .aggregate_with_late(Count);
//! windows.sink("counts", sink);
//! late_records.sink("late", late_sink);
//!
//! let clock = Arc::new(ManualClock::at_ms(0));
//! let options = Options { clock: Some(clock.clone()), ..Options::default() };
//! let handle = job.start_with(JobConfig::default(), options)?;
//! assert!(handle.wait_for_watermark(10_000, Duration::from_secs(60)));
//! script_handle.resume();
//! handle.wait()?;
//! assert_eq!(results.take().len(), 2);
//! assert_eq!(late.take().len(), 1);
//! # Ok::<(), millstream::Error>(())
//! ```

pub use crate::connectors::collect::{Collect, CollectedHandle};
pub use crate::connectors::script::{Event, Script, ScriptHandle, Signal};
pub use crate::operators::testing::*;
pub use crate::runtime::clock::ManualClock;

use crate::operators::{Job, Stream};
use crate::runtime::record::Data;

/// Adds a source that plays `script`; event times and watermarks are the script's.
pub fn scripted<T: Data + Sync>(job: &Job, name: &str, script: Script<T>) -> Stream<T> {
    scripted_with(job, name, script, |strategy| strategy)
}

/// [`scripted`], with more to say about time: idleness, alignment.
///
/// ```
/// use millstream::testing::{Event, Script, scripted_with};
/// # use millstream::prelude::*;
/// # let job = Job::new("test");
/// # let script = Script::new([Event::Record(1, 1)]).and_split([Event::Pause]);
/// // The second split holds the watermark for ten seconds of the job's clock.
/// let idle_after = std::time::Duration::from_secs(10);
/// let numbers = scripted_with(&job, "numbers", script, |time| time.idle_after(idle_after));
/// ```
pub fn scripted_with<T: Data + Sync>(
    job: &Job,
    name: &str,
    script: Script<T>,
    time: impl FnOnce(
        crate::prelude::WatermarkStrategy<Signal<T>>,
    ) -> crate::prelude::WatermarkStrategy<Signal<T>>,
) -> Stream<T> {
    job.timed_source(name, script, time(Script::strategy()))
        .filter_map(Signal::value)
        .name(format!("{name} values"))
}
