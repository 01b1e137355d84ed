//! Columns whose states lie in the rows themselves, where a change finds them with the key.
//!
//! Those are the newest, in which nearly all changes are. Rows hold a column from its first state on, until it is
//! counted: then its states move to its own place, as one goes over the rows anyway. At a barrier they are closed, and move
//! before anything is encoded or changed, as a snapshot finds states in columns alone.
//!
//! Where rows are gone over to hold a column, that has to be likely to pay: it takes the place of an earlier one in which most rows
//! have a state, or there were many changes aside of what is held. And where changes are spread over more columns than rows
//! hold, they hold none ([`Spread`]).

use super::numbered::Numbered;
use super::{ColumnId, ColumnarTable};
use crate::record::Key;
use crate::state::codec::Codec;
use crate::state::table::mark::Mark;
use crate::state::table::rows::{Rows, at};

impl<K: Key, S: Clone + 'static, C: Codec<S>, const H: usize> ColumnarTable<K, S, C, H> {
    /// Where the rows of a shard hold their states in a column, if they do.
    #[inline]
    pub(super) fn held_at(&self, column: ColumnId, shard: usize) -> Option<usize> {
        let at = at::<H>(self.columns[column.0].number);
        (H > 0 && self.rows[shard].held(at) == Some(column)).then_some(at)
    }

    /// Whether the rows of any shard hold a state in a column.
    pub(super) fn is_held(&self, column: ColumnId) -> bool {
        let mut shards = self.rows.iter().enumerate();
        shards.any(|(shard, rows)| {
            let at = self.held_at(column, shard);
            at.is_some_and(|at| rows.iter().any(|row| row.uses.holds(at)))
        })
    }

    /// Whether rows hold the states of columns that are opened: not if changes are spread over many columns.
    #[inline]
    pub fn is_holding(&self) -> bool {
        H > 0 && !self.spread.is_paused()
    }

    /// The rows of a shard hold a column from now on, to be changed, if that is likely to pay; whether they do.
    #[inline]
    pub(super) fn try_hold(&mut self, column: ColumnId, shard: usize) -> bool {
        if H == 0 {
            return false;
        }
        let Numbered {
            number, changed, ..
        } = &self.columns[column.0];
        let (rows, is_new) = (&self.rows[shard], changed[shard].last == Mark::NEVER);
        match rows.is_open(*number) {
            true if self.spread.is_paused() => {
                self.let_go(shard); // not all shards at once, as the pause begins
                false
            }
            true => true,
            false => self.is_holding() && (is_new || rows.has_earned()) && self.hold(column, shard),
        }
    }

    /// The same, if they can.
    #[inline(never)]
    fn hold(&mut self, column: ColumnId, shard: usize) -> bool {
        self.let_go_frozen(shard);
        let Numbered {
            number, changed, ..
        } = &self.columns[column.0];
        let (number, at, changed) = (*number, at::<H>(*number), changed[shard]);
        let now = self.ledger.outbox.now;
        let is_free = !changed.is_counted && !changed.may_owe(self.owed[shard], now);
        let is_new = changed.last == Mark::NEVER;
        let (rows, columns) = (&mut self.rows[shard], &mut self.columns);
        let may_replace = |other: ColumnId| match columns[other.0].number <= number {
            true => !is_new || rows.holds_most(at),
            false => !is_new && rows.holds_few(at),
        };
        let may_hold = is_free && rows.held(at).is_none_or(may_replace);
        if !is_new {
            rows.spend();
        }
        if !may_hold {
            return false;
        }
        let_go(rows, columns, shard, at, &self.blank);
        if is_new {
            self.expect(column, shard);
        }
        let (rows, numbered) = (&mut self.rows[shard], &mut self.columns[column.0]);
        if !is_new {
            for row in rows.iter_mut() {
                if let Some(state) = numbered.shards[shard].take(row.number) {
                    row.hold(at, state);
                }
            }
            numbered.changed[shard].is_blank = false;
            numbered.free[shard] = Mark::OLD;
        }
        numbered.note_period(shard, now);
        rows.open(column, number);
        true
    }

    /// The state of a key with this stable hash in a column that the rows of its shard hold, to be changed.
    pub(super) fn touch_held(
        &mut self,
        column: ColumnId,
        shard: usize,
        key: &K,
        hash: u64,
    ) -> &mut S {
        let at = at::<H>(self.columns[column.0].number);
        let (row, is_new) = self.rows[shard].find_or_add(key, hash, &self.blank);
        self.keys += usize::from(is_new);
        row.uses.hold(at);
        &mut row.held[at]
    }

    /// The rows of a shard hold no column any more.
    pub(super) fn let_go(&mut self, shard: usize) {
        for at in 0..H {
            let_go(
                &mut self.rows[shard],
                &mut self.columns,
                shard,
                at,
                &self.blank,
            );
        }
    }

    /// All states of a column in a shard lie in its [`cells`](Self::cells), until one of them is changed.
    #[inline]
    pub fn settle(&mut self, column: ColumnId, shard: usize) {
        if let Some(at) = self.held_at(column, shard) {
            let rows = &mut self.rows[shard];
            let_go(rows, &mut self.columns, shard, at, &self.blank);
        }
    }

    /// The rows of a shard do not hold any more what may not be changed, since a barrier.
    #[inline]
    pub(super) fn let_go_frozen(&mut self, shard: usize) {
        let_go_frozen(&mut self.rows[shard], &mut self.columns, shard, &self.blank);
    }
}

