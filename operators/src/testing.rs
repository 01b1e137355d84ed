//! Runs one operator without a job: records, watermarks and processing time go in by hand, and what came
//! out is read back. Between any two steps it can be restarted from a snapshot, on another
//! number of workers too.
//!
//! ```
//! # use millstream_operators::{KeyedContext, KeyedProcess, testing::Harness};
//! # use millstream_runtime::operator::UserResult;
//! # use millstream_runtime::state::ValueState;
//! # struct Sum { sum: ValueState<u64> }
//! # impl KeyedProcess for Sum {
//! #     type Key = u32;
//! #     type In = u64;
//! #     type Out = u64;
//! #     fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u32, u64>) -> UserResult {
//! #         let sum = ctx.value(self.sum).get_or_default();
//! #         *sum += value;
//! #         let sum = *sum;
//! #         ctx.emit(sum);
//! #         Ok(())
//! #     }
//! # }
//! let mut sums = Harness::keyed(|states| Sum { sum: states.value("sum") });
//! sums.record(0, (7, 1));
//! sums.restart_on(3);
//! sums.record(1, (7, 10));
//! assert_eq!(sums.take_values(), [1, 11]);
//! ```

mod bell;
mod blocks;
pub mod contract;
mod graph;

use self::bell::Bell;
use self::blocks::Blocks;
use crate::process::{
    Collected, ConnectedOperator, ConnectedProcess, Engine, KeyedBroadcastOperator,
    KeyedBroadcastProcess, KeyedOperator, KeyedProcess, OneInput, SideTags, States, TwoInputs,
    WithRules,
};
use millstream_runtime::driver::Position;
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::{DEFAULT_KEY_GROUPS, KeyGroups, stable_hash};
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, TwoInputOperator, UserResult, Work,
};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::{EVENT_TIMERS, PROCESSING_TIMERS, SliceBudget};
use millstream_runtime::time::{CheckpointId, EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use std::sync::Arc;

/// Runs one operator; see the module's documentation.
///
/// Its methods panic when the operator returns an error; those that begin with `try` return it.
pub struct Harness<O: OperatorCore> {
    make: Box<dyn Fn() -> O>,
    instances: Vec<Instance<O>>,
    out: Collected<O::Out>,
    checkpoint: CheckpointId,
    blocks: Blocks,
    bell: Arc<Bell>,
}

/// The operator on one worker.
struct Instance<O: OperatorCore> {
    operator: O,
    context: OperatorContext,
    out: Output<O::Out>,
}

impl<F: KeyedProcess> Harness<KeyedOperator<F>> {
    /// Runs a function on a keyed stream; its records are `(key, value)`.
    pub fn keyed(make: impl Fn(&mut States<'_, F::Key>) -> F + 'static) -> Self {
        Harness::keyed_with_sides((), move |states, ()| make(states)).0
    }

    /// Runs a function with side outputs; also returns what will come out of these.
    pub fn keyed_with_sides<S: SideTags>(
        tags: S,
        make: impl Fn(&mut States<'_, F::Key>, S::Sides) -> F + 'static,
    ) -> (Self, S::Records) {
        let (sides, records) = tags.collect();
        let make = move || Engine::new(|states| OneInput(make(states, sides.clone())));
        (Harness::new(make), records)
    }
}

impl<F: ConnectedProcess> Harness<ConnectedOperator<F>> {
    /// Runs a function on connected streams; its records are `(key, value)`.
    pub fn connected(make: impl Fn(&mut States<'_, F::Key>) -> F + 'static) -> Self {
        Harness::connected_with_sides((), move |states, ()| make(states)).0
    }

    /// Runs a function with side outputs; also returns what will come out of these.
    pub fn connected_with_sides<S: SideTags>(
        tags: S,
        make: impl Fn(&mut States<'_, F::Key>, S::Sides) -> F + 'static,
    ) -> (Self, S::Records) {
        let (sides, records) = tags.collect();
        let make = move || Engine::new(|states| TwoInputs(make(states, sides.clone())));
        (Harness::new(make), records)
    }
}

impl<F: KeyedBroadcastProcess> Harness<KeyedBroadcastOperator<F>> {
    /// Runs a function on a keyed stream and a broadcast stream.
    pub fn keyed_broadcast(make: impl Fn(&mut States<'_, F::Key>) -> F + 'static) -> Self {
        Harness::new(move || Engine::new(|states| WithRules::new(make(states))))
    }
}

impl<O: OperatorCore> Harness<O> {
    /// Runs what `make` makes, on one worker.
    pub fn new(make: impl Fn() -> O + 'static) -> Self {
        let mut harness = Harness {
            make: Box::new(make),
            instances: Vec::new(),
            out: Collected::default(),
            checkpoint: 0,
            blocks: Blocks::default(),
            bell: Arc::default(),
        };
        harness.start(1, WATERMARK_MIN, 0);
        harness
    }

    fn start(&mut self, workers: usize, watermark: Watermark, now_ms: EventTime) {
        let key_groups = KeyGroups::new(DEFAULT_KEY_GROUPS, workers);
        self.instances.clear();
        for worker in 0..workers {
            let context = OperatorContext {
                worker,
                workers,
                key_groups,
                watermark,
                now_ms,
                waker: self.bell.waker(),
                ..OperatorContext::detached()
            };
            let mut operator = (self.make)();
            self.blocks.restore(&mut operator, key_groups, worker);
            operator.open(&context);
            self.instances.push(Instance {
                operator,
                context,
                out: Output::new(Box::new(self.out.clone())),
            });
        }
        self.blocks.chains.clear();
    }

    /// The watermark rises, and what came due fires.
    pub fn watermark(&mut self, watermark: Watermark) {
        self.try_watermark(watermark).expect("the operator fires");
    }

    /// [`watermark`](Self::watermark) of an operator that may fail.
    ///
    /// # Errors
    /// What the operator returned.
    pub fn try_watermark(&mut self, watermark: Watermark) -> UserResult {
        for instance in &mut self.instances {
            instance.context.watermark = instance.context.watermark.max(watermark);
            instance.fire()?;
        }
        Ok(())
    }

    /// The watermark rises on one worker.
    #[cfg(test)]
    pub(crate) fn watermark_of(&mut self, worker: usize, watermark: Watermark) {
        let instance = &mut self.instances[worker];
        instance.context.watermark = watermark;
        instance.fire().expect("the operator fires");
    }

    /// The input ends.
    pub fn end(&mut self) {
        self.watermark(WATERMARK_MAX);
    }

    /// Processing time comes to `now_ms`, and what came due fires.
    pub fn processing_time(&mut self, now_ms: EventTime) {
        for instance in &mut self.instances {
            instance.context.now_ms = now_ms;
            while let Some(due) = instance.operator.next_processing_time()
                && due <= now_ms
            {
                let fired = instance
                    .operator
                    .on_processing_time(&mut instance.context, &mut instance.out);
                fired.expect("the operator fires");
            }
        }
    }

    /// When the operator next wants to be called for processing time.
    pub fn next_processing_time(&self) -> Option<EventTime> {
        let instances = self.instances.iter();
        let times = instances.filter_map(|instance| instance.operator.next_processing_time());
        times.min()
    }

    /// The watermark that downstream would hear: its own, or the least that it assigns.
    pub fn output_watermark(&self) -> Watermark {
        let instances = self.instances.iter();
        let watermarks = instances.map(|instance| {
            let own = instance.context.watermark;
            let watermark = match instance.operator.assigned_watermark() {
                Some(assigned) if own < WATERMARK_MAX => assigned,
                _ => own,
            };
            let oldest = instance.operator.under_way();
            oldest.map_or(watermark, |oldest| oldest.min(watermark))
        });
        watermarks.min().unwrap_or(WATERMARK_MAX)
    }

    /// Takes what has come from outside, for operators that make requests.
    pub fn poll(&mut self) {
        for instance in &mut self.instances {
            while instance
                .operator
                .poll(&mut instance.context, &mut instance.out)
                .expect("the operator takes answers")
                == Work::More
            {}
        }
    }

    /// Waits until nothing is under way outside: all requests are answered and their results put out.
    /// Processing time stands still meanwhile; panics if that lasts for long.
    pub fn settle(&mut self) {
        self.settle_until(|harness| {
            let mut instances = harness.instances.iter();
            instances.all(|instance| instance.operator.under_way().is_none())
        });
    }

    /// Waits for as many results and takes them.
    pub fn take_when(&mut self, results: usize) -> Vec<Record<O::Out>> {
        let mut taken = Vec::new();
        self.settle_until(|harness| {
            taken.append(&mut harness.take());
            taken.len() >= results
        });
        taken
    }

    pub(crate) fn settle_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        self.poll();
        while !done(self) {
            self.bell.wait();
            self.poll();
        }
    }

    /// Whether the operator takes records now, on all workers.
    pub fn accepts(&self) -> bool {
        self.instances
            .iter()
            .all(|instance| instance.operator.accepts())
    }

    /// The number of late records so far, since the last restart.
    pub fn late(&self) -> u64 {
        let instances = self.instances.iter();
        instances.map(|i| i.context.metrics.late.get()).sum()
    }

    /// The number of keys in all states, timers among them: zero when everything has been freed.
    pub fn keys(&mut self) -> usize {
        self.keys_of(|_| true)
    }

    fn keys_of(&mut self, counts: impl Fn(&str) -> bool) -> usize {
        let mut keys = 0;
        for instance in &mut self.instances {
            instance.operator.states(&mut |state| {
                if counts(&state.descriptor().name) {
                    keys += state.keys();
                }
            });
        }
        keys
    }

    /// The number of keys that have a timer pending, in either time. A key with timers in both counts twice.
    pub fn keys_with_timers(&mut self) -> usize {
        self.keys_of(|name| name == EVENT_TIMERS || name == PROCESSING_TIMERS)
    }

    /// The bytes that a whole snapshot of all states would take. Takes a snapshot.
    pub fn state_bytes(&mut self) -> usize {
        self.blocks.chains.clear(); // so that it is whole
        self.snapshot();
        self.blocks.bytes()
    }

    /// Takes what came out since the last call.
    pub fn take(&mut self) -> Vec<Record<O::Out>> {
        for instance in &mut self.instances {
            instance.out.flush().expect("a collector takes everything");
        }
        self.out.take()
    }

    /// Takes what came out since the last call, without times.
    pub fn take_values(&mut self) -> Vec<O::Out> {
        self.take().into_iter().map(|record| record.value).collect()
    }

    /// Passes a barrier: the changes since the last one are snapshotted.
    pub fn snapshot(&mut self) {
        let full = self.blocks.chains.is_empty();
        self.checkpoint += 1;
        for (writer, instance) in self.instances.iter_mut().enumerate() {
            self.blocks.writer = writer;
            let (checkpoint, blocks) = (self.checkpoint, &mut self.blocks);
            instance.operator.states(&mut |state| {
                state.freeze(checkpoint, full);
                while !state.encode_slice(&SliceBudget::unlimited(), blocks) {}
            });
        }
    }

    /// Takes a snapshot and goes on from it with a new operator.
    pub fn restart(&mut self) {
        self.restart_on(self.instances.len());
    }

    /// Takes a snapshot and goes on from it on another number of workers.
    pub fn restart_on(&mut self, workers: usize) {
        self.snapshot();
        let pending = self.take();
        let contexts = || self.instances.iter().map(|instance| &instance.context);
        let watermark = contexts().map(|context| context.watermark).min();
        let now_ms = contexts().map(|context| context.now_ms).max();
        let watermark = watermark.unwrap_or(WATERMARK_MIN);
        self.start(workers, watermark, now_ms.unwrap_or(0));
        self.out.put_back(pending);
    }
}

impl<O: OperatorCore> Instance<O> {
    fn fire(&mut self) -> UserResult {
        while self
            .operator
            .on_watermark(&mut self.context, &mut self.out)?
            == Work::More
        {}
        Ok(())
    }

    fn end_batch(&mut self, work: Result<Work, BoxError>) -> UserResult {
        match work? {
            Work::More => self.fire(),
            Work::Done => Ok(()),
        }
    }
}

/// Splits a batch by the worker that owns each record's key.
fn route<K: Key, V>(
    batch: impl IntoIterator<Item = (EventTime, (K, V))>,
    groups: KeyGroups,
) -> Vec<Vec<Record<(K, V)>>> {
    let mut batches: Vec<Vec<Record<(K, V)>>> = Vec::new();
    batches.resize_with(groups.workers(), Vec::new);
    for (time, value) in batch {
        let owner = groups.worker_of_hash(stable_hash(&value.0));
        batches[owner].push(Record::new(time, value));
    }
    batches
}

impl<O: Operator<In = (K, V)>, K: Key, V: Data> Harness<O> {
    /// A record arrives, alone.
    pub fn record(&mut self, time: EventTime, value: (K, V)) {
        self.batch([(time, value)]);
    }

    /// Records arrive together.
    pub fn batch(&mut self, batch: impl IntoIterator<Item = (EventTime, (K, V))>) {
        self.try_batch(batch).expect("the operator takes records");
    }

    /// [`batch`](Self::batch) of an operator that may fail.
    ///
    /// # Errors
    /// What the operator returned.
    pub fn try_batch(
        &mut self,
        batch: impl IntoIterator<Item = (EventTime, (K, V))>,
    ) -> UserResult {
        let batches = route(batch, self.instances[0].context.key_groups);
        for (instance, batch) in self.instances.iter_mut().zip(batches) {
            instance.take(batch)?;
        }
        Ok(())
    }
}

impl<O: Operator> Instance<O> {
    /// One record is taken as such, several as a batch.
    fn take(&mut self, mut batch: Vec<Record<O::In>>) -> UserResult {
        let (context, out) = (&mut self.context, &mut self.out);
        match batch.len() {
            1 => {
                let record = batch.pop().expect("there is one");
                self.operator.on_record(record, context, out)?;
            }
            _ => Position::detached(|at| self.operator.on_batch(batch, context, out, at))?,
        }
        let work = self.operator.on_batch_end(&mut self.context, &mut self.out);
        self.end_batch(work)
    }
}

impl<O: Operator> Harness<O> {
    /// Records without a key arrive together on one worker.
    pub fn batch_on(&mut self, worker: usize, batch: impl IntoIterator<Item = (EventTime, O::In)>) {
        let taken = self.instances[worker].take(records(batch));
        taken.expect("the operator takes records");
    }
}

impl<O, K, A> Harness<O>
where
    O: TwoInputOperator<Left = (K, A)>,
    K: Key,
    A: Data,
{
    /// Records of the first input arrive together.
    pub fn left(&mut self, batch: impl IntoIterator<Item = (EventTime, (K, A))>) {
        let batches = route(batch, self.instances[0].context.key_groups);
        for (instance, batch) in self.instances.iter_mut().zip(batches) {
            let taken = instance.take_by(batch, O::on_left);
            taken.expect("the operator takes records");
        }
    }
}

impl<O, K, B> Harness<O>
where
    O: TwoInputOperator<Right = (K, B)>,
    K: Key,
    B: Data,
{
    /// Records of the second input arrive together.
    pub fn right(&mut self, batch: impl IntoIterator<Item = (EventTime, (K, B))>) {
        let batches = route(batch, self.instances[0].context.key_groups);
        for (instance, batch) in self.instances.iter_mut().zip(batches) {
            let taken = instance.take_by(batch, O::on_right);
            taken.expect("the operator takes records");
        }
    }
}

impl<O: TwoInputOperator> Harness<O> {
    /// Records of the first input without a key arrive together on one worker.
    pub fn left_on(
        &mut self,
        worker: usize,
        batch: impl IntoIterator<Item = (EventTime, O::Left)>,
    ) {
        let taken = self.instances[worker].take_by(records(batch), O::on_left);
        taken.expect("the operator takes records");
    }

    /// Records of the second input without a key arrive together on one worker.
    pub fn right_on(
        &mut self,
        worker: usize,
        batch: impl IntoIterator<Item = (EventTime, O::Right)>,
    ) {
        let taken = self.instances[worker].take_by(records(batch), O::on_right);
        taken.expect("the operator takes records");
    }

    /// Records of the second input arrive together on every worker.
    pub fn broadcast(&mut self, batch: impl IntoIterator<Item = (EventTime, O::Right)>) {
        let records = records(batch);
        for instance in &mut self.instances {
            let taken = instance.take_by(records.clone(), O::on_right);
            taken.expect("the operator takes records");
        }
    }
}

fn records<T>(batch: impl IntoIterator<Item = (EventTime, T)>) -> Vec<Record<T>> {
    let records = batch.into_iter();
    records
        .map(|(time, value)| Record::new(time, value))
        .collect()
}

impl<O: TwoInputOperator> Instance<O> {
    fn take_by<T>(
        &mut self,
        batch: Vec<Record<T>>,
        take: impl Fn(&mut O, Record<T>, &mut OperatorContext, &mut Output<O::Out>) -> UserResult,
    ) -> UserResult {
        for record in batch {
            take(&mut self.operator, record, &mut self.context, &mut self.out)?;
        }
        let work = self.operator.on_batch_end(&mut self.context, &mut self.out);
        self.end_batch(work)
    }
}

#[cfg(test)]
mod tests;
