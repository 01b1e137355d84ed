//! The keys of a shard, each with the number of its row.

use crate::hash::stable_hash;
use crate::record::Key;
use hashbrown::HashTable;

/// See the module's documentation.
pub(super) struct Rows<K> {
    index: HashTable<Row<K>>,
    // Not in line: lookups need the index alone.
    numbers: Box<Numbers>,
}

/// A key that has a row.
pub(super) struct Row<K> {
    pub key: K,
    /// The number of the row.
    pub number: u32,
    /// In how many of the counted columns it has a state.
    pub cells: u32,
}

#[derive(Default)]
struct Numbers {
    /// All are below this one.
    end: u32,
    /// Those that are not in use.
    free: Vec<u32>,
}

impl<K> Default for Rows<K> {
    fn default() -> Self {
        Rows {
            index: HashTable::new(),
            numbers: Box::default(),
        }
    }
}

impl<K: Key> Rows<K> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// All numbers are below this one.
    #[inline]
    pub fn end(&self) -> usize {
        self.numbers.end as usize
    }

    /// The row of the key with this hash for which `is` says that it is the one.
    #[inline(always)] // as what calls it
    pub fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&Row<K>> {
        self.index.find(hash, |row| is(&row.key))
    }

    /// The same for changing.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&mut Row<K>> {
        self.index.find_mut(hash, |row| is(&row.key))
    }

    /// The same for changing.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Row<K>> {
        self.index.iter_mut()
    }

    /// All rows, in no order that means anything.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Row<K>> {
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

    /// A row for a key that has none; it has no state yet. Returns its number.
    #[inline(never)]
    pub fn add(&mut self, key: K, hash: u64) -> u32 {
        let Numbers { end, free } = &mut *self.numbers;
        let number = free.pop().unwrap_or_else(|| {
            *end += 1;
            *end - 1
        });
        let row = Row {
            key,
            number,
            cells: 0,
        };
        let hash_of = |row: &Row<K>| stable_hash(&row.key);
        self.index.insert_unique(hash, row, hash_of);
        number
    }

    /// Removes the row with this number, of a key with this hash.
    pub fn remove(&mut self, hash: u64, number: u32) {
        if let Ok(row) = self.index.find_entry(hash, |row| row.number == number) {
            row.remove();
            self.numbers.free.push(number);
        }
        self.give_back();
    }

    /// Shows all rows, for changing, and removes those of which `stays` says `false`.
    #[inline]
    pub fn retain(&mut self, mut stays: impl FnMut(&mut Row<K>) -> bool) {
        let free = &mut self.numbers.free;
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
