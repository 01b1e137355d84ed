//! Assigns event times and watermarks in mid-graph.

use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, Work,
};
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::{BlobState, Snapshot};
use millstream_runtime::time::Watermark;
use millstream_runtime::watermark::{WatermarkAssigner, WatermarkStrategy};

pub(crate) struct AssignTimestamps<T> {
    assigner: Box<dyn WatermarkAssigner<T>>,
    batch: Vec<Record<T>>,
    state: BlobState<Option<i64>>,
}

impl<T: Data> AssignTimestamps<T> {
    pub fn new(strategy: &WatermarkStrategy<T>) -> Self {
        AssignTimestamps {
            assigner: strategy.assigner(),
            batch: Vec::new(),
            state: BlobState::new("generator", None),
        }
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
        record: Record<T>,
        _: &mut OperatorContext,
        _: &mut Output<T>,
    ) -> UserResult {
        self.batch.push(record);
        Ok(())
    }

    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<T>,
    ) -> Result<Work, BoxError> {
        self.assigner.assign(&mut self.batch, context.now_ms);
        self.state.value = Some(self.assigner.snapshot());
        out.push_batch(&mut self.batch);
        self.batch.clear();
        Ok(Work::Done)
    }
}
