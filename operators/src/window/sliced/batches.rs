//! Adding records of a batch to their slices.

use super::SlicedOperator;
use crate::aggregate::Aggregator;
use crate::window::Windowed;
use crate::window::slicing::Slicing;
use millstream_runtime::driver::Position;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::operator::{OperatorContext, Output, UserResult};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{LOOKUPS, Place};
use millstream_runtime::time::EventTime;

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> SlicedOperator<K, V, G, H> {
    /// Adds records as long as there is nothing more to it than that: the loop where most time goes. Returns the first one
    /// for which there is, if any, and its hash; `index` is that of the next record.
    #[inline(never)] // the loops would take registers from each other
    pub(super) fn add_plain<const HOLDS: bool>(
        &mut self,
        records: &mut std::vec::IntoIter<Record<(K, V)>>,
        index: &mut usize,
        at: &Position<'_>,
    ) -> Option<(Record<(K, V)>, u64)> {
        let (finder, fresh_from, aggregator) = (self.finder, self.fresh_from, &*self.aggregator);
        let (slicing, is_uneven) = (&self.slicing, !self.slicing.is_even());
        let mut changes = self.table.changes();
        let mut next = *index;
        for Record { time, value } in records {
            at.set(next);
            next += 1;
            let (key, value) = value;
            let hash = stable_hash(&key);
            let slice = match finder.find(time) {
                None if is_uneven => plain_slice(time, slicing),
                found => found,
            };
            let slice = slice.filter(|slice| *slice >= fresh_from);
            let add = |accumulator: &mut G::Acc, value| aggregator.add_at(accumulator, value, time);
            let added = match slice {
                Some(slice) if HOLDS => changes.change(slice, &key, hash, value, add),
                Some(slice) => changes.change_cell(slice, &key, hash, value, add),
                None => Err(value),
            };
            if let Err(value) = added {
                changes.note(next - *index);
                *index = next;
                return Some((Record::new(time, (key, value)), hash));
            }
        }
        changes.note(next - *index);
        *index = next;
        None
    }

    /// Adds records whose keys and slices are seldom in the cache: they are sought for many records at once, so
    /// that one does not wait for the other.
    #[inline(never)] // it would take registers from the other loop
    pub(super) fn add_together(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
        at: &Position<'_>,
    ) -> UserResult {
        let mut found = [(0, Place::NONE); LOOKUPS];
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let changes = self.table.changes();
            for (found, Record { value, .. }) in found.iter_mut().zip(next) {
                let hash = stable_hash(&value.0);
                *found = (hash, changes.place(&value.0, hash));
            }
            for ((_, place), Record { time, .. }) in found.iter().zip(next) {
                let slice = self.plain_slice(*time);
                if let Some(column) = slice.and_then(|slice| self.table.column(slice)) {
                    self.table.prefetch(column, *place);
                }
            }
            self.table.changes().note(next.len());
            let rows_gone = self.table.rows_gone();
            for ((hash, place), record) in found[..next.len()].iter().zip(&mut records) {
                at.set(index);
                index += 1;
                if let Err(record) = self.add_in(*place, record, *hash) {
                    self.add(record, *hash, context, out)?;
                    if self.table.rows_gone() != rows_gone {
                        break; // a place may be another's by now
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds a record of a key in this place, if there is nothing more to it than that.
    #[inline]
    pub(super) fn add_in(
        &mut self,
        place: Place,
        record: Record<(K, V)>,
        hash: u64,
    ) -> Result<(), Record<(K, V)>> {
        let time = record.time;
        let slice = self.plain_slice(time);
        let Some(slice) = slice.filter(|slice| *slice >= self.fresh_from) else {
            return Err(record);
        };
        let ((key, value), aggregator) = (record.value, &*self.aggregator);
        let add = |accumulator: &mut G::Acc, value| aggregator.add_at(accumulator, value, time);
        let added = (self.table.changes()).change_in(slice, &key, hash, place, value, add);
        added.map_err(|value| Record::new(time, (key, value)))
    }

    /// The slice of a time, if it is easily found, and part of a window.
    #[inline]
    fn plain_slice(&self, time: EventTime) -> Option<i64> {
        match self.finder.find(time) {
            None if !self.slicing.is_even() => plain_slice(time, &self.slicing),
            found => found,
        }
    }
}

/// The slice of a time, if there is one that is part of a window.
#[inline(never)]
fn plain_slice(time: EventTime, slicing: &Slicing) -> Option<i64> {
    let slice = slicing.slice_of(time);
    (time != NO_TIME && !slicing.is_between_windows(slice)).then_some(slice)
}
