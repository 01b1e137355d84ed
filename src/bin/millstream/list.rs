//! `list`: the checkpoints of a directory.

use crate::Finding;
use millstream::Result;
use millstream::runtime::checkpoint::{CheckpointKind, DirectoryStore, Manifest, Start, StartFrom};
use millstream::runtime::cli::human::{bytes, count, table, utc};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Listing {
    checkpoints: Vec<Listed>,
    /// What the next start goes on from, if it is not the newest checkpoint.
    next_start: Option<StartFrom>,
}

#[derive(Serialize)]
struct Listed {
    checkpoint: u64,
    #[serde(flatten)]
    manifest: Option<Sound>,
    /// What is wrong with its manifest.
    damage: Option<String>,
}

#[derive(Serialize)]
struct Sound {
    kind: CheckpointKind,
    job: String,
    created_ms: i64,
    workers: u32,
    operators: usize,
    files: usize,
    bytes: u64,
}

impl Listed {
    fn load(store: &DirectoryStore, checkpoint: u64) -> Self {
        let (manifest, damage) = match Manifest::load(store, checkpoint) {
            Ok(manifest) => (Some(Sound::of(manifest)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Listed {
            checkpoint,
            manifest,
            damage,
        }
    }

    fn row(&self) -> Vec<String> {
        let number = self.checkpoint.to_string();
        match &self.manifest {
            Some(of) => vec![
                number,
                word(of.kind).into(),
                utc(of.created_ms),
                of.job.clone(),
                of.workers.to_string(),
                count(of.files as u64),
                bytes(of.bytes),
            ],
            None => vec![number, "damaged".into()],
        }
    }
}

impl Sound {
    fn of(manifest: Manifest) -> Self {
        Sound {
            kind: manifest.kind,
            job: manifest.job,
            created_ms: manifest.created_ms,
            workers: manifest.workers,
            operators: manifest.operators.len(),
            files: manifest.parts.len(),
            bytes: manifest.parts.iter().map(|part| part.bytes).sum(),
        }
    }
}

/// The word for a kind of checkpoint.
pub(crate) fn word(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Checkpoint => "checkpoint",
        CheckpointKind::Savepoint => "savepoint",
        CheckpointKind::Final => "final",
    }
}

pub(crate) fn run(directory: &Path) -> Result<Finding> {
    let store = DirectoryStore::open_existing(directory)?;
    let there = Manifest::list(&store)?;
    let checkpoints: Vec<Listed> = there.iter().map(|id| Listed::load(&store, *id)).collect();
    let listing = Listing {
        checkpoints,
        next_start: Start::in_force(&store)?,
    };
    let mut text = if listing.checkpoints.is_empty() {
        format!("there is no checkpoint in {}\n", directory.display())
    } else {
        let head = [
            "number",
            "kind",
            "taken (UTC)",
            "job",
            "workers",
            "files",
            "size",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(listing.checkpoints.iter().map(Listed::row));
        table(&rows, 4)
    };
    let damage = listing
        .checkpoints
        .iter()
        .filter_map(|one| one.damage.as_ref());
    for damage in damage.clone() {
        text.push_str(&format!("{damage}\n"));
    }
    if let Some(from) = &listing.next_start {
        text.push_str(&format!(
            "the next start goes on from {}\n",
            from_text(from)
        ));
    }
    let is_fine = damage.count() == 0;
    Ok(Finding::new(text, &listing).fine_if(is_fine))
}

fn from_text(from: &StartFrom) -> String {
    match from {
        StartFrom::Beginning => "the beginning".into(),
        StartFrom::Checkpoint(id) => format!("checkpoint {id}"),
        StartFrom::Savepoint {
            directory,
            checkpoint,
        } => format!("checkpoint {checkpoint} in {}", directory.display()),
    }
}
