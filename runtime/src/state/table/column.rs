//! Values by row.

use super::bits::Bits;
use hashbrown::HashTable;

/// A column stays an array when at least one in this many rows has a value where it grows.
const DENSE: usize = 8;
/// A column becomes an array as soon as one in this many rows has a value.
const FILLED: usize = 4;
/// An array of so many rows is as small as anything.
const FEW_ROWS: usize = 16;

/// Values by the number of a row: an array where most rows have one, a hash table where few do. Rows are numbered from zero and
/// used again, so there are about as many numbers as rows.
pub struct Column<T>(Values<T>);

enum Values<T> {
    /// Values that own nothing, and whether they are there: what is not means nothing.
    Plain(Box<[T]>, Box<[bool]>),
    Places(Box<[Option<T>]>),
    /// By row; none as long as there is no value.
    Sparse(Option<Box<HashTable<(u32, T)>>>),
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column(Values::Sparse(None))
    }
}

impl<T: Clone> Column<T> {
    /// Whether it is an array.
    pub(super) fn is_dense(&self) -> bool {
        !matches!(self.0, Values::Sparse(_))
    }

    /// How many values it has memory for.
    pub(super) fn capacity(&self) -> usize {
        match &self.0 {
            Values::Plain(values, _) => values.len(),
            Values::Places(places) => places.len(),
            Values::Sparse(values) => values.as_ref().map_or(0, |values| values.len()),
        }
    }

    /// How many rows have a place in its array.
    fn places(&self) -> usize {
        match self.is_dense() {
            true => self.capacity(),
            false => 0,
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Values::Plain(_, there) => !there.contains(&true),
            Values::Places(places) => places.iter().all(Option::is_none),
            Values::Sparse(values) => values.as_ref().is_none_or(|values| values.is_empty()),
        }
    }

    /// The number of values: an array is looked through for it.
    pub fn count(&self) -> usize {
        let mut count = 0;
        self.for_each(|_, _| count += 1);
        count
    }

    /// The rows that have a value, in place of what is in `rows`.
    pub(super) fn rows(&self, rows: &mut Bits) {
        let mut end = self.places();
        if end == 0 {
            self.for_each(|row, _| end = end.max(row as usize + 1));
        }
        rows.reset(end);
        self.for_each(|row, _| rows.set(row as usize));
    }

    /// The value of a row.
    #[inline]
    pub fn get(&self, row: u32) -> Option<&T> {
        match &self.0 {
            Values::Plain(values, there) => match there.get(row as usize)? {
                true => values.get(row as usize),
                false => None,
            },
            Values::Places(places) => places.get(row as usize)?.as_ref(),
            Values::Sparse(values) => {
                let values = values.as_ref()?;
                let (_, value) = values.find(spread(row), |value| value.0 == row)?;
                Some(value)
            }
        }
    }

