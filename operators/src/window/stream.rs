//! A keyed stream cut into windows.

use super::assign::{EventTimeWindows, millis, words};
use super::plan::{Plan, Results, Windowing};
use super::{Windowed, Windows};
use crate::aggregate::{Aggregator, Count, Fold, Reduce};
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::record::{Data, Key};
use std::sync::Arc;
use std::time::Duration;

/// Results of windows, with their keys and windows.
pub type WindowResults<K, R> = Stream<Windowed<K, R>>;
/// Records that came after their window had ended, with their keys.
pub type LateRecords<K, V> = Stream<(K, V)>;

/// A keyed stream cut into windows `W`: say when they fire, if not at their end, and what to compute
/// in each.
pub struct WindowedStream<K, V, W> {
    keyed: KeyedStream<K, V>,
    windows: W,
    lateness_ms: i64,
}

impl<K: Key, V: Data, W> WindowedStream<K, V, W> {
    pub(crate) fn new(keyed: KeyedStream<K, V>, windows: W) -> Self {
        WindowedStream {
            keyed,
            windows,
            lateness_ms: 0,
        }
    }
}

impl<K: Key, V: Data, W: EventTimeWindows> WindowedStream<K, V, W> {
    /// Keeps a window for this long after its end: records that come until then update its result,
    /// which is put out again for each. Later ones are late. Default: zero.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.lateness_ms = millis(lateness);
        self
    }

    /// Hands out the late records as well: those that came after their window (and its allowed lateness) had
    /// ended. What is computed next returns two streams.
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Tumbling};
    /// # use std::time::Duration;
    /// fn per_minute(clicks: &KeyedStream<String, u64>) {
    ///     let minutes = clicks.window(Tumbling::of(Duration::from_secs(60)));
    ///     let (counts, late) = minutes.with_late_records().count();
    /// }
    /// ```
    pub fn with_late_records(self) -> LateWindowedStream<K, V, W> {
        LateWindowedStream { windowed: self }
    }
}

impl<K: Key, V: Data, W: Windowing<V>> WindowedStream<K, V, W> {
    /// Counts the records of each window.
    pub fn count(self) -> WindowResults<K, u64> {
        self.aggregate(Count)
    }

    /// Combines the values of each window pairwise.
    pub fn reduce(self, reduce: impl Fn(V, V) -> V + Send + Sync + 'static) -> WindowResults<K, V> {
        self.aggregate(Reduce::new(reduce))
    }

    /// Folds the values of each window into an accumulator.
    pub fn fold<A: Data + Sync>(
        self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> WindowResults<K, A> {
        self.aggregate(Fold::new(initial, fold))
    }

    /// Aggregates the values of each window.
    pub fn aggregate<G: Aggregator<V>>(self, aggregator: G) -> WindowResults<K, G::Out> {
        self.add_aggregate(aggregator).0
    }

    /// Aggregates the values of each window; also returns the stream of late records: those that came
    /// after their window (and its allowed lateness) had ended.
    pub fn aggregate_with_late<G: Aggregator<V>>(
        self,
        aggregator: G,
    ) -> (WindowResults<K, G::Out>, LateRecords<K, V>) {
        self.add_aggregate(aggregator)
    }

    fn add_aggregate<G: Aggregator<V>>(self, aggregator: G) -> Results<K, V, Windowed<K, G::Out>> {
        let windows = self.windows.clone();
        self.add(|plan| windows.add_aggregate(plan, Arc::new(aggregator)))
    }

    /// Adds an operator, and says what is wrong with its settings.
    fn add<U: Data>(self, add: impl FnOnce(Plan<K, V>) -> Results<K, V, U>) -> Results<K, V, U> {
        let windows = self.windows.windows();
        let mut details = windows.describe();
        if self.lateness_ms > 0 {
            details += &format!(", allowed lateness {}", words(self.lateness_ms));
        }
        let (refusal, warning) = (windows.check(), windows.warning());
        let (results, late) = add(Plan {
            keyed: self.keyed,
            lateness_ms: self.lateness_ms,
            details,
        });
        if let Err(reason) = refusal {
            results.builder.refuse(results.port, reason);
        }
        if let Some(warning) = warning {
            results.builder.warn(results.port, warning);
        }
        (results, late)
    }
}

/// A [`WindowedStream`] whose late records are handed out: what is computed comes with a second stream.
pub struct LateWindowedStream<K, V, W> {
    windowed: WindowedStream<K, V, W>,
}

impl<K: Key, V: Data, W: Windowing<V>> LateWindowedStream<K, V, W> {
    /// As [`WindowedStream::count`].
    pub fn count(self) -> (WindowResults<K, u64>, LateRecords<K, V>) {
        self.aggregate(Count)
    }

    /// As [`WindowedStream::reduce`].
    pub fn reduce(
        self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
    ) -> (WindowResults<K, V>, LateRecords<K, V>) {
        self.aggregate(Reduce::new(reduce))
    }

    /// As [`WindowedStream::fold`].
    pub fn fold<A: Data + Sync>(
        self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> (WindowResults<K, A>, LateRecords<K, V>) {
        self.aggregate(Fold::new(initial, fold))
    }

    /// As [`WindowedStream::aggregate`].
    pub fn aggregate<G: Aggregator<V>>(
        self,
        aggregator: G,
    ) -> (WindowResults<K, G::Out>, LateRecords<K, V>) {
        self.windowed.add_aggregate(aggregator)
    }
}
