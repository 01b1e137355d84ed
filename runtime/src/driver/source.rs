//! Binds a [`Source`] to timely: reading, watermarks per split, idleness, flow control, barriers.

use super::alarm::Alarm;
use super::compile::{OperatorFactory, Site};
use super::context::{Assignment, Doing, PartSink, WorkerContext};
use super::control::Report;
use super::port::Changes;
use super::station::{Held, publish, restore_state};
use super::turn::Turn;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{NodeId, SplitState};
use crate::metrics::{OperatorMetrics, SourceMetrics, SplitMetrics};
use crate::operator::{BATCH_RECORDS, Output};
use crate::source::{
    Batch, ReadStatus, ReaderContext, Source, Split, SplitEnumerator, SplitReader, Waker,
};
use crate::state::{BlobState, Codec, Compact, SliceBudget, Snapshot, StateDescriptor};
use crate::time::{CheckpointId, Epoch, EventTime, Time, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use crate::watermark::{WatermarkAssigner, WatermarkStrategy};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use timely::progress::operate::SharedProgress;

/// The most records of a turn in continuous mode: they are still in the cache when the next operator takes
/// them.
const TURN_RECORDS: u64 = 4 * BATCH_RECORDS as u64;

/// The name under which a source's positions are filed.
pub const SPLITS_STATE: &str = "splits";

/// Finds the splits of a source whose type is hidden: encoded, with their ids.
pub trait AnyEnumerator: Send {
    /// The splits that exist now: `(id, encoded split)`.
    fn discover(&mut self) -> Result<Vec<(String, Vec<u8>)>>;
    /// See [`SplitEnumerator::interval`].
    fn interval(&self) -> Option<Duration>;
}

struct Encoding<S>(Box<dyn SplitEnumerator<S>>);

impl<S: Split> AnyEnumerator for Encoding<S> {
    fn discover(&mut self) -> Result<Vec<(String, Vec<u8>)>> {
        let splits = self.0.discover()?;
        Ok(splits
            .into_iter()
            .map(|split| {
                let mut bytes = Vec::new();
                Compact.encode(&split, &mut bytes);
                (split.id(), bytes)
            })
            .collect())
    }

    fn interval(&self) -> Option<Duration> {
        self.0.interval()
    }
}

/// Builds a source.
pub(crate) struct SourceFactory<S: Source> {
    pub source: Arc<S>,
    pub strategy: Option<WatermarkStrategy<S::Item>>,
}

impl<S: Source> OperatorFactory for SourceFactory<S> {
    fn states(&self) -> Vec<StateDescriptor> {
        vec![StateDescriptor::new(SPLITS_STATE)]
    }

    fn prepare(&self) -> Result<Option<Box<dyn AnyEnumerator>>> {
        Ok(Some(Box::new(Encoding(self.source.enumerator()?))))
    }

    fn build(&self, mut site: Site<'_, '_>) -> Result<()> {
        let out = site.output::<S::Item>(0, &[]);
        let woken = Arc::new(AtomicBool::new(false));
        let (flag, wake) = (woken.clone(), site.waker());
        let waker = Waker::new(move || {
            flag.store(true, Ordering::Release);
            wake.wake();
        });
        let mut alarm = Alarm::new(site.activator());
        site.worker.sources.borrow_mut().push(site.activator());
        let worker = site.worker.clone();
        let node = site.node;
        let context = ReaderContext {
            worker: worker.worker,
            workers: worker.workers,
            available_now: worker.config.trigger == crate::config::Trigger::AvailableNow,
            clock: worker.clock.clone(),
            waker,
        };
        let mut state = BlobState::new(SPLITS_STATE, Vec::new());
        state.assign(worker.groups, worker.worker);
        restore_state(&mut state, node, &worker)?;
        worker.checkpoint.add_participant();
        let mut driver = SourceDriver {
            node,
            source: self.source.clone(),
            strategy: self.strategy.clone(),
            metrics: worker.registry.operator(node, worker.worker),
            shared: worker.registry.source(node, worker.worker),
            splits: Vec::new(),
            finished: Vec::new(),
            begun: false,
            no_more_splits: false,
            reported_finished: false,
            next_split: 0,
            watermark: WATERMARK_MIN,
            held: Held::new(),
            resumed: false,
            woken,
            in_flight: InFlight::default(),
            tick_wanted: Epoch(0),
            batch: BatchState::Closed,
            state,
            out,
            context,
            worker,
        };
        driver.take_restored()?;
        let produced = site.produced();
        site.run(move |progress| driver.turn(progress, &produced, &mut alarm));
        Ok(())
    }
}

/// A split that is being read.
struct ActiveSplit<T> {
    state: SplitState,
    reader: Box<dyn SplitReader<T>>,
    assigner: Option<Box<dyn WatermarkAssigner<T>>>,
    watermark: Watermark,
    /// Processing time of its last record.
    last_record_ms: EventTime,
    /// Not to be polled before this processing time, in nanoseconds; `None`: poll now.
    wait_until_ns: Option<i64>,
    /// It had nothing to read, and no waker was called since.
    waiting: bool,
    paused: bool,
    metrics: Arc<SplitMetrics>,
}

/// What was sent and has not left the graph yet, by epoch.
#[derive(Default)]
struct InFlight {
    sent: VecDeque<(Epoch, u64, u64)>,
    records: u64,
    bytes: u64,
}

impl InFlight {
    fn add(&mut self, epoch: Epoch, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        match self.sent.back_mut() {
            Some((last, r, b)) if *last == epoch => {
                *r += records;
                *b += bytes;
            }
            _ => self.sent.push_back((epoch, records, bytes)),
        }
    }

    fn complete(&mut self, below: Epoch) {
        while let Some((epoch, records, bytes)) = self.sent.front()
            && *epoch < below
        {
            self.records -= records;
            self.bytes -= bytes;
            self.sent.pop_front();
        }
    }
}

/// The micro-batch under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BatchState {
    /// Waiting for the trigger.
    Closed,
    /// Reading what is there; this many records so far.
    Open(usize),
}

