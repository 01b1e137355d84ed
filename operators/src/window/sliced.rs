//! Sliding and cumulating event-time windows with incremental aggregates, computed from slices that windows
//! share: general stream slicing (Traub et al.: "Scotty", ICDE 2018; Carbone et al.: "Cutty", CIKM 2016), and
//! the aggregate over a key's window from [running](super::running) aggregates of its slices.
//!
//! A record costs the same however many windows it belongs to: it is added to one slice. A result costs two
//! merges on average, however many slices the window has. Once per size of a window a key's slices are
//! aggregated backwards, all in one call. A record that comes after some of its windows have fired, but is not
//! late for all, goes into its slice too; when it is more than a slice behind, its key's next result merges
//! all slices of its window.
//!
//! State: per key its slices, and the number of the window it fires next. Beside it, rebuilt after a restore,
//! a calendar from windows to the slots of the keys that they are due for. An entry of the calendar counts
//! only if its key says the same: entries that are out of date stay until their time comes.

use super::operator::without_time;
use super::slices::Slices;
use super::slicing::{NO_WINDOW, Slicing};
use super::{Window, Windowed};
use crate::aggregate::Aggregator;
use crate::tolerance::or_undo;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{KeyedTable, LOOKUPS, Slot, Snapshot};
use millstream_runtime::time::{WATERMARK_MIN, Watermark};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// How many keys are brought into the cache at once.
const WARM: usize = 16;

/// Keys by the number of a window.
type Calendar = BTreeMap<i64, Vec<Slot>>;

/// Sliding or cumulating windows over slices; see the module's documentation.
pub(crate) struct SlicedOperator<K, V, G: Aggregator<V>> {
    slicing: Slicing,
    lateness: i64,
    aggregator: Arc<G>,
    late: SideOutput<(K, V)>,
    table: KeyedTable<K, Slices<G::Acc>>,
    /// The keys that a window is due for.
    due: Calendar,
    /// The keys that only wait for late records, by the last window that these can be for.
    waiting: Calendar,
    firing: Option<Firing>,
    past: Past,
    hashes: Vec<u64>,
    marker: PhantomData<fn(V)>,
}

/// A window that is being fired.
struct Firing {
    number: i64,
    window: Window,
    slots: std::vec::IntoIter<Slot>,
    /// The keys that the next window is due for.
    next: Vec<Slot>,
}

/// A window was fired for a key.
struct Fired {
    /// What it cost, in merges.
    cost: usize,
    next: Next,
}

/// What comes next for a key.
enum Next {
    /// This window.
    Due(i64),
    /// Late records, until this window can take none any more.
    Waiting(i64),
    /// Nothing is left of it.
    Nothing,
}

/// What the watermark says of windows.
struct Past {
    watermark: Watermark,
    /// The first window that has not ended.
    open_from: i64,
    /// The first window that records can still be added to.
    kept_from: i64,
    /// The first slice of no window that has ended.
    fresh_from: i64,
    /// The first slice that is not late.
    taken_from: i64,
}

impl<K: Key, V: Data, G: Aggregator<V>> SlicedOperator<K, V, G> {
    /// An operator for windows that keep `lateness` milliseconds after their end.
    pub fn new(
        windows: impl Into<Slicing>,
        lateness: i64,
        aggregator: Arc<G>,
        late: SideOutput<(K, V)>,
    ) -> Self {
        let slicing = windows.into();
        SlicedOperator {
            slicing,
            lateness,
            aggregator,
            late,
            table: KeyedTable::new("slices"),
            due: Calendar::new(),
            waiting: Calendar::new(),
            firing: None,
            past: Past::at(WATERMARK_MIN, &slicing, lateness),
            hashes: Vec::new(),
            marker: PhantomData,
        }
    }

    /// Learns what a new watermark says.
    #[inline]
    fn follow(&mut self, watermark: Watermark) {
        if watermark != self.past.watermark {
            self.past = Past::at(watermark, &self.slicing, self.lateness);
        }
    }

    /// Adds a record to its slice.
    #[inline]
    fn add(
        &mut self,
        record: Record<(K, V)>,
        hash: u64,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        let slice = self.slicing.slice_of(record.time);
        let is_left_out = slice < self.past.taken_from
            || record.time == NO_TIME
            || self.slicing.is_between_windows(slice);
        if is_left_out {
            return self.leave_out(slice, record, context);
        }
        let key = &record.value.0;
        let (slot, slices) = self.table.entry_hashed(key, hash, Slices::default);
        let Past {
            fresh_from,
            open_from,
            ..
        } = self.past;
        if slice < fresh_from || slices.due < open_from || slices.has_seen(slice) {
            return self.add_behind(slice, slot, record, context, out);
        }
        slices.add(slice, record.value.1, record.time, &*self.aggregator);
        let first = self.slicing.first_window(slice);
        if first < slices.due {
            slices.due = first;
            self.due.entry(first).or_default().push(slot);
        }
        Ok(())
    }

