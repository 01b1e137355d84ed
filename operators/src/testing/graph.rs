//! A harness around the operator that a piece of a job adds: what users write is what is tested.

use super::Harness;
use crate::keyed::KeyedStream;
use crate::process::{Collected, SideRecords};
use crate::stream::Stream;
use millstream_runtime::Result;
use millstream_runtime::driver::{SideCatch, SideOutput};
use millstream_runtime::graph::{Node, NodeKind, TypedPort};
use millstream_runtime::job::Builder;
use millstream_runtime::operator::{BoxedOperator, BoxedTwoInput};
use millstream_runtime::record::{Data, Key};
use millstream_runtime::source::{
    FixedSplits, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use std::marker::PhantomData;

/// Stands where records come from; nothing reads it.
struct Input<T>(PhantomData<fn() -> T>);

impl<T: Data> Source for Input<T> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        "test input".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        Ok(Box::new(FixedSplits(Vec::new())))
    }

    fn open(
        &self,
        _: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        unreachable!("a test input has no split")
    }
}

/// The graph in which the operator under test is found.
struct Bench(Builder);

impl Bench {
    fn new() -> Self {
        Bench(Builder::new("test"))
    }

    fn input<T: Data>(&self) -> TypedPort<T> {
        self.0.source("input", Input(PhantomData), None)
    }

    fn keyed<K: Key, V: Data>(&self) -> KeyedStream<K, V> {
        KeyedStream::new(self.0.clone(), self.input())
    }

    /// The operator behind `port`.
    fn operator<T>(&self, port: TypedPort<T>) -> Node {
        let graph = self.0.graph();
        let added: Vec<&Node> = graph.nodes().iter().collect();
        let added: Vec<&Node> = added
            .into_iter()
            .filter(|node| node.kind != NodeKind::Source)
            .collect();
        let found = &graph.nodes()[port.port.node];
        let names: Vec<&str> = added.iter().map(|node| node.name.as_str()).collect();
        assert!(
            added.len() == 1 && found.kind == NodeKind::Operator && port.port.port == 0,
            "a harness runs one operator and returns its results; this adds {names:?}: leave out what has no \
             state, and test several operators together in a job"
        );
        found.clone()
    }
}

const TYPES: &str = "an operator has the types of the streams around it";

impl<K: Key, V: Data, R: Data> Harness<BoxedOperator<(K, V), R>> {
    /// Runs the one operator that `build` adds to a keyed stream; its records are `(key, value)`.
    ///
    /// ```
    /// use millstream_operators::{KeyedStream, Tumbling, testing::Harness};
    /// use std::time::Duration;
    ///
    /// let mut counts = Harness::of(|clicks: KeyedStream<String, u32>| {
    ///     clicks.window(Tumbling::of(Duration::from_millis(10))).count()
    /// });
    /// counts.batch([(1, ("ada".into(), 1)), (12, ("ada".into(), 1)), (3, ("ada".into(), 1))]);
    /// counts.watermark(10);
    /// let first = counts.take_values();
    /// assert_eq!((first.len(), first[0].value), (1, 2));
    /// counts.restart_on(3);
    /// counts.end();
    /// assert_eq!(counts.take_values()[0].value, 1);
    /// assert_eq!(counts.keys(), 0);
    /// ```
    ///
    /// # Panics
    /// When `build` adds no operator or several, or one of its settings is wrong.
    pub fn of(build: impl FnOnce(KeyedStream<K, V>) -> Stream<R>) -> Self {
        let bench = Bench::new();
        let results = build(bench.keyed());
        bench.one_input(&results, SideCatch::default())
    }

    /// [`of`](Self::of) with a side output: late records, say. Also returns what will come out of it.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    pub fn of_with_side<L: Data>(
        build: impl FnOnce(KeyedStream<K, V>) -> (Stream<R>, Stream<L>),
    ) -> (Self, SideRecords<L>) {
        let bench = Bench::new();
        let (results, side) = build(bench.keyed());
        let (catch, records) = caught(&side);
        (bench.one_input(&results, catch), records)
    }
}

impl<T: Data, R: Data> Harness<BoxedOperator<T, R>> {
    /// Runs the one operator that `build` adds to a stream without keys; its records go in by
    /// [`batch_on`](Self::batch_on).
    ///
    /// # Panics
    /// As [`of`](Self::of).
    pub fn of_stream(build: impl FnOnce(Stream<T>) -> Stream<R>) -> Self {
        let bench = Bench::new();
        let results = build(Stream::new(bench.0.clone(), bench.input()));
        bench.one_input(&results, SideCatch::default())
    }
}

impl<K: Key, A: Data, B: Data, R: Data> Harness<BoxedTwoInput<(K, A), (K, B), R>> {
    /// Runs the one operator that `build` adds to two keyed streams.
    ///
    /// # Panics
    /// As [`of`](Harness::of).
    pub fn of_two(build: impl FnOnce(KeyedStream<K, A>, KeyedStream<K, B>) -> Stream<R>) -> Self {
        let bench = Bench::new();
        let results = build(bench.keyed(), bench.keyed());
        let node = bench.operator(results.port);
        let sides = SideCatch::default();
        Harness::new(move || node.detached(&sides).expect(TYPES))
    }
}

impl Bench {
    fn one_input<T: Data, R: Data>(
        &self,
        results: &Stream<R>,
        sides: SideCatch,
    ) -> Harness<BoxedOperator<T, R>> {
        let node = self.operator(results.port);
        Harness::new(move || node.detached(&sides).expect(TYPES))
    }
}

/// Catches what comes out of a side output, over all lives of the operator.
fn caught<L: Data>(side: &Stream<L>) -> (SideCatch, SideRecords<L>) {
    let collected = Collected::default();
    let records = SideRecords::of(collected.clone());
    let opened = records.opened();
    let mut catch = SideCatch::default();
    catch.catch(side.port.port, move || {
        let side = SideOutput::detached(Box::new(collected.clone()));
        opened.borrow_mut().push(side.clone());
        side
    });
    (catch, records)
}