/// How a turn of reading ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There is more to read at once.
    More,
    /// Nothing to read for now.
    Dry,
    /// Too much is under way.
    Throttled,
}

struct SourceDriver<S: Source> {
    node: NodeId,
    source: Arc<S>,
    strategy: Option<WatermarkStrategy<S::Item>>,
    metrics: Arc<OperatorMetrics>,
    shared: Arc<SourceMetrics>,
    splits: Vec<ActiveSplit<S::Item>>,
    finished: Vec<SplitState>,
    /// All splits that were there at the start have been assigned. Before that nothing is read and
    /// no other instance's watermark is followed: a split that came later would be late.
    begun: bool,
    no_more_splits: bool,
    reported_finished: bool,
    next_split: usize,
    watermark: Watermark,
    held: Held,
    /// A split that was paused goes on.
    resumed: bool,
    /// A reader has called its waker.
    woken: Arc<AtomicBool>,
    in_flight: InFlight,
    /// The epoch in which a tick was last asked for.
    tick_wanted: Epoch,
    batch: BatchState,
    state: BlobState<Vec<SplitState>>,
    out: Output<S::Item>,
    context: ReaderContext,
    worker: Rc<WorkerContext>,
}

impl<S: Source> SourceDriver<S> {
    fn turn(
        &mut self,
        progress: &mut SharedProgress<Time>,
        produced: &[Changes],
        alarm: &mut Alarm,
    ) -> Result<()> {
        let turn = Turn::default();
        // It may have been woken by an alarm that is later than the begin of this step.
        self.worker.begin_step();
        self.worker.running.node.set(self.node);
        self.take_assignments()?;
        if self.woken.swap(false, Ordering::AcqRel) {
            // Which split it was for only its reader knows.
            self.splits
                .iter_mut()
                .for_each(|split| split.waiting = false);
        }
        self.in_flight.complete(self.worker.completed_epoch.get());
        self.shared.in_flight.set(self.in_flight.records);
        let reading = if self.worker.config.mode.is_micro_batch() {
            self.turn_batched(progress, &turn)?
        } else {
            self.turn_continuous(progress, &turn)?
        };
        self.out.flush()?;
        self.metrics.records_out.set(self.out.emitted());
        publish(progress, &[], produced);
        match reading {
            Reading::More => alarm.now(),
            Reading::Dry => {
                if let Some(wait) = self.next_poll() {
                    alarm.after(wait, self.worker.clock.as_ref());
                }
            }
            // The completed epoch wakes all sources.
            Reading::Throttled => {}
        }
        Ok(())
    }

