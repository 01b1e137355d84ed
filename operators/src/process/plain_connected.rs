//! Process functions on two streams without a key: no state, but event times and side outputs.

use super::context::ProcessContext;
use super::sides::SideTags;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::operator::{
    OperatorContext, OperatorCore, Output, TwoInputOperator, UserResult,
};
use millstream_runtime::record::{Data, Record};

/// A function on two streams without a key. Made once per worker; records stay on their worker, and those
/// of the two streams come in no particular order. What it remembers between records is in no
/// snapshot.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function on these connected streams",
    label = "implement `PlainConnectedProcess` for it, with `Left` and `Right` as the streams have them"
)]
pub trait PlainConnectedProcess: 'static {
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
    fn on_left(&mut self, value: Self::Left, ctx: &mut ProcessContext<'_, Self::Out>)
    -> UserResult;

    /// Takes one record of the second stream.
    ///
    /// # Errors
    /// Ends the job, naming the operator, the worker and the record.
    fn on_right(
        &mut self,
        value: Self::Right,
        ctx: &mut ProcessContext<'_, Self::Out>,
    ) -> UserResult;
}

/// Two streams side by side: say how to process them.
pub struct PlainConnectedStreams<A, B> {
    left: Stream<A>,
    right: Stream<B>,
}

impl<A: Data> Stream<A> {
    /// This stream and another of any type, to be processed by one function.
    ///
    /// # Panics
    /// When the other belongs to another job.
    pub fn connect<B: Data>(&self, other: &Stream<B>) -> PlainConnectedStreams<A, B> {
        self.builder.assert_same(&other.builder);
        PlainConnectedStreams {
            left: self.clone(),
            right: other.clone(),
        }
    }
}

impl<A: Data, B: Data> PlainConnectedStreams<A, B> {
    /// Processes both streams with a function of the user's own, which `make` makes on each worker.
    pub fn process<F: PlainConnectedProcess<Left = A, Right = B>>(
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
        F: PlainConnectedProcess<Left = A, Right = B>,
    {
        let make =
            move |sides: &mut SideMaker<'_, '_, '_>| PlainTwoInputs(make(tags.open(sides, 1)));
        let builder = &self.left.builder;
        let (left, right) = (self.left.edge(), self.right.edge());
        let port = builder.two_input(name, "process", left, right, make);
        let sides = tags.declare(builder, port);
        (Stream::new(builder.clone(), port), sides)
    }
}

/// A [`PlainConnectedProcess`] as an operator.
pub(super) struct PlainTwoInputs<F>(pub F);

impl<F: PlainConnectedProcess> OperatorCore for PlainTwoInputs<F> {
    type Out = F::Out;
}

impl<F: PlainConnectedProcess> TwoInputOperator for PlainTwoInputs<F> {
    type Left = F::Left;
    type Right = F::Right;

    fn on_left(
        &mut self,
        record: Record<F::Left>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let mut ctx = ProcessContext::new(record.time, context, out);
        self.0.on_left(record.value, &mut ctx)
    }

    fn on_right(
        &mut self,
        record: Record<F::Right>,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let mut ctx = ProcessContext::new(record.time, context, out);
        self.0.on_right(record.value, &mut ctx)
    }
}
