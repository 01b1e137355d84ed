//! Millstream itself, through its public API.

pub mod chain;
pub mod checkpoint;
pub mod idle;
mod latency;
mod load;
pub mod memory;
pub mod metrics;
mod windows;
mod wordcount;

pub use latency::{latency, latency_with_checkpoints};
pub use windows::{process, sessions, sliding, sliding_merged, windows, windows_with};
pub use wordcount::{word_totals, word_updates, word_updates_with};

use millstream_runtime::Result;
use millstream_runtime::config::JobConfig;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::sink::{Sink, SinkWriter, WriterContext, Written};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// The settings of the throughput benches.
pub fn spinning(workers: usize) -> JobConfig {
    JobConfig {
        workers,
        spin: true,
        ..Default::default()
    }
}

/// A sink that hands each batch to a function, with what its worker keeps; what all workers kept is merged at the
/// end.
struct Tally<T, K, F> {
    all: Arc<Mutex<Vec<K>>>,
    make: fn() -> K,
    take: F,
    item: PhantomData<fn(T)>,
}

struct TallyWriter<K: Send, F> {
    all: Arc<Mutex<Vec<K>>>,
    kept: Option<K>,
    take: F,
}

impl<T, K, F> Sink for Tally<T, K, F>
where
    T: Data,
    K: Send + 'static,
    F: Fn(&mut K, &[Record<T>]) + Clone + Send + Sync + 'static,
{
    type Item = T;

    fn describe(&self) -> String {
        "tally".into()
    }

    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(TallyWriter {
            all: self.all.clone(),
            kept: Some((self.make)()),
            take: self.take.clone(),
        }))
    }
}

impl<T, K, F> SinkWriter<T> for TallyWriter<K, F>
where
    K: Send,
    F: Fn(&mut K, &[Record<T>]),
{
    fn write(&mut self, records: &mut Vec<Record<T>>) -> Result<Written> {
        if let Some(kept) = &mut self.kept {
            (self.take)(kept, records);
        }
        records.clear();
        Ok(Written::All)
    }
}

impl<K: Send, F> Drop for TallyWriter<K, F> {
    fn drop(&mut self) {
        if let (Some(kept), Ok(mut all)) = (self.kept.take(), self.all.lock()) {
            all.push(kept);
        }
    }
}
