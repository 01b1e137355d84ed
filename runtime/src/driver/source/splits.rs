//! The splits of one source instance: those that are read, those that have ended, and what a snapshot
//! says of both.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::SplitState;
use crate::metrics::{SourceMetrics, SplitMetrics};
use crate::source::{ReaderContext, Source, Split, SplitReader};
use crate::state::{Codec, Compact};
use crate::time::{EventTime, WATERMARK_MIN, Watermark};
use crate::watermark::{WatermarkAssigner, WatermarkStrategy};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A split that is being read.
pub(super) struct ActiveSplit<T> {
    state: SplitState,
    pub reader: Box<dyn SplitReader<T>>,
    pub assigner: Option<WatermarkAssigner<T>>,
    pub watermark: Watermark,
    /// Processing time of its last record.
    pub last_record_ms: EventTime,
    /// Not to be polled before this processing time, in nanoseconds; `None`: poll now.
    pub wait_until_ns: Option<i64>,
    /// It had nothing to read, and no waker was called since.
    pub waiting: bool,
    pub paused: bool,
    pub metrics: Arc<SplitMetrics>,
}

impl<T> ActiveSplit<T> {
    pub fn id(&self) -> &str {
        &self.state.id
    }

    /// Whether it may be polled at this processing time.
    pub fn is_due(&self, now_ns: i64) -> bool {
        !self.paused && self.wait_until_ns.is_none_or(|until| until <= now_ns)
    }

    /// What a snapshot says of it.
    fn snapshot(&self) -> SplitState {
        SplitState {
            position: Some(self.reader.position()),
            generator: self.assigner.as_ref().map(|a| a.snapshot()),
            ..self.state.clone()
        }
    }
}

/// The splits of one source instance.
pub(super) struct Splits<S: Source> {
    source: Arc<S>,
    strategy: Option<WatermarkStrategy<S::Item>>,
    context: ReaderContext,
    metrics: Arc<SourceMetrics>,
    pub active: Vec<ActiveSplit<S::Item>>,
    finished: Vec<SplitState>,
    /// No further splits will be assigned.
    pub complete: bool,
}

impl<S: Source> Splits<S> {
    pub fn new(
        source: Arc<S>,
        strategy: Option<WatermarkStrategy<S::Item>>,
        context: ReaderContext,
        metrics: Arc<SourceMetrics>,
    ) -> Self {
        Splits {
            source,
            strategy,
            context,
            metrics,
            active: Vec::new(),
            finished: Vec::new(),
            complete: false,
        }
    }

    /// The splits of the restored checkpoint are dealt out anew, in the order of their ids.
    pub fn restore(&mut self, mut splits: Vec<SplitState>, now_ms: EventTime) -> Result<()> {
        splits.sort_by(|a, b| a.id.cmp(&b.id));
        let (own, workers) = (self.context.worker, self.context.workers);
        for split in splits.into_iter().skip(own).step_by(workers) {
            if split.finished {
                self.finished.push(split);
            } else {
                self.open(split, now_ms)?;
            }
        }
        Ok(())
    }

    /// Opens a split that was found.
    pub fn assign(&mut self, encoded: Vec<u8>, now_ms: EventTime) -> Result<()> {
        let split: S::Split = Compact.decode(&encoded)?;
        let state = SplitState {
            id: split.id(),
            split: encoded,
            position: None,
            generator: None,
            finished: false,
        };
        self.open(state, now_ms)
    }

    fn open(&mut self, state: SplitState, now_ms: EventTime) -> Result<()> {
        let split: S::Split = Compact.decode(&state.split)?;
        let reader = self
            .source
            .open(&split, state.position.as_deref(), &self.context)
            .map_err(|error| error.within(format!("split {}", state.id)))?;
        let assigner = self.strategy.as_ref().map(|strategy| {
            let mut assigner = strategy.assigner();
            if let Some(generator) = state.generator {
                assigner.restore(generator);
            }
            assigner
        });
        let watermark = assigner.as_ref().map_or(WATERMARK_MIN, |a| a.watermark());
        let metrics = Arc::new(SplitMetrics {
            id: state.id.clone(),
            watermark: Default::default(),
            idle: Default::default(),
            finished: Default::default(),
        });
        metrics.watermark.set(watermark);
        let mut known = self
            .metrics
            .splits
            .lock()
            .map_err(|_| Error::new(ErrorKind::Internal, "split metrics are poisoned"))?;
        known.push(metrics.clone());
        drop(known);
        self.active.push(ActiveSplit {
            state,
            reader,
            assigner,
            watermark,
            last_record_ms: now_ms,
            wait_until_ns: None,
            waiting: false,
            paused: false,
            metrics,
        });
        Ok(())
    }

    /// A split has been read to its end. The last one takes its place.
    pub fn finish(&mut self, index: usize) {
        let split = self.active.swap_remove(index);
        split.metrics.watermark.set(split.watermark);
        split.metrics.finished.store(true, Ordering::Relaxed);
        self.finished.push(SplitState {
            // What is available now may be more next time: such a split is opened again then.
            finished: !self.context.available_now,
            ..split.snapshot()
        });
    }

