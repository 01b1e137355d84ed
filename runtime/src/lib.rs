//! The engine of Millstream: time, watermarks, barriers, state, checkpoints, drivers, launcher.
//!
//! It knows no operator and no connector: those implement the contracts in [`operator`], [`source`]
//! and [`sink`]. Users of Millstream want the facade crate `millstream` instead.

pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dead_letter;
pub mod driver;
pub mod error;
pub mod graph;
pub mod hash;
#[cfg(feature = "http")]
pub mod http;
pub mod job;
pub mod metrics;
pub mod operator;
mod prefetch;
pub mod record;
pub mod sink;
pub mod source;
pub mod state;
pub mod time;
pub mod watermark;

pub use error::{BoxError, Error, ErrorKind, Result};