    fn turn_continuous(
        &mut self,
        progress: &mut SharedProgress<Time>,
        turn: &Turn,
    ) -> Result<Reading> {
        self.follow_epoch(progress)?;
        let reading = self.read(turn, usize::MAX)?;
        self.update_watermark(progress)?;
        if std::mem::take(&mut self.resumed) {
            return Ok(Reading::More);
        }
        Ok(reading)
    }

    /// At a trigger takes what is there as one batch, then closes the batch and moves the watermark.
    fn turn_batched(
        &mut self,
        progress: &mut SharedProgress<Time>,
        turn: &Turn,
    ) -> Result<Reading> {
        if self.held.time() == Time::MIN {
            // The first trigger follows; until then the source stands at the start of its epoch.
            self.hold_start(progress);
        }
        if self.batch == BatchState::Closed {
            if self.worker.epoch.get() <= self.held.time().epoch {
                if self.splits.iter().any(|split| split.paused) {
                    self.observe_splits();
                }
                if std::mem::take(&mut self.resumed) || self.has_input() {
                    self.worker.report(Report::BatchWanted);
                }
                return Ok(Reading::Dry);
            }
            self.batch = BatchState::Open(0);
        }
        let BatchState::Open(taken) = self.batch else {
            return Ok(Reading::Dry);
        };
        let left = self.worker.config.max_batch_records.saturating_sub(taken);
        let before = self.out.emitted();
        let reading = if left == 0 || !self.worker.reads.get() {
            Reading::Dry
        } else {
            self.read(turn, left)?
        };
        let taken = taken + (self.out.emitted() - before) as usize;
        if reading == Reading::More && taken < self.worker.config.max_batch_records {
            self.batch = BatchState::Open(taken);
            return Ok(Reading::More);
        }
        self.batch = BatchState::Closed;
        self.observe_splits();
        self.follow_epoch(progress)?;
        self.update_watermark(progress)?;
        Ok(Reading::Dry)
    }

    fn hold_start(&mut self, progress: &mut SharedProgress<Time>) {
        let first = Epoch::first_of(self.worker.first_period);
        let start = Time::new(first, WATERMARK_MIN);
        self.held.downgrade(start, &mut progress.internals);
        self.out.set_time(start);
    }

    /// Whether some split may have something to read now.
    fn has_input(&self) -> bool {
        let now = self.worker.now_ns();
        self.splits
            .iter()
            .any(|s| !s.waiting && !s.paused && s.wait_until_ns.is_none_or(|until| until <= now))
            || (self.has_ended() && !self.reported_finished)
            || self.idleness_changes(now.div_euclid(1_000_000))
    }

    /// Whether a split is about to become idle, or active again: the watermark may go on then.
    fn idleness_changes(&self, now_ms: EventTime) -> bool {
        let Some(timeout) = self.strategy.as_ref().and_then(|s| s.idle_timeout) else {
            return false;
        };
        let timeout = timeout.as_millis() as i64;
        self.splits.iter().any(|split| {
            let idle = now_ms - split.last_record_ms >= timeout;
            idle != split.metrics.idle.load(Ordering::Relaxed)
        })
    }

    /// Raises the epoch to the one in force; at a barrier the positions go into the snapshot first.
    fn follow_epoch(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        let to = self.worker.epoch.get();
        let held = self.held.time();
        if to <= held.epoch {
            return Ok(());
        }
        self.out.flush()?;
        let first = Epoch::first_of(self.worker.first_period);
        let period = held.epoch.max(first).checkpoint();
        if to.checkpoint() > period {
            self.snapshot(period);
        }
        self.hold(Time::new(to, held.watermark), progress);
        Ok(())
    }

    fn hold(&mut self, to: Time, progress: &mut SharedProgress<Time>) {
        self.held.downgrade(to, &mut progress.internals);
        self.out.set_time(to);
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) {
        let active = self.splits.iter().map(|split| {
            let mut state = split.state.clone();
            state.position = Some(split.reader.position());
            state.generator = split.assigner.as_ref().map(|a| a.snapshot());
            state
        });
        self.state.value = active.chain(self.finished.iter().cloned()).collect();
        if self.worker.checkpoint.is_durable() {
            let mut sink = PartSink {
                context: &self.worker,
                node: self.node,
                checkpoint,
            };
            self.state.freeze(checkpoint, true);
            self.state
                .encode_slice(&SliceBudget::unlimited(), &mut sink);
        }
        self.worker.part_done(checkpoint, checkpoint);
    }

