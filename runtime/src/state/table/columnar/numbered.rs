//! A column in all shards, and what a checkpoint is owed of it.
//!
//! A shard's part of a column is encoded as a whole when any of it changed: slices of time change in most keys or not at all.

use crate::record::Key;
use crate::state::codec::Codec;
use crate::state::table::bits::Bits;
use crate::state::table::column::Column;
use crate::state::table::mark::{Mark, Owed};
use crate::state::table::outbox::{InNamespace, Outbox};
use crate::state::table::rows::Rows;
use crate::state::{SHARDS, StateData};

/// A column in all shards.
pub(super) struct Numbered<S> {
    pub number: i64,
    pub shards: Box<[Column<S>; SHARDS as usize]>,
    /// By shard: in this period nothing of it is owed, what is absent is as new, and rows do not count it.
    pub free: Box<[Mark; SHARDS as usize]>,
    pub changed: Box<[Changed; SHARDS as usize]>,
    /// By shard: the rows that are still to be encoded, once anything has changed since the barrier.
    pub owed: Box<[Bits; SHARDS as usize]>,
    /// The last period in which any of it changed.
    pub changed_in: Mark,
}

/// When a column changed in a shard.
#[derive(Clone, Copy)]
pub(super) struct Changed {
    /// The last two periods in which it changed.
    pub last: Mark,
    pub before: Mark,
    /// In this period its set of rows to be encoded says which they are. In others all are, if any.
    pub told: Mark,
    /// What is absent is as new.
    pub is_blank: bool,
    /// Rows count their states in it.
    pub is_counted: bool,
    /// Some checkpoint holds a state of it, so that the removal of one must be written.
    pub persisted: bool,
}

impl Changed {
    pub const NEVER: Changed = Changed {
        last: Mark::NEVER,
        before: Mark::NEVER,
        told: Mark::OLD,
        is_blank: false,
        is_counted: false,
        persisted: false,
    };

    /// Whether something of it may be owed.
    #[inline]
    pub fn may_owe(self, owed: Owed, now: Mark) -> bool {
        let is_new = self.last == now && self.before == Mark::NEVER;
        !is_new && (owed == Owed::All || owed.holds(self.last, now) || owed.holds(self.before, now))
    }

    pub fn counted_anew(&mut self, now: Mark) {
        self.last = self.last.counted_anew(now);
        self.before = self.before.counted_anew(now);
        self.told = Mark::OLD;
    }
}

impl<S: Clone> Numbered<S> {
    pub fn new() -> Self {
        Numbered {
            number: 0,
            shards: Box::new(std::array::from_fn(|_| Column::default())),
            free: Box::new([Mark::OLD; SHARDS as usize]),
            changed: Box::new([Changed::NEVER; SHARDS as usize]),
            owed: Box::new(std::array::from_fn(|_| Bits::default())),
            changed_in: Mark::OLD,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(Column::is_empty)
    }

    /// The rows of a shard that are still to be encoded, if any may be.
    #[inline]
    pub fn owed_rows(&mut self, shard: usize, owed: Owed, now: Mark) -> Option<&mut Bits> {
        let changed = &mut self.changed[shard];
        if !changed.may_owe(owed, now) {
            return None;
        }
        let rows = &mut self.owed[shard];
        if changed.told != now {
            changed.told = now;
            self.shards[shard].rows(rows);
        }
        Some(rows)
    }

    /// Something of a shard is about to change, in this row: what is owed of it is encoded first.
    pub fn note_change<K: StateData, C: Codec<S>>(
        &mut self,
        shard: u8,
        row: u32,
        key: &K,
        owed: Owed,
        codec: &C,
        outbox: &mut Outbox,
    ) {
        let (at, now) = (usize::from(shard), outbox.now);
        if let Some(rows) = self.owed_rows(at, owed, now)
            && rows.remove(row as usize)
            && let Some(state) = self.shards[at].get(row)
        {
            outbox.put(shard, key, state, &InNamespace(&self.number, codec));
            self.changed[at].persisted = true;
        }
        self.note_period(at, now);
    }

    /// Something of a shard changes in this period.
    pub fn note_period(&mut self, shard: usize, now: Mark) {
        let changed = &mut self.changed[shard];
        if changed.last != now {
            (changed.before, changed.last) = (changed.last, now);
        }
        self.changed_in = now;
    }
}

/// Encodes what is owed of a column in a shard until there is a pause; whether that came before the end.
pub(super) fn encode<K: Key, S: Clone, C: Codec<S>, const H: usize>(
    numbered: &mut Numbered<S>,
    shard: u8,
    rows: &Rows<K, S, H>,
    owed: Owed,
    codec: &C,
    outbox: &mut Outbox,
    mut is_pause_due: impl FnMut(&Outbox) -> bool,
) -> bool {
    let at = usize::from(shard);
    let Some(owed) = numbered.owed_rows(at, owed, outbox.now) else {
        return false;
    };
    let mut owed = std::mem::take(owed);
    let keys = rows.by_number();
    let cells = &numbered.shards[at];
    let encoder = InNamespace(&numbered.number, codec);
    let (mut word, mut paused) = (0, false);
    while !paused && let Some(row) = owed.take_from(word) {
        word = row / 64;
        if let (Some(key), Some(state)) = (keys[row], cells.get(row as u32)) {
            outbox.put(shard, key, state, &encoder);
            paused = is_pause_due(outbox);
        }
    }
    numbered.owed[at] = owed;
    numbered.changed[at].persisted = true;
    paused
}
