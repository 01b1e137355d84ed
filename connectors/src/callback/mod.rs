//! Functions as sources and sinks: for embedding, tests and things that have no connector yet.
//!
//! | what you have | use |
//! |---|---|
//! | a `recv()` that blocks | [`RecvSource`] |
//! | a function that says at once whether there is something | [`PollSource`] |
//! | a function for each record, which does not block | [`ForEach`] |
//! | a function for many records at a time, which may block (a database, HTTP) | [`ForEachBatch`] |

mod batch;
mod for_each;
mod poll;
mod recv;

pub use batch::ForEachBatch;
pub use for_each::ForEach;
pub use poll::{PollSource, Polled};
pub use recv::RecvSource;
