//! A sink that writes files to a directory: lines of text, CSV, JSON lines, or a format of your own; plain, gzip or
//! zstd; into folders by time or key.
//!
//! # Guarantee
//! Exactly-once. Records go to hidden files; at a barrier these are closed, fsynced and renamed to hidden
//! names that carry the checkpoint's number; when the checkpoint is complete they get their final
//! names. So a reader of the directory sees each record once, after any crash. Below exactly-once
//! files get their final names at the barrier, or earlier when they are [rolled](FileSink::roll_size);
//! after a recovery records can be there twice. Without checkpoints that is the end of the job.
//!
//! # Snapshot
//! The final names of the files that were prepared and not yet known to be committed, as JSON.
//!
//! # Layout
//! | name | what it is |
//! |---|---|
//! | `part-000000012-003-000.csv` | final: the first file of worker 3 with results of checkpoint 12 |
//! | `.part-003-000007.csv.inprogress` | being written; void after a crash |
//! | `.part-000000012-003-000.csv.prepared` | waits for checkpoint 12 to be complete |
//! | `.part-000000012-003.csv.committed` | empty: worker 3 has committed checkpoint 12, even if somebody has taken the files away since |
//!
//! A file with a final name is whole and never changes; a reader takes those and leaves hidden ones alone. There
//! are no empty files, apart from the last kind. Compressed files end with `.csv.gz`, `.csv.zst`; each is whole on
//! its own. Of a partitioned sink the first three kinds are in the record's folder, the last is in the
//! directory. The directory must be one that all processes of the job share. Two sinks can share it when their
//! prefixes or extensions differ; if not, the second file of a name is an error.
//!
//! # After a restart
//! What the restored checkpoint says was prepared gets its final name. Each worker removes what
//! workers of its number (modulo the workers of now) left behind. Files of later checkpoints exist
//! only if an older checkpoint was chosen by hand: these too are removed, with a warning, since their
//! records will be written again. A job that starts anew refuses a directory that holds results,
//! unless it may [overwrite](FileSink::overwrite) them.
//!
//! # Errors
//! A record that cannot be written in the format, or whose folder is none, goes where the sink's error policy
//! says. A disk that cannot be written to ends the job, with the file.

mod disk;
mod layout;
mod partition;
mod writer;

pub use partition::TimeBucket;

use crate::compression::Compression;
use crate::format::{Csv, Format, JsonLines, Lines};

use layout::Layout;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext};
use millstream_runtime::{Error, ErrorKind, Result};
use partition::{Folders, Partition};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use writer::Rolling;

/// Writes records to files in a directory. See the [module](self) for guarantee and layout.
///
/// Cost: records are encoded on the worker, and compressed and written by one thread per worker. A partitioned
/// sink keeps up to 64 files open per worker, with a buffer of 64 KiB each.
///
/// ```
/// use millstream_connectors::files::{Compression, FileSink, TimeBucket, partition_folder};
/// let words = FileSink::<String>::lines("out/words").roll_size(64 << 20);
/// let counts = FileSink::<(String, u64)>::csv("out/counts").prefix("counts");
/// let events = FileSink::<Vec<u32>>::json_lines("out/events").overwrite(true);
/// let landing = FileSink::<(String, f64)>::csv("out/trades")
///     .partition_by_time(TimeBucket::Hour) // date=2025-03-01/hour=13/part-…
///     .compression(Compression::Gzip);
/// let by_symbol = FileSink::<(String, f64)>::csv("out/by-symbol")
///     .partition_by(|(symbol, _): &(String, f64)| partition_folder("symbol", symbol));
/// ```
pub struct FileSink<T, F = Lines> {
    directory: PathBuf,
    prefix: String,
    extension: String,
    format: F,
    compression: Compression,
    rolling: Rolling,
    partition: Option<Partition<T>>,
    overwrite: bool,
    /// Workers that have begun to write in this process: a restart is no fresh start.
    begun: Arc<Mutex<BTreeSet<usize>>>,
    item: PhantomData<fn(T)>,
}

impl<T> FileSink<T> {
    /// One line a record, as `Display` shows it. Extension `txt`.
    pub fn lines(directory: impl Into<PathBuf>) -> Self
    where
        Lines: Format<T>,
    {
        Self::with_format(directory, Lines)
    }

    /// One CSV row a record, by serde; structs get a header in each file. Extension `csv`.
    pub fn csv(directory: impl Into<PathBuf>) -> FileSink<T, Csv>
    where
        Csv: Format<T>,
    {
        Self::with_format(directory, Csv::default())
    }

