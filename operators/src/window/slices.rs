//! The slices of one key, and when its windows fire.
//!
//! Invariant: slices rise by number; all closed ones are below all open ones. Open are those that no window
//! that fired has seen: nearly always the last one or two, in place, so that a record touches nothing but its
//! key's entry.

use super::running::{Running, Slice};
use super::slicing::{NO_WINDOW, Slicing};
use crate::aggregate::Aggregator;
use millstream_runtime::record::Data;
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ops::Range;

/// The slices of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slices<A> {
    /// The next window to fire: those below have fired or were empty. [`NO_WINDOW`] when the rest is only kept
    /// for late records.
    pub due: i64,
    /// Slices below are closed.
    seen: i64,
    open: SmallVec<[Slice<A>; 2]>,
    closed: Option<Box<Closed<A>>>,
}

/// The slices that windows have seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Closed<A> {
    /// Slices that only windows below this one are made of are gone.
    kept_from: i64,
    slices: VecDeque<Slice<A>>,
    /// The aggregate over the window that fired last; none after a restore, and when the slices changed.
    #[serde(skip, default = "Running::default")]
    running: Running<A>,
}

impl<A> Default for Closed<A> {
    fn default() -> Self {
        Closed {
            kept_from: i64::MIN,
            slices: VecDeque::new(),
            running: Running::default(),
        }
    }
}

impl<A> Default for Slices<A> {
    fn default() -> Self {
        Slices {
            due: NO_WINDOW,
            seen: i64::MIN,
            open: SmallVec::new(),
            closed: None,
        }
    }
}

impl<A: Data> Slices<A> {
    /// The first window for which all slices are still there.
    pub fn kept_from(&self) -> i64 {
        self.closed
            .as_ref()
            .map_or(i64::MIN, |closed| closed.kept_from)
    }

    /// Whether a window with this slice, or one behind it, has fired.
    #[inline]
    pub fn has_seen(&self, slice: i64) -> bool {
        slice < self.seen
    }

