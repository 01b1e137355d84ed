//! One named state of an operator, for all keys ([`StateCell`]), and for the current one ([`Access`]).

use super::keyed::{Current, Now};
use super::spec::StateSpec;
use super::timers::TimeDomain;
use super::ttl::{Expiry, Stamped, Table};
use super::{Slot, Snapshot, StateData};
use crate::operator::Work;
use crate::record::{Key, NO_TIME};
use crate::time::EventTime;
use std::any::Any;

/// A state whose types are forgotten.
pub(super) trait AnyCell<K> {
    fn any(&mut self) -> &mut dyn Any;
    fn snapshot(&mut self) -> &mut dyn Snapshot;
    fn open(&mut self, now: Now);
    fn warm(&self, hashes: &[u64]) -> usize;
    fn next_sweep(&self, domain: TimeDomain) -> Option<EventTime>;
    fn sweep(&mut self, domain: TimeDomain, now: Now, budget: &mut usize) -> Work;
    /// The keys of a shard that have this state.
    fn keys(&self, shard: u32, now: Now, keys: &mut Vec<K>);
}

/// One named state, for all keys.
pub(super) struct StateCell<K, S, X> {
    table: Table<K, S>,
    expiry: Option<Expiry>,
    /// The turn in which the current key was looked up, and what was found.
    found: (u64, Option<Slot>),
    extra: X,
}

impl<K: Key, S: StateData, X> StateCell<K, S, X> {
    pub fn new(spec: StateSpec<S>, extra: X) -> Self {
        StateCell {
            expiry: spec.ttl.map(Expiry::new),
            table: spec.table(),
            found: (0, None),
            extra,
        }
    }
}

impl<K: Key, S: StateData, X: 'static> AnyCell<K> for StateCell<K, S, X> {
    fn any(&mut self) -> &mut dyn Any {
        self
    }

    fn snapshot(&mut self) -> &mut dyn Snapshot {
        &mut self.table
    }

    fn open(&mut self, now: Now) {
        let Some(expiry) = &mut self.expiry else {
            return;
        };
        let mut unstamped = Vec::new();
        for (slot, _, state) in self.table.iter() {
            expiry.note(slot, state.refreshed);
            if state.refreshed == NO_TIME {
                unstamped.push(slot);
            }
        }
        let now = expiry.now(now);
        for slot in unstamped {
            self.table.touch(slot).1.refreshed = now;
            expiry.note(slot, now);
        }
    }

    fn warm(&self, hashes: &[u64]) -> usize {
        self.table.warm(hashes.iter().copied())
    }

    fn next_sweep(&self, domain: TimeDomain) -> Option<EventTime> {
        let expiry = self.expiry.as_ref()?;
        (expiry.ttl.domain() == domain).then(|| expiry.next_due())?
    }

    fn sweep(&mut self, domain: TimeDomain, now: Now, budget: &mut usize) -> Work {
        match &mut self.expiry {
            Some(expiry) if expiry.ttl.domain() == domain => {
                expiry.sweep(now, &mut self.table, budget)
            }
            _ => Work::Done,
        }
    }

    fn keys(&self, shard: u32, now: Now, keys: &mut Vec<K>) {
        let expired = |state: &Stamped<S>| {
            let expiry = self.expiry.as_ref();
            expiry.is_some_and(|expiry| expiry.expired(state.refreshed, now))
        };
        let states = self.table.iter_shard(shard);
        let live = states.filter(|(_, _, state)| !expired(state));
        keys.extend(live.map(|(_, key, _)| key.clone()));
    }
}

/// One state of the current key.
pub struct Access<'a, K, S, X = ()> {
    cell: &'a mut StateCell<K, S, X>,
    current: &'a Current<K>,
}

impl<'a, K: Key, S: StateData, X> Access<'a, K, S, X> {
    pub(super) fn new(cell: &'a mut StateCell<K, S, X>, current: &'a Current<K>) -> Self {
        Access { cell, current }
    }

