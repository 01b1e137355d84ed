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

/// The slices of a key. What a record needs comes first, so that it lies together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[repr(C)]
pub(super) struct Slices<A> {
    /// The next window to fire: those below have fired or were empty. [`NO_WINDOW`] when the rest is only kept
    /// for late records.
    pub due: i64,
    /// Slices below are closed.
    seen: i64,
    open: SmallVec<[Slice<A>; 2]>,
    /// Slices that only windows below this one are made of are gone, or soon will be.
    kept_from: i64,
    closed: VecDeque<Slice<A>>,
    /// The aggregate over the window that fired last, less what the next one no longer holds; none after a
    /// restore, and when closed slices changed.
    #[serde(skip, default = "Running::default")]
    running: Running<A>,
}

/// How often closed slices that are no longer needed are dropped, in windows: each time costs a look at the oldest.
const DROP_EVERY: i64 = 16;

impl<A> Default for Slices<A> {
    fn default() -> Self {
        Slices {
            due: NO_WINDOW,
            seen: i64::MIN,
            open: SmallVec::new(),
            kept_from: i64::MIN,
            closed: VecDeque::new(),
            running: Running::default(),
        }
    }
}

impl<A: Data> Slices<A> {
    /// The first window for which all slices are still there.
    pub fn kept_from(&self) -> i64 {
        self.kept_from
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
        // Mostly it is one of the last two, there is no telling which: chosen without a branch.
        if let Some(newest) = self.open.last() {
            let at = (self.open.len() - 1).saturating_sub(usize::from(newest.number > slice));
            let open = &mut self.open[at];
            if open.number == slice {
                return aggregator.add_at(&mut open.accumulator, value, time);
            }
        }
        self.add_open(slice, value, time, aggregator);
    }

    /// Adds a value to a slice that is not there yet, or has several behind it.
    #[inline(never)]
    fn add_open<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        slice: i64,
        value: V,
        time: EventTime,
        aggregator: &G,
    ) {
        match self.open.binary_search_by_key(&slice, |open| open.number) {
            Ok(at) => aggregator.add_at(&mut self.open[at].accumulator, value, time),
            Err(at) => {
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
        }
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
        if !self.has_seen(slice) {
            return self.add(slice, value, time, aggregator);
        }
        let newest = self.closed.back();
        let is_newest = newest.is_none_or(|newest| newest.number <= slice);
        if is_newest && self.running.is_behind_split(slice) {
            let back = self.running.back_mut(|| aggregator.create());
            aggregator.add_at(back, value.clone(), time);
        } else {
            // The next window begins anew, so that the order of what is merged is always that of time.
            self.running = Running::default();
        }
        let at = self.closed.partition_point(|closed| closed.number < slice);
        match self.closed.get_mut(at) {
            Some(closed) if closed.number == slice => {
                aggregator.add_at(&mut closed.accumulator, value, time);
            }
            _ => {
                let mut accumulator = aggregator.create();
                aggregator.add_at(&mut accumulator, value, time);
                let number = slice;
                self.closed.insert(
                    at,
                    Slice {
                        number,
                        accumulator,
                    },
                );
            }
        }
    }

    /// Fires the window that is due: its result, and what it cost, in merges. Slices are kept for windows from
    /// `kept_from` on, at least for those behind this one.
    #[inline]
    pub fn fire<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        kept_from: i64,
        slicing: &Slicing,
        aggregator: &G,
    ) -> (G::Out, usize) {
        let number = self.due;
        let window = slicing.slices_of(number);
        let cost = self.move_to(&window, aggregator);
        let result = self.running.result(aggregator);
        let next = slicing.slices_of(number + 1);
        if self.seen > window.end {
            self.running = Running::default(); // slices behind this window are closed already
        } else {
            self.seen = window.end;
            self.running.evict_before(next.start);
        }
        self.kept_from = self.kept_from.max(kept_from.min(number + 1));
        let goes_on = self.running.has_front(); // so the next window holds a slice of this one
        if !goes_on || number % DROP_EVERY == 0 {
            self.drop_old(slicing);
        }
        self.due = match goes_on {
            true => number + 1,
            false => self.next_window(number + 1, slicing),
        };
        (result, cost)
    }

    /// Aggregates over a window; returns the cost, in merges.
    #[inline]
    fn move_to<V, G: Aggregator<V, Acc = A>>(
        &mut self,
        window: &Range<i64>,
        aggregator: &G,
    ) -> usize {
        let fresh = self.open.iter().take_while(|open| open.number < window.end);
        let fresh = fresh.count();
        let mut cost = fresh;
        if self.running.reaches(window.start) && self.seen <= window.end {
            self.running.evict_before(window.start);
            for slice in self.open.drain(..fresh) {
                self.running.push(&slice.accumulator, aggregator);
                self.closed.push_back(slice);
            }
        } else {
            self.closed.extend(self.open.drain(..fresh));
            let newest_first = self.closed.iter().rev();
            let newest_first = newest_first.skip_while(|slice| slice.number >= window.end);
            let within = newest_first.take_while(|slice| slice.number >= window.start);
            cost += self.running.begin(within, aggregator);
        }
        if self.open.spilled() {
            self.open.shrink_to_fit();
        }
        cost
    }

    /// Drops the slices that no window needs any more.
    fn drop_old(&mut self, slicing: &Slicing) {
        let first = slicing.slices_of(self.kept_from).start;
        while self
            .closed
            .front()
            .is_some_and(|slice| slice.number < first)
        {
            self.closed.pop_front();
        }
    }

    /// The first window from `window` on that holds any slice.
    fn next_window(&self, window: i64, slicing: &Slicing) -> i64 {
        let first = slicing.slices_of(window).start;
        match self.iter().find(|slice| slice.number >= first) {
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
    pub fn warm(&self) -> usize {
        self.running.warm()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Slice<A>> {
        self.closed.iter().chain(&self.open)
    }
}
