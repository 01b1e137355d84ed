//! The load, the clock, the answer and the report of every contender, whatever engine it runs on.
//!
//! Nothing here depends on an engine: `benches/rivals` includes this folder by path.

pub mod answer;
pub mod contest;
pub mod latency;
pub mod load;
pub mod machine;
pub mod options;
pub mod process;
pub mod report;
pub mod text;
pub mod throughput;
pub mod window_events;
