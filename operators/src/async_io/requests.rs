//! The records of an async operator whose results have not gone out: its only state.

use super::AsyncFailure;
use super::tasks::Task;
use millstream_runtime::Result;
use millstream_runtime::hash::KeyGroups;
use millstream_runtime::operator::OperatorContext;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::{
    BlobState, BlockSink, BlockView, SliceBudget, Snapshot, StateDescriptor,
};
use millstream_runtime::time::{CheckpointId, EventTime, Watermark};
use std::collections::BTreeMap;

/// How far a request is.
pub(super) enum Progress<U> {
    /// Not asked yet.
    Waiting,
    /// An attempt runs.
    Asked(#[expect(dead_code, reason = "it ends when it is dropped")] Task),
    /// An attempt failed; the next one comes at its time.
    BackingOff,
    /// This is to go out.
    Answered(std::result::Result<U, AsyncFailure>),
}

/// A record and what is known of its result.
pub(super) struct Request<T, U> {
    pub record: Record<T>,
    /// The operator's watermark when it took the record.
    pub watermark: Watermark,
    /// How many attempts were begun.
    pub attempts: u32,
    /// When it is given up, in processing time.
    pub deadline_ms: EventTime,
    pub progress: Progress<U>,
}

/// What is filed of a request.
type Filed<T> = (Watermark, Record<T>);

/// The requests of one instance, in the order in which their records came, by number.
pub(super) struct Requests<T, U> {
    by_number: BTreeMap<u64, Request<T, U>>,
    next: u64,
    blob: BlobState<Vec<Filed<T>>>,
}

impl<T: Data, U> Requests<T, U> {
    pub fn new() -> Self {
        Requests {
            by_number: BTreeMap::new(),
            next: 0,
            blob: BlobState::new("requests", Vec::new()),
        }
    }

    /// Adds a request behind all others.
    pub fn push(&mut self, record: Record<T>, watermark: Watermark) {
        let request = Request {
            record,
            watermark,
            attempts: 0,
            deadline_ms: EventTime::MAX,
            progress: Progress::Waiting,
        };
        self.by_number.insert(self.next, request);
        self.next += 1;
    }

    /// The number that the next request gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Request<T, U>> {
        self.by_number.get_mut(&number)
    }

    pub fn remove(&mut self, number: u64) -> Option<Request<T, U>> {
        self.by_number.remove(&number)
    }

    /// The oldest request and its number.
    pub fn first(&self) -> Option<(u64, &Request<T, U>)> {
        let (number, request) = self.by_number.first_key_value()?;
        Some((*number, request))
    }

    /// The requests that were taken at `watermark`, if the oldest was; answered or not.
    pub fn taken_at(&self, watermark: Watermark) -> impl Iterator<Item = (u64, &Request<T, U>)> {
        let requests = self.by_number.iter();
        let taken = requests.take_while(move |(_, request)| request.watermark == watermark);
        taken.map(|(number, request)| (*number, request))
    }

    /// Takes this instance's part of what the instances of the restored checkpoint had under way: its own where
    /// their number is the same, so that order is kept; by `owner` where records have one; else in turn.
    pub fn restore(&mut self, context: &OperatorContext, owner: impl Fn(&T) -> Option<usize>) {
        let lists = self.blob.restored();
        let same = lists.len() == context.workers;
        let mut mine = Vec::new();
        let mut turn = 0;
        for (writer, list) in lists {
            for (watermark, record) in list {
                let home = owner(&record.value).unwrap_or(match same {
                    true => writer as usize,
                    false => turn % context.workers,
                });
                turn += 1;
                if home == context.worker {
                    // No result may wait for a watermark that this instance has not come to.
                    mine.push((watermark.min(context.watermark), record));
                }
            }
        }
        mine.sort_by_key(|(watermark, _)| *watermark);
        for (watermark, record) in mine {
            self.push(record, watermark);
        }
    }
}

impl<T: Data, U> Snapshot for Requests<T, U> {
    fn descriptor(&self) -> &StateDescriptor {
        self.blob.descriptor()
    }

    fn assign(&mut self, groups: KeyGroups, worker: usize) {
        self.blob.assign(groups, worker);
    }

    /// Copies and encodes all requests: no more than the capacity and a batch.
    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        let requests = self.by_number.values();
        let filed = requests.map(|request| (request.watermark, request.record.clone()));
        self.blob.value = filed.collect();
        self.blob.freeze(checkpoint, full);
        self.blob.value = Vec::new();
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        self.blob.encode_slice(budget, sink)
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        Snapshot::restore(&mut self.blob, block)
    }

    fn needs_since(&self) -> CheckpointId {
        self.blob.needs_since()
    }

    fn keys(&self) -> usize {
        self.by_number.len()
    }
}
