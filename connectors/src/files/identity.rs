//! Which file a name stands for: by device, inode and time of birth, where the system has them.
//!
//! The time of birth tells a file from one that was removed and whose inode was given to another.

use serde::{Deserialize, Serialize};
use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since the Unix epoch; 0 where the file system does not say.
    pub born_ns: u64,
}

impl Identity {
    /// The identity in `data`.
    pub fn of(data: &Metadata) -> Self {
        let (device, inode) = numbers(data);
        let born = data.created().ok();
        let born = born.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Identity {
            device,
            inode,
            born_ns: born.map_or(0, |at| at.as_nanos() as u64),
        }
    }

    /// Whether both are the same file, as far as the system says.
    pub fn is_same(self, other: Identity) -> bool {
        let numbers = (self.device, self.inode) == (other.device, other.inode);
        let born = self.born_ns == other.born_ns || self.born_ns == 0 || other.born_ns == 0;
        numbers && born
    }

    /// The file of this identity in the directory of `path`, under whatever name.
    pub fn find_beside(self, path: &Path) -> io::Result<Option<(PathBuf, File)>> {
        for entry in directory_of(path).read_dir()? {
            let entry = entry?;
            if let Some(found) = file_of(&entry)
                && found.is_same(self)
            {
                let file = File::open(entry.path())?;
                if Identity::of(&file.metadata()?).is_same(self) {
                    return Ok(Some((entry.path(), file)));
                }
            }
        }
        Ok(None)
    }

    /// The file that came after this one under the name `path`, if it has been renamed since: of the files beside
    /// it whose names are that and a number or a date, the first one born later. `None` also where the file
    /// system has no times of birth.
    pub fn find_successor(self, path: &Path) -> io::Result<Option<(PathBuf, File)>> {
        if self.born_ns == 0 {
            return Ok(None);
        }
        let mut first: Option<(u64, PathBuf)> = None;
        for entry in directory_of(path).read_dir()? {
            let entry = entry?;
            let (name, born) = (entry.path(), file_of(&entry).map(|file| file.born_ns));
            let Some(born) = born.filter(|born| *born > self.born_ns && is_rotated(path, &name))
            else {
                continue;
            };
            if first.as_ref().is_none_or(|(before, _)| born < *before) {
                first = Some((born, name));
            }
        }
        match first {
            Some((_, name)) if name.file_name() != path.file_name() => {
                let file = File::open(&name)?;
                Ok(Some((name, file)))
            }
            _ => Ok(None),
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The identity of what is there, if that is a file.
fn file_of(entry: &DirEntry) -> Option<Identity> {
    let data = entry.metadata().ok().filter(Metadata::is_file);
    data.map(|data| Identity::of(&data))
}

/// Whether a file that had the name `path` may be called `name` after a rotation: `app.log` itself,
/// `app.log.1`, `app.log-20250301`; neither `app.log.bak` nor `app.log.1.gz`.
fn is_rotated(path: &Path, name: &Path) -> bool {
    let (Some(path), Some(name)) = (path.file_name(), name.file_name()) else {
        return false;
    };
    let added = name
        .as_encoded_bytes()
        .strip_prefix(path.as_encoded_bytes());
    added.is_some_and(|added| {
        added
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".-_T:".contains(byte))
    })
}

#[cfg(unix)]
fn numbers(data: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (data.dev(), data.ino())
}

/// All files are one: only their first bytes tell them apart.
#[cfg(not(unix))]
fn numbers(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