/// Over how many columns changes are spread: whether rows hold those that most changes are in. Where barriers come with nearly
/// each column they do not either.
#[derive(Default)]
pub(super) struct Spread {
    /// How many changes were made since the last column was opened.
    pub changes: usize,
    /// How many of them were not in a column that rows hold.
    pub aside: usize,
    /// How many columns were opened since rows may hold them.
    opened: u32,
    /// Rows hold no column until so many more are opened.
    pause: u32,
    /// How long the last pause was.
    last_pause: u32,
}

impl Spread {
    /// Columns that were opened before rows held any are changed for some time yet.
    const BEFORE: u32 = 3;
    /// Fewer changes say nothing.
    const FEW: usize = 4_096;
    /// The longest pause.
    const LONG: u32 = 64;

    /// Whether rows hold no columns for now.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.pause > 0
    }

    /// A column is opened.
    pub fn judge(&mut self) {
        let is_wide = 4 * self.aside > self.changes;
        let is_known = self.opened >= Spread::BEFORE && self.changes >= Spread::FEW;
        (self.changes, self.aside) = (0, 0);
        self.opened = match self.pause {
            0 => self.opened.saturating_add(1),
            _ => 0,
        };
        self.pause = self.pause.saturating_sub(1);
        if is_known && is_wide {
            self.last_pause = (2 * self.last_pause).clamp(4, Spread::LONG);
            (self.pause, self.opened) = (self.last_pause, 0);
        } else if is_known {
            self.last_pause = 0;
        }
    }
}

/// See the method.
#[inline]
pub(super) fn let_go_frozen<K: Key, S: Clone, const H: usize>(
    rows: &mut Rows<K, S, H>,
    columns: &mut [Numbered<S>],
    shard: usize,
    blank: &S,
) {
    for at in 0..H {
        if let Some(column) = rows.held(at)
            && !rows.is_open(columns[column.0].number)
        {
            let_go(rows, columns, shard, at, blank);
        }
    }
}

/// Moves what rows hold to the column that it is of, if there is one.
fn let_go<K: Key, S: Clone, const H: usize>(
    rows: &mut Rows<K, S, H>,
    columns: &mut [Numbered<S>],
    shard: usize,
    at: usize,
    blank: &S,
) {
    let Some(column) = rows.close(at) else {
        return;
    };
    let cells = &mut columns[column.0].shards[shard];
    let end = rows.end();
    for row in rows.iter_mut() {
        if let Some(state) = row.let_go(at, blank) {
            cells.insert(row.number, state, end);
        }
    }
}
