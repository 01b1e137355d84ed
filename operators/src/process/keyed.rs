//! Process functions on one keyed stream.
//!
//! [`Engine`] is what functions of one and of two inputs have in common: the keyed state, and firing
//! timers in bounded pieces. Timers fire before expired state is swept, so that a timer finds the
//! state that was alive at its time.

use super::context::KeyedContext;
use super::sides::SideTags;
use super::states::States;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::{Position, SideMaker};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{KeyedBackend, Snapshot, TimeDomain, Timer};
use millstream_runtime::time::{EventTime, WATERMARK_MAX};

/// A function on one keyed stream, with state and timers per key. Made once per worker. See the
/// example in [`KeyedStream::process`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function on this keyed stream",
    label = "implement `KeyedProcess` for it, with `Key` and `In` as the stream has them"
)]
pub trait KeyedProcess: 'static {
    /// The keys of the stream.
    type Key: Key;
    /// The values of the stream.
    type In: Data;
    /// What it puts out.
    type Out: Data;

    /// Takes one record.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_record(
        &mut self,
        value: Self::In,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult;

    /// A timer fires.
    ///
    /// # Errors
    /// Ends the job, naming the operator and the worker.
    fn on_timer(
        &mut self,
        timer: Timer,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult {
        let _ = (timer, ctx);
        Ok(())
    }
}