    /// Adds a record after a window has ended: one that it belongs to, or one that its key has still to fire.
    #[cold]
    fn add_behind(
        &mut self,
        slice: i64,
        slot: Slot,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> UserResult {
        let Past {
            open_from,
            kept_from,
            ..
        } = self.past;
        self.catch_up(slot, out);
        let key = &record.value.0;
        let (slot, slices) = self.table.entry(key, Slices::default);
        let first = self
            .slicing
            .first_window(slice)
            .max(slices.kept_from())
            .max(kept_from);
        let last = self.slicing.last_window(slice);
        let is_new = slices.is_empty();
        if first > last {
            if is_new {
                self.waiting.entry(first).or_default().push(slot);
            }
            return self.leave_out(slice, record, context);
        }
        let (key, value) = record.value;
        slices.add_late(slice, value, record.time, &*self.aggregator);
        let over = first..open_from.min(last.saturating_add(1));
        if !over.is_empty() {
            let slicing = &self.slicing;
            slices.fire_again(over, slice, slicing, &*self.aggregator, |number, value| {
                let (window, key) = (slicing.window(number), key.clone());
                out.push(window.end - 1, Windowed { window, key, value });
            });
        }
        let next = first.max(open_from);
        if next <= last {
            if next < slices.due {
                slices.due = next;
                self.due.entry(next).or_default().push(slot);
            }
        } else if is_new {
            self.waiting.entry(last).or_default().push(slot);
        }
        Ok(())
    }

    /// A record that no window takes: it is late, or lies between windows.
    #[cold]
    fn leave_out(
        &mut self,
        slice: i64,
        record: Record<(K, V)>,
        context: &OperatorContext,
    ) -> UserResult {
        if record.time == NO_TIME {
            return Err(without_time());
        }
        if self.slicing.is_between_windows(slice) {
            context.metrics.filtered.add(1);
        } else {
            context.metrics.late.add(1);
            self.late.push(record.time, record.value);
        }
        Ok(())
    }

    /// Fires what a key's windows still owe to the watermark, before a record that is none of theirs.
    fn catch_up(&mut self, slot: Slot, out: &mut Output<Windowed<K, G::Out>>) {
        while let Some((_, slices)) = self.table.try_at(slot)
            && slices.due < self.past.open_from
        {
            let number = slices.due;
            let window = self.slicing.window(number);
            if let Some(Fired { next, .. }) = self.fire(slot, number, window, out) {
                match next {
                    Next::Due(next) => self.due.entry(next).or_default().push(slot),
                    Next::Waiting(last) => self.waiting.entry(last).or_default().push(slot),
                    Next::Nothing => {}
                }
            }
        }
    }

    /// Fires a window for a key, if it is due for it.
    #[inline]
    fn fire(
        &mut self,
        slot: Slot,
        number: i64,
        window: Window,
        out: &mut Output<Windowed<K, G::Out>>,
    ) -> Option<Fired> {
        let slicing = &self.slicing;
        let (key, slices) = self.table.try_touch(slot)?;
        if slices.due != number {
            return None;
        }
        let (value, cost) = slices.fire(self.past.kept_from, slicing, &*self.aggregator);
        let key = key.clone();
        out.push(window.end - 1, Windowed { window, key, value });
        let next = match slices.due {
            NO_WINDOW => match slices.newest() {
                Some(newest) => Next::Waiting(slicing.last_window(newest)),
                None => Next::Nothing,
            },
            next => Next::Due(next),
        };
        Some(Fired { cost, next })
    }

    /// The next window that is due, if any.
    fn next_firing(&mut self) -> Option<Firing> {
        let entry = self.due.first_entry()?;
        let number = *entry.key();
        (number < self.past.open_from).then(|| Firing {
            number,
            window: self.slicing.window(number),
            slots: entry.remove().into_iter(),
            next: Vec::new(),
        })
    }

    /// Fires what is due, as far as the budget goes.
    fn fire_due(&mut self, budget: &mut usize, out: &mut Output<Windowed<K, G::Out>>) -> Work {
        while let Some(mut firing) = self.firing.take().or_else(|| self.next_firing()) {
            let number = firing.number;
            while let Some(slot) = firing.slots.next() {
                if firing.slots.len().is_multiple_of(WARM) {
                    self.warm(&firing.slots.as_slice()[..WARM.min(firing.slots.len())]);
                }
                let Some(Fired { cost, next }) = self.fire(slot, number, firing.window, out) else {
                    continue;
                };
                match next {
                    Next::Due(next) if next == number + 1 => firing.next.push(slot),
                    Next::Due(next) => self.due.entry(next).or_default().push(slot),
                    Next::Waiting(last) => self.waiting.entry(last).or_default().push(slot),
                    Next::Nothing => drop(self.table.remove_at(slot)),
                }
                *budget = budget.saturating_sub(1 + cost);
                if *budget == 0 {
                    self.firing = Some(firing);
                    return Work::More;
                }
            }
            if !firing.next.is_empty() {
                let next = self.due.entry(number + 1).or_default();
                firing.next.append(next);
                *next = firing.next;
            }
        }
        Work::Done
    }

    /// Brings what the next keys fire from into the cache. One key after the other would wait for memory twice;
    /// here all of them wait together.
    fn warm(&self, slots: &[Slot]) {
        let mut found = [None; WARM];
        let mut read = 0;
        for (found, slot) in found.iter_mut().zip(slots) {
            *found = self.table.try_at(*slot).map(|(_, slices)| slices);
            read ^= found.map_or(0, |slices| slices.due as usize);
        }
        let behind = found.into_iter().flatten().map(Slices::warm);
        let read = behind.fold(read, usize::wrapping_add);
        std::hint::black_box(read); // what is read for nothing would not be read
    }

    /// Removes keys whose slices no record can be added to any more.
    fn free(&mut self, budget: &mut usize) -> Work {
        while let Some(mut entry) = self.waiting.first_entry() {
            if *entry.key() >= self.past.kept_from {
                break;
            }
            let Some(slot) = entry.get_mut().pop() else {
                entry.remove();
                continue;
            };
            if let Some((_, slices)) = self.table.try_at(slot)
                && slices.due == NO_WINDOW
            {
                let last = slices.newest().map(|slice| self.slicing.last_window(slice));
                match last {
                    Some(last) if last >= self.past.kept_from => {
                        self.waiting.entry(last).or_default().push(slot);
                    }
                    _ => drop(self.table.remove_at(slot)),
                }
            }
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                return Work::More;
            }
        }
        Work::Done
    }
}