    /// Reads until nothing is there, `limit` records were read, the turn is over or too much is under
    /// way.
    fn read(&mut self, turn: &Turn, limit: usize) -> Result<Reading> {
        if self.worker.draining.get() {
            self.end_all_splits();
            return Ok(Reading::Dry);
        }
        if !self.begun {
            return Ok(Reading::Dry);
        }
        let mut left = limit;
        let before = self.out.emitted();
        loop {
            self.want_tick();
            if self.is_throttled() {
                self.shared.throttled.add(1);
                return Ok(Reading::Throttled);
            }
            let mut more = false;
            for _ in 0..self.splits.len() {
                if self.splits.is_empty() || left == 0 {
                    break;
                }
                if self.is_throttled() {
                    more = true; // the limit holds for all splits together
                    break;
                }
                self.next_split %= self.splits.len();
                let (status, count) = self.poll(self.next_split, left.min(BATCH_RECORDS))?;
                left -= count.min(left);
                match status {
                    Some(ReadStatus::Finished) => {}
                    Some(ReadStatus::More) => {
                        more = true;
                        self.next_split += 1;
                    }
                    _ => self.next_split += 1,
                }
            }
            if !more {
                return Ok(Reading::Dry);
            }
            // Splits that are kept together are looked at after each round.
            let aligned = self
                .strategy
                .as_ref()
                .is_some_and(|s| s.max_drift_ms.is_some());
            let much = !self.worker.config.mode.is_micro_batch()
                && (aligned || self.out.emitted() - before >= TURN_RECORDS);
            if left == 0 || much || turn.is_over() {
                return Ok(Reading::More);
            }
        }
    }

    /// Polls one split; `None` when it is not its turn. Also the number of records read.
    fn poll(&mut self, index: usize, max: usize) -> Result<(Option<ReadStatus>, usize)> {
        let now_ns = self.worker.now_ns();
        let split = &mut self.splits[index];
        if split.paused || split.wait_until_ns.is_some_and(|until| until > now_ns) {
            return Ok((None, 0));
        }
        let running = &self.worker.running;
        let mut batch = Batch::default();
        let status = split
            .reader
            .poll(&mut batch, max)
            .map_err(|error| error.within(format!("split {}", split.state.id)))?;
        split.waiting = status == ReadStatus::Waiting;
        split.wait_until_ns = match status {
            ReadStatus::More | ReadStatus::Finished => None,
            // Polled again when the waker or anything else activates the source.
            ReadStatus::Waiting => None,
            ReadStatus::WaitFor(wait) => Some(now_ns + wait.as_nanos() as i64),
        };
        let count = batch.records.len();
        if batch.skipped > 0 {
            self.metrics.skipped.add(batch.skipped);
        }
        if count > 0 {
            let now_ms = now_ns.div_euclid(1_000_000);
            split.last_record_ms = now_ms;
            if let Some(assigner) = &mut split.assigner {
                let from = self.metrics.records_in.get();
                let to = from + count as u64;
                let before = running.doing.replace(Doing::Batch { from, to });
                assigner.assign(&mut batch.records, now_ms);
                running.doing.set(before);
                split.watermark = split.watermark.max(assigner.watermark());
            }
            self.metrics.records_in.add(count as u64);
            self.shared.bytes.add(batch.bytes);
            let epoch = self.sending_epoch();
            self.in_flight.add(epoch, count as u64, batch.bytes);
            self.worker.control.note_activity();
            self.out.push_batch(&mut batch.records);
        }
        if status == ReadStatus::Finished {
            self.finish_split(index);
        }
        Ok((Some(status), count))
    }

    fn sending_epoch(&self) -> Epoch {
        self.held.time().epoch
    }

