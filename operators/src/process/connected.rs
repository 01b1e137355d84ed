//! Process functions on two keyed streams with one key type: they share the state and the timers of
//! each key.

use super::context::KeyedContext;
use super::engine::{Engine, KeyedFunction};
use super::sides::SideTags;
use super::states::States;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{OperatorContext, Output, TwoInputOperator, UserResult, Work};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::Timer;

/// A function on two keyed streams, with state and timers per key that both share. Made once per
/// worker. Records of the two streams come in no particular order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function on these connected streams",
    label = "implement `ConnectedProcess` for it, with `Key`, `Left` and `Right` as the streams have them"
)]
pub trait ConnectedProcess: 'static {
    /// The keys of both streams.
    type Key: Key;
    /// The values of the first stream.
    type Left: Data;
    /// The values of the second stream.
    type Right: Data;
    /// What it puts out.
    type Out: Data;

    /// Takes one record of the first stream.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_left(
        &mut self,
        value: Self::Left,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult;

    /// Takes one record of the second stream.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_right(
        &mut self,
        value: Self::Right,
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

/// Two keyed streams side by side: say how to process them.
pub struct ConnectedStreams<K, A, B> {
    left: KeyedStream<K, A>,
    right: KeyedStream<K, B>,
}

impl<K: Key, A: Data> KeyedStream<K, A> {
    /// This stream and another with the same keys, to be processed by one function.
    pub fn connect<B: Data>(&self, other: &KeyedStream<K, B>) -> ConnectedStreams<K, A, B> {
        self.builder.assert_same(&other.builder);
        ConnectedStreams {
            left: self.clone(),
            right: other.clone(),
        }
    }
}

impl<K: Key, A: Data, B: Data> ConnectedStreams<K, A, B> {
    /// Processes both streams with a function of the user's own. `make` is called on each worker; it
    /// declares the states of the function and returns it.
    pub fn process<F: ConnectedProcess<Key = K, Left = A, Right = B>>(
        &self,
        name: &str,
        make: impl Fn(&mut States<'_, K>) -> F + Send + Sync + 'static,
    ) -> Stream<F::Out> {
        self.process_with_sides(name, (), move |states, ()| make(states))
            .0
    }

    /// [`process`](Self::process) with side outputs: `make` is also handed an open side output
    /// for each tag, and a stream for each comes back.
    pub fn process_with_sides<F, S: SideTags>(
        &self,
        name: &str,
        tags: S,
        make: impl Fn(&mut States<'_, K>, S::Sides) -> F + Send + Sync + 'static,
    ) -> (Stream<F::Out>, S::Streams)
    where
        F: ConnectedProcess<Key = K, Left = A, Right = B>,
    {
        let make = move |sides: &mut SideMaker<'_, '_, '_>| {
            let sides = tags.open(sides, 1);
            Engine::new(|states| TwoInputs(make(states, sides)))
        };
        Engine::assert_sound(name, &make);
        let builder = &self.left.builder;
        let (left, right) = (self.left.edge(), self.right.edge());
        let port = builder.two_input(name, "process, per key", left, right, make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// A [`ConnectedProcess`] in the engine.
pub struct TwoInputs<F>(pub(crate) F);

/// A [`ConnectedProcess`] as an operator.
pub type ConnectedOperator<F> = Engine<TwoInputs<F>>;

impl<F: ConnectedProcess> KeyedFunction for TwoInputs<F> {
    type Key = F::Key;
    type Out = F::Out;

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, F::Key, F::Out>) -> UserResult {
        self.0.on_timer(timer, ctx)
    }
}

impl<F: ConnectedProcess> TwoInputOperator for ConnectedOperator<F> {
    type Left = (F::Key, F::Left);
    type Right = (F::Key, F::Right);

    fn on_left(
        &mut self,
        record: Record<Self::Left>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        self.record(record, context, out, |function, value, ctx| {
            function.0.on_left(value, ctx)
        })
    }

    fn on_right(
        &mut self,
        record: Record<Self::Right>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        self.record(record, context, out, |function, value, ctx| {
            function.0.on_right(value, ctx)
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
