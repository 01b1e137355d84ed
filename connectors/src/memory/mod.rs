//! Sources in memory: a collection that is there from the start, and a channel into the job.
//!
//! [`Collection`] is replayable, hence exactly-once: a split's snapshot holds the index of the next
//! record. [`channel`] is not replayable: what was sent before a failure and not yet processed
//! is lost (at-most-once across restarts); its snapshot holds nothing but a count.

mod channel;
mod collection;

pub use channel::{ChannelHandle, ChannelSource, channel};
pub use collection::Collection;
