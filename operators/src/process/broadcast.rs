//! Rules meet a stream: the records of one stream go to every worker, which keeps what it makes of them as
//! a map; a function sees that map while it processes the records of the other stream.
//!
//! All broadcast records pass through one instance on their way, so that every worker applies them
//! in the same order and all maps are equal at each barrier.

use super::context::ProcessContext;
use super::sides::SideTags;
use crate::stream::Stream;
use millstream_runtime::driver::{ByWorker, MakeRoute, Position, SideMaker};
use millstream_runtime::graph::Exchange;
use millstream_runtime::job::Edge;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, TwoInputOperator, UserResult,
};
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::{BroadcastState, Snapshot, StateData};
use millstream_runtime::time::{WATERMARK_MAX, Watermark};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// The name that the rules are filed under, behind `broadcast.`.
pub(super) const RULES: &str = "rules";

/// A function on a stream without a key and a broadcast stream. Made once per worker. Records of the two
/// streams come in no particular order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function on this stream and this broadcast stream",
    label = "implement `BroadcastProcess` for it, with `In` and `Broadcast` as the streams have them"
)]
pub trait BroadcastProcess: 'static {
    /// The values of the stream.
    type In: Data;
    /// The values of the broadcast stream.
    type Broadcast: Data;
    /// By what rules are found.
    type RuleKey: StateData + Ord + Clone;
    /// What is kept of the broadcast values.
    type Rule: StateData + Clone;
    /// What it puts out.
    type Out: Data;

    /// Takes one record of the stream.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_record(
        &mut self,
        value: Self::In,
        rules: &BTreeMap<Self::RuleKey, Self::Rule>,
        ctx: &mut ProcessContext<'_, Self::Out>,
    ) -> UserResult;

    /// Takes one broadcast record, on every worker. It must do the same to the rules on all of them; what
    /// it puts out comes out once per worker.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_broadcast(
        &mut self,
        value: Self::Broadcast,
        rules: &mut BTreeMap<Self::RuleKey, Self::Rule>,
        ctx: &mut ProcessContext<'_, Self::Out>,
    ) -> UserResult;
}

/// A stream and a broadcast stream side by side: say how to process them.
pub struct BroadcastStreams<A, B> {
    left: Stream<A>,
    broadcast: Stream<B>,
}

impl<A: Data> Stream<A> {
    /// This stream and another that is broadcast: each of its records goes to every worker, all in the
    /// same order. It has no part in the watermark, which is that of this stream alone.
    ///
    /// # Panics
    /// When the other belongs to another job.
    pub fn connect_broadcast<B: Data>(&self, broadcast: &Stream<B>) -> BroadcastStreams<A, B> {
        self.builder.assert_same(&broadcast.builder);
        BroadcastStreams {
            left: self.clone(),
            broadcast: to_all(broadcast),
        }
    }
}

