//! What every function with keyed state goes through, whatever its inputs: the state, looking keys up
//! many at a time, and firing timers in bounded pieces.
//!
//! Timers fire before expired state is swept, so that a timer finds the state that was alive at its time.

use super::context::KeyedContext;
use super::states::States;
use millstream_runtime::driver::{Position, SideMaker};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use millstream_runtime::state::{KeyedBackend, LOOKUPS, Snapshot, TimeDomain, Timer};
use millstream_runtime::time::{EventTime, WATERMARK_MAX};

/// What the engine needs of a function, whatever its inputs.
pub trait KeyedFunction: 'static {
    /// The keys.
    type Key: Key;
    /// What it puts out.
    type Out: Data;

    /// A timer fires.
    fn on_timer(
        &mut self,
        timer: Timer,
        ctx: &mut KeyedContext<'_, Self::Key, Self::Out>,
    ) -> UserResult;

    /// Shows the state that it has besides that of the keys.
    fn states(&mut self, _visit: &mut dyn FnMut(&mut dyn Snapshot)) {}
}

/// A function with its keyed state: an operator for each kind of function.
pub struct Engine<F: KeyedFunction> {
    pub(super) backend: KeyedBackend<F::Key>,
    pub(super) function: F,
}

impl<F: KeyedFunction> Engine<F> {
    /// Makes a function with the states that it declares.
    pub(crate) fn new(make: impl FnOnce(&mut States<'_, F::Key>) -> F) -> Self {
        let mut backend = KeyedBackend::new();
        let function = make(&mut States::new(&mut backend));
        Engine { backend, function }
    }

    /// Makes the operator once, so that what is wrong with its states is said while the job is built.
    ///
    /// # Panics
    /// When something is, naming the operator.
    pub(crate) fn assert_sound(name: &str, make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> Self) {
        let made = make(&mut SideMaker::detached());
        if let Some(fault) = made.backend.fault() {
            panic!("operator \"{name}\": {fault}");
        }
    }

    /// Hands one record to `take`, with its key's state.
    #[inline]
    pub(super) fn record<V>(
        &mut self,
        record: Record<(F::Key, V)>,
        context: &OperatorContext,
        out: &mut Output<F::Out>,
        take: impl FnOnce(&mut F, V, &mut KeyedContext<'_, F::Key, F::Out>) -> UserResult,
    ) -> UserResult {
        let (key, value) = record.value;
        let event = record.time.max(context.watermark);
        self.backend.set_key(key, event, context.now_ms);
        let mut ctx = KeyedContext {
            time: record.time,
            context,
            out,
            backend: &mut self.backend,
        };
        take(&mut self.function, value, &mut ctx)
    }

    /// Hands records to `take` one by one, looking their keys up many at a time.
    pub(super) fn batch<V>(
        &mut self,
        records: Vec<Record<(F::Key, V)>>,
        context: &OperatorContext,
        out: &mut Output<F::Out>,
        at: &Position<'_>,
        take: impl Fn(&mut F, V, &mut KeyedContext<'_, F::Key, F::Out>) -> UserResult,
    ) -> UserResult {
        let mut records = records.into_iter();
        let mut index = 0;
        while !records.as_slice().is_empty() {
            let next = &records.as_slice()[..records.len().min(LOOKUPS)];
            let count = next.len();
            self.backend.warm(next.iter().map(|record| &record.value.0));
            for record in records.by_ref().take(count) {
                at.set(index);
                index += 1;
                self.record(record, context, out, &take)?;
            }
        }
        Ok(())
    }

    /// Asks for firing when a timer was registered that is due already.
    pub(super) fn batch_end(&self, context: &OperatorContext) -> Work {
        match self.backend.event_timer_due(context.watermark) {
            true => Work::More,
            false => Work::Done,
        }
    }

    fn timer(
        &mut self,
        timer: Timer,
        time: EventTime,
        context: &OperatorContext,
        out: &mut Output<F::Out>,
    ) -> UserResult {
        let mut ctx = KeyedContext {
            time,
            context,
            out,
            backend: &mut self.backend,
        };
        self.function.on_timer(timer, &mut ctx)
    }
}

impl<F: KeyedFunction> OperatorCore for Engine<F> {
    type Out = F::Out;

    fn open(&mut self, context: &OperatorContext) {
        self.backend.open(context.watermark, context.now_ms);
    }

    fn on_watermark(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let (watermark, now_ms) = (context.watermark, context.now_ms);
        for number in 0..WORK_LIMIT {
            if number % LOOKUPS == 0 && self.backend.event_timer_due(watermark) {
                self.backend.warm_event_timers(LOOKUPS);
            }
            let Some(timer) = self.backend.next_event_timer(watermark, now_ms) else {
                let domain = TimeDomain::Event;
                return Ok(self.backend.sweep(domain, watermark, now_ms, WORK_LIMIT));
            };
            self.timer(timer, timer.time, context, out)?;
        }
        Ok(Work::More)
    }

    fn next_processing_time(&self) -> Option<EventTime> {
        self.backend.next_processing_time()
    }

    fn on_processing_time(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<F::Out>,
    ) -> Result<Work, BoxError> {
        let (watermark, now_ms) = (context.watermark, context.now_ms);
        let ended = watermark == WATERMARK_MAX;
        let time = if ended { NO_TIME } else { watermark };
        for _ in 0..WORK_LIMIT {
            let Some(timer) = self.backend.next_processing_timer(watermark, now_ms) else {
                let domain = TimeDomain::Processing;
                return Ok(self.backend.sweep(domain, watermark, now_ms, WORK_LIMIT));
            };
            self.timer(timer, time, context, out)?;
        }
        Ok(Work::More)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        self.backend.states(visit);
        self.function.states(visit);
    }
}