    /// The value of a row, for changing.
    #[inline]
    pub fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        match &mut self.0 {
            Values::Plain(values, there) => match there.get(row as usize)? {
                true => values.get_mut(row as usize),
                false => None,
            },
            others => others.get_mut(row),
        }
    }

    /// The value of a row, for changing. In an array of plain values also one of a row that has had none: it has
    /// now. A row that gets a value is no other case than one that has one.
    #[inline(always)] // for the innermost loops
    pub(super) fn place_mut(&mut self, row: u32) -> Option<&mut T> {
        match &mut self.0 {
            Values::Plain(values, there) => {
                *there.get_mut(row as usize)? = true;
                values.get_mut(row as usize)
            }
            others => others.get_mut(row),
        }
    }

    /// Where the value of a row is, or would be, in an array.
    #[inline]
    pub(super) fn address(&self, row: u32) -> Option<&T> {
        match &self.0 {
            Values::Plain(values, _) => values.get(row as usize),
            _ => self.get(row),
        }
    }

    /// Gives a row a value, whether it has one or not. `rows` is how many row numbers there are.
    #[inline]
    pub fn insert(&mut self, row: u32, value: T, rows: usize) {
        match &mut self.0 {
            Values::Plain(values, there) if (row as usize) < values.len() => {
                values[row as usize] = value;
                there[row as usize] = true;
            }
            Values::Places(places) if (row as usize) < places.len() => {
                places[row as usize] = Some(value);
            }
            _ => self.insert_beyond(row, value, rows),
        }
    }

    /// Gives a value to a row that the array has no place for. Places without a value are filled with it, too.
    #[inline(never)]
    fn insert_beyond(&mut self, row: u32, value: T, rows: usize) {
        let rows = rows.max(row as usize + 1);
        let (count, share) = match self.is_dense() {
            true => (self.count(), DENSE),
            false => (self.capacity(), FILLED),
        };
        if rows <= FEW_ROWS || (count + 1) * share >= rows {
            // By half at least, so that rows that come one after the other do not each move all.
            let grown = self.places() + self.places() / 2;
            self.reserve(rows.max(grown), &value);
            return self.insert(row, value, rows);
        }
        let values = self.sparse();
        match values.find_mut(spread(row), |value| value.0 == row) {
            Some(found) => found.1 = value,
            None => {
                values.insert_unique(spread(row), (row, value), |value| spread(value.0));
            }
        }
    }

    /// Its hash table: it is made one if it is an array.
    fn sparse(&mut self) -> &mut HashTable<(u32, T)> {
        if self.is_dense() {
            let mut sparse = HashTable::new();
            self.for_each(|row, value| {
                let value = (row, value.clone());
                sparse.insert_unique(spread(row), value, |value| spread(value.0));
            });
            self.0 = Values::Sparse(Some(Box::new(sparse)));
        }
        match &mut self.0 {
            Values::Sparse(values) => values.get_or_insert_default(),
            _ => unreachable!("it is a hash table now"),
        }
    }

    /// Makes an array with places for so many rows; those without a value are filled with `filler`.
    pub(super) fn reserve(&mut self, rows: usize, filler: &T) {
        let rows = rows.max(self.places());
        let mut sparse = None;
        self.0 = match std::mem::replace(&mut self.0, Values::Sparse(None)) {
            Values::Plain(values, there) => {
                let (mut values, mut there) = (values.into_vec(), there.into_vec());
                values.resize(rows, filler.clone());
                there.resize(rows, false);
                Values::Plain(values.into(), there.into())
            }
            Values::Places(places) => {
                let mut places = places.into_vec();
                places.resize(rows, None);
                Values::Places(places.into())
            }
            Values::Sparse(values) => {
                sparse = values;
                match std::mem::needs_drop::<T>() {
                    true => Values::Places(vec![None; rows].into()),
                    false => {
                        Values::Plain(vec![filler.clone(); rows].into(), vec![false; rows].into())
                    }
                }
            }
        };
        for (row, value) in sparse.into_iter().flat_map(|sparse| *sparse) {
            self.insert(row, value, rows);
        }
    }

    /// Puts this in the places of an array of plain values that have none.
    pub(super) fn blank(&mut self, filler: &T) {
        if let Values::Plain(values, there) = &mut self.0 {
            let places = values.iter_mut().zip(there);
            for (value, _) in places.filter(|(_, is_there)| !**is_there) {
                *value = filler.clone();
            }
        }
    }

    /// Takes the value of a row out.
    #[inline(always)] // as what calls it
    pub fn take(&mut self, row: u32) -> Option<T> {
        match &mut self.0 {
            Values::Plain(values, there) => {
                let is_there = std::mem::take(there.get_mut(row as usize)?);
                is_there.then(|| values[row as usize].clone())
            }
            Values::Places(places) => places.get_mut(row as usize)?.take(),
            Values::Sparse(values) => {
                let found = values
                    .as_mut()?
                    .find_entry(spread(row), |value| value.0 == row);
                Some(found.ok()?.remove().0.1)
            }
        }
    }

    /// Shows all rows that have a value; those of an array in order.
    #[inline]
    pub fn for_each(&self, mut see: impl FnMut(u32, &T)) {
        match &self.0 {
            Values::Plain(values, there) => {
                for ((value, is_there), row) in values.iter().zip(there).zip(0..) {
                    if *is_there {
                        see(row, value);
                    }
                }
            }
            Values::Places(places) => {
                for (place, row) in places.iter().zip(0..) {
                    if let Some(value) = place {
                        see(row, value);
                    }
                }
            }
            Values::Sparse(values) => {
                let values = values.iter().flat_map(|values| values.iter());
                values.for_each(|(row, value)| see(*row, value));
            }
        }
    }

    /// Drops all values, which were so many. An array stays, for values to come, unless it was much too large.
    pub fn clear(&mut self, count: usize) {
        match &mut self.0 {
            Values::Plain(_, there) if count * DENSE >= there.len() => there.fill(false),
            Values::Places(places) if count * DENSE >= places.len() => places.fill(None),
            _ => *self = Column::default(),
        }
    }
}

