//! One aggregate over the whole window: a slice that comes is merged into it, one that leaves is taken out
//! ([`Aggregator::UNMERGES`]).

use crate::aggregate::Aggregator;
use millstream_runtime::record::Data;

/// See the module's documentation.
pub(super) struct Wholes<A> {
    /// By row.
    rows: Vec<Whole<A>>,
}

/// The aggregate over so many slices of a key.
struct Whole<A> {
    whole: A,
    slices: u32,
}

impl<A> Whole<A> {
    fn empty<V, G: Aggregator<V, Acc = A>>(aggregator: &G) -> Self {
        Whole {
            whole: aggregator.create(),
            slices: 0,
        }
    }
}

impl<A> Default for Wholes<A> {
    fn default() -> Self {
        Wholes { rows: Vec::new() }
    }
}

impl<A: Data> Wholes<A> {
    #[inline]
    pub fn make_rows<V, G: Aggregator<V, Acc = A>>(&mut self, rows: usize, aggregator: &G) {
        if rows > self.rows.len() {
            self.rows.resize_with(rows, || Whole::empty(aggregator));
        }
    }

    #[inline]
    pub fn add<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, added: &A, aggregator: &G) {
        let Whole { whole, slices } = &mut self.rows[row as usize];
        aggregator.merge(whole, added.clone());
        *slices += 1;
    }

    #[inline]
    pub fn result<V, G: Aggregator<V, Acc = A>>(&self, row: u32, aggregator: &G) -> Option<G::Out> {
        let Whole { whole, slices } = &self.rows[row as usize];
        (*slices > 0).then(|| aggregator.result(whole))
    }

    /// A slice has left, in which the row had this.
    #[inline]
    pub fn remove<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, left: &A, aggregator: &G) {
        let Whole { whole, slices } = &mut self.rows[row as usize];
        *slices -= 1;
        match *slices {
            0 => *whole = aggregator.create(),
            _ => aggregator.unmerge(whole, left),
        }
    }

    pub fn clear<V, G: Aggregator<V, Acc = A>>(&mut self, row: u32, aggregator: &G) {
        if let Some(whole) = self.rows.get_mut(row as usize) {
            *whole = Whole::empty(aggregator);
        }
    }
}
