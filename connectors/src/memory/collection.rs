//! A source over a vector. Splits take the records in turn: split `s` of `n` reads the records
//! `s`, `s + n`, `s + 2n` and so on. All splits share the one vector.

use crate::position;
use millstream_runtime::record::{Data, NO_TIME, Record};
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::time::EventTime;
use millstream_runtime::{Error, ErrorKind, Result};
use std::sync::Arc;

const VERSION: u8 = 1;

/// A bounded source over records that are there from the start: for tests, examples and small
/// tables.
///
/// Exactly-once: a split's snapshot holds the index of its next record, and a restarted job must be
/// built with the same collection and the same number of splits.
///
/// ```
/// use millstream_connectors::memory::Collection;
/// let words = Collection::new(vec!["to", "be"].into_iter().map(String::from).collect());
/// let timed = Collection::timed(vec![(1_000, 1u32), (2_000, 2)]).splits(2);
/// ```
#[derive(Clone, Debug)]
pub struct Collection<T> {
    records: Arc<Vec<Record<T>>>,
    splits: usize,
    batch: usize,
}

impl<T> Collection<T> {
    /// A source of `values`, with event times left to the watermark strategy.
    pub fn new(values: Vec<T>) -> Self {
        Self::of(values.into_iter().map(|v| Record::new(NO_TIME, v)))
    }

    /// A source of values, each with its event time in milliseconds since the Unix epoch.
    pub fn timed(values: Vec<(EventTime, T)>) -> Self {
        Self::of(values.into_iter().map(|(time, v)| Record::new(time, v)))
    }

    fn of(records: impl Iterator<Item = Record<T>>) -> Self {
        Collection {
            records: Arc::new(records.collect()),
            splits: 1,
            batch: usize::MAX,
        }
    }

    /// Deals the records out to `splits` splits in turn, so that as many workers can read. Default 1.
    ///
    /// # Panics
    /// When `splits` is 0.
    pub fn splits(mut self, splits: usize) -> Self {
        assert!(splits > 0, "a collection needs at least one split");
        self.splits = splits;
        self
    }

    /// Hands out at most `records` at a time, so that tests see many small batches. Default: no limit.
    ///
    /// # Panics
    /// When `records` is 0.
    pub fn batch(mut self, records: usize) -> Self {
        assert!(records > 0, "a batch needs at least one record");
        self.batch = records;
        self
    }
}

impl<T: Data + Sync> Source for Collection<T> {
    type Item = T;
    type Split = String;

    fn describe(&self) -> String {
        format!("collection of {} records", self.records.len())
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = (0..self.splits).map(|split| split.to_string()).collect();
        Ok(Box::new(FixedSplits::<String>(splits)))
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<T>>> {
        let next = match position {
            Some(bytes) => position::decode::<1>(VERSION, bytes, &format!("split {split}"))?[0],
            None => first_index(split)?,
        };
        Ok(Box::new(Reader {
            records: self.records.clone(),
            next: next as usize,
            stride: self.splits,
            batch: self.batch,
        }))
    }
}

fn first_index(split: &str) -> Result<u64> {
    split.parse().map_err(|error| {
        Error::new(
            ErrorKind::Restore,
            format!("{split:?} is no split of a collection"),
        )
        .with_source(error)
    })
}

struct Reader<T> {
    records: Arc<Vec<Record<T>>>,
    next: usize,
    stride: usize,
    batch: usize,
}

impl<T: Data + Sync> SplitReader<T> for Reader<T> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        for _ in 0..max.min(self.batch) {
            let Some(record) = self.records.get(self.next) else {
                break;
            };
            batch.records.push(record.clone());
            self.next += self.stride;
        }
        Ok(match self.next < self.records.len() {
            true => ReadStatus::More,
            false => ReadStatus::Finished,
        })
    }

    fn position(&self) -> Vec<u8> {
        position::encode(VERSION, &[self.next as u64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{read_all, reader_context, resumes_everywhere};

    #[test]
    fn splits_deal_out_every_record_once() {
        for splits in 1..6 {
            let source = Collection::new((0..20).collect::<Vec<u32>>()).splits(splits);
            let mut values: Vec<u32> = read_all(&source)
                .unwrap()
                .into_iter()
                .map(|r| r.value)
                .collect();
            values.sort_unstable();
            assert_eq!(values, (0..20).collect::<Vec<_>>());
            resumes_everywhere(&source);
        }
    }

    #[test]
    fn times_and_batches_are_kept() {
        let source = Collection::timed(vec![(5, 'a'), (6, 'b'), (7, 'c')]).batch(2);
        let mut reader = source.open(&"0".into(), None, &reader_context()).unwrap();
        let mut batch = Batch::default();
        assert_eq!(reader.poll(&mut batch, 100).unwrap(), ReadStatus::More);
        assert_eq!(batch.records, [Record::new(5, 'a'), Record::new(6, 'b')]);
        assert_eq!(reader.poll(&mut batch, 100).unwrap(), ReadStatus::Finished);
        assert_eq!(batch.records.len(), 3);
    }

    #[test]
    fn an_empty_collection_ends_at_once() {
        assert!(read_all(&Collection::<u8>::new(vec![])).unwrap().is_empty());
    }
}
