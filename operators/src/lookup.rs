//! Batches of an operator that keeps one table by key: keys are looked up many at a time, before any state
//! changes.

use millstream_runtime::driver::Position;
use millstream_runtime::record::{Key, Record};
use millstream_runtime::state::{KeyedTable, LOOKUPS, StateData};

/// Hands each record to `take` with the hash of its key, which was looked up in `table` if that pays.
#[inline]
pub(crate) fn each_hashed<K: Key, V, S: StateData>(
    table: &mut KeyedTable<K, S>,
    hashes: &mut Vec<u64>,
    records: Vec<Record<(K, V)>>,
    at: &Position<'_>,
    mut take: impl FnMut(&mut KeyedTable<K, S>, u64, Record<(K, V)>),
) {
    let mut records = records.into_iter();
    let mut index = 0;
    while !records.as_slice().is_empty() {
        let next = &records.as_slice()[..records.len().min(LOOKUPS)];
        table.prepare(next.iter().map(|record| &record.value.0), hashes);
        for (hash, record) in hashes.iter().zip(&mut records) {
            at.set(index);
            index += 1;
            take(table, *hash, record);
        }
    }
}
