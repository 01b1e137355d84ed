//! The store that jobs use: a directory. All of `std::fs` for checkpoints is in this file.
//!
//! A file is durable when its bytes *and* its directory entry are: both are synced. A published file is
//! written under a temporary name, synced, renamed, and the directory synced.

use super::store::{CheckpointStore, PartSink};
use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".tmp-";
/// Small blocks are collected to pieces of this size.
const BUFFER: usize = 256 << 10;

/// A [`CheckpointStore`] in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    path: PathBuf,
    lock: Option<Arc<DirectoryLock>>,
}

/// The right to write checkpoints into a directory, held until it is dropped (or the process ends).
#[derive(Debug)]
pub struct DirectoryLock(File);

impl DirectoryStore {
    /// The store in `path`, which is made if it is not there and must be writable.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the path: read-only, not a directory, no permission.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let wrong = |what: &str, error: io::Error| {
            Error::new(
                ErrorKind::Config,
                format!("checkpoint directory {}: {what}", path.display()),
            )
            .with_source(error)
        };
        if path.exists() && !path.is_dir() {
            return Err(wrong(
                "not a directory",
                io::ErrorKind::NotADirectory.into(),
            ));
        }
        fs::create_dir_all(&path).map_err(|error| wrong("cannot be made", error))?;
        let store = DirectoryStore {
            path: path.clone(),
            lock: None,
        };
        let probe = store
            .path
            .join(format!("{TEMPORARY}probe-{}", std::process::id()));
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|error| wrong("cannot be written to", error))?;
        Ok(store)
    }

    /// The store in a directory that is there, to read from: nothing is made or written.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`], naming the path.
    pub fn open_existing(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match fs::read_dir(&path) {
            Ok(_) => Ok(DirectoryStore { path, lock: None }),
            Err(error) => Err(Error::new(
                ErrorKind::Restore,
                format!("checkpoint directory {} cannot be read", path.display()),
            )
            .with_source(error)),
        }
    }

    /// As [`open`](Self::open), and holds the directory's [`lock`](Self::lock) as long as the store
    /// or a clone of it is there.
    ///
    /// # Errors
    /// As `open` and `lock`.
    pub fn open_locked(path: impl Into<PathBuf>) -> Result<Self> {
        let mut store = DirectoryStore::open(path)?;
        store.lock = Some(Arc::new(store.lock()?));
        Ok(store)
    }

    /// Takes the directory for one job: an advisory lock on the file `LOCK`, in which the holder's
    /// process id stands. The system frees it when the process ends, however it ends. What an
    /// interrupted [`publish`](CheckpointStore::publish) left behind is swept away.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another job holds it, naming the directory and the process;
    /// [`ErrorKind::Config`] when the file cannot be locked at all.
    pub fn lock(&self) -> Result<DirectoryLock> {
        let broken = |error: io::Error| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "checkpoint directory {}: cannot be locked",
                    self.path.display()
                ),
            )
            .with_source(error)
        };
        let path = self.path.join(LOCK);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.held_by(&mut file)),
            Err(TryLockError::Error(error)) => return Err(broken(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(broken)?;
        self.sweep();
        Ok(DirectoryLock(file))
    }

    fn held_by(&self, file: &mut File) -> Error {
        let mut text = String::new();
        // The process id is a courtesy: without it the message still says what to do.
        let _ = file.read_to_string(&mut text);
        let holder = match text.trim().parse::<u32>() {
            Ok(pid) => format!(" (process {pid})"),
            Err(_) => String::new(),
        };
        Error::new(
            ErrorKind::Locked,
            format!(
                "checkpoint directory {} is used by another job{holder}",
                self.path.display()
            ),
        )
    }

    /// Deletes temporary files; they are worth no error.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file. Names also come out of manifests: they must not lead elsewhere.
    fn at(&self, name: &str) -> io::Result<PathBuf> {
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(std::path::Component::Normal(only)), None) if only == name => {
                Ok(self.path.join(name))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("\"{name}\" is not a plain file name"),
            )),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // A process id that is no longer true would mislead.
        let _ = self.0.set_len(0);
        // Not left to the close: a child that another thread is just starting still has the file open.
        let _ = self.0.unlock();
    }
}

impl CheckpointStore for DirectoryStore {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn PartSink>> {
        let file = File::create(self.at(name)?)?;
        Ok(Box::new(DirectorySink {
            file: BufWriter::with_capacity(BUFFER, file),
            directory: self.path.clone(),
        }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.at(name)?)
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.at(name)?;
        let temporary = self.at(&format!("{TEMPORARY}{name}"))?;
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written.and_then(|()| fs::rename(&temporary, &target)) {
            let _ = fs::remove_file(&temporary); // the first error is the one to tell
            return Err(error);
        }
        sync_directory(&self.path).inspect_err(|_| {
            // Who is told of a failure must not find the file after a restart.
            let _ = fs::remove_file(&target);
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != LOCK && !name.starts_with(TEMPORARY) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.at(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

struct DirectorySink {
    file: BufWriter<File>,
    directory: PathBuf,
}

impl PartSink for DirectorySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        sync_directory(&self.directory)
    }
}

/// Makes the entries of a directory durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and a rename is durable by itself.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(dir.path().join("a/b")).unwrap();
        let mut sink = store.create("part").unwrap();
        sink.write(b"one ").unwrap();
        sink.write(b"two").unwrap();
        sink.finish().unwrap();
        store.publish("manifest", b"old").unwrap();
        store.publish("manifest", b"new").unwrap();
        assert_eq!(store.read("part").unwrap(), b"one two");
        assert_eq!(store.read("manifest").unwrap(), b"new");
        let mut names = store.list().unwrap();
        names.sort();
        assert_eq!(names, ["manifest", "part"]);
        store.delete("part").unwrap();
        store.delete("part").unwrap();
        assert_eq!(
            store.read("part").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn names_do_not_lead_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(dir.path()).unwrap();
        for name in ["../x", "/etc/passwd", "a/b", "..", ".", "", "a/"] {
            let error = store.read(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            assert!(store.delete(name).is_err() && store.publish(name, b"").is_err());
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        let error = DirectoryStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains("not a directory"),
            "{text}"
        );
        let error = DirectoryStore::open(path.join("below"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("file/below"), "{error}");
        let error = DirectoryStore::open_existing(dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Restore);
        assert!(!dir.path().join("none").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
        if File::create(path.join("probe")).is_ok() {
            return; // the superuser may write anywhere
        }
        let text = DirectoryStore::open(&path).unwrap_err().to_string();
        assert!(text.contains("sealed") && text.contains("denied"), "{text}");
    }

    #[test]
    fn one_job_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryStore::open_locked(dir.path()).unwrap();
        let second = DirectoryStore::open(dir.path()).unwrap();
        let error = second.lock().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let text = error.to_string();
        assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(second.list().unwrap().is_empty());
        drop(first);
        fs::write(dir.path().join(".tmp-manifest"), "torn").unwrap();
        drop(second.lock().unwrap());
        assert!(!dir.path().join(".tmp-manifest").exists());
    }

    /// A job had ended, but another thread was starting a child process at that moment, which inherits every open
    /// file until it becomes another program: the directory was in use by nobody.
    #[test]
    fn a_lock_is_free_although_its_file_is_open_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(dir.path()).unwrap();
        let lock = store.lock().unwrap();
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        drop(store.lock().unwrap());
        drop(inherited);
    }
}
