//! One shard of a table: the entries of a range of key groups, and which of them changed.

use super::TableKey;
use super::bits::Bits;
use super::freeze::{Frozen, Outbox};
use super::index::Index;
use crate::state::codec::{Codec, Compact, put_sized};

/// A place for an entry.
pub(super) enum Cell<K, S> {
    Used(K, S),
    Free,
}

/// What a lookup needs fills one cache line; the rest lives elsewhere.
pub(super) struct Shard<K, S> {
    pub index: Index,
    pub cells: Vec<Cell<K, S>>,
    /// Cells whose entries changed in this period.
    changed: Bits,
    pub cold: Box<Cold>,
}

#[derive(Default)]
pub(super) struct Cold {
    /// Free cells, the next one to be used last.
    free: Vec<u32>,
    used: Bits,
    /// Some checkpoint holds the entry, so that its removal must be written.
    persisted: Bits,
    /// Encoded removals of this period.
    removed: Vec<u8>,
    removed_count: u32,
    pub frozen: Frozen,
}

impl Cold {
    fn of(shard: u32) -> Self {
        Cold {
            frozen: Frozen::of(shard),
            ..Cold::default()
        }
    }
}

impl<K: TableKey, S> Shard<K, S> {
    /// The empty shard of this number.
    pub fn new(number: u32) -> Self {
        Shard {
            index: Index::default(),
            cells: Vec::new(),
            changed: Bits::default(),
            cold: Box::new(Cold::of(number)),
        }
    }

    /// The place of the entry with this hash for whose key `is` says that it is the one.
    #[inline(always)]
    pub fn find(&self, hash: u32, is: impl Fn(&K) -> bool) -> Option<u32> {
        self.index.find(hash, |at| self.holds(at, &is))
    }

    /// Whether there is an entry at `at` for whose key `is` says that it is the one.
    #[inline]
    pub fn holds(&self, at: u32, is: impl Fn(&K) -> bool) -> bool {
        matches!(self.cells.get(at as usize), Some(Cell::Used(key, _)) if is(key))
    }

    /// The entry at `at`, if there is one.
    #[inline]
    pub fn get(&self, at: u32) -> Option<(&K, &S)> {
        match self.cells.get(at as usize) {
            Some(Cell::Used(key, state)) => Some((key, state)),
            _ => None,
        }
    }

    /// The entry at `at`, for changing: noted as changed, and encoded first if it is still to be.
    ///
    /// # Panics
    /// When there is none.
    #[inline(always)]
    pub fn touch(&mut self, at: u32, codec: &impl Codec<S>, outbox: &mut Outbox) -> (&K, &mut S) {
        if !self.changed.get(at) {
            self.note_change(at, codec, outbox);
        }
        match &mut self.cells[at as usize] {
            Cell::Used(key, state) => (key, state),
            Cell::Free => unreachable!("cell {at} was freed"),
        }
    }

    /// An entry is about to change for the first time in this period.
    #[inline(never)]
    fn note_change(&mut self, at: u32, codec: &impl Codec<S>, outbox: &mut Outbox) {
        let Cell::Used(key, state) = &self.cells[at as usize] else {
            unreachable!("cell {at} was freed");
        };
        let cold = &mut *self.cold;
        if cold.frozen.claim(at, &cold.used) {
            cold.frozen.put(key, state, codec, outbox);
            cold.persisted.set(at);
        }
        self.changed.set(at);
        outbox.changed += 1;
    }

    /// Adds an entry; it counts as changed and is no part of a checkpoint that is being encoded.
    pub fn add(&mut self, key: K, state: S, hash: u32, outbox: &mut Outbox) -> u32 {
        let others = self.len();
        let cold = &mut *self.cold;
        cold.frozen.mark(&cold.used); // before there is one more
        let at = match cold.free.pop() {
            Some(at) => {
                self.cells[at as usize] = Cell::Used(key, state);
                at
            }
            None => {
                if self.cells.len() == self.cells.capacity() {
                    self.make_room();
                }
                self.cells.push(Cell::Used(key, state));
                self.cells.len() as u32 - 1
            }
        };
        self.cold.used.set(at);
        self.changed.set(at);
        outbox.changed += 1;
        self.index.insert(hash, at, others);
        at
    }

    #[cold]
    fn make_room(&mut self) {
        // A quarter at a time: memory per key matters more than copies.
        self.cells.reserve_exact((self.cells.len() / 4).max(4));
        let cells = self.cells.capacity();
        self.changed.grow(cells);
        self.cold.used.grow(cells);
        self.cold.persisted.grow(cells);
        self.cold.frozen.grow(cells);
    }

    fn len(&self) -> usize {
        self.cells.len() - self.cold.free.len()
    }

    /// Takes out the entry at `at`.
    ///
    /// # Panics
    /// When there is none.
    pub fn remove(&mut self, at: u32, codec: &impl Codec<S>, outbox: &mut Outbox) -> (K, S) {
        self.touch(at, codec, outbox); // a frozen value is encoded first
        let cell = std::mem::replace(&mut self.cells[at as usize], Cell::Free);
        let Cell::Used(key, state) = cell else {
            unreachable!("cell {at} was freed");
        };
        let cold = &mut *self.cold;
        self.changed.clear(at);
        cold.used.clear(at);
        if cold.persisted.clear(at) {
            cold.removed.push(0);
            put_sized(&mut cold.removed, &mut 1, |to| Compact.encode(&key, to));
            cold.removed_count += 1;
        }
        cold.free.push(at);
        self.index.remove(key.table_hash() as u32, at);
        if self.len() == 0 {
            self.release();
        }
        (key, state)
    }

    /// The last key went: gives the memory back.
    #[inline(never)]
    fn release(&mut self) {
        self.index = Index::default();
        if self.cold.frozen.is_done() {
            self.cells = Vec::new();
            self.changed = Bits::default();
            let removed = std::mem::take(&mut self.cold.removed);
            *self.cold = Cold {
                removed,
                removed_count: self.cold.removed_count,
                ..Cold::of(self.cold.frozen.shard())
            };
        }
    }

    /// What changed belongs to a checkpoint from now on.
    pub fn freeze(&mut self) {
        let cold = &mut *self.cold;
        let removed = std::mem::take(&mut cold.removed);
        let count = std::mem::take(&mut cold.removed_count);
        cold.frozen.begin(&mut self.changed, removed, count);
    }

    /// Encodes what is left of the frozen entries, in the order in which they lie in memory; `false` when `pause` said so before
    /// the end. It is asked after each entry.
    pub fn encode(
        &mut self,
        codec: &impl Codec<S>,
        outbox: &mut Outbox,
        mut pause: impl FnMut(&Outbox) -> bool,
    ) -> bool {
        let cold = &mut *self.cold;
        while let Some(at) = cold.frozen.claim_next(&cold.used) {
            let Cell::Used(key, state) = &self.cells[at as usize] else {
                unreachable!("cell {at} was freed before it was encoded");
            };
            cold.frozen.put(key, state, codec, outbox);
            cold.persisted.set(at);
            if pause(outbox) {
                return false;
            }
        }
        true
    }
}
