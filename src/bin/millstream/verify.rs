//! `verify`: reads and checks every byte of a checkpoint, or of all that are there.

use crate::Finding;
use crate::place::{Place, none_in};
use millstream::Result;
use millstream::runtime::checkpoint::verify;
use serde::Serialize;

#[derive(Serialize)]
struct Verified {
    checkpoint: u64,
    sound: bool,
    /// The file, what is wrong with it, and where.
    damage: Option<String>,
}

pub(crate) fn run(place: &Place) -> Result<Finding> {
    let store = place.store()?;
    let there = place.checkpoints()?;
    if there.is_empty() {
        return Err(none_in(&place.directory));
    }
    let check = |checkpoint: u64| {
        let damage = verify(&store, checkpoint)
            .err()
            .map(|error| error.to_string());
        Verified {
            checkpoint,
            sound: damage.is_none(),
            damage,
        }
    };
    let all: Vec<Verified> = there.into_iter().map(check).collect();
    let line = |one: &Verified| match &one.damage {
        None => format!("checkpoint {} is sound\n", one.checkpoint),
        Some(damage) => format!("checkpoint {} is not sound: {damage}\n", one.checkpoint),
    };
    let text = all.iter().map(line).collect();
    let is_fine = all.iter().all(|one| one.sound);
    Ok(Finding::new(text, &all).fine_if(is_fine))
}
