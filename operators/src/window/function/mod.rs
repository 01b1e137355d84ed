//! What is kept of a window's records, and what becomes of it when the window fires.

mod incremental;
mod listed;

pub(crate) use incremental::{Incremental, IncrementalThen};
pub(crate) use listed::{Aggregate, AggregateThen, FullWindow, Listed, Process};

use super::Window;
use crate::stateless::Collector;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::StateData;
use millstream_runtime::time::{EventTime, Watermark};

/// Why a window fires.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Timing {
    /// Its end has not come: more records may be to come.
    Early,
    /// Its end has come, and it is the first time since. Windows without an end are always on time.
    OnTime,
    /// It had fired on time before: a record came within the allowed lateness.
    Late,
}

/// What a window function knows of the window that fires.
#[derive(Debug)]
pub struct WindowContext<'a, K> {
    /// The window. One without bounds (global, or by number) stretches from the first event time in it to after the
    /// last.
    pub window: Window,
    /// Its key; `()` over the whole stream.
    pub key: &'a K,
    /// Why it fires.
    pub timing: Timing,
    /// How many times it has fired before.
    pub pane: u32,
    /// The operator's watermark.
    pub watermark: Watermark,
    /// Processing time in milliseconds since the Unix epoch.
    pub now_ms: EventTime,
}

/// What is kept of the records of a window, and what becomes of it.
pub(crate) trait WindowFunction<K, V>: Send + Sync + 'static {
    /// What is kept.
    type Kept: StateData;
    /// What comes out.
    type Out: Data;

    /// What is kept of no record.
    fn create(&self) -> Self::Kept;

    /// Adds a record.
    fn add(&self, kept: &mut Self::Kept, time: EventTime, value: V);

    /// Adds what another window has kept, that lies after this one.
    fn merge(&self, kept: &mut Self::Kept, other: Self::Kept);

    /// Whether nothing is left.
    fn is_empty(&self, _: &Self::Kept) -> bool {
        false
    }

    /// The window fires.
    fn fire(
        &self,
        at: &WindowContext<'_, K>,
        kept: &mut Self::Kept,
        out: &mut Vec<Record<Self::Out>>,
    ) -> UserResult;
}

/// Hands a function its collector: what it pushes has the event time of the window.
fn collect<K, U>(
    at: &WindowContext<'_, K>,
    out: &mut Vec<Record<U>>,
    function: impl FnOnce(&mut Collector<'_, U>) -> UserResult,
) -> UserResult {
    function(&mut Collector::new(at.window.last(), out))
}