    /// One JSON value a line, by serde. Extension `jsonl`.
    pub fn json_lines(directory: impl Into<PathBuf>) -> FileSink<T, JsonLines>
    where
        JsonLines: Format<T>,
    {
        Self::with_format(directory, JsonLines)
    }

    /// Writes records in `format` to files in `directory`, which is made if it is not there.
    pub fn with_format<F: Format<T>>(directory: impl Into<PathBuf>, format: F) -> FileSink<T, F> {
        FileSink {
            directory: directory.into(),
            prefix: "part".into(),
            extension: format.extension().into(),
            format,
            compression: Compression::None,
            rolling: Rolling {
                size: u64::MAX,
                after: None,
            },
            partition: None,
            overwrite: false,
            begun: Arc::default(),
            item: PhantomData,
        }
    }
}

impl<T, F> FileSink<T, F> {
    /// Begins another file when one has reached `bytes`, before compression. Default: one file a checkpoint,
    /// worker and folder.
    ///
    /// # Panics
    /// When `bytes` is 0.
    pub fn roll_size(mut self, bytes: u64) -> Self {
        assert!(bytes > 0, "a file needs at least one byte");
        self.rolling.size = bytes;
        self
    }

    /// Begins another file when one was begun this long ago. In an exactly-once job that does not make results
    /// visible any earlier: each checkpoint does.
    ///
    /// # Panics
    /// When `interval` is zero.
    pub fn roll_after(mut self, interval: Duration) -> Self {
        assert!(!interval.is_zero(), "a file needs some time");
        self.rolling.after = Some(interval);
        self
    }

    /// Compresses each file; its name ends with `.gz` or `.zst` then. Default: plain.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Writes each record to the folder that `folder` names: a relative path such as `symbol=ACME`, made by
    /// [`partition_folder`](crate::format::partition_folder) of any value.
    pub fn partition_by(self, folder: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.partition_records(move |record| folder(&record.value))
    }

    /// Writes each record to the folder of its event time.
    pub fn partition_by_time(self, bucket: TimeBucket) -> Self {
        self.partition_records(move |record| bucket.folder(record.time))
    }

    /// Writes each record to the folder that `folder` names for its value and event time.
    pub fn partition_records(
        mut self,
        folder: impl Fn(&Record<T>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.partition = Some(Arc::new(move |records: &[Record<T>], folders: &Folders| {
            records
                .iter()
                .for_each(|record| folders.push(&folder(record)));
        }));
        self
    }

    /// What file names begin with. Default `part`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What file names end with, after a dot. Default: the format's.
    pub fn extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = extension.into();
        self
    }

    /// Whether a job that starts anew removes the results of an earlier one from the directory. Default:
    /// no, it ends with an error.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    fn layout(&self) -> Layout {
        Layout {
            directory: self.directory.clone(),
            prefix: self.prefix.clone(),
            extension: format!("{}{}", self.extension, self.compression.suffix()),
            folders: self.partition.is_some(),
        }
    }
}

impl<T: Data, F: Format<T>> Sink for FileSink<T, F> {
    type Item = T;

    fn describe(&self) -> String {
        let layout = self.layout();
        let below = if layout.folders { "folders of " } else { "" };
        format!(
            "{} files in {below}{}",
            layout.extension,
            self.directory.display()
        )
    }

    fn check(&self) -> Result<()> {
        self.compression
            .check()
            .map_err(|error| error.within("file sink"))?;
        for (what, name) in [("prefix", &self.prefix), ("extension", &self.extension)] {
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("file sink: {name:?} cannot be the {what} of file names"),
                ));
            }
        }
        let probe = self
            .directory
            .join(format!(".{}.{}.check", self.prefix, self.extension));
        fs::create_dir_all(&self.directory)
            .and_then(|()| File::create(&probe))
            .map_err(|error| {
                let directory = self.directory.display();
                Error::new(
                    ErrorKind::Sink,
                    format!("directory {directory} cannot be written"),
                )
                .with_source(error)
            })?;
        // Another process of the job may do the same at the same time.
        layout::remove(&probe)
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        let fresh = layout::Fresh {
            overwrite: self.overwrite,
            begun: self.begun.clone(),
        };
        let writer = writer::Writer::start(
            self.layout(),
            self.format.clone(),
            self.compression,
            self.rolling,
            self.partition.clone(),
            fresh,
            context,
        )?;
        Ok(Box::new(writer))
    }
}

#[cfg(test)]
mod tests;
