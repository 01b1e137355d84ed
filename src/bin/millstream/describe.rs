//! `describe`: what a checkpoint holds.

use crate::list::word;
use crate::place::Place;
use crate::{Finding, things};
use millstream::Result;
use millstream::runtime::checkpoint::{Description, StateDescription};
use millstream::runtime::cli::human::{bytes, count, table, utc};

pub(crate) fn run(place: &Place, shards: bool) -> Result<Finding> {
    let description = place.open()?.describe();
    Ok(Finding::new(text(&description, shards), &description))
}

fn text(of: &Description, shards: bool) -> String {
    let mut text = format!(
        "{} {} of job \"{}\", taken {} UTC\n\
         {}, {}, {}, {}, graph {}\n\
         {} in {}\n",
        word(of.kind),
        of.checkpoint,
        of.job,
        utc(of.created_ms),
        things(of.workers as usize, "worker"),
        things(of.max_parallelism as usize, "key group"),
        of.mode,
        of.guarantee,
        of.graph_fingerprint,
        bytes(of.bytes),
        things(of.files.len(), "file"),
    );
    let head = [
        "operator", "state", "codec", "version", "keys", "bytes", "stored",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for operator in &of.operators {
        for state in &operator.states {
            rows.push(row(&operator.uid, state));
        }
    }
    text.push_str(&table(&rows, 3));
    if shards {
        text.push_str(&shard_table(of));
    }
    text
}

fn row(uid: &str, state: &StateDescription) -> Vec<String> {
    vec![
        uid.to_owned(),
        state.name.clone(),
        state.codec.clone(),
        state.version.to_string(),
        match state.instances.len() {
            0 => count(state.keys as u64),
            n => format!("of {}", things(n, "worker")),
        },
        bytes(state.bytes),
        bytes(state.stored_bytes),
    ]
}

fn shard_table(of: &Description) -> String {
    let head = ["operator", "state", "shard", "key groups", "keys", "bytes"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for operator in &of.operators {
        for state in &operator.states {
            rows.extend(state.shards.iter().map(|shard| {
                vec![
                    operator.uid.clone(),
                    state.name.clone(),
                    shard.shard.to_string(),
                    format!("{}..{}", shard.first_group, shard.end_group),
                    count(shard.keys as u64),
                    bytes(shard.bytes),
                ]
            }));
        }
    }
    table(&rows, 2)
}
