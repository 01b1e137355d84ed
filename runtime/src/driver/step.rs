//! Stateless steps: chained into the operator before them, or, where a stream forks or several come
//! together, an operator of their own that passes timestamps through and holds no capability.

use super::compile::Site;
use super::context::{Doing, Running, WorkerContext};
use super::faults::{Fault, Faults, at_record};
use super::port::{Receiver, Route};
use crate::error::{BoxError, Result};
use crate::metrics::OperatorMetrics;
use crate::operator::{BATCH_RECORDS, Emit};
use crate::record::{Data, Record};
use crate::time::Time;
use std::any::Any;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use timely::progress::operate::SharedProgress;

/// The logic of a stateless step: a batch in, a batch out.
pub trait Step<A, B>: 'static {
    /// Works off a batch: takes the records out of `input` and appends results to `output`. `at` is to
    /// be called with the index of each record before a user's function sees it.
    ///
    /// # Errors
    /// Ends the job, naming the operator and the record.
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Result<(), BoxError>;
}

/// Where in its batch a step is.
pub struct Position<'a> {
    running: &'a Running,
    base: u64,
}

impl<'a> Position<'a> {
    pub(crate) fn new(running: &'a Running, base: u64) -> Self {
        Position { running, base }
    }

    /// The record with this index is next.
    #[inline]
    pub fn set(&self, index: usize) {
        self.running.record.set(self.base + index as u64);
    }

    /// So many records of the batch were rejected as meant, and have no result.
    #[inline]
    pub fn filtered(&self, records: usize) {
        let filtered = &self.running.filtered;
        filtered.set(filtered.get() + records as u64);
    }

    /// Runs `run` with a position that goes nowhere, for steps outside of a job.
    pub fn detached<R>(run: impl FnOnce(&Position<'_>) -> R) -> R {
        let running = Running::default();
        run(&Position::new(&running, 0))
    }
}

/// Makes a step on each worker; typed behind the type-erased graph.
pub trait StepFactory: Send + Sync {
    /// Puts the step in front of `next` (a `Box<dyn Emit<B>>`); returns a `Box<dyn Emit<A>>`.
    #[doc(hidden)]
    fn chain(&self, next: Box<dyn Any>, faults: Faults, worker: &WorkerParts<'_>) -> Box<dyn Any>;
    /// Builds the step as an operator of its own.
    #[doc(hidden)]
    fn build(&self, site: Site<'_, '_>) -> Result<()>;
}

/// What a chained step needs of its worker.
pub struct WorkerParts<'a>(pub(crate) &'a Rc<WorkerContext>);

/// Says how records reach a step that runs on its own: made anew on each worker.
pub type MakeRoute<T> = Arc<dyn Fn(&RouteContext) -> Route<T> + Send + Sync>;

/// What a route may depend on.
pub struct RouteContext {
    /// The index of the sending worker.
    pub worker: usize,
    /// How key groups are spread over workers.
    pub groups: crate::hash::KeyGroups,
}

/// Stays on its worker.
pub fn forward<T>() -> MakeRoute<T> {
    Arc::new(|_| None)
}

/// A step's factory with all its types.
pub(crate) struct TypedStep<F, A, B, S> {
    pub make: F,
    pub route: MakeRoute<A>,
    pub marker: PhantomData<fn() -> (B, S)>,
}

impl<F, A, B, S> StepFactory for TypedStep<F, A, B, S>
where
    F: Fn(&RouteContext) -> S + Send + Sync,
    S: Step<A, B>,
    A: Data,
    B: Data,
{
    fn chain(&self, next: Box<dyn Any>, faults: Faults, worker: &WorkerParts<'_>) -> Box<dyn Any> {
        let next = next
            .downcast::<Box<dyn Emit<B>>>()
            .expect("a step is chained in front of its own type");
        let step = (self.make)(&route_context(worker.0));
        let chained: Box<dyn Emit<A>> = Box::new(Chained::new(step, *next, faults, worker.0));
        Box::new(chained)
    }

    fn build(&self, mut site: Site<'_, '_>) -> Result<()> {
        let route = route_context(&site.worker);
        let receivers: Vec<Receiver<A>> = (0..site.inputs())
            .map(|index| site.receiver(index, (self.route)(&route)))
            .collect();
        let connected: Vec<usize> = (0..receivers.len()).collect();
        let next = site.emitter::<B>(0, &connected);
        let faults = site.faults(&connected);
        let emit = Chained::new((self.make)(&route), next, faults, &site.worker);
        run_alone(site, receivers, emit);
        Ok(())
    }
}

pub(crate) fn route_context(worker: &WorkerContext) -> RouteContext {
    RouteContext {
        worker: worker.worker,
        groups: worker.groups,
    }
}

fn run_alone<A: Data>(
    site: Site<'_, '_>,
    mut receivers: Vec<Receiver<A>>,
    mut emit: impl Emit<A> + 'static,
) {
    let consumed: Vec<_> = receivers.iter().map(Receiver::consumed).collect();
    let produced = site.produced();
    let mut started = false;
    site.run(move |progress: &mut SharedProgress<Time>| {
        for changes in &mut progress.frontiers {
            changes.clear();
        }
        if !started {
            started = true;
            for output in &mut progress.internals {
                output.update(Time::MIN, -1);
            }
        }
        for receiver in &mut receivers {
            while let Some((time, records)) = receiver.next() {
                emit.emit(time, records)?;
            }
        }
        emit.flush();
        super::station::publish(progress, &consumed, &produced);
        Ok(())
    });
}

/// The most records that a step is given at first, before it is known how many it makes of one.
const FIRST_PIECE: usize = 64;

/// How many records make a batch of results, if `count` made `results`. Where they become no more, any number.
fn piece(count: usize, results: usize) -> usize {
    match results > count {
        true => (count * BATCH_RECORDS / results).max(1),
        false => usize::MAX,
    }
}

/// A step in front of the next one.
struct Chained<B, S> {
    step: S,
    buffer: Vec<Record<B>>,
    /// The most records that the step is given at a time.
    piece: usize,
    next: Box<dyn Emit<B>>,
    faults: Faults,
    metrics: Arc<OperatorMetrics>,
    running: Rc<Running>,
}

impl<B, S> Chained<B, S> {
    fn new(step: S, next: Box<dyn Emit<B>>, faults: Faults, worker: &WorkerContext) -> Self {
        Chained {
            step,
            buffer: Vec::new(),
            piece: FIRST_PIECE,
            next,
            metrics: worker.registry.operator(faults.node(), worker.worker),
            faults,
            running: worker.running.clone(),
        }
    }

