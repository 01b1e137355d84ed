//! The keys of a shard, each with the number of its row, and with its states in `H` columns that are changed most.

use super::columnar::ColumnId;
use crate::hash::stable_hash;
use crate::record::Key;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// See the module's documentation.
pub(super) struct Rows<K, S, const H: usize> {
    index: HashTable<Row<K, S, H>>,
    /// The numbers of the columns that rows hold, where their states may be changed, by the low bits.
    open: [i64; H],
    // Not in line: lookups need the above alone.
    about: Box<About<H>>,
    /// How many changes were made that would have been cheaper had rows held the column.
    credit: usize,
}

/// A key that has a row. What a lookup reads comes first, in one cache line.
#[repr(C)]
pub(super) struct Row<K, S, const H: usize> {
    /// The number of the row.
    pub number: u32,
    pub uses: Uses<H>,
    pub key: K,
    /// Its states in the columns that rows hold; blank where it has none.
    pub held: [S; H],
}

impl<K, S: Clone, const H: usize> Row<K, S, H> {
    /// Holds a state.
    pub fn hold(&mut self, at: usize, state: S) {
        self.held[at] = state;
        self.uses.hold(at);
    }

    /// Takes out what it holds.
    #[inline]
    pub fn let_go(&mut self, at: usize, blank: &S) -> Option<S> {
        let Uses(uses) = &mut self.uses;
        let holds = *uses & (1 << at) != 0;
        *uses &= !(1 << at);
        holds.then(|| std::mem::replace(&mut self.held[at], blank.clone()))
    }
}

/// What a row is there for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uses<const H: usize>(u32);

impl<const H: usize> Uses<H> {
    const CELL: u32 = 1 << H;

    /// Nothing.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// It has a state in a counted column, if `is_there`.
    #[inline]
    pub fn add_cell(&mut self, is_there: bool) {
        self.0 += u32::from(is_there) * Self::CELL;
    }

    #[inline]
    pub fn remove_cell(&mut self, is_there: bool) {
        self.0 -= u32::from(is_there) * Self::CELL;
    }

    /// It holds a state itself.
    #[inline]
    pub fn hold(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    #[inline]
    pub fn holds(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }
}

struct About<const H: usize> {
    /// All numbers of rows are below this one.
    end: u32,
    /// Those that are not in use.
    free: Vec<u32>,
    /// The columns that rows hold the states of, by the low bits of their numbers.
    held: [Option<ColumnId>; H],
}

/// Where a row holds its state in the column with this number, if it does.
#[inline(always)] // for the innermost loops
pub(super) fn at<const H: usize>(number: i64) -> usize {
    number as usize % H.max(1)
}

/// In each place a number that belongs in another.
fn none_open<const H: usize>() -> [i64; H] {
    std::array::from_fn(|at| at as i64 + 1)
}

impl<K, S, const H: usize> Default for Rows<K, S, H> {
    fn default() -> Self {
        Rows {
            index: HashTable::new(),
            open: none_open(),
            about: Box::new(About {
                end: 0,
                free: Vec::new(),
                held: [None; H],
            }),
            credit: 0,
        }
    }
}

impl<K: Key, S: Clone, const H: usize> Rows<K, S, H> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// All numbers are below this one.
    #[inline]
    pub fn end(&self) -> usize {
        self.about.end as usize
    }

    /// The row of the key with this hash for which `is` says that it is the one.
    #[inline(always)] // as what calls it
    pub fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&Row<K, S, H>> {
        self.index.find(hash, |row| is(&row.key))
    }

    /// The same for changing.
    #[inline(always)] // as what calls it
    pub fn find_mut(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&mut Row<K, S, H>> {
        self.index.find_mut(hash, |row| is(&row.key))
    }

    /// All rows, for changing.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Row<K, S, H>> {
        self.index.iter_mut()
    }

    /// The column that rows hold the states of here.
    #[inline]
    pub fn held(&self, at: usize) -> Option<ColumnId> {
        self.about.held[at]
    }

