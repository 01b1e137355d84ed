//! A source that makes its records: for examples, tests and benchmarks.
//!
//! Exactly-once: record `i` is a function of the seed and of `i` alone, so a split can be replayed
//! from any position. A split's snapshot holds the index of its next record and the start of the
//! schedule.

mod reader;

use crate::position;
use millstream_runtime::clock::{SharedClock, SystemClock};
use millstream_runtime::record::Data;
use millstream_runtime::source::{
    FixedSplits, ReaderContext, Source, Split, SplitEnumerator, SplitReader,
};
use millstream_runtime::time::EventTime;
use millstream_runtime::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

const VERSION: u8 = 1;

/// Which record is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Its index, from 0, over all splits.
    pub index: u64,
    /// When it is due: nanoseconds since the Unix epoch on the generator's clock. Latency is
    /// measured from here: a job that falls behind its schedule does not slow the schedule down.
    pub scheduled_ns: i64,
}

/// Gives each generated record its event time. Implemented for functions of the index.
pub trait EventTimes: Clone + Send + Sync + 'static {
    /// The event time of the record, in milliseconds since the Unix epoch.
    fn event_time(&self, at: Scheduled) -> EventTime;
}

impl<F: Fn(u64) -> EventTime + Clone + Send + Sync + 'static> EventTimes for F {
    #[inline]
    fn event_time(&self, at: Scheduled) -> EventTime {
        self(at.index)
    }
}

/// Event time is the time at which the record is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct BySchedule;

impl EventTimes for BySchedule {
    #[inline]
    fn event_time(&self, at: Scheduled) -> EventTime {
        at.scheduled_ns.div_euclid(1_000_000)
    }
}

/// Makes records by a function of their index and a random number generator that is seeded for it.
///
/// With a [`rate`](Self::rate) the load is *open loop*: record `i` is due at `start + i / rate`,
/// whatever the job does. A job that was held up, paused or restarted gets at once what has become
/// due meanwhile; so a resumed run keeps its schedule. Without a rate records come as fast as
/// they are taken; they are stamped as if one were due each microsecond.
///
/// Cost: a few nanoseconds a record besides the function itself; nothing is called by pointer per record.
///
/// ```
/// use millstream_connectors::generator::Generator;
/// let clicks = Generator::new(|at, rng| (rng.u32(0..10_000), at.scheduled_ns))
///     .rate(100_000.0)
///     .total(1_000_000)
///     .splits(2);
/// let fast = Generator::new(|at, _| at.index).total(1 << 20).event_time(|index| index as i64 / 10);
/// ```
pub struct Generator<T, F, E = BySchedule> {
    make: F,
    event_times: E,
    seed: u64,
    rate: Option<f64>,
    total: u64,
    splits: u64,
    delay: Duration,
    clock: SharedClock,
    item: PhantomData<fn() -> T>,
}

impl<T, F> Generator<T, F>
where
    T: Data,
    F: Fn(Scheduled, &mut fastrand::Rng) -> T + Clone + Send + Sync + 'static,
{
    /// A source of the records that `make` makes: endless, unlimited, one split, seed 0.
    pub fn new(make: F) -> Self {
        Generator {
            make,
            event_times: BySchedule,
            seed: 0,
            rate: None,
            total: u64::MAX,
            splits: 1,
            delay: Duration::ZERO,
            clock: SystemClock::shared(),
            item: PhantomData,
        }
    }

    /// Takes event times from a function of the index. Default: the time at which the record is due.
    pub fn event_time<E: Fn(u64) -> EventTime + Clone + Send + Sync + 'static>(
        self,
        event_time: E,
    ) -> Generator<T, F, E> {
        Generator {
            make: self.make,
            event_times: event_time,
            seed: self.seed,
            rate: self.rate,
            total: self.total,
            splits: self.splits,
            delay: self.delay,
            clock: self.clock,
            item: PhantomData,
        }
    }
}

impl<T, F, E> Generator<T, F, E> {
    /// Seeds the random numbers: the same seed gives the same records. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes `records_per_second` over all splits, by an open-loop schedule. Default: unlimited.
    ///
    /// # Panics
    /// When the rate is not a number above 0.
    pub fn rate(mut self, records_per_second: f64) -> Self {
        assert!(
            records_per_second > 0.0 && records_per_second.is_finite(),
            "a rate must be a number above 0, not {records_per_second}"
        );
        self.rate = Some(records_per_second);
        self
    }

    /// Ends after `records`, over all splits. Default: never.
    pub fn total(mut self, records: u64) -> Self {
        self.total = records;
        self
    }

    /// Spreads the records over `splits` splits: split `s` makes the records `s`, `s + splits` and so on.
    /// Default 1.
    ///
    /// # Panics
    /// When `splits` is 0.
    pub fn splits(mut self, splits: usize) -> Self {
        assert!(splits > 0, "a generator needs at least one split");
        self.splits = splits as u64;
        self
    }

    /// Begins the schedule this long after the job was started, so that the time that it takes to start
    /// does not show as latency. Default: at once.
    pub fn start_after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Takes the time from `clock` rather than from the machine.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

/// A split of a [`Generator`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratorSplit {
    /// The index of its first record.
    first: u64,
    /// When record 0 is due. All splits share it, so they keep one schedule in all processes.
    start_ns: i64,
}

impl Split for GeneratorSplit {
    fn id(&self) -> String {
        self.first.to_string()
    }
}

impl<T, F, E> Source for Generator<T, F, E>
where
    T: Data,
    F: Fn(Scheduled, &mut fastrand::Rng) -> T + Clone + Send + Sync + 'static,
    E: EventTimes,
{
    type Item = T;
    type Split = GeneratorSplit;

    fn describe(&self) -> String {
        match self.rate {
            Some(rate) => format!("generator of {rate} records/s, seed {}", self.seed),
            None => format!("generator, seed {}", self.seed),
        }
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<GeneratorSplit>>> {
        let start_ns = self.clock.now_ns() + self.delay.as_nanos() as i64;
        let splits = (0..self.splits).map(|first| GeneratorSplit { first, start_ns });
        Ok(Box::new(FixedSplits(splits.collect())))
    }

    fn open(
        &self,
        split: &GeneratorSplit,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        let (next, start_ns) = match position {
            Some(bytes) => {
                let what = format!("generator split {}", split.first);
                let [next, start] = position::decode(VERSION, bytes, &what)?;
                (next, start as i64)
            }
            None => (split.first, split.start_ns),
        };
        Ok(Box::new(reader::Reader {
            make: self.make.clone(),
            event_times: self.event_times.clone(),
            seed: self.seed,
            schedule: self.schedule(start_ns),
            next,
            stride: self.splits,
            end: self.present_end(start_ns, context)?,
            clock: Arc::clone(&self.clock),
        }))
    }
}

impl<T, F, E> Generator<T, F, E> {
    fn schedule(&self, start_ns: i64) -> reader::Schedule {
        reader::Schedule {
            start_ns,
            period_ns: self.rate.map_or(1_000.0, |rate| 1e9 / rate),
            paced: self.rate.is_some(),
        }
    }

    /// Where to end: at the total; an endless generator with a rate that is to read what is there
    /// now ends with the record that is due now.
    fn present_end(&self, start_ns: i64, context: &ReaderContext) -> Result<u64> {
        if !context.available_now || self.total != u64::MAX {
            return Ok(self.total);
        }
        if self.rate.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "an endless generator without a rate has no present end: give it a total or a rate",
            ));
        }
        Ok(self.schedule(start_ns).due_at(self.clock.now_ns()))
    }
}

#[cfg(test)]
mod tests;