impl<K: Key, V: Data> KeyedStream<K, V> {
    /// Processes the stream with a function of the user's own. `make` is called on each worker; it
    /// declares the states of the function and returns it.
    ///
    /// ```
    /// # use millstream_operators::{KeyedContext, KeyedProcess, KeyedStream, Stream};
    /// # use millstream_runtime::operator::UserResult;
    /// # use millstream_runtime::state::ValueState;
    /// /// Passes on a value when it is not that of the record before.
    /// struct Changes {
    ///     last: ValueState<u64>,
    /// }
    ///
    /// impl KeyedProcess for Changes {
    ///     type Key = String;
    ///     type In = u64;
    ///     type Out = u64;
    ///
    ///     fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, String, u64>) -> UserResult {
    ///         if ctx.value(self.last).get() != Some(&value) {
    ///             ctx.value(self.last).set(value);
    ///             ctx.emit(value);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn changes(meters: &KeyedStream<String, u64>) -> Stream<u64> {
    ///     meters.process("changes", |states| Changes { last: states.value("last") })
    /// }
    /// ```
    pub fn process<F: KeyedProcess<Key = K, In = V>>(
        &self,
        name: &str,
        make: impl Fn(&mut States<'_, K>) -> F + Send + Sync + 'static,
    ) -> Stream<F::Out> {
        self.process_with_sides(name, (), move |states, ()| make(states))
            .0
    }

    /// [`process`](Self::process) with side outputs: `make` is also handed an open side output
    /// for each tag, and a stream for each comes back.
    ///
    /// ```
    /// # use millstream_operators::{KeyedContext, KeyedProcess, KeyedStream, Side, SideTag, Stream};
    /// # use millstream_runtime::operator::UserResult;
    /// struct Split {
    ///     odd: Side<String>,
    /// }
    ///
    /// impl KeyedProcess for Split {
    ///     type Key = u32;
    ///     type In = u64;
    ///     type Out = u64;
    ///
    ///     fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u32, u64>) -> UserResult {
    ///         match value % 2 {
    ///             0 => ctx.emit(value),
    ///             _ => ctx.emit_to(&self.odd, format!("{value} is odd")),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn split(numbers: &KeyedStream<u32, u64>) -> (Stream<u64>, Stream<String>) {
    ///     numbers.process_with_sides("split", SideTag::new("odd"), |_, odd| Split { odd })
    /// }
    /// ```
    pub fn process_with_sides<F: KeyedProcess<Key = K, In = V>, S: SideTags>(
        &self,
        name: &str,
        tags: S,
        make: impl Fn(&mut States<'_, K>, S::Sides) -> F + Send + Sync + 'static,
    ) -> (Stream<F::Out>, S::Streams) {
        let make = move |sides: &mut SideMaker<'_, '_, '_>| {
            let sides = tags.open(sides, 1);
            KeyedOperator::new(|states| make(states, sides))
        };
        make(&mut SideMaker::detached()); // what is wrong with its states is said now
        let builder = &self.builder;
        let port = builder.operator(name, "process, per key", self.edge(), make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// How many keys' state is brought into the cache at once.
const LOOKUPS: usize = 64;

/// The keyed state of a function, and when its timers fire.
pub(super) struct Engine<K> {
    pub backend: KeyedBackend<K>,
}

impl<K: Key> Engine<K> {
    /// Makes a function with the states it declares.
    pub fn make<F>(make: impl FnOnce(&mut States<'_, K>) -> F) -> (Self, F) {
        let mut backend = KeyedBackend::new();
        let function = make(&mut States::new(&mut backend));
        (Engine { backend }, function)
    }

    pub fn open(&mut self, context: &OperatorContext) {
        self.backend.open(context.watermark, context.now_ms);
    }

    /// The context of a record.
    #[inline]
    pub fn record<'a, U>(
        &'a mut self,
        time: EventTime,
        key: K,
        context: &'a OperatorContext,
        out: &'a mut Output<U>,
    ) -> KeyedContext<'a, K, U> {
        let event = time.max(context.watermark);
        self.backend.set_key(key, event, context.now_ms);
        KeyedContext {
            time,
            context,
            out,
            backend: &mut self.backend,
        }
    }

    pub fn on_batch_end(&self, context: &OperatorContext) -> Work {
        match self.backend.event_timer_due(context.watermark) {
            true => Work::More,
            false => Work::Done,
        }
    }

    pub fn on_watermark<U>(
        &mut self,
        context: &OperatorContext,
        out: &mut Output<U>,
        mut on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K, U>) -> UserResult,
    ) -> Result<Work, BoxError> {
        let (watermark, now_ms) = (context.watermark, context.now_ms);
        for number in 0..WORK_LIMIT {
            if number % LOOKUPS == 0 && self.backend.event_timer_due(watermark) {
                self.backend.warm_event_timers(LOOKUPS);
            }
            let Some(timer) = self.backend.next_event_timer(watermark, now_ms) else {
                let domain = TimeDomain::Event;
                return Ok(self.backend.sweep(domain, watermark, now_ms, WORK_LIMIT));
            };
            let mut ctx = KeyedContext {
                time: timer.time,
                context,
                out,
                backend: &mut self.backend,
            };
            on_timer(timer, &mut ctx)?;
        }
        Ok(Work::More)
    }

    pub fn on_processing_time<U>(
        &mut self,
        context: &OperatorContext,
        out: &mut Output<U>,
        mut on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K, U>) -> UserResult,
    ) -> Result<Work, BoxError> {
        let (watermark, now_ms) = (context.watermark, context.now_ms);
        for _ in 0..WORK_LIMIT {
            let Some(timer) = self.backend.next_processing_timer(watermark, now_ms) else {
                let domain = TimeDomain::Processing;
                return Ok(self.backend.sweep(domain, watermark, now_ms, WORK_LIMIT));
            };
            let ended = watermark == WATERMARK_MAX;
            let mut ctx = KeyedContext {
                time: if ended { NO_TIME } else { watermark },
                context,
                out,
                backend: &mut self.backend,
            };
            on_timer(timer, &mut ctx)?;
        }
        Ok(Work::More)
    }
}

/// A [`KeyedProcess`] as an operator.
pub struct KeyedOperator<F: KeyedProcess> {
    engine: Engine<F::Key>,
    function: F,
}

impl<F: KeyedProcess> KeyedOperator<F> {
    pub(crate) fn new(make: impl FnOnce(&mut States<'_, F::Key>) -> F) -> Self {
        let (engine, function) = Engine::make(make);
        KeyedOperator { engine, function }
    }
}

impl<F: KeyedProcess> OperatorCore for KeyedOperator<F> {
    type Out = F::Out;

    fn open(&mut self, context: &OperatorContext) {
        self.engine.open(context);
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let function = &mut self.function;
        self.engine
            .on_watermark(context, out, |timer, ctx| function.on_timer(timer, ctx))
    }

    fn next_processing_time(&self) -> Option<EventTime> {
        self.engine.backend.next_processing_time()
    }

    fn on_processing_time(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let function = &mut self.function;
        self.engine
            .on_processing_time(context, out, |timer, ctx| function.on_timer(timer, ctx))
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        self.engine.backend.states(visit);
    }
}

impl<F: KeyedProcess> Operator for KeyedOperator<F> {
    type In = (F::Key, F::In);

    #[inline]
    fn on_record(
        &mut self,
        record: Record<Self::In>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let (key, value) = record.value;
        let mut ctx = self.engine.record(record.time, key, context, out);
        self.function.on_record(value, &mut ctx)
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<Self::In>>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let count = next.len();
            self.engine
                .backend
                .warm(next.iter().map(|record| &record.value.0));
            for record in records.by_ref().take(count) {
                at.set(index);
                index += 1;
                self.on_record(record, context, out)?;
            }
        }
        Ok(())
    }

    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        _: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        Ok(self.engine.on_batch_end(context))
    }
}