    /// A drain ends the reading, not the splits: a later run goes on where this one stopped.
    pub fn end_all(&mut self) {
        self.complete = true;
        let active = self.active.drain(..);
        self.finished.extend(active.map(|split| split.snapshot()));
    }

    /// Whether all have been read and no more will come.
    pub fn have_ended(&self) -> bool {
        self.complete && self.active.is_empty()
    }

    /// Some reader has called its waker. Which split it was for only the reader knows.
    pub fn wake(&mut self) {
        for split in &mut self.active {
            split.waiting = false;
        }
    }

    /// Where each split stands.
    pub fn snapshot(&self) -> Vec<SplitState> {
        let active = self.active.iter().map(ActiveSplit::snapshot);
        active.chain(self.finished.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::driver::Position;
    use crate::source::{Batch, FixedSplits, ReadStatus, SplitEnumerator, Waker};

    /// Numbers from where it is opened.
    struct Numbers;

    struct Reader(u8);

    impl SplitReader<u8> for Reader {
        fn poll(&mut self, batch: &mut Batch<u8>, _: usize) -> Result<ReadStatus> {
            batch.push(i64::from(self.0), self.0);
            self.0 += 1;
            Ok(ReadStatus::More)
        }
        fn position(&self) -> Vec<u8> {
            vec![self.0]
        }
    }

    impl Source for Numbers {
        type Item = u8;
        type Split = String;
        fn describe(&self) -> String {
            "numbers".into()
        }
        fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
            Ok(Box::new(FixedSplits(Vec::new())))
        }
        fn open(
            &self,
            _: &String,
            position: Option<&[u8]>,
            _: &ReaderContext,
        ) -> Result<Box<dyn SplitReader<u8>>> {
            Ok(Box::new(Reader(position.map_or(0, |bytes| bytes[0]))))
        }
    }

    fn splits(worker: usize, workers: usize, available_now: bool) -> Splits<Numbers> {
        let context = ReaderContext {
            worker,
            workers,
            available_now,
            clock: SystemClock::shared(),
            waker: Waker::noop(),
        };
        let strategy = Some(WatermarkStrategy::ascending());
        Splits::new(Arc::new(Numbers), strategy, context, Arc::default())
    }

    fn assigned(ids: &[&str], available_now: bool) -> Splits<Numbers> {
        let mut splits = splits(0, 1, available_now);
        for id in ids {
            let mut encoded = Vec::new();
            Compact.encode(&id.to_string(), &mut encoded);
            splits.assign(encoded, 0).unwrap();
        }
        splits
    }

    /// Reads one record and shows it to the generator.
    fn read(split: &mut ActiveSplit<u8>) {
        let mut batch = Batch::default();
        split.reader.poll(&mut batch, 1).unwrap();
        let assigner = split.assigner.as_mut().unwrap();
        let assigned = Position::detached(|at| assigner.assign(&mut batch.records, 0, at));
        assigned.unwrap();
    }

    #[test]
    fn splits_are_dealt_out_anew_with_position_and_generator() {
        let mut before = assigned(&["a", "b", "c"], false);
        for _ in 0..3 {
            read(&mut before.active[1]);
        }
        let states = before.snapshot();
        let mut dealt: Vec<(String, Vec<u8>, Watermark)> = Vec::new();
        for worker in 0..2 {
            let mut after = splits(worker, 2, false);
            after.restore(states.clone(), 0).unwrap();
            let active = after.active.iter();
            dealt.extend(active.map(|s| (s.id().to_owned(), s.reader.position(), s.watermark)));
        }
        let expected = [
            ("a".to_owned(), vec![0], WATERMARK_MIN),
            ("c".to_owned(), vec![0], WATERMARK_MIN),
            ("b".to_owned(), vec![3], 2),
        ];
        assert_eq!(dealt, expected);
    }

    #[test]
    fn a_split_that_ended_is_part_of_the_snapshot_and_is_not_opened_again() {
        let mut before = assigned(&["a", "b"], false);
        before.finish(0);
        before.complete = true;
        assert!(!before.have_ended());
        let mut after = splits(0, 1, false);
        after.restore(before.snapshot(), 0).unwrap();
        assert_eq!(after.active.len(), 1);
        assert_eq!(after.snapshot().len(), 2);
        before.finish(0);
        assert!(before.have_ended());
    }

    /// What is available now may be more next time, and a drain ends the reading, not the splits.
    #[test]
    fn a_split_that_was_only_read_so_far_is_opened_again() {
        let mut available = assigned(&["a"], true);
        available.finish(0);
        let mut drained = assigned(&["a"], false);
        drained.end_all();
        for before in [available, drained] {
            let mut after = splits(0, 1, false);
            after.restore(before.snapshot(), 0).unwrap();
            assert_eq!(after.active.len(), 1);
        }
    }
}
