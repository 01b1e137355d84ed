//! A sink that drops what it is given, and counts it: for benchmarks, and for jobs whose point is a
//! side effect.
//!
//! Nothing is in its snapshot. After a recovery what is replayed is counted again.

use millstream_runtime::Result;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Drops every record. Cost: one addition a batch.
///
/// ```
/// use millstream_connectors::null::Null;
/// let (sink, count) = Null::<String>::counting();
/// assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 0);
/// ```
#[derive(Debug)]
pub struct Null<T> {
    count: Arc<AtomicU64>,
    item: PhantomData<fn(T)>,
}

impl<T> Null<T> {
    /// A sink that drops every record.
    pub fn new() -> Self {
        Self::counting().0
    }

    /// The same, with the number of records that all workers have dropped so far.
    pub fn counting() -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let null = Null {
            count: count.clone(),
            item: PhantomData,
        };
        (null, count)
    }
}

impl<T> Default for Null<T> {
    fn default() -> Self {
        Null::new()
    }
}

impl<T: Data> Sink for Null<T> {
    type Item = T;

    fn describe(&self) -> String {
        "nowhere".into()
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(Writer(self.count.clone())))
    }
}

struct Writer(Arc<AtomicU64>);

impl<T> SinkWriter<T> for Writer {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        self.0.fetch_add(records.len() as u64, Ordering::Relaxed);
        records.clear();
        Ok(Written::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::writer_context;
    use millstream_runtime::config::Guarantee;

    #[test]
    fn counts_over_all_workers() {
        let (sink, count) = Null::counting();
        for worker in 0..2 {
            let context = writer_context(worker, 2, Guarantee::AtMostOnce, 0);
            let mut writer = sink.writer(context).unwrap();
            let mut records = vec![Record::new(0, 'x'); 3];
            assert_eq!(writer.write(&mut records).unwrap(), Written::All);
            assert!(records.is_empty());
        }
        assert_eq!(count.load(Ordering::Relaxed), 6);
    }
}
