//! The keyed state of one operator: any number of named states and its timers, all for the key of the
//! record or timer that is being processed.
//!
//! Each state is a [`KeyedTable`] of its own, with its own descriptor, schema version, migrations and
//! changes. It is named by a small typed id. The key is hashed once per record, and looked up
//! at most once per state and record: the slot found is remembered until the key changes.

use super::spec::StateSpec;
use super::timers::{TimeDomain, Timer, Timers};
use super::ttl::{Expiry, Stamped};
use super::{KeyedTable, Slot, Snapshot, StateData};
use crate::hash::stable_hash;
use crate::operator::Work;
use crate::record::{Key, NO_TIME};
use crate::time::{EventTime, WATERMARK_MAX, Watermark};
use std::any::Any;
use std::marker::PhantomData;

/// The names that timers are filed under.
const EVENT_TIMERS: &str = "timers.event";
const PROCESSING_TIMERS: &str = "timers.processing";

/// Names a state of type `S` in its [`KeyedBackend`]; `X` is what is kept with it for all keys (the
/// function of a reducing state).
pub struct StateId<S, X = ()> {
    index: u32,
    marker: PhantomData<fn() -> (S, X)>,
}

impl<S, X> Clone for StateId<S, X> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S, X> Copy for StateId<S, X> {}

/// What time it is for the record or timer at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub event: EventTime,
    pub processing: EventTime,
}

impl Now {
    pub fn of(self, domain: TimeDomain) -> EventTime {
        match domain {
            TimeDomain::Event => self.event,
            TimeDomain::Processing => self.processing,
        }
    }
}

/// The key that is being processed.
pub(super) struct Current<K> {
    key: Option<K>,
    hash: u64,
    now: Now,
    /// Rises whenever slots that were found may no longer be right.
    turn: u64,
}

impl<K> Current<K> {
    #[inline]
    pub fn key_and_hash(&self) -> (&K, u64) {
        let key = self.key.as_ref();
        (key.expect("state is used for a current key"), self.hash)
    }
}

/// The keyed state of one operator; see the module's documentation.
pub struct KeyedBackend<K> {
    current: Current<K>,
    cells: Vec<Box<dyn AnyCell<K>>>,
    event: Timers<K>,
    processing: Timers<K>,
    hashes: Vec<u64>,
    warmed: usize,
    /// Event time has come so far for what has expired: a timer in the past sees no older state.
    swept: EventTime,
}

impl<K: Key> Default for KeyedBackend<K> {
    fn default() -> Self {
        KeyedBackend::new()
    }
}

impl<K: Key> KeyedBackend<K> {
    /// A backend without states.
    pub fn new() -> Self {
        let now = Now {
            event: NO_TIME,
            processing: 0,
        };
        KeyedBackend {
            current: Current {
                key: None,
                hash: 0,
                now,
                turn: 1,
            },
            cells: Vec::new(),
            event: Timers::new(EVENT_TIMERS),
            processing: Timers::new(PROCESSING_TIMERS),
            hashes: Vec::new(),
            warmed: 0,
            swept: NO_TIME,
        }
    }

