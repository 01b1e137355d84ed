//! A name that is followed as `tail -F` does it: the file that has it is held open and read to its end,
//! also when it was renamed or removed; then comes the file that has the name by then.
//!
//! Invariant: of the files that had the name, as far as they are still there uncompressed, every byte is read once;
//! where one is known to be missing there is a [`Piece::Lost`].

use super::input::{Piece, error, failed, read_at};
use crate::files::identity::Identity;
use millstream_runtime::Result;
use millstream_runtime::hash::stable_hash;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// By how many bytes at its head a file is recognised.
const HEAD_BYTES: u64 = 1_024;

/// What a snapshot says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub identity: Option<Identity>,
    /// Length and hash of its first bytes.
    pub head: (u64, u64),
    /// It had been read to its end.
    pub at_end: bool,
}

impl Known {
    /// A file that was found and not read yet.
    pub fn unread(identity: Identity) -> Self {
        Known {
            identity: Some(identity),
            head: (0, stable_hash(&[0u8; 0][..])),
            at_end: false,
        }
    }
}

/// What a file begins with.
enum Head {
    /// As the snapshot says, not compared yet: length and hash.
    Expected(u64, u64),
    Known(Vec<u8>),
}

pub(super) struct Followed {
    path: Arc<str>,
    file: Option<File>,
    identity: Option<Identity>,
    head: Head,
    /// It was read to its end when last looked at.
    at_end: bool,
    /// The name was no longer the file's when last looked at.
    moved: bool,
    /// Read what is there, not what is appended meanwhile.
    stop_at_end: bool,
    stop_at: Option<u64>,
}

/// Whose the name is.
enum Name {
    Same,
    Other,
}

impl Followed {
    pub fn new(path: Arc<str>, known: Option<Known>, stop_at_end: bool) -> Self {
        let mut followed = Followed {
            path,
            file: None,
            identity: None,
            head: Head::Known(Vec::new()),
            at_end: false,
            moved: false,
            stop_at_end,
            stop_at: None,
        };
        if let Some(known) = known {
            followed.identity = known.identity;
            followed.head = Head::Expected(known.head.0, known.head.1);
            followed.at_end = known.at_end;
        }
        followed
    }

    /// What is to be put into a snapshot; of the head, `length` bytes at most.
    pub fn known(&self, length: u64) -> Known {
        let head = match &self.head {
            Head::Expected(length, hash) => (*length, *hash),
            Head::Known(head) => {
                let length = length.min(head.len() as u64);
                (length, stable_hash(&head[..length as usize]))
            }
        };
        Known {
            identity: self.identity,
            head,
            at_end: self.at_end,
        }
    }

    pub fn read(&mut self, at: u64, max: usize, out: &mut Vec<u8>) -> Result<Piece> {
        if let Some(piece) = self.open(at)? {
            return Ok(piece);
        }
        let Some(mut file) = self.file.take() else {
            return Ok(Piece::End);
        };
        let piece = self.read_open(&mut file, at, max, out)?;
        match &piece {
            Piece::Bytes | Piece::End => self.file = Some(file),
            Piece::Next => self.leave()?,
            Piece::Lost(_) => self.forget(),
        }
        Ok(piece)
    }

    /// The next piece comes from the start of the file that took the name after this one, which may have been
    /// renamed in its turn.
    fn leave(&mut self) -> Result<()> {
        let before = self.identity;
        self.forget();
        let Some(before) = before else {
            return Ok(());
        };
        let found = before
            .find_successor(Path::new(&*self.path))
            .map_err(failed(
                &self.path,
                "cannot look for the file that came next",
            ))?;
        if let Some((path, file)) = found {
            tracing::info!(file = &*self.path, renamed = %path.display(), "goes on in a file that was renamed");
            let data = file
                .metadata()
                .map_err(failed(&self.path, "cannot be read"))?;
            self.identity = Some(Identity::of(&data));
            self.file = Some(file);
        }
        Ok(())
    }

    /// The next piece comes from the start of what has the name by then.
    fn forget(&mut self) {
        (self.file, self.identity) = (None, None);
        self.head = Head::Known(Vec::new());
        (self.at_end, self.moved) = (false, false);
    }

