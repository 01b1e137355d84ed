//! Process functions without a key: no state, but event times and side outputs.

use super::context::ProcessContext;
use super::sides::SideTags;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, UserResult};
use millstream_runtime::record::{Data, Record};
use std::marker::PhantomData;

impl<T: Data> Stream<T> {
    /// Processes the stream with a function that sees event times and the watermark and puts out
    /// what it likes. `make` is called on each worker and returns the function.
    ///
    /// ```
    /// # use millstream_operators::{ProcessContext, Stream};
    /// fn delayed(readings: &Stream<u64>) -> Stream<(i64, u64)> {
    ///     readings.process("delayed", || {
    ///         |reading: u64, ctx: &mut ProcessContext<'_, (i64, u64)>| {
    ///             let time = ctx.time();
    ///             ctx.emit_at(time + 1000, (time, reading));
    ///             Ok(())
    ///         }
    ///     })
    /// }
    /// ```
    pub fn process<U: Data, F>(
        &self,
        name: &str,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<U>
    where
        F: FnMut(T, &mut ProcessContext<'_, U>) -> UserResult + 'static,
    {
        self.process_with_sides(name, (), move |()| make()).0
    }

    /// [`process`](Self::process) with side outputs: `make` is handed an open side output for
    /// each tag, and a stream for each comes back.
    ///
    /// ```
    /// # use millstream_operators::{ProcessContext, Side, SideTag, Stream};
    /// fn parse(lines: &Stream<String>) -> (Stream<u64>, Stream<String>) {
    ///     lines.process_with_sides("parse", SideTag::new("malformed"), |malformed: Side<String>| {
    ///         move |line: String, ctx: &mut ProcessContext<'_, u64>| {
    ///             match line.parse() {
    ///                 Ok(number) => ctx.emit(number),
    ///                 Err(_) => ctx.emit_to(&malformed, line),
    ///             }
    ///             Ok(())
    ///         }
    ///     })
    /// }
    /// ```
    pub fn process_with_sides<U: Data, F, S: SideTags>(
        &self,
        name: &str,
        tags: S,
        make: impl Fn(S::Sides) -> F + Send + Sync + 'static,
    ) -> (Stream<U>, S::Streams)
    where
        F: FnMut(T, &mut ProcessContext<'_, U>) -> UserResult + 'static,
    {
        let make = move |sides: &mut SideMaker<'_, '_, '_>| ProcessOperator {
            function: make(tags.open(sides, 1)),
            marker: PhantomData::<fn(T) -> U>,
        };
        let port = self.builder.operator(name, "process", self.edge(), make);
        let sides = tags.declare(&self.builder, port);
        (Stream::new(self.builder.clone(), port), sides)
    }
}

struct ProcessOperator<F, T, U> {
    function: F,
    marker: PhantomData<fn(T) -> U>,
}

impl<F: 'static, T: Data, U: Data> OperatorCore for ProcessOperator<F, T, U> {
    type Out = U;
}

impl<F, T, U> Operator for ProcessOperator<F, T, U>
where
    F: FnMut(T, &mut ProcessContext<'_, U>) -> UserResult + 'static,
    T: Data,
    U: Data,
{
    type In = T;

    #[inline]
    fn on_record(
        &mut self,
        record: Record<T>,
        context: &mut OperatorContext,
        out: &mut Output<U>,
    ) -> UserResult {
        let mut ctx = ProcessContext::new(record.time, context, out);
        (self.function)(record.value, &mut ctx)
    }
}
