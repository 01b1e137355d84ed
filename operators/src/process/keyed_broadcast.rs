//! Process functions on a keyed stream and a broadcast stream: rules that all workers have, beside state
//! and timers per key.

use super::broadcast::{RULES, to_all};
use super::context::{BroadcastContext, KeyedContext};
use super::engine::{Engine, KeyedFunction};
use super::sides::SideTags;
use super::states::States;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{OperatorContext, Output, TwoInputOperator, UserResult, Work};
use millstream_runtime::record::{Data, Key, Record};
use millstream_runtime::state::{BroadcastState, Snapshot, StateData, Timer};
use std::collections::BTreeMap;

/// A function on a keyed stream and a broadcast stream. Made once per worker. Records of the two streams
/// come in no particular order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function on this keyed stream and this broadcast stream",
    label = "implement `KeyedBroadcastProcess` for it, with `Key`, `In` and `Broadcast` as the streams have them"
)]
pub trait KeyedBroadcastProcess: 'static {
    /// The keys of the keyed stream.
    type Key: Key;
    /// The values of the keyed stream.
    type In: Data;
    /// The values of the broadcast stream.
    type Broadcast: Data;
    /// By what rules are found.
    type RuleKey: StateData + Ord + Clone;
    /// What is kept of the broadcast values.
    type Rule: StateData + Clone;
    /// What it puts out.
    type Out: Data;

    /// Takes one record of the keyed stream.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_record(
        &mut self,
        value: Self::In,
        rules: &BTreeMap<Self::RuleKey, Self::Rule>,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult;

    /// Takes one broadcast record, on every worker. It must do the same to the rules on all of them; what
    /// it puts out comes out once per worker. The context can visit the keys of this worker.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_broadcast(
        &mut self,
        value: Self::Broadcast,
        rules: &mut BTreeMap<Self::RuleKey, Self::Rule>,
        ctx: &mut BroadcastContext<'_, Self::Key, Self::Out>,
    ) -> UserResult;

    /// A timer fires.
    ///
    /// # Errors
    /// Ends the job, naming the operator and the worker.
    fn on_timer(
        &mut self,
        timer: Timer,
        rules: &BTreeMap<Self::RuleKey, Self::Rule>,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult {
        let _ = (timer, rules, ctx);
        Ok(())
    }
}

/// A keyed stream and a broadcast stream side by side: say how to process them.
pub struct KeyedBroadcastStreams<K, A, B> {
    left: KeyedStream<K, A>,
    broadcast: Stream<B>,
}

impl<K: Key, A: Data> KeyedStream<K, A> {
    /// This stream and another that is broadcast: each of its records goes to every worker, all in the
    /// same order. It has no part in the watermark, which is that of this stream alone.
    ///
    /// # Panics
    /// When the other belongs to another job.
    pub fn connect_broadcast<B: Data>(
        &self,
        broadcast: &Stream<B>,
    ) -> KeyedBroadcastStreams<K, A, B> {
        self.builder.assert_same(&broadcast.builder);
        KeyedBroadcastStreams {
            left: self.clone(),
            broadcast: to_all(broadcast),
        }
    }
}