impl<T> Values<T> {
    /// The value of a row, other than of a plain array.
    #[inline(never)]
    fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        match self {
            Values::Plain(..) => None,
            Values::Places(places) => places.get_mut(row as usize)?.as_mut(),
            Values::Sparse(values) => {
                let found = values
                    .as_mut()?
                    .find_mut(spread(row), |value| value.0 == row);
                found.map(|(_, value)| value)
            }
        }
    }
}

/// Spreads row numbers over the bits of a hash.
#[inline]
fn spread(row: u32) -> u64 {
    u64::from(row)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    /// Whatever is put in and taken out, with many rows and few, it is what a map would be.
    fn is_a_map<T: Clone + PartialEq + Debug>(value: impl Fn(u32) -> T) {
        for seed in 0..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut column = Column::default();
            let mut model = BTreeMap::new();
            let mut rows = 1;
            for step in 0..2_000 {
                if random.u8(..50) == 0 {
                    rows = (rows * random.usize(1..4)).min(3_000);
                }
                let row = random.u32(..rows as u32);
                match random.u8(..8) {
                    0..4 => {
                        column.insert(row, value(step), rows);
                        model.insert(row, value(step));
                    }
                    4 => assert_eq!(column.take(row), model.remove(&row)),
                    5 => assert_eq!(column.get_mut(row), model.get_mut(&row)),
                    6 if random.u8(..40) == 0 => {
                        column.clear(model.len());
                        model.clear();
                    }
                    6 if random.u8(..100) == 0 => column.reserve(rows, &value(0)),
                    _ => assert_eq!(column.get(row), model.get(&row)),
                }
                assert_eq!(column.count(), model.len(), "seed {seed}");
                assert_eq!(column.is_empty(), model.is_empty(), "seed {seed}");
            }
            let mut all = BTreeMap::new();
            column.for_each(|row, value| drop(all.insert(row, value.clone())));
            assert_eq!(all, model, "seed {seed}");
            let (mut rows, mut listed) = (Bits::default(), Vec::new());
            column.rows(&mut rows);
            while let Some(row) = rows.take_from(0) {
                listed.push(row as u32);
            }
            assert_eq!(listed, Vec::from_iter(model.into_keys()), "seed {seed}");
        }
    }

    #[test]
    fn a_column_is_a_map() {
        is_a_map(|step| step);
        is_a_map(|step| step.to_string());
    }

    #[test]
    fn rows_that_come_one_by_one_seldom_move_the_array() {
        let mut column = Column::default();
        let mut capacities = std::collections::BTreeSet::new();
        for row in 0..10_000 {
            column.insert(row, row, row as usize + 1);
            capacities.insert(column.capacity());
        }
        assert!(column.is_dense() && column.count() == 10_000);
        assert!(capacities.len() < 40 + FEW_ROWS, "{capacities:?}");
    }

    #[test]
    fn few_values_take_little_room() {
        let mut column = Column::default();
        (0..100).for_each(|row| column.insert(row * 1_000, 0, 100_000));
        assert!(!column.is_dense() && column.capacity() == 100);
        (0..50_000).for_each(|row| column.insert(row, 0, 100_000));
        assert!(column.is_dense() && column.capacity() == 100_000);
        column.clear(50_050);
        assert_eq!(column.capacity(), 100_000);
        column.insert(7, 0, 100_000);
        column.clear(1);
        assert_eq!(column.capacity(), 0);
    }
}
