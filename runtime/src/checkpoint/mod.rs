//! Checkpoints: how snapshots become durable and are found again.

mod block;

pub use block::{Block, BlockKind};
