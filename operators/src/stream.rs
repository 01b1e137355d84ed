//! A stream of records, and what can be done with one that has no key.

use crate::assign::AssignTimestamps;
use crate::keyed::KeyedStream;
use crate::stateless::{
    Broadcast, Collector, Direct, Filter, FilterMap, FlatMap, FlatMapWith, Inspect, KeyBy, Map,
    Pass, RoundRobin, TryMap,
};
use crate::window::{WindowedStream, Windows};
use millstream_runtime::dead_letter::{DeadLetter, ErrorPolicy};
use millstream_runtime::driver::{ByWorker, MakeRoute, RouteContext, SideMaker};
use millstream_runtime::error::BoxError;
use millstream_runtime::graph::{Exchange, TypedPort};
use millstream_runtime::job::{Builder, Edge};
use millstream_runtime::record::{Data, Key};
use millstream_runtime::sink::Sink;
use millstream_runtime::watermark::WatermarkStrategy;
use std::sync::Arc;

/// A stream of records of type `T`: one output of one operator. Clones are the same stream; a stream
/// may be read by any number of operators.
pub struct Stream<T> {
    pub(crate) builder: Builder,
    pub(crate) port: TypedPort<T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Stream {
            builder: self.builder.clone(),
            port: self.port,
        }
    }
}

impl<T: Data> Stream<T> {
    pub(crate) fn new(builder: Builder, port: TypedPort<T>) -> Self {
        Stream { builder, port }
    }

    pub(crate) fn edge(&self) -> Edge<T> {
        Edge::forward(self.port)
    }

    fn with<U: Data>(&self, port: TypedPort<U>) -> Stream<U> {
        Stream::new(self.builder.clone(), port)
    }

