//! The operator: takes records, asks for each, and puts results out in the place of their records.
//!
//! Results of records that were taken at one watermark go out before downstream hears of the next
//! watermark, and no others do: so a record is late behind this operator exactly when it was in front
//! of it. Deadlines and waits between attempts are processing time of the job's clock; tokio only runs the
//! requests.

use super::requests::{Progress, Request, Requests};
use super::tasks::{Answer, Tasks};
use super::{AsyncFailure, AsyncIo, Order};
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{
    Operator, OperatorContext, OperatorCore, Output, UserResult, WORK_LIMIT, Work,
};
use millstream_runtime::record::{Data, Record};
use millstream_runtime::state::Snapshot;
use millstream_runtime::time::{EventTime, WATERMARK_MIN, Watermark};
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

/// Makes what goes out of a record and its result; an error ends the job.
pub(super) type Finish<T, U, O> = fn(Record<T>, Result<U, AsyncFailure>) -> Result<O, BoxError>;

/// The hash of what decides on which worker a record belongs, if something does.
pub(super) type Placed<T> = Option<Arc<dyn Fn(&T) -> u64 + Send + Sync>>;

/// Makes the function that makes requests.
pub(super) type Make<F> = Arc<dyn Fn() -> F + Send + Sync>;

pub(super) struct AsyncOperator<T, U, O, F, Fut> {
    io: AsyncIo,
    make: Make<F>,
    /// Made when the operator is opened.
    function: Option<F>,
    finish: Finish<T, U, O>,
    placed: Placed<T>,
    requests: Requests<T, U>,
    /// The first request that is not asked yet.
    unasked: u64,
    /// Results of requests that were taken at this watermark may go out now.
    head: Watermark,
    /// Without order: the answered ones among them.
    ready: VecDeque<u64>,
    /// When requests are given up or asked again: `(processing time, request)`, one each.
    alarms: BTreeSet<(EventTime, u64)>,
    /// There once the operator is open.
    tasks: Option<Tasks<U>>,
    marker: PhantomData<fn() -> Fut>,
}

impl<T, U, O, F, Fut> AsyncOperator<T, U, O, F, Fut>
where
    T: Data,
    U: Data,
    F: Fn(T) -> Fut,
    Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
{
    pub fn new(io: AsyncIo, placed: Placed<T>, finish: Finish<T, U, O>, make: Make<F>) -> Self {
        AsyncOperator {
            io,
            make,
            function: None,
            finish,
            placed,
            requests: Requests::new(),
            unasked: 0,
            head: WATERMARK_MIN,
            ready: VecDeque::new(),
            alarms: BTreeSet::new(),
            tasks: None,
            marker: PhantomData,
        }
    }

    /// The requests that were asked and have not gone out.
    fn asked(&self) -> usize {
        self.requests.len() - (self.requests.next() - self.unasked) as usize
    }

    /// Asks the records that wait for it, as many as may be.
    fn ask(&mut self, now_ms: EventTime) {
        while self.unasked < self.requests.next() && self.asked() < self.io.capacity {
            self.attempt(self.unasked, now_ms);
            self.unasked += 1;
        }
    }

    /// Begins an attempt.
    fn attempt(&mut self, number: u64, now_ms: EventTime) {
        let Some(request) = self.requests.get_mut(number) else {
            return;
        };
        if request.attempts == 0 {
            request.deadline_ms = now_ms.saturating_add(self.io.timeout_ms());
        }
        request.attempts += 1;
        let (Some(tasks), Some(function)) = (&self.tasks, &self.function) else {
            unreachable!("records come after the operator was opened");
        };
        let future = {
            let _runtime = tasks.enter();
            function(request.record.value.clone())
        };
        request.progress = Progress::Asked(tasks.start(number, request.attempts, future));
        self.alarms.insert((request.deadline_ms, number));
    }

    fn take(&mut self, answer: Answer<U>, now_ms: EventTime) {
        let number = answer.request;
        let Some(request) = self.requests.get_mut(number) else {
            return; // it was given up
        };
        if !matches!(request.progress, Progress::Asked(_)) || request.attempts != answer.attempt {
            return;
        }
        let attempts = request.attempts;
        self.alarms.remove(&(request.deadline_ms, number));
        let error = match answer.result {
            Ok(result) => return self.settle(number, Ok(result)),
            Err(error) => error,
        };
        let delay = self.io.retry.delay_ms(number, attempts);
        let again = delay.map(|delay| now_ms.saturating_add(delay));
        match again.filter(|again| *again < request.deadline_ms) {
            Some(again) => {
                request.progress = Progress::BackingOff;
                self.alarms.insert((again, number));
            }
            None => self.settle(number, Err(AsyncFailure::Failed { attempts, error })),
        }
    }

    fn settle(&mut self, number: u64, result: Result<U, AsyncFailure>) {
        let Some(request) = self.requests.get_mut(number) else {
            return;
        };
        request.progress = Progress::Answered(result);
        if self.io.order == Order::Unordered && request.watermark == self.head {
            self.ready.push_back(number);
        }
    }

    /// The next request whose result may go out.
    fn next_ready(&mut self) -> Option<u64> {
        match self.io.order {
            Order::Unordered => self.ready.pop_front(),
            Order::Ordered => {
                let (number, request) = self.requests.first()?;
                (request.watermark == self.head && is_answered(request)).then_some(number)
            }
        }
    }

    /// Puts out what may go out now. [`Work::More`]: there is more, or everything of a watermark is out and
    /// downstream is to hear of the next.
    fn put_out(&mut self, out: &mut Output<O>) -> Result<Work, BoxError> {
        for _ in 0..WORK_LIMIT {
            let Some(number) = self.next_ready() else {
                return Ok(self.next_watermark());
            };
            let Some(Request {
                record,
                progress: Progress::Answered(result),
                ..
            }) = self.requests.remove(number)
            else {
                unreachable!("request {number} is answered");
            };
            let time = record.time;
            out.push(time, (self.finish)(record, result)?);
        }
        Ok(Work::More)
    }

    /// Goes on to the watermark of the oldest request, if that is another.
    fn next_watermark(&mut self) -> Work {
        let oldest = self.requests.first().map(|(_, request)| request.watermark);
        let Some(watermark) = oldest.filter(|watermark| *watermark != self.head) else {
            return Work::Done;
        };
        self.head = watermark;
        if self.io.order == Order::Unordered {
            let taken = self.requests.taken_at(watermark);
            let answered = taken.filter(|(_, request)| is_answered(request));
            self.ready.extend(answered.map(|(number, _)| number));
        }
        Work::More
    }
}

