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
    /// Files are in folders of the directory, too.
    pub folders: bool,
}

/// A file of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its folder in the directory; empty: right in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    pub checkpoint: CheckpointId,
    pub worker: usize,
    pub sequence: u32,
}

/// What a name in the directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub fn final_path(&self, part: &Part) -> PathBuf {
        self.folder(&part.folder).join(self.part_name(part))
    }

    pub fn prepared_path(&self, part: &Part) -> PathBuf {
        let name = format!(".{}.prepared", self.part_name(part));
        self.folder(&part.folder).join(name)
    }

    fn folder(&self, folder: &str) -> PathBuf {
        match folder {
            "" => self.directory.clone(),
            _ => self.directory.join(folder),
        }
    }

    pub fn in_progress_path(&self, folder: &str, worker: usize, number: u64) -> PathBuf {
        let (prefix, extension) = (&self.prefix, &self.extension);
        self.folder(folder).join(format!(
            ".{prefix}-{worker:03}-{number:06}.{extension}.inprogress"
        ))
    }

    pub fn committed_path(&self, checkpoint: CheckpointId, worker: usize) -> PathBuf {
        let (prefix, extension) = (&self.prefix, &self.extension);
        self.directory.join(format!(
            ".{prefix}-{checkpoint:09}-{worker:03}.{extension}.committed"
        ))
    }

    fn part_name(&self, part: &Part) -> String {
        let Part {
            checkpoint,
            worker,
            sequence,
            ..
        } = part;
        let (prefix, extension) = (&self.prefix, &self.extension);
        format!("{prefix}-{checkpoint:09}-{worker:03}-{sequence:03}.{extension}")
    }

    /// What the name of a file in `folder` says; `None` if it is none of ours.
    pub fn parse(&self, folder: &str, name: &str) -> Option<Name> {
        let Some(hidden) = name.strip_prefix('.') else {
            return Some(Name::Final(self.parse_part(folder, name)?));
        };
        if let Some(name) = hidden.strip_suffix(".prepared") {
            return Some(Name::Prepared(self.parse_part(folder, name)?));
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

    fn parse_part(&self, folder: &str, name: &str) -> Option<Part> {
        let [checkpoint, worker, sequence] = self.numbers(name)?;
        Some(Part {
            folder: folder.to_owned(),
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
        let mut found = Vec::new();
        self.list_folder("", &mut found)?;
        Ok(found)
    }

    fn list_folder(&self, folder: &str, found: &mut Vec<(PathBuf, Name)>) -> Result<()> {
        let path = self.folder(folder);
        let failed = |error| sink_error("cannot list", &path, error);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue; // none of ours
            };
            if self.folders && !name.starts_with('.') && entry.file_type().map_err(failed)?.is_dir()
            {
                let below = match folder {
                    "" => name.to_owned(),
                    _ => format!("{folder}/{name}"),
                };
                self.list_folder(&below, found)?;
            } else if let Some(name) = self.parse(folder, name) {
                found.push((entry.path(), name));
            }
        }
        Ok(())
    }

    /// Makes renames and new files of these folders durable, and the folders themselves.
    pub fn sync<'a>(&self, folders: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut paths = BTreeSet::new();
        for folder in folders {
            let inside = Path::new(folder).ancestors();
            paths.extend(inside.map(|folder| self.directory.join(folder)));
        }
        for path in paths {
            File::open(&path)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| sink_error("cannot sync", &path, error))?;
        }
        Ok(())
    }

    /// Gives the prepared files of a restored checkpoint their final names.
    pub fn settle(&self, prepared: &[Vec<u8>]) -> Result<()> {
        let mut settled = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for described in prepared.iter().filter(|bytes| !bytes.is_empty()) {
            for part in describe_back(described)? {
                self.settle_part(&part)?;
                settled.insert((part.worker, part.checkpoint));
                folders.insert(part.folder);
            }
        }
        for &(worker, checkpoint) in &settled {
            self.mark_committed(checkpoint, worker)?;
            folders.insert(String::new());
        }
        self.sync(folders.iter().map(|folder| &**folder))
    }

    fn settle_part(&self, part: &Part) -> Result<()> {
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
    fn was_committed(&self, part: &Part) -> Result<bool> {
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
                Name::Prepared(ref part) if part.checkpoint > restored => remove(&path)?,
                Name::Committed { checkpoint, .. } if checkpoint > restored => remove(&path)?,
                Name::Committed { .. } => marks.push(path),
                Name::Final(_) if restored == 0 && fresh.overwrite => remove(&path)?,
                Name::Final(_) if restored == 0 && (exactly_once || !restart) => {
                    return Err(self.occupied(&path));
                }
                Name::Final(ref part) if exactly_once && part.checkpoint > restored => {
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
                path.strip_prefix(&self.directory).unwrap_or(path).display()
            ),
        )
    }
}

impl Name {
    fn worker(&self) -> usize {
        match self {
            Name::Final(part) | Name::Prepared(part) => part.worker,
            Name::InProgress { worker } | Name::Committed { worker, .. } => *worker,
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
