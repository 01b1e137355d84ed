//! Finds the files that a pattern names, and cuts them into splits.

use super::{FileOrder, FileSplit, Options, Part};
use crate::compression::Compression;
use crate::files::identity::Identity;
use millstream_runtime::source::{FixedSplits, SplitEnumerator};
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Finds the files now, so that a wrong pattern or a file that cannot be read is an error at the start.
pub(super) fn enumerator(options: &Options) -> Result<Box<dyn SplitEnumerator<FileSplit>>> {
    let files = find(options)?;
    if files.is_empty() && options.watch.is_none() {
        return Err(failed(
            &options.pattern,
            "no files there (hidden ones do not count)",
        ));
    }
    for file in &files {
        let compression = options.compression_of(&file.path);
        compression
            .check()
            .map_err(|error| error.within(format!("file {}", file.path)))?;
        File::open(&file.path)
            .map_err(|error| failed(&file.path, "cannot be read").with_source(error))?;
    }
    if let Some(interval) = options.watch {
        let is_file = Path::new(&options.pattern).is_file();
        return Ok(Box::new(Watch {
            options: options.clone(),
            interval,
            is_file,
            first_names: HashMap::new(),
            renamed: HashSet::new(),
        }));
    }
    if options.series {
        let files = files.into_iter().map(|file| file.path).collect();
        return Ok(Box::new(FixedSplits(vec![FileSplit {
            path: options.pattern.clone(),
            part: Part::Series(files),
            identity: None,
        }])));
    }
    let splits = files.into_iter().flat_map(|file| cut(file, options));
    Ok(Box::new(FixedSplits(splits.collect())))
}

fn failed(path: &str, what: &str) -> Error {
    Error::new(ErrorKind::Source, format!("file {path}: {what}"))
}

fn cut(file: Found, options: &Options) -> Vec<FileSplit> {
    let plain = options.compression_of(&file.path) == Compression::None;
    let Some(size) = options.split_size.filter(|_| plain) else {
        return vec![FileSplit {
            path: file.path,
            part: Part::Whole,
            identity: None,
        }];
    };
    let of = |part: u64| FileSplit {
        path: file.path.clone(),
        part: Part::Range(part * size, part.saturating_add(1).saturating_mul(size)),
        identity: None,
    };
    (0..file.length.div_ceil(size).max(1)).map(of).collect()
}

/// Looks for new files again and again.
struct Watch {
    options: Options,
    interval: Duration,
    /// The pattern is the name of one file, which may have none for a moment when logs are rotated.
    is_file: bool,
    /// Under which name each file that is there was first seen.
    first_names: HashMap<Identity, String>,
    /// New names of files that were seen under another one.
    renamed: HashSet<String>,
}

impl Watch {
    /// Forgets names that are gone, and notes which of the others are but new names of files that are
    /// followed.
    fn note_names(&mut self, files: &[Found]) {
        let here: HashSet<&str> = files.iter().map(|file| &*file.path).collect();
        let identities: HashSet<Identity> = files.iter().map(|file| file.identity).collect();
        self.renamed.retain(|name| here.contains(&**name));
        self.first_names
            .retain(|identity, _| identities.contains(identity));
        let now: HashMap<&str, Identity> = files
            .iter()
            .map(|file| (&*file.path, file.identity))
            .collect();
        for file in files {
            let first = self
                .first_names
                .entry(file.identity)
                .or_insert_with(|| file.path.clone());
            let moved = *first != file.path && now.get(&**first) != Some(&file.identity);
            match moved && cfg!(unix) {
                true => self.renamed.insert(file.path.clone()),
                false => self.renamed.remove(&file.path),
            };
        }
    }
}

impl SplitEnumerator<FileSplit> for Watch {
    fn discover(&mut self) -> Result<Vec<FileSplit>> {
        if self.is_file && data_of(Path::new(&self.options.pattern))?.is_none() {
            return Ok(Vec::new()); // its reader waits for it
        }
        let files = find(&self.options)?;
        self.note_names(&files);
        let new = files
            .into_iter()
            .filter(|file| !self.renamed.contains(&file.path));
        Ok(new
            .map(|file| FileSplit {
                path: file.path,
                part: Part::Whole,
                identity: (file.length > 0).then_some(file.identity),
            })
            .collect())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }
}

/// A file that was found.
struct Found {
    path: String,
    length: u64,
    modified: SystemTime,
    identity: Identity,
}

impl Found {
    fn new(path: PathBuf, data: &Metadata) -> Result<Self> {
        let path = path.into_os_string().into_string().map_err(|path| {
            failed(
                &path.to_string_lossy(),
                "the name of the file is not UTF-8: rename it",
            )
        })?;
        Ok(Found {
            path,
            length: data.len(),
            modified: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            identity: Identity::of(data),
        })
    }
}

/// The files that the pattern names, in order. What exists under that very name comes before the glob.
fn find(options: &Options) -> Result<Vec<Found>> {
    let pattern = &*options.pattern;
    let is_glob = pattern.contains(['*', '?', '[']);
    let mut files = match fs::metadata(pattern) {
        Ok(data) if data.is_file() => vec![Found::new(PathBuf::from(pattern), &data)?],
        Ok(data) if data.is_dir() => {
            let mut files = Vec::new();
            list(Path::new(pattern), &mut files)?;
            files
        }
        Ok(_) => return Err(failed(pattern, "neither a file nor a directory")),
        Err(error) if is_glob && error.kind() == io::ErrorKind::NotFound => expand(pattern)?,
        Err(error) => return Err(failed(pattern, "cannot be read").with_source(error)),
    };
    match options.order {
        FileOrder::Name => files.sort_by(|a, b| a.path.cmp(&b.path)),
        FileOrder::Modified => {
            files.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        }
    }
    Ok(files)
}

/// Adds the files in `directory` and in its partition folders.
fn list(directory: &Path, files: &mut Vec<Found>) -> Result<()> {
    let name = directory.to_string_lossy();
    let unlisted = |error| failed(&name, "cannot list the directory").with_source(error);
    for entry in fs::read_dir(directory).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match data_of(&path)? {
            Some(data) if data.is_file() => files.push(Found::new(path, &data)?),
            Some(data) if data.is_dir() && name.contains(&b'=') => list(&path, files)?,
            _ => {}
        }
    }
    Ok(())
}

/// What is there, through links. What went away since it was listed is nothing.
fn data_of(path: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path.to_string_lossy(), "cannot be read").with_source(error)),
    }
}

fn expand(pattern: &str) -> Result<Vec<Found>> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let paths = glob::glob_with(pattern, options).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("files {pattern}: not a glob pattern"),
        )
        .with_source(error)
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path =
            path.map_err(|error| failed(pattern, "cannot list a directory").with_source(error))?;
        if let Some(data) = data_of(&path)?.filter(Metadata::is_file) {
            files.push(Found::new(path, &data)?);
        }
    }
    Ok(files)
}
