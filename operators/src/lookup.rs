//! Batches of an operator that keeps one table by key: keys are looked up many at a time, before any state
//! changes.

use millstream_runtime::driver::Position;
use millstream_runtime::record::{Key, Record};
use millstream_runtime::state::{Found, KeyedTable, LOOKUPS, StateData};

/// Hands each record to `take` with what was found of its key in `table`.
#[inline]
pub(crate) fn each_found<K: Key, V, S: StateData>(
    table: &mut KeyedTable<K, S>,
    found: &mut Vec<Found>,
    records: Vec<Record<(K, V)>>,
    at: &Position<'_>,
    mut take: impl FnMut(&mut KeyedTable<K, S>, Found, Record<(K, V)>),
) {
    let mut records = records.into_iter();
    let mut index = 0;
    while !records.as_slice().is_empty() {
        let next = &records.as_slice()[..records.len().min(LOOKUPS)];
        table.find_all(next.iter().map(|record| &record.value.0), found);
        for (found, record) in found.iter().zip(&mut records) {
            at.set(index);
            index += 1;
            take(table, *found, record);
        }
    }
}
