//! The operators of Millstream.