impl Past {
    fn at(watermark: Watermark, slicing: &Slicing, lateness: i64) -> Self {
        let (open_from, kept_from) = (
            slicing.first_above(watermark, 0),
            slicing.first_above(watermark, lateness),
        );
        Past {
            watermark,
            open_from,
            kept_from,
            fresh_from: slicing.slices_of(open_from.saturating_sub(1)).end,
            taken_from: slicing.first_slice_from(kept_from),
        }
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> OperatorCore for SlicedOperator<K, V, G> {
    type Out = Windowed<K, G::Out>;

    fn open(&mut self, context: &OperatorContext) {
        self.follow(context.watermark);
        for (slot, _, slices) in self.table.iter() {
            if slices.due != NO_WINDOW {
                self.due.entry(slices.due).or_default().push(slot);
            } else if let Some(newest) = slices.newest() {
                let last = self.slicing.last_window(newest);
                self.waiting.entry(last).or_default().push(slot);
            }
        }
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> Result<Work, BoxError> {
        self.follow(context.watermark);
        let mut budget = WORK_LIMIT;
        Ok(match self.fire_due(&mut budget, out) {
            Work::Done => self.free(&mut budget),
            Work::More => Work::More,
        })
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.table);
    }
}

impl<K: Key, V: Data, G: Aggregator<V>> Operator for SlicedOperator<K, V, G> {
    type In = (K, V);

    fn on_record(
        &mut self,
        record: Record<(K, V)>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
    ) -> UserResult {
        self.follow(context.watermark);
        let hash = stable_hash(&record.value.0);
        if !context.tolerant {
            return self.add(record, hash, context, out);
        }
        let key = record.value.0.clone();
        let before = self.table.get(&key).cloned();
        or_undo(
            self,
            |operator| operator.add(record, hash, context, out),
            |operator| {
                // Slots that are noted for its windows are looked at again when these are due.
                match (operator.table.slot(&key), before) {
                    (Some(slot), Some(before)) => *operator.table.touch(slot).1 = before,
                    (Some(slot), None) => drop(operator.table.remove_at(slot)),
                    (None, _) => {}
                }
            },
        )
    }

    fn on_batch(
        &mut self,
        records: Vec<Record<(K, V)>>,
        context: &mut OperatorContext,
        out: &mut Output<Self::Out>,
        at: &Position<'_>,
    ) -> UserResult {
        self.follow(context.watermark);
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let keys = next.iter().map(|record| &record.value.0);
            self.table.prepare(keys, &mut hashes);
            for (hash, record) in hashes.iter().zip(&mut records) {
                at.set(index);
                index += 1;
                self.add(record, *hash, context, out)?;
            }
        }
        self.hashes = hashes;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
