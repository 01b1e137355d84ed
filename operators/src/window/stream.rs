//! A keyed stream cut into windows.

use super::tumbling::TumblingOperator;
use super::{Tumbling, Windowed};
use crate::aggregate::{Aggregator, Count, Fold, Reduce};
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::record::{Data, Key};
use std::sync::Arc;
use std::time::Duration;

/// Results of windows, with their keys and windows.
pub type WindowResults<K, R> = Stream<Windowed<K, R>>;
/// Records that came after their window had ended, with their keys.
pub type LateRecords<K, V> = Stream<(K, V)>;

/// A keyed stream cut into windows: say what to compute in each.
pub struct WindowedStream<K, V> {
    keyed: KeyedStream<K, V>,
    windows: Tumbling,
    lateness_ms: i64,
}

impl<K: Key, V: Data> WindowedStream<K, V> {
    pub(crate) fn new(keyed: KeyedStream<K, V>, windows: Tumbling) -> Self {
        WindowedStream {
            keyed,
            windows,
            lateness_ms: 0,
        }
    }

    /// Keeps a window for this long after its end: records that come until then update its result,
    /// which is put out again for each. Later ones are late. Default: zero.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.lateness_ms = lateness.as_millis() as i64;
        self
    }

    /// Counts the records of each window.
    pub fn count(self) -> Stream<Windowed<K, u64>> {
        self.aggregate(Count)
    }

    /// Combines the values of each window pairwise.
    pub fn reduce(
        self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
    ) -> Stream<Windowed<K, V>> {
        self.aggregate(Reduce::new(reduce))
    }

    /// Folds the values of each window into an accumulator.
    pub fn fold<A: Data + Sync>(
        self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> Stream<Windowed<K, A>> {
        self.aggregate(Fold::new(initial, fold))
    }

    /// Aggregates the values of each window.
    pub fn aggregate<G: Aggregator<V>>(self, aggregator: G) -> Stream<Windowed<K, G::Out>> {
        self.aggregate_with_late(aggregator).0
    }

    /// Aggregates the values of each window; also returns the stream of late records: those that came
    /// after their window (and its allowed lateness) had ended.
    pub fn aggregate_with_late<G: Aggregator<V>>(
        self,
        aggregator: G,
    ) -> (WindowResults<K, G::Out>, LateRecords<K, V>) {
        let aggregator = Arc::new(aggregator);
        let (windows, lateness_ms) = (self.windows, self.lateness_ms);
        let builder = &self.keyed.builder;
        let port = builder.operator(
            "window",
            windows.describe(lateness_ms),
            self.keyed.edge(),
            move |sides: &mut SideMaker<'_, '_, '_>| {
                let late = sides.side::<(K, V)>(1);
                TumblingOperator::<K, V, G>::new(windows, lateness_ms, aggregator.clone(), late)
            },
        );
        let late = builder.side::<_, (K, V)>(port, "late");
        (
            Stream::new(builder.clone(), port),
            Stream::new(builder.clone(), late),
        )
    }
}
