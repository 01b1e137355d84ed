//! What the benchmarks share: the load they measure under, how they report, and the twins: the same
//! jobs written by hand straight on timely, or as a bare loop.
//!
//! `common` knows no engine, so that a rival's crate can include it by path and run the same load.

pub mod common;
pub mod product;
pub mod twins;