    /// They hold this one from now on, and its states may be changed.
    pub fn open(&mut self, column: ColumnId, number: i64) {
        self.about.held[at::<H>(number)] = Some(column);
        self.open[at::<H>(number)] = number;
    }

    /// They hold none here any more. Returns which it was.
    pub fn close(&mut self, at: usize) -> Option<ColumnId> {
        self.open[at] = none_open::<H>()[at];
        self.about.held[at].take()
    }

    /// What they hold may not be changed for now.
    pub fn freeze(&mut self) {
        self.open = none_open();
    }

    /// Whether rows hold the states of the column with this number, and those may be changed.
    #[inline(always)] // as what calls it
    pub fn is_open(&self, number: i64) -> bool {
        H > 0 && self.open[at::<H>(number)] == number
    }

    /// A column that rows do not hold is about to be changed. Whether holding it is likely to pay.
    #[inline]
    pub fn earn(&mut self) -> bool {
        self.credit += usize::from(H > 0);
        self.has_earned()
    }

    /// Whether going over all rows is likely to pay.
    #[inline]
    pub fn has_earned(&self) -> bool {
        H > 0 && self.credit >= 8 * self.index.len()
    }

    /// Whether most rows have a state in the column that they hold here.
    pub fn holds_most(&self, at: usize) -> bool {
        4 * self.held_states(at) >= 3 * self.index.len()
    }

    /// Whether few rows have a state in the column that they hold here.
    pub fn holds_few(&self, at: usize) -> bool {
        4 * self.held_states(at) <= self.index.len()
    }

    fn held_states(&self, at: usize) -> usize {
        self.index.iter().filter(|row| row.uses.holds(at)).count()
    }

    /// What was earned is spent.
    pub fn spend(&mut self) {
        self.credit = 0;
    }

    /// All rows, in no order that means anything.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Row<K, S, H>> {
        self.index.iter()
    }

    /// The keys by the number of their row; nothing where a number is not in use.
    pub fn by_number(&self) -> Vec<Option<&K>> {
        let mut keys = vec![None; self.end()];
        for row in &self.index {
            keys[row.number as usize] = Some(&row.key);
        }
        keys
    }

    /// The row of a key with this hash, and whether it is a new one, which has no state yet.
    #[inline(never)]
    pub fn find_or_add(&mut self, key: &K, hash: u64, blank: &S) -> (&mut Row<K, S, H>, bool) {
        let hash_of = |row: &Row<K, S, H>| stable_hash(&row.key);
        let absent = match self.index.entry(hash, |row| row.key == *key, hash_of) {
            Entry::Occupied(found) => return (found.into_mut(), false),
            Entry::Vacant(absent) => absent,
        };
        let About { end, free, .. } = &mut *self.about;
        let number = free.pop().unwrap_or_else(|| {
            *end += 1;
            *end - 1
        });
        let row = Row {
            number,
            uses: Uses::default(),
            key: key.clone(),
            held: std::array::from_fn(|_| blank.clone()),
        };
        (absent.insert(row).into_mut(), true)
    }

    /// Removes the row with this number, of a key with this hash.
    pub fn remove(&mut self, hash: u64, number: u32) {
        if let Ok(row) = self.index.find_entry(hash, |row| row.number == number) {
            row.remove();
            self.about.free.push(number);
        }
        self.give_back();
    }

    /// Shows all rows, for changing, and removes those of which `stays` says `false`.
    #[inline]
    pub fn retain(&mut self, mut stays: impl FnMut(&mut Row<K, S, H>) -> bool) {
        let free = &mut self.about.free;
        self.index.retain(|row| {
            let stays = stays(row);
            if !stays {
                free.push(row.number);
            }
            stays
        });
        self.give_back();
    }

    /// Gives the memory back, if the last row went.
    fn give_back(&mut self) {
        if self.index.is_empty() {
            *self = Rows::default();
        }
    }
}
