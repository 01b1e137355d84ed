//! Which file a name stands for: by device, inode and time of birth, where the system has them.
//!
//! The time of birth tells a file from one that was removed and whose inode was given to another.

use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
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
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        for entry in directory.read_dir()? {
            let entry = entry?;
            let is_it = |data: Metadata| data.is_file() && Identity::of(&data).is_same(self);
            if !entry.metadata().is_ok_and(is_it) {
                continue;
            }
            let file = File::open(entry.path())?;
            if Identity::of(&file.metadata()?).is_same(self) {
                return Ok(Some((entry.path(), file)));
            }
        }
        Ok(None)
    }
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