    fn finish_split(&mut self, index: usize) {
        let split = self.splits.swap_remove(index);
        split.metrics.watermark.set(split.watermark);
        split.metrics.finished.store(true, Ordering::Relaxed);
        let mut state = split.state;
        state.position = Some(split.reader.position());
        state.generator = split.assigner.as_ref().map(|a| a.snapshot());
        // What is available now may be more next time: such a split is opened again then.
        state.finished = !self.context.available_now;
        self.finished.push(state);
    }

    /// A drain ends the reading, not the splits: a later run goes on where this one stopped.
    fn end_all_splits(&mut self) {
        self.no_more_splits = true;
        for split in self.splits.drain(..) {
            let mut state = split.state;
            state.position = Some(split.reader.position());
            state.generator = split.assigner.as_ref().map(|a| a.snapshot());
            self.finished.push(state);
        }
    }

    fn is_throttled(&self) -> bool {
        let config = &self.worker.config;
        !config.mode.is_micro_batch()
            && (self.in_flight.records >= config.max_in_flight as u64
                || self.in_flight.bytes >= config.max_in_flight_bytes as u64)
    }

    /// Halfway to the limit, asks for a tick before its time: what was sent can then leave the account
    /// as soon as it has left the graph.
    fn want_tick(&mut self) {
        let config = &self.worker.config;
        let epoch = self.held.time().epoch;
        let much = self.in_flight.records * 2 >= config.max_in_flight as u64
            || self.in_flight.bytes * 2 >= config.max_in_flight_bytes as u64;
        let sent_now = self
            .in_flight
            .sent
            .back()
            .is_some_and(|(e, _, _)| *e == epoch);
        if much && sent_now && self.tick_wanted != epoch {
            self.tick_wanted = epoch;
            self.worker.report(Report::TickWanted);
        }
    }

    fn has_ended(&self) -> bool {
        self.no_more_splits && self.splits.is_empty()
    }

    /// How long until some split wants to be polled, or an idle timeout is to be looked at.
    fn next_poll(&self) -> Option<Duration> {
        let now = self.worker.now_ns();
        let waits = self.splits.iter().filter_map(|s| s.wait_until_ns);
        let mut next = waits.min().map(|until| (until - now).max(0));
        if let Some(timeout) = self.strategy.as_ref().and_then(|s| s.idle_timeout)
            && !self.has_ended()
            && !self.splits.is_empty()
        {
            let timeout = timeout.as_nanos() as i64;
            next = Some(next.map_or(timeout, |n| n.min(timeout)));
        }
        if self.splits.iter().any(|s| s.paused) {
            next = Some(next.map_or(10_000_000, |n| n.min(10_000_000)));
        }
        next.map(|ns| Duration::from_nanos(ns as u64))
    }

    /// Says which splits are idle and pauses those that run ahead.
    fn observe_splits(&mut self) {
        let Some(strategy) = &self.strategy else {
            return;
        };
        if let Some(timeout) = strategy.idle_timeout {
            let now_ms = self.worker.now_ms();
            let timeout = timeout.as_millis() as i64;
            for split in &mut self.splits {
                let idle = now_ms - split.last_record_ms >= timeout;
                split.metrics.idle.store(idle, Ordering::Relaxed);
            }
        }
        for split in &self.splits {
            split.metrics.watermark.set(split.watermark);
        }
        if let Some(drift) = strategy.max_drift_ms {
            let slowest = self.slowest_split();
            for split in &mut self.splits {
                let ahead =
                    split.watermark.saturating_sub(slowest) > drift && slowest > WATERMARK_MIN;
                if ahead != split.paused {
                    split.paused = ahead;
                    // It may have had something to read all the time: nobody else will say so.
                    self.resumed |= !ahead;
                    split.reader.pause(ahead);
                }
            }
        }
    }

    /// The least watermark of all active splits of this source, on all workers of this process.
    fn slowest_split(&self) -> Watermark {
        let mut slowest = WATERMARK_MAX;
        for (node, _, source) in self.worker.registry.sources() {
            if node != self.node {
                continue;
            }
            for split in source.splits() {
                let counts =
                    !split.idle.load(Ordering::Relaxed) && !split.finished.load(Ordering::Relaxed);
                if counts {
                    slowest = slowest.min(split.watermark.get());
                }
            }
        }
        slowest
    }

