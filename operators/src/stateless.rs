//! The stateless steps: batch in, batch out.

use millstream_runtime::driver::{Partition, Position, Step};
use millstream_runtime::error::BoxError;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::time::EventTime;
use std::sync::Arc;

type Outcome = Result<(), BoxError>;

pub(crate) struct Map<F>(pub Arc<F>);

impl<A: Data, B: Data, F: Fn(A) -> B + 'static> Step<A, B> for Map<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Outcome {
        output.extend(input.drain(..).enumerate().map(|(index, record)| {
            at.set(index);
            record.with(|value| (self.0)(value))
        }));
        Ok(())
    }
}

pub(crate) struct TryMap<F>(pub Arc<F>);

impl<A: Data, B: Data, F: Fn(A) -> Result<B, BoxError> + 'static> Step<A, B> for TryMap<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Outcome {
        for (index, Record { time, value }) in input.drain(..).enumerate() {
            at.set(index);
            output.push(Record::new(time, (self.0)(value)?));
        }
        Ok(())
    }
}

pub(crate) struct Filter<F>(pub Arc<F>);

impl<A: Data, F: Fn(&A) -> bool + 'static> Step<A, A> for Filter<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<A>>,
        at: &Position<'_>,
    ) -> Outcome {
        let mut index = 0;
        input.retain(|record| {
            at.set(index);
            index += 1;
            (self.0)(&record.value)
        });
        at.filtered(index - input.len());
        std::mem::swap(input, output);
        Ok(())
    }
}

pub(crate) struct FilterMap<F>(pub Arc<F>);

impl<A: Data, B: Data, F: Fn(A) -> Option<B> + 'static> Step<A, B> for FilterMap<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Outcome {
        let mut filtered = 0;
        for (index, Record { time, value }) in input.drain(..).enumerate() {
            at.set(index);
            match (self.0)(value) {
                Some(value) => output.push(Record::new(time, value)),
                None => filtered += 1,
            }
        }
        at.filtered(filtered);
        Ok(())
    }
}

pub(crate) struct FlatMap<F>(pub Arc<F>);

impl<A, B, I, F> Step<A, B> for FlatMap<F>
where
    A: Data,
    B: Data,
    I: IntoIterator<Item = B>,
    F: Fn(A) -> I + 'static,
{
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Outcome {
        for (index, Record { time, value }) in input.drain(..).enumerate() {
            at.set(index);
            output.extend((self.0)(value).into_iter().map(|v| Record::new(time, v)));
        }
        Ok(())
    }
}

/// Where a function puts its results; they keep the event time of the record they come from unless they
/// are given another.
pub struct Collector<'a, T> {
    time: EventTime,
    output: &'a mut Vec<Record<T>>,
}

impl<'a, T> Collector<'a, T> {
    /// Collects what a function pushes at event time `time`.
    pub(crate) fn new(time: EventTime, output: &'a mut Vec<Record<T>>) -> Self {
        Collector { time, output }
    }

    /// Puts out `value` at the event time of the record it comes from.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.output.push(Record::new(self.time, value));
    }

    /// Puts out `value` at another event time.
    pub fn push_at(&mut self, time: EventTime, value: T) {
        self.output.push(Record::new(time, value));
    }

    /// The event time of the record.
    pub fn time(&self) -> EventTime {
        self.time
    }
}

pub(crate) struct FlatMapWith<F>(pub Arc<F>);

impl<A, B, F> Step<A, B> for FlatMapWith<F>
where
    A: Data,
    B: Data,
    F: Fn(A, &mut Collector<'_, B>) + 'static,
{
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<B>>,
        at: &Position<'_>,
    ) -> Outcome {
        for (index, Record { time, value }) in input.drain(..).enumerate() {
            at.set(index);
            (self.0)(value, &mut Collector { time, output });
        }
        Ok(())
    }
}

pub(crate) struct Inspect<F>(pub Arc<F>);

impl<A: Data, F: Fn(&A) + 'static> Step<A, A> for Inspect<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<A>>,
        at: &Position<'_>,
    ) -> Outcome {
        for (index, record) in input.iter().enumerate() {
            at.set(index);
            (self.0)(&record.value);
        }
        std::mem::swap(input, output);
        Ok(())
    }
}

/// Passes everything on: where streams come together or change workers.
pub(crate) struct Pass;

impl<A: Data> Step<A, A> for Pass {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<A>>,
        _: &Position<'_>,
    ) -> Outcome {
        std::mem::swap(input, output);
        Ok(())
    }
}

pub(crate) struct KeyBy<F>(pub Arc<F>);

impl<K: Data, A: Data, F: Fn(&A) -> K + 'static> Step<A, (K, A)> for KeyBy<F> {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<(K, A)>>,
        at: &Position<'_>,
    ) -> Outcome {
        output.extend(input.drain(..).enumerate().map(|(index, record)| {
            at.set(index);
            record.with(|value| ((self.0)(&value), value))
        }));
        Ok(())
    }
}

/// A copy of each record for each worker.
pub(crate) struct Broadcast {
    pub workers: usize,
}

impl<A: Data> Step<A, (u32, A)> for Broadcast {
    fn apply(
        &mut self,
        input: &mut Vec<Record<A>>,
        output: &mut Vec<Record<(u32, A)>>,
        _: &Position<'_>,
    ) -> Outcome {
        for Record { time, value } in input.drain(..) {
            for target in 1..self.workers {
                output.push(Record::new(time, (target as u32, value.clone())));
            }
            output.push(Record::new(time, (0, value)));
        }
        Ok(())
    }
}

/// Takes the address off a record that has arrived.
pub(crate) struct Direct;

impl<A: Data> Step<(u32, A), A> for Direct {
    fn apply(
        &mut self,
        input: &mut Vec<Record<(u32, A)>>,
        output: &mut Vec<Record<A>>,
        _: &Position<'_>,
    ) -> Outcome {
        output.extend(
            input
                .drain(..)
                .map(|record| record.with(|(_, value)| value)),
        );
        Ok(())
    }
}

/// Deals records out to workers in turn.
pub(crate) struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    pub fn starting_at(next: usize) -> Self {
        RoundRobin { next }
    }
}

impl<T: 'static> Partition<T> for RoundRobin {
    fn partition(&mut self, records: &mut Vec<Record<T>>, targets: &mut [Vec<Record<T>>]) {
        for record in records.drain(..) {
            self.next = (self.next + 1) % targets.len();
            targets[self.next].push(record);
        }
    }
}
