//! The operators of Millstream: typed streams, and one operator a file.
//!
//! A [`Job`] is a graph under construction; its sources give [`Stream`]s; the methods of
//! streams add operators. Each stateful operator is a plain struct under the shared driver
//! ([`millstream_runtime::operator`]).

mod aggregate;
mod assign;
#[cfg(feature = "async")]
pub mod async_io;
mod distinct;
mod groups;
mod job;
mod keyed;
mod lookup;
mod process;
mod rolling;
mod split;
mod stateless;
mod stream;
pub mod testing;
mod tolerance;
pub mod window;
mod with_state;

pub use aggregate::{
    Aggregator, Average, Count, CountDistinct, First, Fold, Last, Mapped, Max, MergingFold, Min,
    Moments, Reduce, StdDev, Sum, Summable, Top, UnmergingFold, UnmergingReduce, Variance,
};
#[cfg(feature = "sketches")]
pub use aggregate::{ApproxDistinct, ApproxQuantiles, DistinctSketch};
#[cfg(feature = "async")]
pub use async_io::{AsyncFailure, AsyncIo, Retry};
pub use groups::GroupState;
pub use job::{Job, main};
pub use keyed::KeyedStream;
pub use millstream_runtime::state::{
    ListState, MapState, ReducingState, StateSpec, TimeDomain, Timer, Ttl, ValueState,
};
pub use process::{
    AggregatingAccess, AggregatingState, BroadcastContext, BroadcastProcess, BroadcastStreams,
    ConnectedProcess, ConnectedStreams, KeyedBroadcastProcess, KeyedBroadcastStreams, KeyedContext,
    KeyedProcess, PlainConnectedProcess, PlainConnectedStreams, ProcessContext, Side, SideRecords,
    SideTag, SideTags, States,
};
pub use split::Splitter;
pub use stateless::Collector;
pub use stream::Stream;
pub use window::{
    AllTrigger, AnyTrigger, ContinuousTrigger, CountEvictor, CountTrigger, CountWindow, Cumulating,
    DeltaEvictor, DeltaTrigger, EventTimeTrigger, Evictor, Global, OutputMode,
    ProcessingTimeTrigger, PurgingTrigger, Session, Sliding, TimeEvictor, Timing, TriggerContext,
    TriggerResult, Tumbling, Window, WindowContext, WindowTrigger, Windowed, WindowedStream,
};