    /// Declares a state.
    ///
    /// # Panics
    /// When the name is taken or reserved.
    pub fn declare<S: StateData, X: 'static>(
        &mut self,
        spec: StateSpec<S>,
        extra: X,
    ) -> StateId<S, X> {
        let name = spec.name.clone();
        let reserved = crate::driver::common_states();
        assert!(
            reserved.iter().all(|state| state.name != name) && !name.starts_with("timers."),
            "the state name \"{name}\" is reserved: choose another"
        );
        let taken = |cell: &mut Box<dyn AnyCell<K>>| cell.snapshot().descriptor().name == name;
        assert!(
            !self.cells.iter_mut().any(taken),
            "two states of one operator are named \"{name}\""
        );
        self.cells.push(Box::new(StateCell {
            expiry: spec.ttl.map(Expiry::new),
            table: spec.table::<K>(),
            found: (0, None),
            extra,
        }));
        StateId {
            index: self.cells.len() as u32 - 1,
            marker: PhantomData,
        }
    }

    /// Builds what is not in snapshots. Called once, after the restore.
    pub fn open(&mut self, watermark: Watermark, now_ms: EventTime) {
        self.current.now = Now {
            event: watermark,
            processing: now_ms,
        };
        self.swept = watermark;
        for cell in &mut self.cells {
            cell.open(self.current.now);
        }
        self.event.open();
        self.processing.open();
    }

    /// From now on state is that of `key`. `event` is the event time that decides what has expired.
    #[inline]
    pub fn set_key(&mut self, key: K, event: EventTime, now_ms: EventTime) {
        self.current.hash = stable_hash(&key);
        self.current.key = Some(key);
        self.current.now = Now {
            event,
            processing: now_ms,
        };
        self.current.turn += 1;
    }

    /// Brings the state of keys that come next into the cache. Memory is waited for once for all of
    /// them, instead of some times for each.
    pub fn warm<'k>(&mut self, keys: impl Iterator<Item = &'k K>) {
        self.hashes.clear();
        self.hashes.extend(keys.map(stable_hash));
        self.warm_hashes();
    }

    /// The same for the keys of the event-time timers that are next.
    pub fn warm_event_timers(&mut self, timers: usize) {
        self.hashes.clear();
        self.event.next_hashes(timers, &mut self.hashes);
        self.warm_hashes();
    }

    fn warm_hashes(&mut self) {
        let hashes = &self.hashes;
        let cells: usize = self.cells.iter().map(|cell| cell.warm(hashes)).sum();
        self.warmed += cells + self.event.warm(hashes) + self.processing.warm(hashes);
    }

    /// The current key.
    ///
    /// # Panics
    /// When none was set.
    pub fn key(&self) -> &K {
        self.current.key_and_hash().0
    }

    /// Takes the current key out, when nothing more is done for it.
    ///
    /// # Panics
    /// When none was set.
    pub fn take_key(&mut self) -> K {
        let key = self.current.key.take();
        key.expect("a current key was set")
    }

    /// A state of the current key.
    ///
    /// # Panics
    /// When the id is of another operator.
    #[inline]
    pub fn access<S: StateData, X: 'static>(&mut self, id: StateId<S, X>) -> Access<'_, K, S, X> {
        let cell = self.cells.get_mut(id.index as usize);
        let cell = cell.and_then(|cell| cell.any().downcast_mut());
        Access {
            cell: cell.expect("a state is used by the operator that declared it"),
            current: &self.current,
        }
    }

    /// Registers a timer for the current key; whether it was not pending already.
    pub fn register_timer(&mut self, timer: Timer) -> bool {
        let (timers, current) = self.timers(timer.domain);
        timers.register(current, timer.time)
    }

    /// Deletes a timer of the current key; whether it was pending.
    pub fn delete_timer(&mut self, timer: Timer) -> bool {
        let (timers, current) = self.timers(timer.domain);
        timers.delete(current, timer.time)
    }

    fn timers(&mut self, domain: TimeDomain) -> (&mut Timers<K>, &Current<K>) {
        match domain {
            TimeDomain::Event => (&mut self.event, &self.current),
            TimeDomain::Processing => (&mut self.processing, &self.current),
        }
    }

    /// Whether an event-time timer is due at this watermark: it fires when its time is below, for then no
    /// record of its time or before is to come. After the end of input all fire.
    pub fn event_timer_due(&self, watermark: Watermark) -> bool {
        let first = self.event.first();
        first.is_some_and(|time| time < watermark || watermark == WATERMARK_MAX)
    }

    /// Takes out the next event-time timer that is due; its key is the current one from then on.
    pub fn next_event_timer(&mut self, watermark: Watermark, now_ms: EventTime) -> Option<Timer> {
        if !self.event_timer_due(watermark) {
            return None;
        }
        let (key, time) = self.event.pop()?;
        self.set_key(key, time.max(self.swept), now_ms);
        Some(Timer {
            time,
            domain: TimeDomain::Event,
        })
    }

    /// Takes out the next processing-time timer that is due; its key is the current one from then on.
    pub fn next_processing_timer(
        &mut self,
        watermark: Watermark,
        now_ms: EventTime,
    ) -> Option<Timer> {
        if self.processing.first()? > now_ms {
            return None;
        }
        let (key, time) = self.processing.pop()?;
        self.set_key(key, watermark, now_ms);
        Some(Timer {
            time,
            domain: TimeDomain::Processing,
        })
    }

    /// Removes state that has expired by one clock, looking at `budget` keys at most.
    pub fn sweep(
        &mut self,
        domain: TimeDomain,
        watermark: Watermark,
        now_ms: EventTime,
        mut budget: usize,
    ) -> Work {
        self.current.turn += 1;
        self.swept = watermark;
        let now = Now {
            event: watermark,
            processing: now_ms,
        };
        for cell in &mut self.cells {
            if cell.sweep(domain, now, &mut budget) == Work::More {
                return Work::More;
            }
        }
        Work::Done
    }

    /// The earliest processing time at which a timer or the sweep has something to do.
    pub fn next_processing_time(&self) -> Option<EventTime> {
        let sweeps = self.cells.iter();
        let sweeps = sweeps.filter_map(|cell| cell.next_sweep(TimeDomain::Processing));
        let next = sweeps.chain(self.processing.first()).min();
        next.map(|time| time.max(0))
    }

    /// Shows every state and the timers.
    pub fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        for cell in &mut self.cells {
            visit(cell.snapshot());
        }
        visit(self.event.snapshot());
        visit(self.processing.snapshot());
    }
}