    /// All records at once; the first that fails ends the job.
    fn apply_all<A>(&mut self, time: Time, records: &mut Vec<Record<A>>, base: u64) -> Result<()>
    where
        S: Step<A, B>,
    {
        let count = records.len();
        let at = Position::new(&self.running, base);
        let applied = self.step.apply(records, &mut self.buffer, &at);
        applied.map_err(|source| at_record(self.running.record.get(), source))?;
        self.piece = piece(count, self.buffer.len());
        self.hand_on(time)
    }

    /// The same, so many records at a time that their results are about a batch, which is handed on before more results
    /// push it out of the cache.
    fn apply_in_pieces<A>(
        &mut self,
        time: Time,
        records: &mut Vec<Record<A>>,
        mut base: u64,
    ) -> Result<()>
    where
        S: Step<A, B>,
    {
        let mut piece = Vec::new();
        let mut rest = records.drain(..);
        while rest.len() > 0 {
            piece.extend(rest.by_ref().take(self.piece));
            let count = piece.len() as u64;
            self.apply_all(time, &mut piece, base)?;
            piece.clear();
            base += count;
        }
        Ok(())
    }

    fn hand_on(&mut self, time: Time) -> Result<()> {
        let count = self.buffer.len();
        if count > 0 {
            self.metrics.records_out.add(count as u64);
            self.next.emit(time, &mut self.buffer)?;
            self.buffer.clear();
            self.buffer.reserve(count.min(BATCH_RECORDS)); // the next ones will be about as many
        }
        Ok(())
    }

    /// Each record on its own; those that fail leave nothing but what the error policy says.
    fn try_each<A: Data>(
        &mut self,
        time: Time,
        records: &mut Vec<Record<A>>,
        base: u64,
    ) -> Result<()>
    where
        S: Step<A, B>,
    {
        self.faults.set_time(time);
        let (mut one, mut results) = (Vec::with_capacity(1), Vec::new());
        for (number, record) in (base..).zip(records.drain(..)) {
            let copy = record.clone();
            one.push(record);
            let at = Position::new(&self.running, number);
            at.set(0);
            match Fault::of(|| self.step.apply(&mut one, &mut results, &at)) {
                Ok(()) => self.buffer.append(&mut results),
                Err(fault) => {
                    self.faults.failed(number, &copy, fault);
                    results.clear();
                }
            }
            one.clear();
        }
        self.faults.flush()
    }
}

impl<A: Data, B, S: Step<A, B>> Emit<A> for Chained<B, S> {
    fn emit(&mut self, time: Time, records: &mut Vec<Record<A>>) -> Result<()> {
        let base = self.metrics.records_in.get();
        let host = self.running.node.replace(self.faults.node());
        let doing = self.running.doing.replace(Doing::Record);
        let record = self.running.record.get();
        // A step behind dead letters runs within the step that buries them.
        let filtered = self.running.filtered.take();
        self.metrics.records_in.add(records.len() as u64);
        if self.faults.are_tolerated() {
            self.try_each(time, records, base)?;
            self.hand_on(time)?;
        } else if records.len() <= self.piece {
            self.apply_all(time, records, base)?;
        } else {
            self.apply_in_pieces(time, records, base)?;
        }
        records.clear();
        match self.running.filtered.replace(filtered) {
            0 => {}
            filtered => self.metrics.filtered.add(filtered),
        }
        // Left as it is after an error, which it names.
        self.running.node.set(host);
        self.running.doing.set(doing);
        self.running.record.set(record);
        Ok(())
    }

    fn flush(&mut self) {
        self.next.flush();
    }

    fn sent(&self) -> u64 {
        self.next.sent()
    }
}
