//! Async operators with a service in the hands of the test, and with one that answers in disorder.

use super::*;
use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use millstream_runtime::operator::Operator;
use millstream_runtime::time::{WATERMARK_MAX, WATERMARK_MIN};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};

/// Answers what the test tells it to.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    asked: Vec<u64>,
    answers: BTreeMap<u64, Vec<Result<u64, &'static str>>>,
    wakers: Vec<Waker>,
}

impl Service {
    fn ask(&self, n: u64) -> impl Future<Output = Result<u64, BoxError>> + Send + use<> {
        self.0.lock().unwrap().asked.push(n);
        let service = self.clone();
        poll_fn(move |cx| {
            let mut calls = service.0.lock().unwrap();
            match calls.answers.get_mut(&n).and_then(Vec::pop) {
                Some(answer) => Poll::Ready(answer.map_err(Into::into)),
                None => {
                    calls.wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn answer(&self, n: u64, answer: Result<u64, &'static str>) {
        let mut calls = self.0.lock().unwrap();
        calls.answers.entry(n).or_default().push(answer);
        calls.wakers.drain(..).for_each(Waker::wake);
    }

    /// Doubles.
    fn answer_all(&self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|n| self.answer(n, Ok(2 * n)));
    }

    fn take_asked(&self) -> Vec<u64> {
        let mut asked = std::mem::take(&mut self.0.lock().unwrap().asked);
        asked.sort_unstable();
        asked
    }
}

type Outcome = (u64, Result<u64, AsyncFailure>);

/// An operator that asks the service, and puts out what became of each request.
fn asking(
    io: AsyncIo,
    service: &Service,
) -> Harness<impl Operator<In = u64, Out = Outcome> + use<>> {
    let service = service.clone();
    Harness::new(move || {
        let service = service.clone();
        let make: Make<_> = Arc::new(move || {
            let service = service.clone();
            move |n: u64| service.ask(n)
        });
        AsyncOperator::new(io, None, with_failure, make)
    })
}

fn numbers(range: std::ops::Range<u64>) -> impl Iterator<Item = (i64, u64)> {
    range.map(|n| (n as i64, n))
}

fn values(outcomes: Vec<Record<Outcome>>) -> Vec<u64> {
    let outcomes = outcomes.into_iter();
    let doubled = outcomes.map(|outcome| outcome.value.1.expect("it is answered"));
    doubled.map(|double| double / 2).collect()
}

#[test]
fn ordered_results_wait_for_those_in_front() {
    let service = Service::default();
    let mut harness = asking(AsyncIo::ordered(), &service);
    harness.batch_on(0, numbers(0..4));
    service.answer_all([3, 1]);
    service.answer_all([0]);
    assert_eq!(values(harness.take_when(2)), [0, 1]);
    service.answer_all([2]);
    assert_eq!(values(harness.take_when(2)), [2, 3]);
    assert_eq!(harness.keys(), 0);
}

#[test]
fn unordered_results_come_as_answers_do_but_overtake_no_watermark() {
    let service = Service::default();
    let mut harness = asking(AsyncIo::unordered(), &service);
    harness.batch_on(0, numbers(0..3));
    harness.watermark(10);
    harness.batch_on(0, numbers(3..4));
    harness.watermark(20);
    service.answer_all([3]);
    service.answer_all([2]);
    assert_eq!(values(harness.take_when(1)), [2]);
    service.answer_all([0]);
    assert_eq!(values(harness.take_when(1)), [0]);
    assert_eq!(harness.output_watermark(), WATERMARK_MIN);
    service.answer_all([1]);
    assert_eq!(values(harness.take_when(2)), [1, 3]);
    assert_eq!(harness.output_watermark(), 20);
    assert_eq!(harness.keys(), 0);
}

#[test]
fn the_end_of_the_input_waits_for_answers() {
    for io in [AsyncIo::ordered(), AsyncIo::unordered()] {
        let service = Service::default();
        let mut harness = asking(io, &service);
        harness.watermark(5);
        harness.batch_on(0, numbers(0..1));
        harness.end();
        assert_eq!(harness.output_watermark(), 5);
        service.answer_all([0]);
        harness.settle();
        assert_eq!(harness.output_watermark(), WATERMARK_MAX);
        assert_eq!(values(harness.take()), [0]);
    }
}

#[test]
fn no_more_requests_are_under_way_than_the_capacity() {
    let service = Service::default();
    let mut harness = asking(AsyncIo::ordered().capacity(3), &service);
    assert!(harness.accepts());
    harness.batch_on(0, numbers(0..2));
    assert!(harness.accepts());
    harness.batch_on(0, numbers(2..8));
    assert!(!harness.accepts());
    assert_eq!(service.take_asked(), [0, 1, 2]);
    // Answered, but not gone out: it counts.
    service.answer_all([1, 2]);
    service.answer_all([0]);
    assert_eq!(values(harness.take_when(3)), [0, 1, 2]);
    assert_eq!(service.take_asked(), [3, 4, 5]);
    service.answer_all(3..8);
    harness.settle();
    assert_eq!(values(harness.take()), [3, 4, 5, 6, 7]);
    assert!(harness.accepts());
}

#[test]
fn a_failed_request_is_asked_again_after_a_while() {
    let service = Service::default();
    let retry = Retry::fixed(3, Duration::from_millis(100));
    let mut harness = asking(AsyncIo::ordered().retry(retry), &service);
    harness.batch_on(0, numbers(7..8));
    for (now, attempts) in [(100, 1), (200, 2)] {
        assert_eq!(service.take_asked(), [7]);
        service.answer(7, Err("busy"));
        harness.settle_until(|harness| harness.next_processing_time() == Some(now));
        harness.processing_time(now - 1);
        assert_eq!(service.take_asked(), [] as [u64; 0], "{attempts} attempts");
        harness.processing_time(now);
    }
    assert_eq!(service.take_asked(), [7]);
    service.answer(7, Err("out of order"));
    let failure = AsyncFailure::Failed {
        attempts: 3,
        error: "out of order".into(),
    };
    let outcome = harness.take_when(1).remove(0);
    assert_eq!(outcome, Record::new(7, (7, Err(failure))));
    assert_eq!(harness.next_processing_time(), None);
}

#[test]
fn a_request_is_given_up_when_its_time_is_over() {
    let service = Service::default();
    let io = AsyncIo::unordered().timeout(Duration::from_millis(50));
    let io = io.retry(Retry::fixed(9, Duration::from_millis(30)));
    let mut harness = asking(io, &service);
    harness.batch_on(0, numbers(1..3));
    service.answer(2, Err("busy"));
    harness.settle_until(|harness| harness.next_processing_time() == Some(30));
    harness.processing_time(30); // request 2 is asked again
    assert_eq!(service.take_asked(), [1, 2, 2]);
    service.answer(2, Err("busy")); // too late for another attempt: it would come at 60
    let failed = harness.take_when(1).remove(0).value;
    assert!(matches!(
        failed,
        (2, Err(AsyncFailure::Failed { attempts: 2, .. }))
    ));
    harness.processing_time(49);
    harness.poll();
    assert_eq!(harness.take(), []);
    harness.processing_time(50);
    let outcome = harness.take_when(1).remove(0).value;
    assert_eq!(outcome, (1, Err(AsyncFailure::TimedOut { attempts: 1 })));
    service.answer_all([1]); // comes too late, to nobody
    harness.poll();
    assert_eq!(harness.take(), []);
    assert_eq!((harness.keys(), harness.next_processing_time()), (0, None));
}

#[test]
fn a_panic_is_a_failed_attempt() {
    let mut harness = Harness::new(|| {
        let make: Make<_> = Arc::new(|| {
            |n: u64| async move {
                assert!(n < 5, "no answer to {n}");
                Ok(2 * n)
            }
        });
        AsyncOperator::new(AsyncIo::ordered(), None, with_failure, make)
    });
    harness.batch_on(0, numbers(4..6));
    harness.settle();
    let outcomes: Vec<Outcome> = harness.take_values();
    let failure = AsyncFailure::Failed {
        attempts: 1,
        error: "panic: no answer to 5".into(),
    };
    assert_eq!(outcomes, [(4, Ok(8)), (5, Err(failure))]);
}

#[test]
fn what_is_under_way_is_asked_again_after_a_restart() {
    for workers in [1, 3] {
        let service = Service::default();
        let mut harness = asking(AsyncIo::ordered().capacity(4), &service);
        harness.batch_on(0, numbers(0..10));
        service.answer_all([2]);
        service.answer_all([0]);
        assert_eq!(values(harness.take_when(1)), [0]);
        harness.settle_until(|_| service.0.lock().unwrap().asked.len() == 5);
        service.take_asked();
        harness.restart_on(workers);
        if workers == 1 {
            // In their order: what was answered but could not go out is asked again, too.
            assert_eq!(service.take_asked(), [1, 2, 3, 4]);
        }
        service.answer_all(1..10);
        harness.settle();
        let mut found = values(harness.take());
        if workers == 1 {
            assert!(found.is_sorted());
        }
        found.sort_unstable();
        assert!(found.into_iter().eq(1..10));
        assert_eq!(harness.keys(), 0);
    }
}

/// With keys, what is under way goes to the worker that owns the key: its results stay in order.
#[test]
fn the_order_of_a_key_survives_other_numbers_of_workers() {
    let service = Service::default();
    let asked = service.clone();
    let mut harness = Harness::new(move || {
        let service = asked.clone();
        let make: Make<_> = Arc::new(move || {
            let service = service.clone();
            move |(_, n): (u8, u64)| service.ask(n)
        });
        AsyncOperator::new(AsyncIo::ordered(), by_key::<u8, u64>(), with_failure, make)
    });
    harness.batch((0..50).map(|n| (0, ((n % 5) as u8, n))));
    for workers in [4, 1, 3] {
        harness.restart_on(workers);
        let more = 50 * workers as u64;
        harness.batch((more..more + 50).map(|n| (0, ((n % 5) as u8, n))));
    }
    service.answer_all((0..50).chain(200..250).chain(50..100).chain(150..200));
    harness.settle();
    let mut by_number: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for ((key, n), _) in harness.take_values() {
        by_number.entry(key).or_default().push(n);
    }
    for (key, numbers) in by_number {
        let expected = [0..50, 200..250, 50..100, 150..200].into_iter().flatten();
        let expected: Vec<u64> = expected.filter(|n| n % 5 == u64::from(key)).collect();
        assert_eq!(numbers, expected, "key {key}");
    }
}

/// A service that answers in disorder.
async fn disorderly(n: u64) -> Result<u64, BoxError> {
    for _ in 0..stable_hash(&n) % 20 {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    Ok(2 * n)
}

#[test]
fn random_scripts_give_every_result_once_by_the_watermark_behind_it() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut watermark = 0;
        let script: Vec<Step<u8, u64>> = (0..random.u64(0..150))
            .map(|n| {
                if random.u8(..6) == 0 {
                    watermark += random.i64(0..30);
                    return Step::Watermark(watermark);
                }
                Step::Record(watermark + random.i64(0..50), random.u8(..6), n)
            })
            .collect();
        let mut expected = vec![Vec::new()];
        for step in &script {
            match *step {
                Step::Record(time, key, n) => {
                    let outcome = ((key, n), Ok(2 * n));
                    expected
                        .last_mut()
                        .unwrap()
                        .push(Record::new(time, outcome));
                }
                _ => expected.push(Vec::new()),
            }
        }
        expected.iter_mut().for_each(|records| records.sort());
        for io in [AsyncIo::ordered(), AsyncIo::unordered()] {
            let io = io.capacity(random.usize(1..20));
            let make = move || {
                Harness::new(move || {
                    let make: Make<_> = Arc::new(|| |(_, n): (u8, u64)| disorderly(n));
                    AsyncOperator::new(io, by_key::<u8, u64>(), with_failure, make)
                })
            };
            assert_eq!(in_every_way(make, &script), expected, "seed {seed} {io:?}");
        }
    }
}
