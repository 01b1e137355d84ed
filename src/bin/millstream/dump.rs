//! `dump`: the keys and values of a checkpoint.

use crate::place::Place;
use crate::reading::Reading;
use crate::{Finding, things};
use millstream::runtime::checkpoint::Restored;
use millstream::runtime::driver::SPLITS_STATE;
use millstream::runtime::graph::SplitState;
use millstream::runtime::state::{Codec, Compact};
use millstream::{Error, ErrorKind, Result};
use serde::Serialize;

/// What is wanted.
pub(crate) struct Selection {
    pub operator: Option<String>,
    pub state: Option<String>,
    pub limit: usize,
}

#[derive(Serialize)]
struct Dumped {
    uid: String,
    state: String,
    keys: usize,
    /// The first of them.
    entries: Vec<Entry>,
    /// State without keys, by worker.
    instances: Vec<Instance>,
}

#[derive(Serialize)]
struct Entry {
    shard: u32,
    key: Reading,
    value: Reading,
}

#[derive(Serialize)]
struct Instance {
    worker: u32,
    value: Reading,
    /// What a source remembers of its splits.
    splits: Option<Vec<Split>>,
}

#[derive(Serialize)]
struct Split {
    id: String,
    finished: bool,
    position: Option<Reading>,
}

pub(crate) fn run(place: &Place, selection: &Selection) -> Result<Finding> {
    let restored = place.open()?;
    let wanted = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|w| w == name);
    let mut all = Vec::new();
    for uid in restored
        .uids()
        .filter(|uid| wanted(&selection.operator, uid))
    {
        for state in restored
            .state_names(uid)
            .filter(|name| wanted(&selection.state, name))
        {
            all.push(dump(&restored, uid, state, selection.limit));
        }
    }
    if all.is_empty() {
        let checkpoint = restored.checkpoint();
        let what = format!("checkpoint {checkpoint} has no such operator or state");
        return Err(Error::new(ErrorKind::Restore, what));
    }
    let text = all.iter().map(Dumped::text).collect();
    Ok(Finding::new(text, &all))
}

fn dump(restored: &Restored, uid: &str, state: &str, limit: usize) -> Dumped {
    let entries = restored.entries(uid, state);
    let instances = restored.instances(uid, state).into_iter();
    Dumped {
        uid: uid.to_owned(),
        state: state.to_owned(),
        keys: entries.len(),
        entries: entries
            .into_iter()
            .take(limit)
            .map(|((shard, key), value)| Entry {
                shard,
                key: Reading::of(key),
                value: Reading::of(value),
            })
            .collect(),
        instances: instances
            .map(|(worker, bytes)| Instance {
                worker,
                value: Reading::of(bytes),
                splits: (state == SPLITS_STATE).then(|| splits(bytes)).flatten(),
            })
            .collect(),
    }
}

fn splits(bytes: &[u8]) -> Option<Vec<Split>> {
    let splits: Vec<SplitState> = Compact.decode(bytes).ok()?;
    let split = |state: SplitState| Split {
        id: state.id,
        finished: state.finished,
        position: state.position.as_deref().map(Reading::of),
    };
    Some(splits.into_iter().map(split).collect())
}

impl Dumped {
    fn text(&self) -> String {
        let holds = match self.instances.len() {
            0 => things(self.keys, "key"),
            n => format!("of {}", things(n, "worker")),
        };
        let mut text = format!("{}/{}: {holds}\n", self.uid, self.state);
        for entry in &self.entries {
            let (key, value) = (entry.key.line(), entry.value.line());
            text.push_str(&format!("  shard {:>3}  {key} = {value}\n", entry.shard));
        }
        if self.entries.len() < self.keys {
            text.push_str(&format!("  and {} more\n", self.keys - self.entries.len()));
        }
        for instance in &self.instances {
            text.push_str(&instance.text());
        }
        text
    }
}

impl Instance {
    fn text(&self) -> String {
        let Some(splits) = &self.splits else {
            return format!("  worker {}  {}\n", self.worker, self.value.line());
        };
        let line = |split: &Split| {
            let at = match (&split.position, split.finished) {
                (_, true) => "finished".to_owned(),
                (Some(position), false) => format!("at {}", position.line()),
                (None, false) => "at its start".to_owned(),
            };
            format!("  worker {}  split {} {at}\n", self.worker, split.id)
        };
        splits.iter().map(line).collect()
    }
}
