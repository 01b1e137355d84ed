//! Time to live: state that nobody asks for any more goes away by itself.
//!
//! Each state carries the time at which it was last refreshed. Expired state is never returned,
//! and a sweep that time drives removes it. The sweep's index: slots in buckets by the time at which
//! they expire, a sixteenth of the time to live wide. A slot is in exactly one bucket as long as it
//! is in use; a refresh does not move it. When its bucket comes due the slot is looked at, and put
//! into a later bucket if it was refreshed meanwhile: so each key costs one look per time to live,
//! however often it is refreshed. The index is no part of a snapshot: it is built after a restore.

use super::codec::{Codec, Compact, ValueCodec};
use super::keyed::Now;
use super::table::SlotSet;
use super::timers::TimeDomain;
use super::{KeyedTable, Slot, StateData};
use crate::error::Result as RuntimeResult;
use crate::operator::Work;
use crate::record::{Key, NO_TIME};
use crate::time::EventTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long state is kept after it was last refreshed: written or, if so chosen, read.
///
/// By event time, `now` is the event time of the record or timer at hand (or the watermark, when that is
/// ahead); what is on time finds the same state however far the watermark has come. State is removed
/// up to a sixteenth of the time to live after it has expired, and never returned in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    after_ms: i64,
    domain: TimeDomain,
    on_read: bool,
}

impl Ttl {
    /// State expires when event time is `after` beyond the last refresh: at least a millisecond, or the job is
    /// refused when it is built.
    pub fn event_time(after: Duration) -> Self {
        Ttl::new(after, TimeDomain::Event)
    }

    /// State expires when processing time is `after` beyond the last refresh: at least a millisecond, or the
    /// job is refused when it is built.
    pub fn processing_time(after: Duration) -> Self {
        Ttl::new(after, TimeDomain::Processing)
    }

    fn new(after: Duration, domain: TimeDomain) -> Self {
        Ttl {
            after_ms: i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            domain,
            on_read: false,
        }
    }

    /// Reading refreshes too. Each read then counts as a change, which the next snapshot writes.
    pub fn refreshed_by_reads(mut self) -> Self {
        self.on_read = true;
        self
    }

    /// Whether it is less than a millisecond: nothing would ever be kept.
    pub(super) fn is_zero(&self) -> bool {
        self.after_ms == 0
    }

    pub(super) fn domain(&self) -> TimeDomain {
        self.domain
    }

    pub(super) fn on_read(&self) -> bool {
        self.on_read
    }

    fn expires(&self, refreshed: EventTime) -> EventTime {
        refreshed.saturating_add(self.after_ms)
    }
}

/// A state with the time of its last refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamped<S> {
    /// [`NO_TIME`]: never refreshed under a time to live.
    #[serde(serialize_with = "put_stamp", deserialize_with = "take_stamp")]
    pub refreshed: EventTime,
    pub value: S,
}

/// The table of a state.
pub(super) type Table<K, S> = KeyedTable<K, Stamped<S>, StampedCodec<S>>;

/// One byte when there is none, whatever the in-memory value that says so.
fn put_stamp<S: Serializer>(stamp: &EventTime, to: S) -> Result<S::Ok, S::Error> {
    (*stamp != NO_TIME).then_some(*stamp).serialize(to)
}

fn take_stamp<'de, D: Deserializer<'de>>(from: D) -> Result<EventTime, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(NO_TIME))
}

/// Encodes a stamp and, behind it, the value by the codec that was chosen for it.
pub(super) struct StampedCodec<S> {
    /// `None`: the compact one.
    value: Option<Box<dyn ValueCodec<S>>>,
}

impl<S> StampedCodec<S> {
    pub fn new(value: Option<Box<dyn ValueCodec<S>>>) -> Self {
        StampedCodec { value }
    }
}

impl<S> Default for StampedCodec<S> {
    fn default() -> Self {
        StampedCodec::new(None)
    }
}

/// A stamp alone.
#[derive(Serialize, Deserialize)]
struct Stamp(#[serde(serialize_with = "put_stamp", deserialize_with = "take_stamp")] EventTime);

impl<S: StateData> Codec<Stamped<S>> for StampedCodec<S> {
    fn fingerprint(&self) -> String {
        match &self.value {
            None => Codec::<Stamped<S>>::fingerprint(&Compact),
            Some(codec) => codec.name(),
        }
    }

    #[inline]
    fn encode(&self, state: &Stamped<S>, to: &mut Vec<u8>) {
        match &self.value {
            None => Compact.encode(state, to),
            Some(codec) => {
                Compact.encode(&Stamp(state.refreshed), to);
                codec.put(&state.value, to);
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> RuntimeResult<Stamped<S>> {
        let Some(codec) = &self.value else {
            return Compact.decode(bytes);
        };
        let (Stamp(refreshed), rest) = Compact::decode_front(bytes)?;
        let value = codec.take(rest)?;
        Ok(Stamped { refreshed, value })
    }
}

/// When which slots expire; see the module's documentation.
pub(super) struct Expiry {
    pub ttl: Ttl,
    width: i64,
    /// By the time at which the bucket comes due: no slot in it expires later, unless it was refreshed.
    buckets: BTreeMap<EventTime, Vec<Slot>>,
    /// The slots that are in a bucket.
    listed: SlotSet,
}

impl Expiry {
    pub fn new(ttl: Ttl) -> Self {
        Expiry {
            ttl,
            width: (ttl.after_ms / 16).max(1),
            buckets: BTreeMap::new(),
            listed: SlotSet::default(),
        }
    }

    pub fn now(&self, now: Now) -> EventTime {
        now.of(self.ttl.domain)
    }

    #[inline]
    pub fn expired(&self, refreshed: EventTime, now: Now) -> bool {
        refreshed != NO_TIME && self.ttl.expires(refreshed) <= self.now(now)
    }

    /// The slot was refreshed.
    #[inline]
    pub fn note(&mut self, slot: Slot, refreshed: EventTime) {
        if refreshed != NO_TIME && self.listed.insert(slot) {
            self.list(slot, refreshed);
        }
    }

    fn list(&mut self, slot: Slot, refreshed: EventTime) {
        let expires = self.ttl.expires(refreshed);
        let ahead = (-expires.max(i64::MIN + 1)).rem_euclid(self.width);
        let due = expires.saturating_add(ahead);
        self.buckets.entry(due).or_default().push(slot);
    }

    /// When the sweep has something to do.
    pub fn next_due(&self) -> Option<EventTime> {
        self.buckets.first_key_value().map(|(due, _)| *due)
    }

    /// Removes what has expired, looking at `budget` slots at most.
    pub fn sweep<K: Key, S: StateData>(
        &mut self,
        now: Now,
        table: &mut Table<K, S>,
        budget: &mut usize,
    ) -> Work {
        let until = self.now(now);
        while let Some(mut bucket) = self.buckets.first_entry() {
            if *bucket.key() > until {
                break;
            }
            if *budget == 0 {
                return Work::More;
            }
            let Some(slot) = bucket.get_mut().pop() else {
                bucket.remove();
                continue;
            };
            *budget -= 1;
            let refreshed = table.try_at(slot).map(|(_, state)| state.refreshed);
            match refreshed {
                Some(refreshed) if !self.expired(refreshed, now) && refreshed != NO_TIME => {
                    self.list(slot, refreshed);
                }
                Some(_) => {
                    table.remove_at(slot);
                    self.listed.remove(&slot);
                }
                None => {
                    self.listed.remove(&slot);
                }
            }
        }
        Work::Done
    }
}