impl<K: Key, A: Data, B: Data> KeyedBroadcastStreams<K, A, B> {
    /// Processes both streams with a function of the user's own. `make` is called on each worker; it
    /// declares the states of the function and returns it.
    ///
    /// ```
    /// # use millstream_operators::*;
    /// # use millstream_runtime::operator::UserResult;
    /// # use std::collections::BTreeMap;
    /// /// Puts out accounts whose sum is above the limit of a currency: when it gets there, and when the
    /// /// limit is lowered.
    /// struct Limits {
    ///     sum: ValueState<u64>,
    /// }
    ///
    /// impl KeyedBroadcastProcess for Limits {
    ///     type Key = (String, String); // account and currency
    ///     type In = u64;
    ///     type Broadcast = (String, u64);
    ///     type RuleKey = String;
    ///     type Rule = u64;
    ///     type Out = String;
    ///
    ///     fn on_record(
    ///         &mut self,
    ///         amount: u64,
    ///         limits: &BTreeMap<String, u64>,
    ///         ctx: &mut KeyedContext<'_, Self::Key, String>,
    ///     ) -> UserResult {
    ///         let sum = ctx.value(self.sum).get_or_default();
    ///         *sum += amount;
    ///         let sum = *sum;
    ///         if limits.get(&ctx.key().1).is_some_and(|limit| sum > *limit) {
    ///             ctx.emit(ctx.key().0.clone());
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn on_broadcast(
    ///         &mut self,
    ///         (currency, limit): (String, u64),
    ///         limits: &mut BTreeMap<String, u64>,
    ///         ctx: &mut BroadcastContext<'_, Self::Key, String>,
    ///     ) -> UserResult {
    ///         ctx.for_each_key(self.sum, |ctx| {
    ///             let sum = ctx.value(self.sum).get().copied().unwrap_or(0);
    ///             if ctx.key().1 == currency && sum > limit {
    ///                 ctx.emit(ctx.key().0.clone());
    ///             }
    ///             Ok(())
    ///         })?;
    ///         limits.insert(currency, limit);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn above(
    ///     payments: &KeyedStream<(String, String), u64>,
    ///     limits: &Stream<(String, u64)>,
    /// ) -> Stream<String> {
    ///     let both = payments.connect_broadcast(limits);
    ///     both.process("limits", |states| Limits { sum: states.value("sum") })
    /// }
    /// ```
    pub fn process<F: KeyedBroadcastProcess<Key = K, In = A, Broadcast = B>>(
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
        F: KeyedBroadcastProcess<Key = K, In = A, Broadcast = B>,
    {
        let make = move |sides: &mut SideMaker<'_, '_, '_>| {
            let sides = tags.open(sides, 1);
            Engine::new(|states| WithRules::new(make(states, sides)))
        };
        Engine::assert_sound(name, &make);
        let builder = &self.left.builder;
        let (left, right) = (self.left.edge(), self.broadcast.edge());
        let details = "process, per key, broadcast rules";
        let port = builder.two_input(name, details, left, right, make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// A [`KeyedBroadcastProcess`] in the engine, with its rules.
pub struct WithRules<F: KeyedBroadcastProcess> {
    function: F,
    rules: BroadcastState<F::RuleKey, F::Rule>,
}

impl<F: KeyedBroadcastProcess> WithRules<F> {
    pub(crate) fn new(function: F) -> Self {
        WithRules {
            function,
            rules: BroadcastState::new(RULES),
        }
    }
}

/// A [`KeyedBroadcastProcess`] as an operator.
pub type KeyedBroadcastOperator<F> = Engine<WithRules<F>>;

impl<F: KeyedBroadcastProcess> KeyedFunction for WithRules<F> {
    type Key = F::Key;
    type Out = F::Out;

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, F::Key, F::Out>) -> UserResult {
        self.function.on_timer(timer, self.rules.get(), ctx)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.rules);
    }
}

impl<F: KeyedBroadcastProcess> TwoInputOperator for KeyedBroadcastOperator<F> {
    type Left = (F::Key, F::In);
    type Right = F::Broadcast;

    fn on_left(
        &mut self,
        record: Record<Self::Left>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        self.record(record, context, out, |with_rules, value, ctx| {
            let rules = with_rules.rules.get();
            with_rules.function.on_record(value, rules, ctx)
        })
    }

    fn on_right(
        &mut self,
        record: Record<F::Broadcast>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let WithRules { function, rules } = &mut self.function;
        let mut ctx = BroadcastContext {
            time: record.time,
            context,
            out,
            backend: &mut self.backend,
        };
        function.on_broadcast(record.value, rules.get_mut(), &mut ctx)
    }

    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        _: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        Ok(self.batch_end(context))
    }
}
