//! Finds the files that a pattern names, and cuts them into splits.

use super::{FileSplit, Options};
use millstream_runtime::source::{FixedSplits, SplitEnumerator};
use millstream_runtime::{Error, ErrorKind, Result};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Finds the files now, so that a wrong pattern or a file that cannot be read is an error at the start.
pub(super) fn enumerator(options: &Options) -> Result<Box<dyn SplitEnumerator<FileSplit>>> {
    let files = find(&options.pattern)?;
    if files.is_empty() && options.watch.is_none() {
        return Err(failed(
            &options.pattern,
            "no files there (hidden ones do not count)",
        ));
    }
    let mut splits = Vec::new();
    for path in files {
        let length = File::open(&path)
            .and_then(|file| file.metadata())
            .map_err(|error| failed(&path, "cannot be read").with_source(error))?
            .len();
        splits.extend(cut(path, length, options.split_size));
    }
    Ok(match options.watch {
        None => Box::new(FixedSplits(splits)),
        Some(interval) => Box::new(Watch {
            pattern: options.pattern.clone(),
            interval,
        }),
    })
}

fn failed(path: &str, what: &str) -> Error {
    Error::new(ErrorKind::Source, format!("text files {path}: {what}"))
}

fn cut(path: String, length: u64, split_size: Option<u64>) -> Vec<FileSplit> {
    let Some(size) = split_size else {
        return vec![FileSplit { path, range: None }];
    };
    let of = |part: u64| FileSplit {
        path: path.clone(),
        range: Some((part * size, part.saturating_add(1).saturating_mul(size))),
    };
    (0..length.div_ceil(size).max(1)).map(of).collect()
}

/// Looks for new files again and again.
struct Watch {
    pattern: String,
    interval: Duration,
}

impl SplitEnumerator<FileSplit> for Watch {
    fn discover(&mut self) -> Result<Vec<FileSplit>> {
        let files = find(&self.pattern)?;
        Ok(files
            .into_iter()
            .map(|path| FileSplit { path, range: None })
            .collect())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }
}

/// The files that `pattern` names, sorted. What exists under that very name comes before the glob.
fn find(pattern: &str) -> Result<Vec<String>> {
    let is_glob = pattern.contains(['*', '?', '[']);
    let mut files = match fs::metadata(pattern) {
        Ok(data) if data.is_file() => vec![PathBuf::from(pattern)],
        Ok(data) if data.is_dir() => list(Path::new(pattern))
            .map_err(|error| failed(pattern, "cannot list the directory").with_source(error))?,
        Ok(_) => return Err(failed(pattern, "neither a file nor a directory")),
        Err(error) if is_glob && error.kind() == io::ErrorKind::NotFound => expand(pattern)?,
        Err(error) => return Err(failed(pattern, "cannot be read").with_source(error)),
    };
    files.sort();
    files.into_iter().map(utf8).collect()
}

fn utf8(path: PathBuf) -> Result<String> {
    path.into_os_string().into_string().map_err(|path| {
        failed(
            &path.to_string_lossy(),
            "the name of the file is not UTF-8: rename it",
        )
    })
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && is_file(&entry.path())? {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Whether there is a regular file, through links. What went away since it was listed is none.
fn is_file(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(data) => Ok(data.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let paths = glob::glob_with(pattern, options).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("text files {pattern}: not a glob pattern"),
        )
        .with_source(error)
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path =
            path.map_err(|error| failed(pattern, "cannot list a directory").with_source(error))?;
        let file = is_file(&path).map_err(|error| {
            failed(&path.to_string_lossy(), "cannot be read").with_source(error)
        })?;
        if file {
            files.push(path);
        }
    }
    Ok(files)
}
