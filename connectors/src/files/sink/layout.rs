//! The names in the directory, and what is done with them after a restart.
//!
//! Workers settle at different moments, and some may write before others have settled. So each
//! worker touches only files of its own number (modulo the workers of now), and prepared files of the
//! restored checkpoint only to give them their final names.

use millstream_runtime::config::Guarantee;
use millstream_runtime::sink::WriterContext;
use millstream_runtime::time::CheckpointId;
use millstream_runtime::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where files are, and how their names begin and end.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub directory: PathBuf,
    pub prefix: String,
    pub extension: String,
}

/// A file of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub checkpoint: CheckpointId,
    pub worker: usize,
    pub sequence: u32,
}

/// What a name in the directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Final(Part),
    Prepared(Part),
    InProgress {
        worker: usize,
    },
    Committed {
        checkpoint: CheckpointId,
        worker: usize,
    },
}

/// Whether a job that starts anew may find results in the directory.
#[derive(Clone)]
pub(super) struct Fresh {
    pub overwrite: bool,
    pub begun: Arc<Mutex<BTreeSet<usize>>>,
}

impl Fresh {
    fn has_begun(&self, worker: usize) -> bool {
        self.lock().contains(&worker)
    }

    fn begin(&self, worker: usize) {
        self.lock().insert(worker);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layout {
    pub fn final_path(&self, part: Part) -> PathBuf {
        self.directory.join(self.part_name(part))
    }

    pub fn prepared_path(&self, part: Part) -> PathBuf {
        self.directory
            .join(format!(".{}.prepared", self.part_name(part)))
    }

    pub fn in_progress_path(&self, worker: usize, number: u64) -> PathBuf {
        let (prefix, extension) = (&self.prefix, &self.extension);
        self.directory.join(format!(
            ".{prefix}-{worker:03}-{number:06}.{extension}.inprogress"
        ))
    }

    pub fn committed_path(&self, checkpoint: CheckpointId, worker: usize) -> PathBuf {
        let (prefix, extension) = (&self.prefix, &self.extension);
        self.directory.join(format!(
            ".{prefix}-{checkpoint:09}-{worker:03}.{extension}.committed"
        ))
    }

    fn part_name(&self, part: Part) -> String {
        let Part {
            checkpoint,
            worker,
            sequence,
        } = part;
        let (prefix, extension) = (&self.prefix, &self.extension);
        format!("{prefix}-{checkpoint:09}-{worker:03}-{sequence:03}.{extension}")
    }

    /// What `name` says; `None` if it is none of ours.
    pub fn parse(&self, name: &str) -> Option<Name> {
        let Some(hidden) = name.strip_prefix('.') else {
            return Some(Name::Final(self.parse_part(name)?));
        };
        if let Some(name) = hidden.strip_suffix(".prepared") {
            return Some(Name::Prepared(self.parse_part(name)?));
        }
        if let Some(name) = hidden.strip_suffix(".inprogress") {
            let [worker, _] = self.numbers(name)?;
            return Some(Name::InProgress {
                worker: worker as usize,
            });
        }
        let [checkpoint, worker] = self.numbers(hidden.strip_suffix(".committed")?)?;
        Some(Name::Committed {
            checkpoint,
            worker: worker as usize,
        })
    }

    fn parse_part(&self, name: &str) -> Option<Part> {
        let [checkpoint, worker, sequence] = self.numbers(name)?;
        Some(Part {
            checkpoint,
            worker: worker as usize,
            sequence: u32::try_from(sequence).ok()?,
        })
    }

    /// The `N` numbers between prefix and extension.
    fn numbers<const N: usize>(&self, name: &str) -> Option<[u64; N]> {
        let name = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let name = name.strip_suffix(&self.extension)?.strip_suffix('.')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let numbers: Option<Vec<u64>> = name
            .split('-')
            .map(|text| text.parse().ok().filter(|_| digits(text)))
            .collect();
        numbers?.try_into().ok()
    }

    fn list(&self) -> Result<Vec<(PathBuf, Name)>> {
        let failed = |error| sink_error("cannot list", &self.directory, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| self.parse(name)) {
                found.push((entry.path(), name));
            }
        }
        Ok(found)
    }

    /// Makes renames and new files of the directory durable.
    pub fn sync(&self) -> Result<()> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| sink_error("cannot sync", &self.directory, error))
    }

    /// Gives the prepared files of a restored checkpoint their final names.
    pub fn settle(&self, prepared: &[Vec<u8>]) -> Result<()> {
        let mut settled = BTreeSet::new();
        for described in prepared.iter().filter(|bytes| !bytes.is_empty()) {
            for part in describe_back(described)? {
                self.settle_part(part)?;
                settled.insert((part.worker, part.checkpoint));
            }
        }
        for &(worker, checkpoint) in &settled {
            self.mark_committed(checkpoint, worker)?;
        }
        match settled.is_empty() {
            true => Ok(()),
            false => self.sync(),
        }
    }

    fn settle_part(&self, part: Part) -> Result<()> {
        let (from, to) = (self.prepared_path(part), self.final_path(part));
        match fs::rename(&from, &to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(sink_error("cannot give its final name to", &from, error))
            }
            Err(_) if to.exists() || self.was_committed(part)? => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "results of checkpoint {} are lost: neither {} nor {} is there",
                    part.checkpoint,
                    from.display(),
                    to.display()
                ),
            )),
        }
    }

    /// Whether the directory says that `part` was committed, and so was taken away by somebody.
    fn was_committed(&self, part: Part) -> Result<bool> {
        let says_so = |name: &Name| {
            matches!(name, Name::Committed { checkpoint, worker }
                if *worker == part.worker && *checkpoint >= part.checkpoint)
        };
        Ok(self.list()?.iter().any(|(_, name)| says_so(name)))
    }

    /// Notes that `worker` has committed all up to `checkpoint`.
    pub fn mark_committed(&self, checkpoint: CheckpointId, worker: usize) -> Result<PathBuf> {
        let path = self.committed_path(checkpoint, worker);
        File::create(&path).map_err(|error| sink_error("cannot create", &path, error))?;
        Ok(path)
    }

    /// Removes what is void after a restart; returns the commit marks that the next one replaces.
    pub fn clean(&self, fresh: &Fresh, context: &WriterContext) -> Result<Vec<PathBuf>> {
        let restored = context.restored;
        let mut marks = Vec::new();
        let restart = fresh.has_begun(context.worker);
        let exactly_once = context.guarantee == Guarantee::ExactlyOnce;
        for (path, name) in self.list()? {
            if name.worker() % context.workers != context.worker {
                continue;
            }
            match name {
                Name::InProgress { .. } => remove(&path)?,
                Name::Prepared(part) if part.checkpoint > restored => remove(&path)?,
                Name::Committed { checkpoint, .. } if checkpoint > restored => remove(&path)?,
                Name::Committed { .. } => marks.push(path),
                Name::Final(_) if restored == 0 && fresh.overwrite => remove(&path)?,
                Name::Final(_) if restored == 0 && (exactly_once || !restart) => {
                    return Err(self.occupied(&path));
                }
                Name::Final(part) if exactly_once && part.checkpoint > restored => {
                    tracing::warn!(
                        file = %path.display(),
                        restored,
                        "removed results of a checkpoint after the restored one"
                    );
                    remove(&path)?;
                }
                Name::Prepared(_) | Name::Final(_) => {}
            }
        }
        fresh.begin(context.worker);
        Ok(marks)
    }

    fn occupied(&self, path: &Path) -> Error {
        let directory = self.directory.display();
        Error::new(
            ErrorKind::Sink,
            format!(
                "the job starts anew, but directory {directory} holds results of an earlier run \
                 ({}): remove it, choose another one, or let the sink overwrite it",
                path.file_name().unwrap_or_default().to_string_lossy()
            ),
        )
    }
}

impl Name {
    fn worker(self) -> usize {
        match self {
            Name::Final(part) | Name::Prepared(part) => part.worker,
            Name::InProgress { worker } | Name::Committed { worker, .. } => worker,
        }
    }
}

/// What a snapshot holds of `parts`.
pub(super) fn describe(parts: &[Part]) -> Result<Vec<u8>> {
    serde_json::to_vec(parts).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "the prepared files cannot be described",
        )
        .with_source(error)
    })
}

fn describe_back(bytes: &[u8]) -> Result<Vec<Part>> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            ErrorKind::Restore,
            "what a file sink prepared is unreadable",
        )
        .with_source(error)
    })
}

/// Removes a file; that it is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(sink_error("cannot remove", path, error))
        }
        _ => Ok(()),
    }
}

/// An error of the sink that names the file.
pub(super) fn sink_error(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Sink, format!("{what} {}", path.display())).with_source(error)
}
