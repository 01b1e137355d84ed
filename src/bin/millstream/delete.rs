//! `delete`: removes checkpoints, and the files that no other checkpoint needs; never while a job holds the directory.

use crate::{Finding, things};
use millstream::Result;
use millstream::runtime::checkpoint::{DirectoryStore, Removal};
use serde_json::json;
use std::path::Path;

/// What is to go.
pub(crate) struct Request {
    pub checkpoints: Vec<u64>,
    pub keep: Option<usize>,
    pub force: bool,
    pub dry_run: bool,
}

pub(crate) fn run(directory: &Path, request: &Request) -> Result<Finding> {
    // Read first: a directory that is not there must not be made by taking its lock.
    DirectoryStore::open_existing(directory)?;
    let store = match request.dry_run {
        true => DirectoryStore::open_existing(directory)?,
        false => DirectoryStore::open_locked(directory)?,
    };
    let removal = match request.keep {
        Some(keep) => Removal::beyond(&store, keep, request.force)?,
        None => Removal::of(&store, &request.checkpoints, request.force)?,
    };
    if !request.dry_run {
        removal.apply(&store)?;
    }
    let json = json!({
        "checkpoints": removal.checkpoints,
        "files": removal.parts,
        "deleted": !request.dry_run,
    });
    Ok(Finding::new(text(&removal, request.dry_run), &json))
}

fn text(removal: &Removal, dry_run: bool) -> String {
    if removal.checkpoints.is_empty() {
        return "nothing to delete\n".into();
    }
    let numbers: Vec<String> = removal.checkpoints.iter().map(u64::to_string).collect();
    let done = if dry_run { "would delete" } else { "deleted" };
    let what = match numbers.len() {
        1 => "checkpoint",
        _ => "checkpoints",
    };
    let parts = things(removal.parts.len(), "part file");
    format!("{done} {what} {} and {parts}\n", numbers.join(", "))
}
