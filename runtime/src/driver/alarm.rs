//! Wakes operators at a time of the job's clock.
//!
//! The alarms of a worker ring when its step begins, by the one reading of the clock that all operators share in
//! that step: an operator that is woken never finds that its time is still to come, and as long as nothing is
//! due a step costs one comparison. timely's own timers read another clock, at each call and at each step, and
//! keep a call for each time that was ever set.

use crate::time::whole_ns;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use timely::scheduling::activate::Activator;

const NEVER: i64 = i64::MAX;

/// The time that is `wait` after another, both in nanoseconds of the clock.
pub(crate) fn after(from_ns: i64, wait: Duration) -> i64 {
    from_ns.saturating_add(whole_ns(wait))
}

/// All alarms of one worker.
pub(crate) struct Alarms {
    /// When each operator wants to be woken, in nanoseconds of the clock.
    times: RefCell<Vec<(i64, Activator)>>,
    /// Not later than the first of them.
    next_ns: Cell<i64>,
}

impl Default for Alarms {
    fn default() -> Self {
        Alarms {
            times: RefCell::default(),
            next_ns: Cell::new(NEVER),
        }
    }
}

impl Alarms {
    /// Wakes the operators whose time has come.
    #[inline]
    pub fn ring(&self, now_ns: i64) {
        if now_ns >= self.next_ns.get() {
            self.ring_due(now_ns);
        }
    }

    #[cold]
    fn ring_due(&self, now_ns: i64) {
        let mut next_ns = NEVER;
        for (at_ns, activator) in self.times.borrow_mut().iter_mut() {
            if *at_ns <= now_ns {
                activator.activate();
                *at_ns = NEVER;
            }
            next_ns = next_ns.min(*at_ns);
        }
        self.next_ns.set(next_ns);
    }

    /// How long until an operator may want to be woken; none: no alarm is set.
    pub fn next_in_ns(&self, now_ns: i64) -> Option<u64> {
        let next_ns = self.next_ns.get();
        (next_ns != NEVER).then(|| u64::try_from(next_ns.saturating_sub(now_ns)).unwrap_or(0))
    }
}

/// The alarm of one operator.
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    index: usize,
    activator: Activator,
}

impl Alarm {
    pub fn new(alarms: &Rc<Alarms>, activator: Activator) -> Self {
        let mut times = alarms.times.borrow_mut();
        times.push((NEVER, activator.clone()));
        Alarm {
            alarms: alarms.clone(),
            index: times.len() - 1,
            activator,
        }
    }

    /// Wakes the operator as soon as the others had their turn.
    pub fn now(&self) {
        self.activator.activate();
    }

    /// Wakes the operator at this time instead of the one it was set to before, if any.
    pub fn at(&self, at_ns: Option<i64>) {
        let at_ns = at_ns.unwrap_or(NEVER);
        self.alarms.times.borrow_mut()[self.index].0 = at_ns;
        if at_ns < self.alarms.next_ns.get() {
            self.alarms.next_ns.set(at_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timely::scheduling::activate::Activations;

    /// Two operators, and what is active among them.
    struct Worker {
        activations: Rc<RefCell<Activations>>,
        alarms: Rc<Alarms>,
    }

    impl Worker {
        fn new() -> (Worker, [Alarm; 2]) {
            let worker = Worker {
                activations: Rc::new(RefCell::new(Activations::new(None))),
                alarms: Rc::default(),
            };
            let alarm = |index| {
                let activator = Activator::new([index].into(), worker.activations.clone());
                Alarm::new(&worker.alarms, activator)
            };
            let alarms = [alarm(0), alarm(1)];
            (worker, alarms)
        }

        fn woken(&self, now_ns: i64) -> Vec<usize> {
            self.alarms.ring(now_ns);
            self.activations.borrow_mut().advance();
            let mut woken = Vec::new();
            let activations = self.activations.borrow();
            activations.for_extensions(&[], |index| woken.push(index));
            woken
        }
    }

    #[test]
    fn an_alarm_rings_once_when_its_time_has_come() {
        let (worker, [first, second]) = Worker::new();
        assert_eq!(worker.alarms.next_in_ns(0), None);
        first.at(Some(100));
        second.at(Some(200));
        assert_eq!(worker.alarms.next_in_ns(40), Some(60));
        assert!(worker.woken(99).is_empty());
        assert_eq!(worker.woken(100), [0]);
        assert_eq!(worker.alarms.next_in_ns(150), Some(50));
        assert!(worker.woken(199).is_empty());
        assert_eq!(worker.woken(300), [1]);
        assert!(worker.woken(i64::MAX - 1).is_empty());
        assert_eq!(worker.alarms.next_in_ns(300), None);
    }

    /// An operator sets its alarm anew at each turn; only the last time counts.
    #[test]
    fn the_last_time_replaces_the_ones_before() {
        let (worker, [first, second]) = Worker::new();
        first.at(Some(100));
        first.at(Some(200));
        second.at(Some(50));
        second.at(None);
        assert!(worker.woken(199).is_empty());
        assert_eq!(worker.woken(200), [0]);
    }

    /// A time that has passed already rings at the next step, and nobody parks until then.
    #[test]
    fn a_time_that_has_passed_rings_at_once() {
        let (worker, [first, _]) = Worker::new();
        first.at(Some(-5));
        assert_eq!(worker.alarms.next_in_ns(100), Some(0));
        assert_eq!(worker.woken(100), [0]);
    }
}
