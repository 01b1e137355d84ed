//! Files on a local disk, read and written.
//!
//! [`FileSource`] reads lines, CSV, JSON lines or a format of your own, [`FileSink`] writes them; both compress.
//! Each says in its module what it guarantees.

mod identity;
pub mod sink;
pub mod source;

pub use crate::compression::Compression;
pub use crate::format::{
    Csv, EachLine, Format, JsonLines, Lines, Located, LossyLines, Parse, partition_folder,
};
pub use sink::{FileSink, TimeBucket};
pub use source::{FileOrder, FileSource, FileSplit, OnLoss, TextFiles};
