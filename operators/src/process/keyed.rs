//! Process functions on one keyed stream.

use super::context::KeyedContext;
use super::engine::{Engine, KeyedFunction};
use super::sides::SideTags;
use super::states::States;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::{Position, SideMaker};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{Operator, OperatorContext, Output, UserResult, Work};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::Timer;

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
            Engine::new(|states| OneInput(make(states, sides)))
        };
        Engine::assert_sound(name, &make);
        let builder = &self.builder;
        let port = builder.operator(name, "process, per key", self.edge(), make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// A [`KeyedProcess`] in the engine.
pub struct OneInput<F>(pub(crate) F);

/// A [`KeyedProcess`] as an operator.
pub type KeyedOperator<F> = Engine<OneInput<F>>;

impl<F: KeyedProcess> KeyedFunction for OneInput<F> {
    type Key = F::Key;
    type Out = F::Out;

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, F::Key, F::Out>) -> UserResult {
        self.0.on_timer(timer, ctx)
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
        self.record(record, context, out, |function, value, ctx| {
            function.0.on_record(value, ctx)
        })
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<Self::In>>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        self.batch(records, context, out, at, |function, value, ctx| {
            function.0.on_record(value, ctx)
        })
    }

    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        _: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        Ok(self.batch_end(context))
    }
}