fn is_answered<T, U>(request: &Request<T, U>) -> bool {
    matches!(request.progress, Progress::Answered(_))
}

impl<T, U, O, F, Fut> OperatorCore for AsyncOperator<T, U, O, F, Fut>
where
    T: Data,
    U: Data,
    O: Data,
    F: Fn(T) -> Fut + 'static,
    Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
{
    type Out = O;

    fn open(&mut self, context: &OperatorContext) {
        let tasks = Tasks::new(context.waker.clone());
        self.function = Some({
            let _runtime = tasks.enter();
            (self.make)()
        });
        self.tasks = Some(tasks);
        let (placed, groups) = (&self.placed, context.key_groups);
        self.requests.restore(context, |value| {
            let hash = placed.as_ref()?(value);
            Some(groups.worker_of_hash(hash))
        });
        self.ask(context.now_ms);
    }

    fn accepts(&self) -> bool {
        self.asked() < self.io.capacity
    }

    fn poll(
        &mut self,
        context: &mut OperatorContext,
        out: &mut Output<O>,
    ) -> Result<Work, BoxError> {
        let tasks = self.tasks.iter();
        let answers: Vec<Answer<U>> = tasks.flat_map(Tasks::answers).collect();
        for answer in answers {
            self.take(answer, context.now_ms);
        }
        let work = self.put_out(out)?;
        self.ask(context.now_ms);
        Ok(work)
    }

    fn under_way(&self) -> Option<Watermark> {
        self.requests.first().map(|(_, request)| request.watermark)
    }

    fn next_processing_time(&self) -> Option<EventTime> {
        self.alarms.first().map(|(time, _)| *time)
    }

    fn on_processing_time(
        &mut self,
        context: &mut OperatorContext,
        _: &mut Output<O>,
    ) -> Result<Work, BoxError> {
        let now_ms = context.now_ms;
        while let Some((time, number)) = self.alarms.first().copied()
            && time <= now_ms
        {
            self.alarms.pop_first();
            let Some(request) = self.requests.get_mut(number) else {
                continue;
            };
            let attempts = request.attempts;
            match request.progress {
                Progress::BackingOff if now_ms < request.deadline_ms => {
                    self.attempt(number, now_ms);
                }
                _ => self.settle(number, Err(AsyncFailure::TimedOut { attempts })),
            }
        }
        context.waker.wake(); // for a turn that puts out what was given up
        Ok(Work::Done)
    }

    fn states(&mut self, visit: &mut dyn FnMut(&mut dyn Snapshot)) {
        visit(&mut self.requests);
    }
}

impl<T, U, O, F, Fut> Operator for AsyncOperator<T, U, O, F, Fut>
where
    T: Data,
    U: Data,
    O: Data,
    F: Fn(T) -> Fut + 'static,
    Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
{
    type In = T;

    fn on_record(
        &mut self,
        record: Record<T>,
        context: &mut OperatorContext,
        _: &mut Output<O>,
    ) -> UserResult {
        self.requests.push(record, context.watermark);
        Ok(())
    }

    fn on_batch_end(
        &mut self,
        context: &mut OperatorContext,
        _: &mut Output<O>,
    ) -> Result<Work, BoxError> {
        self.ask(context.now_ms);
        Ok(Work::Done)
    }
}
