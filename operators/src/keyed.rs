//! A stream whose records have a key.

use crate::aggregate::{Aggregator, Fold, Reduce};
use crate::rolling::Rolling;
use crate::stream::Stream;
use crate::window::{WindowedStream, Windows};
use millstream_runtime::dead_letter::{DeadLetter, ErrorPolicy};
use millstream_runtime::driver::{ByWorker, MakeRoute};
use millstream_runtime::graph::{Exchange, TypedPort};
use millstream_runtime::hash::stable_hash;
use millstream_runtime::job::{Builder, Edge};
use millstream_runtime::record::{Data, Key};
use std::sync::Arc;

/// A stream of values with keys: all records of a key are processed on one worker, in the order in
/// which they arrive there, and state is kept per key.
pub struct KeyedStream<K, V> {
    pub(crate) builder: Builder,
    pub(crate) port: TypedPort<(K, V)>,
}

impl<K, V> Clone for KeyedStream<K, V> {
    fn clone(&self) -> Self {
        KeyedStream {
            builder: self.builder.clone(),
            port: self.port,
        }
    }
}

impl<K: Key, V: Data> KeyedStream<K, V> {
    pub(crate) fn new(builder: Builder, port: TypedPort<(K, V)>) -> Self {
        KeyedStream { builder, port }
    }

    /// The edge that brings each record to the worker that owns its key.
    pub(crate) fn edge(&self) -> Edge<(K, V)> {
        let route: MakeRoute<(K, V)> = Arc::new(|context| {
            let groups = context.groups;
            (groups.workers() > 1).then(|| {
                Box::new(ByWorker(move |(key, _): &(K, V)| {
                    groups.worker_of_hash(stable_hash(key))
                })) as _
            })
        });
        Edge::routed(self.port, Exchange::Key, route)
    }

    /// Says what the operator that puts out this stream does with a record that it cannot process; see
    /// [`Stream::on_error`].
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        self.builder.set_error_policy(self.port, policy);
        self
    }

    /// This stream, and beside it the dead letters of the operator that puts it out; see
    /// [`Stream::dead_letters`].
    pub fn dead_letters(self) -> (Self, Stream<DeadLetter>) {
        let dead = self.builder.dead_letters(self.port);
        let dead = Stream::new(self.builder.clone(), dead);
        (self, dead)
    }

    /// Keys and values as a plain stream of pairs.
    pub fn pairs(&self) -> Stream<(K, V)> {
        Stream::new(self.builder.clone(), self.port)
    }

    /// The values without their keys.
    pub fn values(&self) -> Stream<V> {
        self.pairs().map(|(_, value)| value).name("values")
    }

    /// Combines the values of each key with the one before: puts out the new value for every record.
    pub fn reduce(&self, reduce: impl Fn(V, V) -> V + Send + Sync + 'static) -> Stream<(K, V)> {
        self.rolling("reduce", Reduce::new(reduce))
    }

    /// Folds the values of each key into an accumulator that starts as `initial`: puts out the
    /// accumulator for every record.
    pub fn fold<A: Data + Sync>(
        &self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> Stream<(K, A)> {
        self.rolling("fold", Fold::new(initial, fold))
    }

    /// Aggregates the values of each key: puts out the result so far for every record.
    pub fn aggregate<G: Aggregator<V>>(&self, aggregator: G) -> Stream<(K, G::Out)> {
        self.rolling("aggregate", aggregator)
    }

    /// Counts the records of each key: puts out the count for every record.
    pub fn count(&self) -> Stream<(K, u64)> {
        self.rolling("count", crate::aggregate::Count)
    }

    fn rolling<G: Aggregator<V>>(&self, name: &str, aggregator: G) -> Stream<(K, G::Out)> {
        let aggregator = Arc::new(aggregator);
        let port = self
            .builder
            .operator(name, "per key", self.edge(), move |_: &mut _| {
                Rolling::<K, V, G>::new(aggregator.clone())
            });
        Stream::new(self.builder.clone(), port)
    }

    /// Groups the records of each key into windows: [`Tumbling`](crate::Tumbling),
    /// [`Sliding`](crate::Sliding), [`Cumulating`](crate::Cumulating).
    pub fn window<W: Windows<V>>(&self, windows: W) -> WindowedStream<K, V, W> {
        WindowedStream::new(self.clone(), windows)
    }
}
