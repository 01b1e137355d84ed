//! The connectors of Millstream.
