//! State without keys, snapshotted whole: positions of a source, prepared output of a sink.

use super::{
    BlockSink, BlockView, Codec, Compact, SliceBudget, Snapshot, StateDescriptor, check_descriptor,
};
use crate::checkpoint::BlockKind;
use crate::error::Result;
use crate::hash::KeyGroups;
use crate::time::CheckpointId;
use serde::{Serialize, de::DeserializeOwned};

/// One value per operator instance. After a restore, each instance is handed the values of all the
/// instances that wrote one and takes its part ([`BlobState::restored`]).
pub struct BlobState<T> {
    descriptor: StateDescriptor,
    worker: u32,
    /// The value that the next snapshot takes.
    pub value: T,
    frozen: Option<Vec<u8>>,
    frozen_at: CheckpointId,
    restored: Vec<(u32, T)>,
}

impl<T: Serialize + DeserializeOwned> BlobState<T> {
    /// A state named `name` that holds `value`.
    pub fn new(name: impl Into<String>, value: T) -> Self {
        BlobState {
            descriptor: StateDescriptor::new(name),
            worker: 0,
            value,
            frozen: None,
            frozen_at: 0,
            restored: Vec::new(),
        }
    }

    /// What the instances of the restored checkpoint held: `(worker, value)` each, in the order of
    /// workers.
    pub fn restored(&mut self) -> Vec<(u32, T)> {
        let mut restored = std::mem::take(&mut self.restored);
        restored.sort_by_key(|(worker, _)| *worker);
        restored
    }
}

impl<T: Serialize + DeserializeOwned> Snapshot for BlobState<T> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn assign(&mut self, _: KeyGroups, worker: usize) {
        self.worker = worker as u32;
    }

    fn freeze(&mut self, checkpoint: CheckpointId, _: bool) {
        self.frozen_at = checkpoint;
        let mut bytes = Vec::new();
        Compact.encode(&self.value, &mut bytes);
        self.frozen = Some(bytes);
    }

    fn encode_slice(&mut self, _: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        if let Some(bytes) = self.frozen.take() {
            sink.block(&self.descriptor, BlockKind::Blob, self.worker, 1, bytes);
        }
        true
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        check_descriptor(&self.descriptor, block.state)?;
        let value = Compact.decode(block.payload)?;
        self.restored.push((block.shard, value));
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        self.frozen_at
    }

    fn keys(&self) -> usize {
        0
    }
}
