//! A snapshot between two lives of an operator under test.

use millstream_runtime::checkpoint::BlockKind;
use millstream_runtime::hash::KeyGroups;
use millstream_runtime::operator::OperatorCore;
use millstream_runtime::state::{BlockSink, BlockView, StateDescriptor};
use std::collections::BTreeMap;

/// The blocks that a restore of the last snapshot reads.
#[derive(Default)]
pub(super) struct Blocks {
    pub writer: usize,
    /// By state, shard and writer; each from its last full block on.
    pub chains: BTreeMap<(String, u32, usize), Vec<Block>>,
}

pub(super) struct Block {
    state: StateDescriptor,
    kind: BlockKind,
    payload: Vec<u8>,
}

impl BlockSink for Blocks {
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        _: u32,
        payload: Vec<u8>,
    ) {
        let chain = (state.name.clone(), shard, self.writer);
        let chain = self.chains.entry(chain).or_default();
        if kind != BlockKind::Delta {
            chain.clear();
        }
        chain.push(Block {
            state: state.clone(),
            kind,
            payload,
        });
    }
}

impl Blocks {
    /// What all blocks hold.
    pub fn bytes(&self) -> usize {
        let blocks = self.chains.values().flatten();
        blocks.map(|block| block.payload.len()).sum()
    }

    /// Shows an operator's states where they live, and restores them.
    pub fn restore<O: OperatorCore>(&self, operator: &mut O, groups: KeyGroups, worker: usize) {
        operator.states(&mut |state| {
            state.assign(groups, worker);
            let name = state.descriptor().name.clone();
            let chains = self.chains.range((name.clone(), 0, 0)..);
            for ((_, shard, _), chain) in chains.take_while(|((of, ..), _)| *of == name) {
                for block in chain {
                    let restored = state.restore(BlockView {
                        state: &block.state,
                        kind: block.kind,
                        shard: *shard, // of a blob: its writer
                        payload: &block.payload,
                    });
                    restored.expect("what was snapshotted is restored");
                }
            }
        });
    }
}
