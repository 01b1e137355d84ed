//! The operators of Millstream: typed streams, and one operator a file.
//!
//! A [`Job`] is a graph under construction; its sources give [`Stream`]s; the methods of
//! streams add operators. Each stateful operator is a plain struct under the shared driver
//! ([`millstream_runtime::operator`]).

mod aggregate;
mod assign;
mod job;
mod keyed;
mod rolling;
mod stateless;
mod stream;
pub mod window;

pub use aggregate::{Aggregator, Average, Count, Fold, Max, Min, Reduce, Sum};
pub use job::Job;
pub use keyed::KeyedStream;
pub use stateless::Collector;
pub use stream::Stream;
pub use window::{Tumbling, Window, Windowed, WindowedStream};