/// A state whose types are forgotten.
trait AnyCell<K> {
    fn any(&mut self) -> &mut dyn Any;
    fn snapshot(&mut self) -> &mut dyn Snapshot;
    fn open(&mut self, now: Now);
    fn warm(&self, hashes: &[u64]) -> usize;
    fn next_sweep(&self, domain: TimeDomain) -> Option<EventTime>;
    fn sweep(&mut self, domain: TimeDomain, now: Now, budget: &mut usize) -> Work;
}

/// One named state, for all keys.
struct StateCell<K, S, X> {
    table: KeyedTable<K, Stamped<S>>,
    expiry: Option<Expiry>,
    /// The turn in which the current key was looked up, and what was found.
    found: (u64, Option<Slot>),
    extra: X,
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
        self.table.warm(hashes)
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
}

/// One state of the current key.
pub struct Access<'a, K, S, X = ()> {
    cell: &'a mut StateCell<K, S, X>,
    current: &'a Current<K>,
}

impl<'a, K: Key, S: StateData, X> Access<'a, K, S, X> {
    /// The slot of the current key, expired or not.
    #[inline]
    fn slot(&mut self) -> Option<Slot> {
        let (turn, found) = self.cell.found;
        if turn == self.current.turn {
            return found;
        }
        let (key, hash) = self.current.key_and_hash();
        let found = self.cell.table.slot_hashed(key, hash);
        self.cell.found = (self.current.turn, found);
        found
    }

    #[inline]
    fn is_live(&self, slot: Slot) -> bool {
        self.cell.expiry.as_ref().is_none_or(|expiry| {
            let refreshed = self.cell.table.at(slot).1.refreshed;
            !expiry.expired(refreshed, self.current.now)
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
                state.refreshed = state.refreshed.max(expiry.now(self.current.now));
                expiry.note(slot, state.refreshed);
            }
        }
        (&mut state.value, &self.cell.extra)
    }

    /// What is kept with the state for all keys.
    pub fn extra(self) -> &'a X {
        &self.cell.extra
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
        self.cell.found = (self.current.turn, Some(slot));
        self.touch(slot).0
    }

    /// Removes the state; returns what was there.
    pub fn remove(mut self) -> Option<S> {
        let slot = self.slot()?;
        let live = self.is_live(slot);
        let (_, state) = self.cell.table.remove_at(slot);
        self.cell.found = (self.current.turn, None);
        live.then_some(state.value)
    }
}
