//! Whether a checkpoint fits a job.

use super::restore::Restored;
use crate::error::{Error, ErrorKind, Result};
use crate::state::StateDescriptor;

/// Checks that everything in the checkpoint has a place in the job, whose operators (uid and states) are
/// `job`. State that the job has and the checkpoint has not is no error: it starts empty. Versions and
/// codecs are compared when the state is restored, for there may be a migration.
///
/// # Errors
/// [`ErrorKind::Incompatible`]: the numbers of key groups differ, or (unless `allow_dropped`) the
/// checkpoint has state that the job has not, with the names.
pub fn match_states(
    job: &[(String, Vec<StateDescriptor>)],
    max_parallelism: u32,
    restored: &Restored,
    allow_dropped: bool,
) -> Result<()> {
    let checkpoint = restored.checkpoint();
    let written = restored.manifest().max_parallelism;
    if written != max_parallelism {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "checkpoint {checkpoint} was written with max-parallelism {written}, the job has \
                 {max_parallelism}; it is fixed for the life of a job's state"
            ),
        ));
    }
    let orphans: Vec<String> = restored
        .uids()
        .filter_map(|uid| orphans_of(uid, job, restored))
        .collect();
    if orphans.is_empty() {
        return Ok(());
    }
    let orphans = orphans.join("; ");
    if allow_dropped {
        tracing::warn!(checkpoint, "dropped: {orphans}");
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Incompatible,
        format!(
            "checkpoint {checkpoint} has state that the job has no place for: {orphans}; give the \
             operator its former uid, or drop the state with --allow-dropped-state"
        ),
    ))
}

/// What the checkpoint holds of `uid` that the job does not know.
fn orphans_of(
    uid: &str,
    job: &[(String, Vec<StateDescriptor>)],
    restored: &Restored,
) -> Option<String> {
    let known = job
        .iter()
        .find(|(known, _)| known == uid)
        .map(|(_, states)| states.as_slice());
    let is_known = |name: &str| known.is_some_and(|known| known.iter().any(|s| s.name == name));
    let names: Vec<String> = restored
        .state_names(uid)
        .filter(|name| !is_known(name))
        .map(|name| format!("\"{name}\""))
        .collect();
    let of = match known {
        Some(_) => "operator",
        None => "unknown operator",
    };
    (!names.is_empty()).then(|| format!("{of} \"{uid}\" with state {}", names.join(", ")))
}
