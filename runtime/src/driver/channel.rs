//! What carries messages from an operator to the next: a queue within a worker, and timely's channels to
//! other workers.
//!
//! timely's own channel within a worker notes an event for each message that enters and each that leaves, and at
//! the next step schedules the operator behind it once more, for nothing. Ours does without, because:
//!
//! - an operator that reports messages as produced has timely schedule those behind it later in the same
//!   step, if they stand later in the dataflow; all of ours do, as a job is built from the sources on;
//! - a driver that leaves messages in its queue has itself scheduled again, or is woken by whom it waits for.
//!
//! A record that stays on its worker never meets a lock, an atomic or a system call, even if others of its channel leave.

use super::port::{Bundle, Message_, Partition};
use crate::operator::BATCH_RECORDS;
use crate::record::Data;
use crate::time::Time;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use timely::communication::{Pull, Push};
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::logging::TimelyLogger;
use timely::worker::Worker;

/// The messages under way within a worker.
type Queue<T> = Rc<RefCell<VecDeque<Message_<T>>>>;

/// Records stay on their worker.
pub(super) struct Forward;

impl<T: Data> ParallelizationContract<Time, Bundle<T>> for Forward {
    type Pusher = LocalPush<T>;
    type Puller = LocalPull<T>;

    fn connect(
        self,
        _: &Worker,
        _: usize,
        _: Rc<[usize]>,
        _: Option<TimelyLogger>,
    ) -> (Self::Pusher, Self::Puller) {
        local()
    }
}

fn local<T>() -> (LocalPush<T>, LocalPull<T>) {
    let queue = Queue::default();
    let pull = LocalPull {
        queue: queue.clone(),
        current: None,
    };
    (LocalPush(queue), pull)
}

pub(super) struct LocalPush<T>(Queue<T>);

impl<T> Push<Message_<T>> for LocalPush<T> {
    #[inline]
    fn push(&mut self, message: &mut Option<Message_<T>>) {
        if let Some(message) = message.take() {
            self.0.borrow_mut().push_back(message);
        }
    }
}

pub(super) struct LocalPull<T> {
    queue: Queue<T>,
    current: Option<Message_<T>>,
}

impl<T> Pull<Message_<T>> for LocalPull<T> {
    #[inline]
    fn pull(&mut self) -> &mut Option<Message_<T>> {
        self.current = self.queue.borrow_mut().pop_front();
        &mut self.current
    }
}

/// Each record goes to the worker that the partition names.
pub(super) struct Exchange<T>(pub Box<dyn Partition<T>>);

impl<T: Data> ParallelizationContract<Time, Bundle<T>> for Exchange<T> {
    type Pusher = Spread<T>;
    type Puller = Gathered<T>;

    fn connect(
        self,
        worker: &Worker,
        channel: usize,
        address: Rc<[usize]>,
        _: Option<TimelyLogger>,
    ) -> (Self::Pusher, Self::Puller) {
        let (to_self, from_self) = local();
        if worker.peers() == 1 {
            return (
                Spread::new(self.0, vec![Box::new(to_self)]),
                Gathered::new(from_self, None),
            );
        }
        let (mut targets, others) = worker.allocate::<Message_<T>>(channel, address);
        targets[worker.index()] = Box::new(to_self);
        (
            Spread::new(self.0, targets),
            Gathered::new(from_self, Some(others)),
        )
    }
}

/// Spreads batches over workers.
pub(super) struct Spread<T> {
    partition: Box<dyn Partition<T>>,
    targets: Vec<Box<dyn Push<Message_<T>>>>,
    /// What goes to each target at `time`.
    buffers: Vec<Bundle<T>>,
    time: Time,
}

impl<T> Spread<T> {
    fn new(partition: Box<dyn Partition<T>>, targets: Vec<Box<dyn Push<Message_<T>>>>) -> Self {
        Spread {
            partition,
            buffers: targets.iter().map(|_| Vec::new()).collect(),
            targets,
            time: Time::MIN,
        }
    }

    /// Sends what waits, where it is at least `least` records.
    fn send(&mut self, least: usize) {
        for (buffer, target) in self.buffers.iter_mut().zip(&mut self.targets) {
            let count = buffer.len();
            if count >= least {
                Message::push_at(buffer, self.time, target);
                buffer.clear();
                buffer.reserve(count); // the next ones will be about as many
            }
        }
    }
}

