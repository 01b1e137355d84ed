//! Assigns event times and watermarks in mid-graph.

use millstream_runtime::driver::Position;
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, Work,
};
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::{BlobState, Snapshot};
use millstream_runtime::time::Watermark;
use millstream_runtime::watermark::{WatermarkAssigner, WatermarkStrategy};

pub(crate) struct AssignTimestamps<T> {
    assigner: WatermarkAssigner<T>,
    state: BlobState<Option<i64>>,
}

impl<T: Data> AssignTimestamps<T> {
    pub fn new(strategy: &WatermarkStrategy<T>) -> Self {
        AssignTimestamps {
            assigner: strategy.assigner(),
            state: BlobState::new("generator", None),
        }
    }

    fn assign(
        &mut self,
        records: &mut [Record<T>],
        context: &OperatorContext,
        at: &Position<'_>,
    ) -> UserResult {
        self.assigner.assign(records, context.now_ms, at)?;
        self.state.value = Some(self.assigner.snapshot());
        Ok(())
    }
}

impl<T: Data> OperatorCore for AssignTimestamps<T> {
    type Out = T;

    fn open(&mut self, _: &OperatorContext) {
        // Instances may have come to different points; none may run ahead of the slowest.
        let restored = self
            .state
            .restored()
            .into_iter()
            .map(|(_, generator)| generator);
        if let Some(Some(slowest)) = restored.min() {
            self.assigner.restore(slowest);
        }
        self.state.value = Some(self.assigner.snapshot());
    }

    fn on_watermark(
        &mut self,
        _: &mut OperatorContext,
        _: &mut Output<T>,
    ) -> Result<Work, BoxError> {
        Ok(Work::Done)
    }

    fn assigned_watermark(&self) -> Option<Watermark> {
        Some(self.assigner.watermark())
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.state);
    }
}

impl<T: Data> Operator for AssignTimestamps<T> {
    type In = T;

    fn on_record(
        &mut self,
        mut record: Record<T>,
        context: &mut OperatorContext,
        out: &mut Output<T>,
    ) -> UserResult {
        Position::detached(|at| self.assign(std::slice::from_mut(&mut record), context, at))?;
        out.push(record.time, record.value);
        Ok(())
    }

    fn on_batch(
        &mut self,
        mut records: Vec<Record<T>>,
        context: &mut OperatorContext,
        out: &mut Output<T>,
        at: &Position<'_>,
    ) -> UserResult {
        self.assign(&mut records, context, at)?;
        out.push_batch(&mut records);
        Ok(())
    }
}