    /// The watermark of this instance: the minimum of its active splits; when it has none, that of the
    /// other instances that have.
    fn own_watermark(&self) -> Option<Watermark> {
        let active = self
            .splits
            .iter()
            .filter(|s| !s.metrics.idle.load(Ordering::Relaxed));
        active.map(|s| s.watermark).min()
    }

    fn update_watermark(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        if self.has_ended() {
            self.raise_watermark(WATERMARK_MAX, progress)?;
            self.shared.finished.store(true, Ordering::Relaxed);
            if !self.reported_finished {
                self.reported_finished = true;
                self.worker.report(Report::SourceFinished {
                    node: self.node,
                    worker: self.worker.worker,
                });
            }
            return Ok(());
        }
        if self.strategy.is_none() || !self.begun {
            return Ok(());
        }
        self.observe_splits();
        let own = self.own_watermark();
        self.shared.idle.store(own.is_none(), Ordering::Relaxed);
        if let Some(own) = own {
            self.shared.watermark.set(own);
        }
        let watermark = own
            .or_else(|| self.others_watermark())
            .or_else(|| self.resting_watermark());
        match watermark {
            Some(watermark) => self.raise_watermark(watermark, progress),
            None => Ok(()),
        }
    }

    /// The least watermark of the other instances of this source that are active.
    fn others_watermark(&self) -> Option<Watermark> {
        let sources = self.worker.registry.sources();
        let others = sources.iter().filter(|(node, worker, source)| {
            *node == self.node
                && *worker != self.worker.worker
                && !source.idle.load(Ordering::Relaxed)
                && !source.finished.load(Ordering::Relaxed)
        });
        others.map(|(_, _, source)| source.watermark.get()).min()
    }

    /// When no split of any instance is active: how far the furthest one has come, as in Flink. What came
    /// before is then not left waiting for a record that may never come.
    fn resting_watermark(&self) -> Option<Watermark> {
        let sources = self.worker.registry.sources();
        let of_this = sources.iter().filter(|(node, _, _)| *node == self.node);
        let mut furthest = None;
        for (_, _, source) in of_this {
            if !source.idle.load(Ordering::Relaxed) && !source.finished.load(Ordering::Relaxed) {
                return None;
            }
            let splits = source.splits();
            furthest = furthest.max(splits.iter().map(|split| split.watermark.get()).max());
        }
        furthest
    }

    fn raise_watermark(
        &mut self,
        watermark: Watermark,
        progress: &mut SharedProgress<Time>,
    ) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.metrics.watermark.set(watermark);
        self.out.flush()?;
        let held = self.held.time();
        self.hold(Time::new(held.epoch, watermark), progress);
        Ok(())
    }

    fn take_assignments(&mut self) -> Result<()> {
        let mut all = self.worker.assignments.borrow_mut();
        if all.is_empty() {
            return Ok(());
        }
        let assignments = all.remove(&self.node).unwrap_or_default();
        drop(all);
        for assignment in assignments {
            match assignment {
                Assignment::Begin => self.begun = true,
                Assignment::NoMore => self.no_more_splits = true,
                Assignment::Split(bytes) => {
                    let split: S::Split = Compact.decode(&bytes)?;
                    self.open(SplitState {
                        id: split.id(),
                        split: bytes,
                        position: None,
                        generator: None,
                        finished: false,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The splits of the restored checkpoint are dealt out anew, in the order of their ids.
    fn take_restored(&mut self) -> Result<()> {
        let mut splits: Vec<SplitState> = Vec::new();
        for (_, instance) in self.state.restored() {
            splits.extend(instance);
        }
        splits.sort_by(|a, b| a.id.cmp(&b.id));
        for (index, split) in splits.into_iter().enumerate() {
            if index % self.worker.workers != self.worker.worker {
                continue;
            }
            if split.finished {
                self.finished.push(split);
            } else {
                self.open(split)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, state: SplitState) -> Result<()> {
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
            .shared
            .splits
            .lock()
            .map_err(|_| Error::new(ErrorKind::Internal, "split metrics are poisoned"))?;
        known.push(metrics.clone());
        drop(known);
        self.splits.push(ActiveSplit {
            state,
            reader,
            assigner,
            watermark,
            last_record_ms: self.worker.now_ms(),
            wait_until_ns: None,
            waiting: false,
            paused: false,
            metrics,
        });
        Ok(())
    }
}
