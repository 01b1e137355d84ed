//! A sink that calls a function for each record: for embedding, tests and things that have no
//! connector yet.
//!
//! At-least-once: after a recovery the function is called again for what is replayed. Nothing is in
//! its snapshot. The function runs on the worker's thread: it must not block.

use millstream_runtime::Result;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use std::cell::Cell;
use std::sync::Arc;

/// Calls a function for each record, on the worker that holds it.
///
/// ```
/// use millstream_connectors::callback::ForEach;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let sink = ForEach::new(move |word: String| drop(sender.send(word)));
/// let timed = ForEach::records(|record: millstream_runtime::record::Record<u32>| {
///     println!("{} at {}", record.value, record.time)
/// });
/// ```
pub struct ForEach<T>(Callback<T>);

/// Takes all records of a batch and says at which it is: one call by pointer a batch, not one a record.
type Callback<T> = Arc<dyn Fn(&mut Vec<Record<T>>, &Cell<usize>) + Send + Sync>;

impl<T> ForEach<T> {
    /// Calls `function` with each value.
    pub fn new(function: impl Fn(T) + Send + Sync + 'static) -> Self {
        Self::records(move |record| function(record.value))
    }

    /// Calls `function` with each value and its event time.
    pub fn records(function: impl Fn(Record<T>) + Send + Sync + 'static) -> Self {
        let each = move |records: &mut Vec<Record<T>>, at: &Cell<usize>| {
            for (index, record) in records.drain(..).enumerate() {
                at.set(index);
                function(record);
            }
        };
        ForEach(Arc::new(each))
    }
}

impl<T: Data> Sink for ForEach<T> {
    type Item = T;

    fn describe(&self) -> String {
        "function".into()
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(Writer {
            callback: self.0.clone(),
            at: Cell::new(0),
        }))
    }
}

struct Writer<T> {
    callback: Callback<T>,
    /// The record that the function was last called with.
    at: Cell<usize>,
}

impl<T> SinkWriter<T> for Writer<T> {
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        (self.callback)(records, &self.at);
        Ok(Written::All)
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.at.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::writer_context;
    use millstream_runtime::config::Guarantee;
    use std::sync::mpsc;

    #[test]
    fn sees_every_record_in_order() {
        let (sender, receiver) = mpsc::channel();
        let sink = ForEach::records(move |record| sender.send(record).unwrap());
        let mut writer = sink
            .writer(writer_context(0, 1, Guarantee::AtMostOnce, 0))
            .unwrap();
        let records: Vec<_> = (0..5).map(|i| Record::new(i, i * 10)).collect();
        let mut batch = records.clone();
        assert_eq!(writer.write(&mut batch).unwrap(), Written::All);
        assert!(batch.is_empty());
        drop((writer, sink));
        assert_eq!(receiver.iter().collect::<Vec<_>>(), records);
    }
}