    /// Names the operator that puts out this stream: what people see.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.builder.set_name(self.port, name);
        self
    }

    /// Gives the operator that puts out this stream its stable name: what its state is filed under in
    /// checkpoints. Derived from the name if not given.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.builder.set_uid(self.port, uid);
        self
    }

    /// Says what the operator that puts out this stream does with a record that it cannot process: one
    /// that a source cannot parse, whose event time is out of range, or in which a user's function fails
    /// or panics. Default: the job fails.
    ///
    /// Where the job goes on, the operator keeps a copy of each record while it processes it, and
    /// takes records one by one. Under [`ErrorPolicy::DeadLetter`] the letters must be read: by
    /// [`dead_letters`](Self::dead_letters) or [`Job::dead_letters`](crate::Job::dead_letters).
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        self.builder.set_error_policy(self.port, policy);
        self
    }

    /// This stream, and beside it the dead letters of the operator that puts it out: what it cannot
    /// process goes there and the job goes on.
    ///
    /// ```
    /// # use millstream_operators::Stream;
    /// # use millstream_runtime::dead_letter::DeadLetter;
    /// fn prices(lines: &Stream<String>) -> (Stream<f64>, Stream<DeadLetter>) {
    ///     lines.try_map(|line| line.parse::<f64>()).dead_letters()
    /// }
    /// ```
    pub fn dead_letters(self) -> (Self, Stream<DeadLetter>) {
        let dead = self.with(self.builder.dead_letters(self.port));
        (self, dead)
    }

    /// Applies a function to every value.
    pub fn map<U: Data>(&self, map: impl Fn(T) -> U + Send + Sync + 'static) -> Stream<U> {
        let map = Arc::new(map);
        let make = move |_: &RouteContext| Map(map.clone());
        self.with(self.builder.step("map", vec![self.edge()], make))
    }

    /// Applies a function that may fail to every value; an error ends the job and names the
    /// record, or what [`on_error`](Self::on_error) says becomes of it.
    pub fn try_map<U: Data, E: Into<BoxError>>(
        &self,
        map: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = Arc::new(move |value: T| map(value).map_err(Into::into));
        let make = move |_: &RouteContext| TryMap(map.clone());
        self.with(self.builder.step("map", vec![self.edge()], make))
    }

    /// Keeps the values for which the function says so.
    pub fn filter(&self, keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Stream<T> {
        let keep = Arc::new(keep);
        let make = move |_: &RouteContext| Filter(keep.clone());
        self.with(self.builder.step("filter", vec![self.edge()], make))
    }

    /// Applies a function to every value and keeps what it returns, if anything.
    pub fn filter_map<U: Data>(
        &self,
        map: impl Fn(T) -> Option<U> + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = Arc::new(map);
        let make = move |_: &RouteContext| FilterMap(map.clone());
        self.with(self.builder.step("filter_map", vec![self.edge()], make))
    }

    /// Puts out everything that the function returns for each value.
    pub fn flat_map<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        map: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = Arc::new(map);
        let make = move |_: &RouteContext| FlatMap(map.clone());
        self.with(self.builder.step("flat_map", vec![self.edge()], make))
    }

    /// [`flat_map`](Self::flat_map) without an iterator in between: the function pushes its results.
    pub fn flat_map_with<U: Data>(
        &self,
        map: impl Fn(T, &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> Stream<U> {
        let map = Arc::new(map);
        let make = move |_: &RouteContext| FlatMapWith(map.clone());
        self.with(self.builder.step("flat_map", vec![self.edge()], make))
    }

    /// Looks at every value and passes it on.
    pub fn inspect(&self, look: impl Fn(&T) + Send + Sync + 'static) -> Stream<T> {
        let look = Arc::new(look);
        let make = move |_: &RouteContext| Inspect(look.clone());
        self.with(self.builder.step("inspect", vec![self.edge()], make))
    }

    /// This stream and others of its type as one. Records of different streams come in no
    /// particular order.
    ///
    /// # Panics
    /// When one of them belongs to another job.
    pub fn union(&self, others: impl IntoIterator<Item = Stream<T>>) -> Stream<T> {
        let mut edges = vec![self.edge()];
        for other in others {
            self.builder.assert_same(&other.builder);
            edges.push(Edge::forward(other.port));
        }
        self.with(self.builder.step("union", edges, |_: &RouteContext| Pass))
    }

    /// Gives every record a key: what follows keeps its state per key, and all records of a key come to
    /// one worker.
    pub fn key_by<K: Key>(
        &self,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> KeyedStream<K, T> {
        let key = Arc::new(key);
        let make = move |_: &RouteContext| KeyBy(key.clone());
        let port = self.builder.step("key_by", vec![self.edge()], make);
        KeyedStream::new(self.builder.clone(), port)
    }

    /// Groups the records of the whole stream into windows, without a key: one worker takes them all. Where
    /// results per key will do, [`key_by`](Self::key_by) and [`KeyedStream::window`] spread the work.
    pub fn window_all<W: Windows<T>>(&self, windows: W) -> WindowedStream<(), T, W> {
        self.key_by(|_| ()).window(windows)
    }

    /// Spreads the records evenly over all workers.
    pub fn rebalance(&self) -> Stream<T> {
        let route: MakeRoute<T> = Arc::new(|context| {
            (context.groups.workers() > 1)
                .then(|| Box::new(RoundRobin::starting_at(context.worker)) as _)
        });
        let edge = Edge::routed(self.port, Exchange::Rebalance, route);
        self.with(
            self.builder
                .step("rebalance", vec![edge], |_: &RouteContext| Pass),
        )
    }

    /// Sends every record to every worker.
    pub fn broadcast(&self) -> Stream<T> {
        let copies = self
            .builder
            .step("broadcast", vec![self.edge()], |context: &RouteContext| {
                Broadcast {
                    workers: context.groups.workers(),
                }
            });
        let route: MakeRoute<(u32, T)> = Arc::new(|_| {
            Some(Box::new(ByWorker(|(target, _): &(u32, T)| {
                *target as usize
            })))
        });
        let edge = Edge::routed(copies, Exchange::Direct, route);
        self.with(
            self.builder
                .step("receive", vec![edge], |_: &RouteContext| Direct),
        )
    }

    /// Assigns event times and watermarks here, in mid-graph: after parsing, say. One generator per
    /// worker; what the watermark was before no longer counts.
    pub fn assign_timestamps(&self, strategy: WatermarkStrategy<T>) -> Stream<T> {
        let (details, refusal) = (strategy.describe(), strategy.refusal());
        let make = move |_: &mut SideMaker<'_, '_, '_>| AssignTimestamps::new(&strategy);
        let builder = &self.builder;
        let port = builder.operator("assign_timestamps", details, self.edge(), make);
        if let Some(reason) = refusal {
            builder.refuse(port, reason);
        }
        self.with(port)
    }

    /// Writes the stream to a sink.
    pub fn sink<S: Sink<Item = T>>(&self, name: impl Into<String>, sink: S) {
        self.builder.sink(name, self.edge(), sink);
    }

    /// Writes the stream to a sink and says what becomes of records that it cannot write: in which its
    /// function panics, say, or that have no form in the file's format. That the sink itself cannot
    /// go on (a full disk) ends the job, whatever the policy.
    pub fn sink_on_error<S: Sink<Item = T>>(
        &self,
        name: impl Into<String>,
        sink: S,
        policy: ErrorPolicy,
    ) {
        let port = self.builder.sink(name, self.edge(), sink);
        self.builder.set_error_policy(port, policy);
    }

    /// Writes the stream to a sink; what that cannot write comes back as dead letters. See
    /// [`sink_on_error`](Self::sink_on_error).
    pub fn sink_with_dead_letters<S: Sink<Item = T>>(
        &self,
        name: impl Into<String>,
        sink: S,
    ) -> Stream<DeadLetter> {
        let port = self.builder.sink(name, self.edge(), sink);
        self.with(self.builder.dead_letters(port))
    }

    /// Writes the stream to a sink whose operator has this stable name.
    pub fn sink_with_uid<S: Sink<Item = T>>(
        &self,
        name: impl Into<String>,
        uid: impl Into<String>,
        sink: S,
    ) {
        let port = self.builder.sink(name, self.edge(), sink);
        self.builder.set_uid(port, uid);
    }
}

impl<K: Key, V: Data> Stream<(K, V)> {
    /// Takes the first of each pair as its key and the second as its value, without a copy.
    pub fn keyed(&self) -> KeyedStream<K, V> {
        KeyedStream::new(self.builder.clone(), self.port)
    }
}
