//! The keyed state of one operator: any number of named states and its timers, all for the key of the
//! record or timer that is being processed.
//!
//! Each state is a [`KeyedTable`] of its own, with its own descriptor, schema version, migrations and
//! changes. It is named by a small typed id. The key is hashed once per record, and looked up
//! at most once per state and record: the slot found is remembered until the key changes.

use super::broadcast::BROADCAST;
use super::cell::{Access, AnyCell, StateCell};
use super::spec::StateSpec;
use super::timers::{TimeDomain, Timer, Timers};
use super::ttl::Ttl;
use super::{Snapshot, StateData};
use crate::hash::stable_hash;
use crate::operator::Work;
use crate::record::{Key, NO_TIME};
use crate::time::{EventTime, WATERMARK_MAX, Watermark};
use std::marker::PhantomData;

/// The names of the states that hold timers begin with this.
const TIMERS: &str = "timers.";
/// The name of the state that holds event-time timers.
pub const EVENT_TIMERS: &str = "timers.event";
/// The name of the state that holds processing-time timers.
pub const PROCESSING_TIMERS: &str = "timers.processing";

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

    #[inline]
    pub fn now(&self) -> Now {
        self.now
    }

    #[inline]
    pub fn turn(&self) -> u64 {
        self.turn
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
    /// What is wrong with the states that were declared.
    fault: Option<String>,
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
            fault: None,
        }
    }

    /// Declares a state. What is wrong with it [`fault`](Self::fault) says.
    pub fn declare<S: StateData, X: 'static>(
        &mut self,
        spec: StateSpec<S>,
        extra: X,
    ) -> StateId<S, X> {
        let name = spec.name.clone();
        let fault = self.fault_of(&name, spec.ttl);
        self.fault = self.fault.take().or(fault);
        self.cells
            .push(Box::new(StateCell::<K, S, X>::new(spec, extra)));
        StateId {
            index: self.cells.len() as u32 - 1,
            marker: PhantomData,
        }
    }

    fn fault_of(&mut self, name: &str, ttl: Option<Ttl>) -> Option<String> {
        let mut reserved = crate::driver::common_states().into_iter();
        if reserved.any(|state| state.name == name)
            || name.starts_with(TIMERS)
            || name.starts_with(BROADCAST)
        {
            return Some(format!(
                "the state name \"{name}\" is reserved: choose another"
            ));
        }
        let taken = |cell: &mut Box<dyn AnyCell<K>>| cell.snapshot().descriptor().name == name;
        if self.cells.iter_mut().any(taken) {
            return Some(format!("two states of one operator are named \"{name}\""));
        }
        ttl.is_some_and(|ttl| ttl.is_zero())
            .then(|| format!("the time to live of state \"{name}\" must be at least 1 ms"))
    }

    /// The first thing that is wrong with the states that were declared: a name that is taken or reserved, a
    /// time to live of zero.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Builds what is not in snapshots. Called once, after the restore.
    ///
    /// # Panics
    /// When there is a [`fault`](Self::fault).
    pub fn open(&mut self, watermark: Watermark, now_ms: EventTime) {
        if let Some(fault) = &self.fault {
            panic!("{fault}");
        }
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

    /// A state of the current key.
    ///
    /// # Panics
    /// When the id is of another operator.
    #[inline]
    pub fn access<S: StateData, X: 'static>(&mut self, id: StateId<S, X>) -> Access<'_, K, S, X> {
        let cell = self.cells.get_mut(id.index as usize);
        let cell = cell.and_then(|cell| cell.any().downcast_mut());
        let cell = cell.expect("a state is used by the operator that declared it");
        Access::new(cell, &self.current)
    }

    /// The keys that have the state `id`, of one of the [`SHARDS`](super::SHARDS) shards.
    pub fn keys_of<S, X>(
        &self,
        id: StateId<S, X>,
        shard: u32,
        (watermark, now_ms): (Watermark, EventTime),
    ) -> Vec<K> {
        let mut keys = Vec::new();
        let now = Now {
            event: watermark,
            processing: now_ms,
        };
        self.cells[id.index as usize].keys(shard, now, &mut keys);
        keys
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
        self.event.first().is_some_and(is_due_at(watermark))
    }

    /// Takes out the next event-time timer that is due; its key is the current one from then on.
    pub fn next_event_timer(&mut self, watermark: Watermark, now_ms: EventTime) -> Option<Timer> {
        let (key, time) = self.event.pop(is_due_at(watermark))?;
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
        let (key, time) = self.processing.pop(|time| time <= now_ms)?;
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

/// Whether an event-time timer is due at a watermark.
fn is_due_at(watermark: Watermark) -> impl Fn(EventTime) -> bool {
    move |time| time < watermark || watermark == WATERMARK_MAX
}
