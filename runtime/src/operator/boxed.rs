//! Operators whose type is hidden behind a box: what a test gets out of a job graph.
//!
//! Every method of the contract is forwarded, also those that have a default: a default in their place would be
//! another operator.

use super::{Operator, OperatorContext, OperatorCore, Output, TwoInputOperator, UserResult, Work};
use crate::driver::Position;
use crate::error::BoxError;
use crate::record::{Data, Record};
use crate::state::Snapshot;
use crate::time::{EventTime, Watermark};

/// An operator with one input, from records of `A` to records of `B`.
pub type BoxedOperator<A, B> = Box<dyn Operator<In = A, Out = B>>;

/// An operator with two inputs, from records of `A` and of `B` to records of `C`.
pub type BoxedTwoInput<A, B, C> = Box<dyn TwoInputOperator<Left = A, Right = B, Out = C>>;

macro_rules! forward_core {
    ($out:ident) => {
        type Out = $out;

        fn open(&mut self, context: &OperatorContext) {
            (**self).open(context);
        }
        fn on_watermark(
            &mut self,
            context: &mut OperatorContext,
            out: &mut Output<$out>,
        ) -> Result<Work, BoxError> {
            (**self).on_watermark(context, out)
        }
        fn assigned_watermark(&self) -> Option<Watermark> {
            (**self).assigned_watermark()
        }
        fn next_processing_time(&self) -> Option<EventTime> {
            (**self).next_processing_time()
        }
        fn on_processing_time(
            &mut self,
            context: &mut OperatorContext,
            out: &mut Output<$out>,
        ) -> Result<Work, BoxError> {
            (**self).on_processing_time(context, out)
        }
        fn accepts(&self) -> bool {
            (**self).accepts()
        }
        fn poll(
            &mut self,
            context: &mut OperatorContext,
            out: &mut Output<$out>,
        ) -> Result<Work, BoxError> {
            (**self).poll(context, out)
        }
        fn under_way(&self) -> Option<Watermark> {
            (**self).under_way()
        }
        fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
            (**self).states(visit);
        }
    };
}

impl<A: Data, B: Data> OperatorCore for BoxedOperator<A, B> {
    forward_core!(B);
}

impl<A: Data, B: Data> Operator for BoxedOperator<A, B> {
    type In = A;

    fn on_record(
        &mut self,
        record: Record<A>,
        context: &mut OperatorContext,
        out: &mut Output<B>,
    ) -> UserResult {
        (**self).on_record(record, context, out)
    }
    fn on_batch(
        &mut self,
        records: Vec<Record<A>>,
        context: &mut OperatorContext,
        out: &mut Output<B>,
        at: &Position<'_>,
    ) -> UserResult {
        (**self).on_batch(records, context, out, at)
    }
    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<B>,
    ) -> Result<Work, BoxError> {
        (**self).on_batch_end(context, out)
    }
}

impl<A: Data, B: Data, C: Data> OperatorCore for BoxedTwoInput<A, B, C> {
    forward_core!(C);
}

impl<A: Data, B: Data, C: Data> TwoInputOperator for BoxedTwoInput<A, B, C> {
    type Left = A;
    type Right = B;

    fn on_left(
        &mut self,
        record: Record<A>,
        context: &mut OperatorContext,
        out: &mut Output<C>,
    ) -> UserResult {
        (**self).on_left(record, context, out)
    }
    fn on_right(
        &mut self,
        record: Record<B>,
        context: &mut OperatorContext,
        out: &mut Output<C>,
    ) -> UserResult {
        (**self).on_right(record, context, out)
    }
    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<C>,
    ) -> Result<Work, BoxError> {
        (**self).on_batch_end(context, out)
    }
}