impl<T: 'static> Push<Message_<T>> for Spread<T> {
    /// `None` says that nothing follows for now: what waits is sent. The targets are not told, for it would wake
    /// other workers to no purpose.
    fn push(&mut self, message: &mut Option<Message_<T>>) {
        if let [only] = &mut self.targets[..] {
            only.push(message);
            return;
        }
        let Some(Message { time, data, .. }) = message else {
            self.send(1);
            return;
        };
        if *time != self.time {
            self.send(1);
            self.time = *time;
        }
        self.partition.partition(data, &mut self.buffers);
        self.send(BATCH_RECORDS);
    }
}

/// The messages for this worker, its own and those of others in turn.
pub(super) struct Gathered<T> {
    own: LocalPull<T>,
    others: Option<Box<dyn Pull<Message_<T>>>>,
    others_next: bool,
}

impl<T> Gathered<T> {
    fn new(own: LocalPull<T>, others: Option<Box<dyn Pull<Message_<T>>>>) -> Self {
        Gathered {
            own,
            others,
            others_next: false,
        }
    }
}

impl<T> Pull<Message_<T>> for Gathered<T> {
    #[inline]
    fn pull(&mut self) -> &mut Option<Message_<T>> {
        let Some(others) = &mut self.others else {
            return self.own.pull();
        };
        self.others_next = !self.others_next;
        if self.others_next {
            let message = others.pull();
            if message.is_some() {
                self.own.current = message.take();
                return &mut self.own.current;
            }
            return self.own.pull();
        }
        if self.own.pull().is_some() {
            return &mut self.own.current;
        }
        others.pull()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::port::ByWorker;
    use crate::record::Record;
    use crate::time::Epoch;

    fn at(epoch: u64) -> Time {
        Time::new(Epoch(epoch), 0)
    }

    fn message(time: Time, values: impl IntoIterator<Item = usize>) -> Option<Message_<usize>> {
        let records = values.into_iter().map(|value| Record::new(0, value));
        Some(Message::new(time, records.collect()))
    }

    fn values(message: &Message_<usize>) -> Vec<usize> {
        message.data.iter().map(|record| record.value).collect()
    }

    /// What `pull` has, as `(time, values)`.
    fn drain(pull: &mut impl Pull<Message_<usize>>) -> Vec<(Time, Vec<usize>)> {
        std::iter::from_fn(|| pull.pull().take())
            .map(|message| (message.time, values(&message)))
            .collect()
    }

    fn spread_over_two() -> (Spread<usize>, [LocalPull<usize>; 2]) {
        let ((to_a, a), (to_b, b)) = (local(), local());
        let by_parity = Box::new(ByWorker(|value: &usize| value % 2));
        let spread = Spread::new(by_parity, vec![Box::new(to_a), Box::new(to_b)]);
        (spread, [a, b])
    }

    #[test]
    fn small_batches_of_one_time_travel_together() {
        let (mut spread, [mut even, mut odd]) = spread_over_two();
        spread.push(&mut message(at(1), [1, 2, 3]));
        spread.push(&mut message(at(1), [4, 5]));
        assert!(drain(&mut even).is_empty());
        spread.done();
        assert_eq!(drain(&mut even), [(at(1), vec![2, 4])]);
        assert_eq!(drain(&mut odd), [(at(1), vec![1, 3, 5])]);
        spread.done();
        assert!(drain(&mut odd).is_empty());
    }

    #[test]
    fn another_time_sends_what_waits_under_its_own() {
        let (mut spread, [mut even, mut odd]) = spread_over_two();
        spread.push(&mut message(at(1), [2]));
        spread.push(&mut message(at(2), [3]));
        assert_eq!(drain(&mut even), [(at(1), vec![2])]);
        spread.done();
        assert_eq!(drain(&mut odd), [(at(2), vec![3])]);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let (mut spread, [mut even, mut odd]) = spread_over_two();
        spread.push(&mut message(at(1), (0..BATCH_RECORDS).map(|i| 2 * i)));
        spread.push(&mut message(at(1), [1]));
        assert_eq!(drain(&mut even).len(), 1);
        assert!(drain(&mut odd).is_empty());
    }

    /// An operator must not hear only of itself, however much it sends.
    #[test]
    fn own_messages_and_those_of_others_take_turns() {
        let ((mut to_self, own), (mut to_other, others)) = (local(), local());
        let mut gathered = Gathered::new(own, Some(Box::new(others)));
        for value in 0..4 {
            to_self.push(&mut message(at(1), [value]));
        }
        to_other.push(&mut message(at(1), [10]));
        to_other.push(&mut message(at(1), [11]));
        let order: Vec<usize> = drain(&mut gathered)
            .into_iter()
            .flat_map(|(_, values)| values)
            .collect();
        assert_eq!(order, [10, 0, 11, 1, 2, 3]);
    }
}