impl<A: Data, B: Data> BroadcastStreams<A, B> {
    /// Processes both streams with a function of the user's own, which `make` makes on each worker.
    ///
    /// ```
    /// # use millstream_operators::{BroadcastProcess, ProcessContext, Stream};
    /// # use millstream_runtime::operator::UserResult;
    /// # use std::collections::BTreeMap;
    /// /// Passes on the lines that have a forbidden word; `Err` allows a word again.
    /// struct Forbidden;
    ///
    /// impl BroadcastProcess for Forbidden {
    ///     type In = String;
    ///     type Broadcast = Result<String, String>;
    ///     type RuleKey = String;
    ///     type Rule = ();
    ///     type Out = String;
    ///
    ///     fn on_record(
    ///         &mut self,
    ///         line: String,
    ///         words: &BTreeMap<String, ()>,
    ///         ctx: &mut ProcessContext<'_, String>,
    ///     ) -> UserResult {
    ///         if line.split(' ').any(|word| words.contains_key(word)) {
    ///             ctx.emit(line);
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn on_broadcast(
    ///         &mut self,
    ///         word: Result<String, String>,
    ///         words: &mut BTreeMap<String, ()>,
    ///         _: &mut ProcessContext<'_, String>,
    ///     ) -> UserResult {
    ///         match word {
    ///             Ok(word) => words.insert(word, ()),
    ///             Err(word) => words.remove(&word),
    ///         };
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn offences(lines: &Stream<String>, words: &Stream<Result<String, String>>) -> Stream<String> {
    ///     lines.connect_broadcast(words).process("forbidden", || Forbidden)
    /// }
    /// ```
    pub fn process<F: BroadcastProcess<In = A, Broadcast = B>>(
        &self,
        name: &str,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<F::Out> {
        self.process_with_sides(name, (), move |()| make()).0
    }

    /// [`process`](Self::process) with side outputs: `make` is handed an open side output for
    /// each tag, and a stream for each comes back.
    pub fn process_with_sides<F, S: SideTags>(
        &self,
        name: &str,
        tags: S,
        make: impl Fn(S::Sides) -> F + Send + Sync + 'static,
    ) -> (Stream<F::Out>, S::Streams)
    where
        F: BroadcastProcess<In = A, Broadcast = B>,
    {
        let make = move |sides: &mut SideMaker<'_, '_, '_>| {
            BroadcastOperator::new(make(tags.open(sides, 1)))
        };
        let builder = &self.left.builder;
        let (left, right) = (self.left.edge(), self.broadcast.edge());
        let port = builder.two_input(name, "process, broadcast rules", left, right, make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// Brings the records of a stream to every worker, everywhere in the same order.
pub(super) fn to_all<B: Data>(stream: &Stream<B>) -> Stream<B> {
    let to_first: MakeRoute<B> = Arc::new(|_| Some(Box::new(ByWorker(|_: &B| 0_usize)) as _));
    let edge = Edge::routed(stream.port, Exchange::First, to_first);
    let make = |_: &mut SideMaker<'_, '_, '_>| InOneOrder(PhantomData::<fn(B)>);
    let builder = &stream.builder;
    let port = builder.operator("in one order", "no watermark", edge, make);
    Stream::new(builder.clone(), port).broadcast()
}

/// Passes broadcast records on. Time does not wait for them.
struct InOneOrder<B>(PhantomData<fn(B)>);

impl<B: Data> OperatorCore for InOneOrder<B> {
    type Out = B;

    fn assigned_watermark(&self) -> Option<Watermark> {
        Some(WATERMARK_MAX)
    }
}

impl<B: Data> Operator for InOneOrder<B> {
    type In = B;

    fn on_record(
        &mut self,
        record: Record<B>,
        _: &mut OperatorContext,
        out: &mut Output<B>,
    ) -> UserResult {
        out.push(record.time, record.value);
        Ok(())
    }

    fn on_batch(
        &mut self,
        mut records: Vec<Record<B>>,
        _: &mut OperatorContext,
        out: &mut Output<B>,
        _: &Position<'_>,
    ) -> UserResult {
        out.push_batch(&mut records);
        Ok(())
    }
}

/// A [`BroadcastProcess`] as an operator.
pub(super) struct BroadcastOperator<F: BroadcastProcess> {
    function: F,
    rules: BroadcastState<F::RuleKey, F::Rule>,
}

impl<F: BroadcastProcess> BroadcastOperator<F> {
    pub fn new(function: F) -> Self {
        BroadcastOperator {
            function,
            rules: BroadcastState::new(RULES),
        }
    }
}

impl<F: BroadcastProcess> OperatorCore for BroadcastOperator<F> {
    type Out = F::Out;

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.rules);
    }
}

impl<F: BroadcastProcess> TwoInputOperator for BroadcastOperator<F> {
    type Left = F::In;
    type Right = F::Broadcast;

    fn on_left(
        &mut self,
        record: Record<F::In>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let mut ctx = ProcessContext::new(record.time, context, out);
        let rules = self.rules.get();
        self.function.on_record(record.value, rules, &mut ctx)
    }

    fn on_right(
        &mut self,
        record: Record<F::Broadcast>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let mut ctx = ProcessContext::new(record.time, context, out);
        let rules = self.rules.get_mut();
        self.function.on_broadcast(record.value, rules, &mut ctx)
    }
}
