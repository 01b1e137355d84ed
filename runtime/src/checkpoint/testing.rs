//! The store's twin for tests: files in memory, with the faults of a real disk at the test's call.
//!
//! What was finished or published survives [`MemoryStore::crash`]; a file that was being written is torn.

use super::store::{CheckpointStore, PartSink};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A [`CheckpointStore`] in memory. Clones share their files.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    disk: Mutex<Disk>,
    released: Condvar,
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Stored>,
    held: bool,
    fail_writes: usize,
    fail_publishes: usize,
    room: Option<usize>,
}

#[derive(Default)]
struct Stored {
    bytes: Vec<u8>,
    durable: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A test that panicked in between left nothing half done that matters.
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, as soon as it is not held.
    fn free_disk(&self) -> MutexGuard<'_, Disk> {
        let disk = self.disk();
        self.0
            .released
            .wait_while(disk, |disk| disk.held)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` writes fail with an I/O error.
    pub fn fail_next_writes(&self, times: usize) {
        self.disk().fail_writes = times;
    }

    /// The next `times` publications fail, and nothing of them is there.
    pub fn fail_next_publishes(&self, times: usize) {
        self.disk().fail_publishes = times;
    }

    /// The disk is full after `bytes` more bytes (ENOSPC), until [`heal`](Self::heal).
    pub fn fail_after_bytes(&self, bytes: usize) {
        self.disk().room = Some(bytes);
    }

    /// No fault is left.
    pub fn heal(&self) {
        let mut disk = self.disk();
        disk.room = None;
        disk.fail_writes = 0;
        disk.fail_publishes = 0;
        drop(disk);
        self.release();
    }

    /// From now on writes wait for [`release`](Self::release): a disk that hangs.
    pub fn hold(&self) {
        self.disk().held = true;
    }

    /// Lets the waiting writes go on.
    pub fn release(&self) {
        self.disk().held = false;
        self.0.released.notify_all();
    }

    /// The machine loses power: of each file that was not finished, `keep` of a thousand parts of
    /// its bytes are left; at 0 the file is gone.
    pub fn crash(&self, keep: usize) {
        self.disk().files.retain(|_, file| {
            let torn = !std::mem::replace(&mut file.durable, true);
            if torn {
                file.bytes.truncate(file.bytes.len() * keep / 1000);
            }
            !torn || keep > 0
        });
    }

    /// Changes a file behind everybody's back.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let file = disk.files.get_mut(name);
        change(&mut file.unwrap_or_else(|| panic!("no file {name}")).bytes);
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.disk().files.keys().cloned().collect()
    }
}

impl Disk {
    /// Whether `wanted` bytes can be written, and how many of them fit.
    fn admit(&mut self, wanted: usize) -> (usize, io::Result<()>) {
        if self.fail_writes > 0 {
            self.fail_writes -= 1;
            return (0, Err(io::Error::other("injected write failure")));
        }
        match &mut self.room {
            Some(room) if *room < wanted => {
                (std::mem::take(room), Err(io::ErrorKind::StorageFull.into()))
            }
            Some(room) => {
                *room -= wanted;
                (wanted, Ok(()))
            }
            None => (wanted, Ok(())),
        }
    }
}

impl CheckpointStore for MemoryStore {
    fn describe(&self) -> String {
        "memory".into()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn PartSink>> {
        self.free_disk()
            .files
            .insert(name.to_owned(), Stored::default());
        Ok(Box::new(MemorySink {
            store: self.clone(),
            name: name.to_owned(),
        }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match self.disk().files.get(name) {
            Some(file) => Ok(file.bytes.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.free_disk();
        if disk.fail_publishes > 0 {
            disk.fail_publishes -= 1;
            return Err(io::Error::other("injected publication failure"));
        }
        disk.admit(bytes.len()).1?;
        let file = Stored {
            bytes: bytes.to_vec(),
            durable: true,
        };
        disk.files.insert(name.to_owned(), file);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.disk().files.remove(name);
        Ok(())
    }
}

struct MemorySink {
    store: MemoryStore,
    name: String,
}

impl PartSink for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.store.free_disk();
        let (fits, result) = disk.admit(bytes.len());
        if let Some(file) = disk.files.get_mut(&self.name) {
            file.bytes.extend_from_slice(&bytes[..fits]);
        }
        result
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let mut disk = self.store.free_disk();
        disk.admit(0).1?;
        if let Some(file) = disk.files.get_mut(&self.name) {
            file.durable = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_tears_what_was_not_finished() {
        let store = MemoryStore::new();
        let mut done = store.create("done").unwrap();
        done.write(b"12345678").unwrap();
        done.finish().unwrap();
        let mut torn = store.create("torn").unwrap();
        torn.write(b"12345678").unwrap();
        store.crash(500);
        assert_eq!(store.read("done").unwrap(), b"12345678");
        assert_eq!(store.read("torn").unwrap(), b"1234");
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let store = MemoryStore::new();
        store.fail_after_bytes(3);
        let mut sink = store.create("part").unwrap();
        let error = sink.write(b"12345678").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(store.read("part").unwrap(), b"123");
        assert!(store.publish("manifest", b"x").is_err());
        store.heal();
        store.publish("manifest", b"x").unwrap();
    }
}