    /// Opens the file if it is not open; a piece if there is none to read.
    fn open(&mut self, at: u64) -> Result<Option<Piece>> {
        if self.file.is_some() {
            return Ok(None);
        }
        let found = match File::open(&*self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&self.path, "cannot be opened")(error)),
        };
        let identity = found
            .as_ref()
            .map(|file| file.metadata().map(|data| Identity::of(&data)))
            .transpose()
            .map_err(failed(&self.path, "cannot be read"))?;
        match (found, self.identity) {
            (None, None) => return Ok(Some(Piece::End)), // it is waited for
            (Some(file), known)
                if known.is_none_or(|known| identity.is_some_and(|i| i.is_same(known))) =>
            {
                self.file = Some(file);
                self.identity = identity;
            }
            (found, Some(known)) => return self.open_moved(known, at, found.is_some()),
            (Some(_), None) => unreachable!("a file that is not known is taken"),
        }
        Ok(None)
    }

    /// The file was renamed or removed while the job was down.
    fn open_moved(&mut self, known: Identity, at: u64, replaced: bool) -> Result<Option<Piece>> {
        let found = known.find_beside(Path::new(&*self.path)).map_err(failed(
            &self.path,
            "cannot look for the file that had this name",
        ))?;
        if let Some((path, file)) = found {
            tracing::info!(file = &*self.path, renamed = %path.display(), "goes on in a file that was renamed");
            self.file = Some(file);
            self.moved = true;
            return Ok(None);
        }
        let what = match replaced {
            true => "replaced by another file, and the one before is not in its directory",
            false => "gone",
        };
        let what = format!("{what}; it was read up to byte {at}");
        if self.at_end {
            tracing::warn!(file = &*self.path, "{what}, which was its end then");
            self.leave()?;
            return Ok(Some(Piece::Next));
        }
        self.forget();
        Ok(Some(Piece::Lost(what)))
    }

    fn read_open(
        &mut self,
        file: &mut File,
        at: u64,
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Piece> {
        let length = file
            .metadata()
            .map_err(failed(&self.path, "cannot be read"))?
            .len();
        if length < at {
            return Ok(Piece::Lost(format!(
                "cut short: {length} bytes now, {at} were read"
            )));
        }
        let end = match self.stop_at_end {
            true => *self.stop_at.get_or_insert(length),
            false => length,
        };
        let left = end.saturating_sub(at);
        if left == 0 {
            return self.ended();
        }
        if !self.check_head(file)? {
            return Ok(Piece::Lost(
                "replaced or written anew: its first bytes have changed".into(),
            ));
        }
        let count = left.min(max as u64) as usize;
        let read = read_at(file, at, count, out).map_err(failed(&self.path, "cannot be read"))?;
        (self.at_end, self.moved) = (false, false);
        self.grow_head(file, at + read as u64)?;
        Ok(match read {
            0 => Piece::End,
            _ => Piece::Bytes,
        })
    }

    /// The file has been read to its end: whether it is to be left for another one.
    fn ended(&mut self) -> Result<Piece> {
        self.at_end = true;
        let moved = matches!(self.look_at_name()?, Name::Other);
        // Whoever still writes to the old file has one more interval after the last bytes.
        let leave = moved && self.moved && !self.stop_at_end;
        self.moved = moved;
        Ok(match leave {
            true => Piece::Next,
            false => Piece::End,
        })
    }

    fn look_at_name(&self) -> Result<Name> {
        let same = |data: &fs::Metadata| {
            let now = Identity::of(data);
            self.identity.is_some_and(|identity| identity.is_same(now))
        };
        match fs::metadata(&*self.path) {
            Ok(data) if same(&data) => Ok(Name::Same),
            Ok(data) if data.is_dir() => Err(error(&self.path, "a directory has its name now")),
            Ok(_) => Ok(Name::Other),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Name::Other),
            Err(cause) => Err(failed(&self.path, "cannot be read")(cause)),
        }
    }

    /// Whether the file begins as it did.
    fn check_head(&mut self, file: &mut File) -> Result<bool> {
        let length = match &self.head {
            Head::Expected(length, _) => *length,
            Head::Known(head) => head.len() as u64,
        };
        let now = self.read_head(file, length)?;
        let same = match &self.head {
            Head::Expected(_, hash) => stable_hash(now.as_slice()) == *hash,
            Head::Known(head) => *head == now,
        };
        self.head = Head::Known(now);
        Ok(same)
    }

    /// Learns how the file begins, as far as it was read.
    fn grow_head(&mut self, file: &mut File, read_to: u64) -> Result<()> {
        let wanted = read_to.min(HEAD_BYTES);
        if let Head::Known(head) = &self.head
            && (head.len() as u64) < wanted
        {
            self.head = Head::Known(self.read_head(file, wanted)?);
        }
        Ok(())
    }

    fn read_head(&self, file: &mut File, length: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        while (head.len() as u64) < length {
            let at = head.len() as u64;
            let read = read_at(file, at, (length - at) as usize, &mut head)
                .map_err(failed(&self.path, "cannot be read"))?;
            if read == 0 {
                break;
            }
        }
        Ok(head)
    }
}
