//! Millstream: a continuous, record-at-a-time stream processor.
pub use millstream_connectors as connectors;
pub use millstream_operators as operators;
pub use millstream_runtime as runtime;
