//! `compare`: how the state of two checkpoints differs.

use crate::place::Place;
use crate::{Finding, things};
use millstream::Result;
use millstream::runtime::checkpoint::{Difference, StateDifference};
use millstream::runtime::cli::human::{count, table};

pub(crate) fn run(left: &Place, right: &Place) -> Result<Finding> {
    let (left, right) = (left.open()?, right.open()?);
    let difference = Difference::between(&left, &right);
    let head = format!(
        "checkpoint {} and {}: ",
        left.checkpoint(),
        right.checkpoint()
    );
    let is_none = difference.is_none();
    Ok(Finding::new(head + &text(&difference), &difference).fine_if(is_none))
}

fn text(of: &Difference) -> String {
    if of.is_none() {
        return format!("the same ({})\n", things(of.same_states, "state"));
    }
    let mut text = match of.states.len() {
        1 => "1 state differs, ".to_owned(),
        n => format!("{n} states differ, "),
    };
    text.push_str(&format!("{} are the same\n", of.same_states));
    for (field, left, right) in &of.fields {
        text.push_str(&format!("  {field}: {left}, then {right}\n"));
    }
    if !of.states.is_empty() {
        let head = [
            "operator", "state", "what", "added", "removed", "changed", "same",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(of.states.iter().map(row));
        text.push_str(&table(&rows, 3));
    }
    text
}

fn row(of: &StateDifference) -> Vec<String> {
    let what = match &of.written {
        [None, _] => "only in the second".to_owned(),
        [_, None] => "only in the first".to_owned(),
        [Some(left), Some(right)] if left != right => {
            format!(
                "version {} {}, then {} {}",
                left.0, left.1, right.0, right.1
            )
        }
        _ if of.instances_differ => "instances differ".to_owned(),
        _ => "keys differ".to_owned(),
    };
    let mut row = vec![of.uid.clone(), of.state.clone(), what];
    row.extend([of.added, of.removed, of.changed, of.same].map(|n| count(n as u64)));
    row
}
