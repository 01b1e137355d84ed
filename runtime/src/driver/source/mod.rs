//! Binds a [`Source`] to timely.
//!
//! One capability covers all splits of an instance: it stands at the epoch in force and at the instance's watermark,
//! and only rises. At a barrier the positions go into the snapshot before it does.

mod batch;
mod enumerate;
mod flow;
mod read;
mod splits;
mod watermark;

use super::alarm::Alarm;
use super::compile::{OperatorFactory, Site};
use super::context::{Assignment, PartSink, WorkerContext};
use super::control::Report;
use super::faults::Faults;
use super::port::Changes;
use super::station::{Held, publish, restore_state};
use super::turn::Turn;
use crate::error::Result;
use crate::graph::{NodeId, SplitState};
use crate::metrics::{OperatorMetrics, SourceMetrics};
use crate::operator::Output;
use crate::record::Record;
use crate::source::{ReaderContext, Source, Waker};
use crate::state::{BlobState, SliceBudget, Snapshot, StateDescriptor};
use crate::time::{CheckpointId, Epoch, Time, WATERMARK_MAX, WATERMARK_MIN, Watermark};
use crate::watermark::WatermarkStrategy;
use batch::BatchState;
pub use enumerate::AnyEnumerator;
use flow::InFlight;
use read::{Pace, Reading};
use splits::Splits;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use timely::progress::operate::SharedProgress;
use watermark::Instances;

/// The name under which a source's positions are filed.
pub const SPLITS_STATE: &str = "splits";

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
        Ok(Some(Box::new(enumerate::Encoding(
            self.source.enumerator()?,
        ))))
    }

    fn build(&self, mut site: Site<'_, '_>) -> Result<()> {
        let out = site.output::<S::Item>(0, &[]);
        let faults = site.faults(&[]);
        let woken = Arc::new(AtomicBool::new(false));
        let (flag, wake) = (woken.clone(), site.waker());
        let waker = Waker::new(move || {
            flag.store(true, Ordering::Release);
            wake.wake();
        });
        let alarm = site.alarm();
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
        let shared = worker.registry.source(node, worker.worker);
        let mut splits = Splits::new(
            self.source.clone(),
            self.strategy.clone(),
            context,
            shared.clone(),
        );
        let mut state = BlobState::new(SPLITS_STATE, Vec::new());
        state.assign(worker.groups, worker.worker);
        restore_state(&mut state, node, &worker)?;
        let restored = state.restored().into_iter();
        splits.restore(
            restored.flat_map(|(_, instance)| instance).collect(),
            worker.now_ms(),
        )?;
        worker.checkpoint.add_participant();
        let mut driver = SourceDriver {
            node,
            strategy: self.strategy.clone(),
            metrics: worker.registry.operator(node, worker.worker),
            instances: Instances::new(worker.registry.clone(), node, worker.worker),
            shared,
            splits,
            begun: false,
            reported_finished: false,
            next_split: 0,
            watermark: WATERMARK_MIN,
            held: Held::new(),
            resumed: false,
            woken,
            in_flight: InFlight::new(&worker.config),
            pace: Pace::default(),
            throttled_since_ns: None,
            batch: BatchState::Closed,
            state,
            out,
            faults,
            spare: Vec::new(),
            worker,
        };
        let produced = site.produced();
        site.run(move |progress| driver.turn(progress, &produced, &alarm));
        Ok(())
    }
}

struct SourceDriver<S: Source> {
    node: NodeId,
    strategy: Option<WatermarkStrategy<S::Item>>,
    metrics: Arc<OperatorMetrics>,
    shared: Arc<SourceMetrics>,
    instances: Instances,
    splits: Splits<S>,
    /// All splits that were there at the start have been assigned. Before that nothing is read and
    /// no other instance's watermark is followed: a split that came later would be late.
    begun: bool,
    reported_finished: bool,
    /// The split that is polled next.
    next_split: usize,
    watermark: Watermark,
    held: Held,
    /// A split that was paused goes on.
    resumed: bool,
    /// A reader has called its waker.
    woken: Arc<AtomicBool>,
    in_flight: InFlight,
    pace: Pace,
    /// Since when too much is under way.
    throttled_since_ns: Option<i64>,
    batch: BatchState,
    state: BlobState<Vec<SplitState>>,
    out: Output<S::Item>,
    faults: Faults,
    /// Empty: what the next batch is read into.
    spare: Vec<Record<S::Item>>,
    worker: Rc<WorkerContext>,
}