    /// Adds a value to a slice that no window has seen.
    #[inline]
    pub fn add<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        slice: i64,
        value: V,
        time: EventTime,
        aggregator: &G,
    ) {
        debug_assert!(!self.has_seen(slice), "slice {slice} is closed");
        let newest_first = self.open.iter_mut().rev();
        let at = match newest_first
            .enumerate()
            .find(|(_, open)| open.number <= slice)
        {
            Some((_, open)) if open.number == slice => {
                return aggregator.add_at(&mut open.accumulator, value, time);
            }
            Some((behind, _)) => self.open.len() - behind,
            None => 0,
        };
        let mut accumulator = aggregator.create();
        aggregator.add_at(&mut accumulator, value, time);
        let number = slice;
        self.open.insert(
            at,
            Slice {
                number,
                accumulator,
            },
        );
    }

    /// Adds a value to any slice.
    #[cold]
    pub fn add_late<V: Clone, G: Aggregator<V, Acc = A>>(
        &mut self,
        slice: i64,
        value: V,
        time: EventTime,
        aggregator: &G,
    ) {
        if self.has_seen(slice) {
            let closed = self.closed.get_or_insert_default();
            closed.add(slice, value, time, aggregator);
        } else {
            self.add(slice, value, time, aggregator);
        }
    }

    /// The result over a window's slices, the next one that fires; and what it cost, in merges.
    #[inline]
    pub fn fire<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        window: &Range<i64>,
        aggregator: &G,
    ) -> (G::Out, usize) {
        let Closed {
            slices, running, ..
        } = &mut **self.closed.get_or_insert_default();
        let fresh = self.open.iter().take_while(|open| open.number < window.end);
        let mut cost = fresh.count();
        let fresh = self.open.drain(..cost);
        let is_behind = self.seen > window.end;
        if running.reaches(window.start) && !is_behind {
            running.evict_before(window.start);
            for slice in fresh {
                running.push(&slice.accumulator, aggregator);
                slices.push_back(slice);
            }
        } else {
            slices.extend(fresh);
            let newest_first = slices.iter().rev();
            let newest_first = newest_first.skip_while(|slice| slice.number >= window.end);
            let within = newest_first.take_while(|slice| slice.number >= window.start);
            cost += running.begin(within, aggregator);
        }
        let result = running.result(aggregator);
        if is_behind {
            *running = Running::default(); // later slices are closed already
        }
        if self.open.spilled() {
            self.open.shrink_to_fit();
        }
        self.seen = self.seen.max(window.end);
        (result, cost)
    }

    /// Forgets the slices that only windows below `window` are made of.
    pub fn keep_from(&mut self, window: i64, slicing: &Slicing) {
        let first = slicing.slices_of(window).start;
        if let Some(closed) = &mut self.closed {
            closed.kept_from = closed.kept_from.max(window);
            while closed
                .slices
                .front()
                .is_some_and(|slice| slice.number < first)
            {
                closed.slices.pop_front();
            }
        }
        if self.open.first().is_some_and(|slice| slice.number < first) {
            self.open.retain(|slice| slice.number >= first);
        }
    }

    /// The first window from `window` on that holds any slice.
    pub fn next_window(&self, window: i64, slicing: &Slicing) -> i64 {
        let first = slicing.slices_of(window).start;
        let oldest = match self.iter().next() {
            Some(oldest) if oldest.number < first => self.iter().find(|s| s.number >= first),
            oldest => oldest,
        };
        match oldest {
            Some(oldest) => window.max(slicing.first_window(oldest.number)),
            None => NO_WINDOW,
        }
    }

    /// The newest slice.
    pub fn newest(&self) -> Option<i64> {
        Some(self.iter().next_back()?.number)
    }

    /// Computes windows that fired before anew, all of which hold `slice`; calls `emit` with each and its result.
    ///
    /// Costs two merges a window and slice between `slice` and the ends of the windows.
    pub fn fire_again<V, G: Aggregator<V, Acc = A>>(
        &self,
        windows: Range<i64>,
        slice: i64,
        slicing: &Slicing,
        aggregator: &G,
        mut emit: impl FnMut(i64, G::Out),
    ) {
        let first = slicing.slices_of(windows.start).start;
        let before = self.iter().rev().skip_while(|s| s.number > slice);
        let before = before.take_while(|s| s.number >= first);
        let mut behind = self.iter().skip_while(|s| s.number <= slice).peekable();
        let mut running = Running::default();
        running.begin(before, aggregator);
        for window in windows {
            let slices = slicing.slices_of(window);
            running.evict_before(slices.start);
            while let Some(next) = behind.next_if(|next| next.number < slices.end) {
                running.push(&next.accumulator, aggregator);
            }
            emit(window, running.result(aggregator));
        }
    }

    /// Reads what lies one load behind the key's entry, so that it is in the cache.
    #[inline]
    pub fn warm_closed(&self) -> usize {
        self.closed.as_ref().map_or(0, |closed| closed.slices.len())
    }

    /// Reads what lies two loads behind the key's entry.
    #[inline]
    pub fn warm_slices(&self) -> usize {
        let Some(closed) = &self.closed else {
            return 0;
        };
        let oldest = closed.slices.front();
        oldest.map_or(0, |oldest| oldest.number as usize) + closed.running.warm()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Slice<A>> {
        let closed = self.closed.iter().flat_map(|closed| &closed.slices);
        closed.chain(&self.open)
    }
}

impl<A: Data> Closed<A> {
    /// Adds a value that comes after a window with its slice has fired.
    fn add<V: Clone, G: Aggregator<V, Acc = A>>(
        &mut self,
        slice: i64,
        value: V,
        time: EventTime,
        aggregator: &G,
    ) {
        let newest = self.slices.back();
        let is_newest = newest.is_none_or(|newest| newest.number <= slice);
        if is_newest && self.running.is_behind_split(slice) {
            let back = self.running.back_mut(|| aggregator.create());
            aggregator.add_at(back, value.clone(), time);
        } else {
            // The next window begins anew, so that the order of what is merged is always that of time.
            self.running = Running::default();
        }
        let at = self.slices.partition_point(|one| one.number < slice);
        match self.slices.get_mut(at) {
            Some(found) if found.number == slice => {
                aggregator.add_at(&mut found.accumulator, value, time);
            }
            _ => {
                let mut accumulator = aggregator.create();
                aggregator.add_at(&mut accumulator, value, time);
                let number = slice;
                self.slices.insert(
                    at,
                    Slice {
                        number,
                        accumulator,
                    },
                );
            }
        }
    }
}