    /// The slot of the current key, expired or not.
    #[inline]
    fn slot(&mut self) -> Option<Slot> {
        let (turn, found) = self.cell.found;
        if turn == self.current.turn() {
            return found;
        }
        let (key, hash) = self.current.key_and_hash();
        let found = self.cell.table.slot_hashed(key, hash);
        self.cell.found = (self.current.turn(), found);
        found
    }

    #[inline]
    fn is_live(&self, slot: Slot) -> bool {
        self.cell.expiry.as_ref().is_none_or(|expiry| {
            let refreshed = self.cell.table.at(slot).1.refreshed;
            !expiry.expired(refreshed, self.current.now())
        })
    }

    fn live(&mut self) -> Option<Slot> {
        let slot = self.slot()?;
        self.is_live(slot).then_some(slot)
    }

    /// The state for changing, refreshed, and what is kept with it.
    #[inline]
    fn touch(self, slot: Slot) -> (&'a mut S, &'a X) {
        let (_, state) = self.cell.table.touch(slot);
        match &mut self.cell.expiry {
            None => state.refreshed = NO_TIME,
            Some(expiry) => {
                state.refreshed = state.refreshed.max(expiry.now(self.current.now()));
                expiry.note(slot, state.refreshed);
            }
        }
        (&mut state.value, &self.cell.extra)
    }

    /// The state, if there is one, and what is kept with it.
    #[inline]
    pub fn get_with_extra(mut self) -> Option<(&'a S, &'a X)> {
        let slot = self.live()?;
        if self.cell.expiry.as_ref().is_some_and(|e| e.ttl.on_read()) {
            let (state, extra) = self.touch(slot);
            return Some((state, extra));
        }
        Some((&self.cell.table.at(slot).1.value, &self.cell.extra))
    }

    /// The state, if there is one.
    #[inline]
    pub fn get(self) -> Option<&'a S> {
        self.get_with_extra().map(|(state, _)| state)
    }

    /// The state for changing, if there is one.
    #[inline]
    pub fn get_mut(mut self) -> Option<&'a mut S> {
        let slot = self.live()?;
        Some(self.touch(slot).0)
    }

    /// The state for changing; made by `make` when there is none.
    #[inline]
    pub fn get_or_insert_with(mut self, make: impl FnOnce() -> S) -> &'a mut S {
        match self.live() {
            Some(slot) => self.touch(slot).0,
            None => self.put(make()),
        }
    }

    /// Changes the state, or sets what is made of the same argument when there is none.
    pub fn upsert<V>(
        mut self,
        value: V,
        make: impl FnOnce(V, &X) -> S,
        change: impl FnOnce(&mut S, V, &X),
    ) {
        match self.live() {
            Some(slot) => {
                let (state, extra) = self.touch(slot);
                change(state, value, extra);
            }
            None => {
                let state = make(value, &self.cell.extra);
                self.put(state);
            }
        }
    }

    /// Puts a state in place of what was there.
    #[inline]
    pub fn set(self, value: S) {
        self.put(value);
    }

    fn put(mut self, value: S) -> &'a mut S {
        if let Some(slot) = self.slot() {
            let (state, _) = self.touch(slot);
            *state = value;
            return state;
        }
        let (key, hash) = self.current.key_and_hash();
        let state = Stamped {
            refreshed: NO_TIME,
            value,
        };
        let slot = self.cell.table.insert_vacant(key.clone(), hash, state);
        self.cell.found = (self.current.turn(), Some(slot));
        self.touch(slot).0
    }

    /// Removes the state; returns what was there.
    pub fn remove(mut self) -> Option<S> {
        let slot = self.slot()?;
        let live = self.is_live(slot);
        let (_, state) = self.cell.table.remove_at(slot);
        self.cell.found = (self.current.turn(), None);
        live.then_some(state.value)
    }
}