impl<S: Source> SourceDriver<S> {
    fn turn(
        &mut self,
        progress: &mut SharedProgress<Time>,
        produced: &[Changes],
        alarm: &Alarm,
    ) -> Result<()> {
        let turn = Turn::default();
        // How long a reader wants to wait counts from now, not from the begin of the step.
        self.worker.begin_step();
        self.worker.running.node.set(self.node);
        self.take_assignments()?;
        if self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel) {
            self.splits.wake();
        }
        self.settle_completed();
        let reading = if self.worker.config.mode.is_micro_batch() {
            self.turn_batched(progress, &turn)?
        } else {
            self.turn_continuous(progress, &turn)?
        };
        self.flush()?;
        self.metrics.records_out.set(self.out.emitted());
        publish(progress, &[], produced);
        match reading {
            Reading::More => alarm.now(),
            Reading::Dry => alarm.at(self.next_poll_ns()),
            // The completed epoch wakes all sources.
            Reading::Throttled => {
                self.throttled_since_ns = Some(self.worker.now_ns());
                alarm.at(None);
            }
            // The next epoch wakes all sources.
            Reading::Asked => alarm.at(None),
        }
        self.show_in_flight();
        Ok(())
    }

    /// Takes what has left the graph off the account.
    fn settle_completed(&mut self) {
        let now_ns = self.worker.now_ns();
        if let Some(since_ns) = self.throttled_since_ns.take() {
            let waited_ns = (now_ns - since_ns).max(0);
            self.metrics.backpressured_ns.add(waited_ns as u64);
        }
        let measure = self.worker.config.measure;
        let completed = self.worker.completed_epoch.get();
        self.in_flight.complete(completed, |sent_ns, records| {
            if measure {
                self.shared.latency.record(now_ns - sent_ns, records);
            }
        });
    }

    fn show_in_flight(&self) {
        self.shared.in_flight.set(self.in_flight.records());
        self.shared.in_flight_bytes.set(self.in_flight.bytes());
        let oldest_ns = self.in_flight.oldest_ns().unwrap_or(0);
        self.shared.oldest_ns.store(oldest_ns, Ordering::Relaxed);
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

    /// Raises the epoch to the one in force; at a barrier the positions go into the snapshot first.
    fn follow_epoch(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        let to = self.worker.epoch.get();
        let held = self.held.time();
        if to <= held.epoch {
            return Ok(());
        }
        self.flush()?;
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
        self.faults.set_time(to);
    }

    /// Hands on what was read.
    fn flush(&mut self) -> Result<()> {
        self.faults.flush()?;
        self.out.flush()
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) {
        self.state.value = self.splits.snapshot();
        if self.worker.checkpoint.is_durable() {
            let mut sink = PartSink {
                context: &self.worker,
                node: self.node,
                checkpoint,
                sizes: None,
            };
            self.state.freeze(checkpoint, true);
            self.state
                .encode_slice(&SliceBudget::unlimited(), &mut sink);
        }
        self.worker.part_done(checkpoint, checkpoint);
    }

    fn update_watermark(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        if self.splits.have_ended() {
            return self.end(progress);
        }
        if self.strategy.is_none() || !self.begun {
            return Ok(());
        }
        self.observe_splits();
        let own = watermark::least_active(&self.splits.active);
        self.shared.idle.store(own.is_none(), Ordering::Relaxed);
        if let Some(own) = own {
            self.shared.watermark.set(own);
        }
        match own.or_else(|| self.instances.leading()) {
            Some(watermark) => self.raise_watermark(watermark, progress),
            None => Ok(()),
        }
    }

    /// Says which splits are idle and pauses those that run ahead.
    fn observe_splits(&mut self) {
        if let Some(strategy) = &self.strategy {
            let now_ms = self.worker.now_ms();
            let splits = &mut self.splits.active;
            self.resumed |= watermark::observe(splits, strategy, now_ms, &self.instances);
        }
    }

    fn end(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        self.raise_watermark(WATERMARK_MAX, progress)?;
        self.shared.finished.store(true, Ordering::Relaxed);
        if !self.reported_finished {
            self.reported_finished = true;
            self.worker.report(Report::SourceFinished {
                node: self.node,
                worker: self.worker.worker,
            });
        }
        Ok(())
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
        self.flush()?;
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
                Assignment::NoMore => self.splits.complete = true,
                Assignment::Split(encoded) => {
                    self.splits.assign(encoded, self.worker.now_ms())?;
                }
            }
        }
        Ok(())
    }
}
