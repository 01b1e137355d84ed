//! Asynchronous requests in whole jobs: in both modes, on any number of workers, with requests that hang
//! while the job is stopped.

#![cfg(feature = "async")]

use millstream::connectors::files::FileSink;
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];

/// Lets others run so many times.
async fn yields(times: u64) {
    for _ in 0..times {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

#[track_caller]
fn finish(handle: JobHandle) -> Result<JobReport> {
    if !handle.wait_for(Duration::from_secs(60)) {
        let report = handle.report();
        std::mem::forget(handle); // dropping it would wait for the end that does not come
        panic!("the job hangs: {report:#?}");
    }
    handle.wait()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    while !done() {
        assert!(
            watch.elapsed() < Duration::from_secs(60),
            "{what} does not come"
        );
        let _ = nothing.recv_timeout(Duration::from_millis(1));
    }
}

/// Were a result to come behind a watermark that was behind its record, the window would not have it.
#[test]
fn no_result_is_late_and_none_is_missing() {
    let events: Vec<(i64, (u8, u64))> = (0..4_000)
        .map(|n: i64| (n - n * 7 % 20, ((n % 10) as u8, n as u64)))
        .collect();
    let mut expected: BTreeMap<(u8, i64), u64> = BTreeMap::new();
    for (time, (key, n)) in &events {
        *expected
            .entry((*key, time.div_euclid(50) * 50))
            .or_default() += 2 * n;
    }
    let rounds = [1, 2, 4]
        .into_iter()
        .flat_map(|workers| MODES.map(|mode| (workers, mode)));
    for (workers, mode) in rounds {
        for io in [AsyncIo::ordered(), AsyncIo::unordered()] {
            let running = Arc::new(AtomicUsize::new(0));
            let most = Arc::new(AtomicUsize::new(0));
            let counts = (running.clone(), most.clone());
            let make = move || {
                let (running, most) = counts.clone();
                move |(key, n): (u8, u64)| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let running = running.clone();
                    async move {
                        yields(n * n % 13).await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok((key, 2 * n))
                    }
                }
            };
            let job = Job::new("windows");
            let (sink, results) = Collect::new();
            let out_of_order = Duration::from_millis(2_000);
            let strategy = WatermarkStrategy::bounded_out_of_orderness(out_of_order);
            let source = Collection::timed(events.clone()).splits(3).batch(30);
            job.timed_source("events", source, strategy)
                .async_map("double", io.capacity(20), make)
                .keyed()
                .window(Tumbling::of(Duration::from_millis(50)))
                .aggregate(Sum::of(|n: &u64| *n))
                .sink("out", sink);
            let config = JobConfig {
                workers,
                mode,
                max_batch_records: 300,
                ..JobConfig::default()
            };
            let report = finish(job.start(config).unwrap()).unwrap();
            let found = results.take().into_iter();
            let found: BTreeMap<_, _> = found.map(|w| ((w.key, w.window.start), w.value)).collect();
            assert_eq!(
                found, expected,
                "{workers} workers, {mode:?}, {io:?}: {report:#?}"
            );
            assert!(
                most.load(Ordering::SeqCst) <= 20 * workers,
                "more than the capacity"
            );
        }
    }
}

fn lines(out: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in std::fs::read_dir(out).into_iter().flatten() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().starts_with('.') {
            let text = std::fs::read_to_string(file.path()).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// While some requests get no answer, checkpoints go on and the job can be stopped. The next life asks those
/// again, on another number of workers and in either mode.
#[test]
fn a_barrier_does_not_wait_for_answers() {
    let lives = [(1, 4), (4, 1), (2, 3), (2, 2)];
    for (number, (before, after)) in lives.into_iter().enumerate() {
        let io = [AsyncIo::ordered(), AsyncIo::unordered()][number % 2];
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let config = |workers, mode| JobConfig {
            workers,
            mode,
            checkpoint_dir: Some(dir.path().join("checkpoints")),
            checkpoint_interval: Duration::from_millis(2),
            ..JobConfig::default()
        };
        let hangs = Arc::new(AtomicBool::new(true));
        let asked = Arc::new(AtomicU64::new(0));
        let job = || {
            let job = Job::new("stopped");
            let (open, never_ends) = memory::channel(1);
            let others = job.source("others", never_ends);
            let counts = (hangs.clone(), asked.clone());
            let make = move || {
                let (hangs, asked) = counts.clone();
                move |n: u64| {
                    let hangs = n % 7 == 3 && hangs.load(Ordering::SeqCst);
                    asked.fetch_add(1, Ordering::SeqCst);
                    async move {
                        match hangs {
                            true => std::future::pending().await,
                            false => yields(n % 5).await,
                        }
                        Ok(format!("answer {n}"))
                    }
                }
            };
            let source = Collection::new((0..300).collect()).splits(3).batch(10);
            job.source("numbers", source)
                .union([others])
                .async_map(
                    "ask",
                    io.capacity(1_000).timeout(Duration::from_secs(600)),
                    make,
                )
                .sink("out", FileSink::lines(&out));
            (job, open)
        };
        let (first_life, _open) = job();
        let handle = first_life.start(config(before, MODES[0])).unwrap();
        until("the last request", || asked.load(Ordering::SeqCst) == 300);
        handle.wait_for_checkpoints(3);
        handle.stop();
        finish(handle).unwrap();
        let first = lines(&out).len();
        assert!(first < 300, "there is nothing to ask again");
        hangs.store(false, Ordering::SeqCst);
        let (second_life, open) = job();
        open.close();
        finish(second_life.start(config(after, MODES[number / 2])).unwrap()).unwrap();
        let mut expected: Vec<String> = (0..300).map(|n| format!("answer {n}")).collect();
        expected.sort();
        assert_eq!(lines(&out), expected, "round {number}");
        let asked = asked.load(Ordering::SeqCst);
        assert!((343..=600).contains(&asked), "{asked} requests");
    }
}

/// The input has ended, one request has no answer yet: the job waits for it, and does nothing meanwhile.
#[test]
fn the_end_waits_for_the_last_answer_without_spinning() {
    for mode in MODES {
        let open = Arc::new(AtomicBool::new(false));
        let polls = Arc::new(AtomicU64::new(0));
        let waker = Arc::new(std::sync::Mutex::new(None));
        let shared = (open.clone(), waker.clone(), polls.clone());
        let make = move || {
            let shared = shared.clone();
            move |n: u64| {
                let (open, waker, polls) = shared.clone();
                std::future::poll_fn(move |cx| {
                    // Only the last request waits: the waker of another would wake nobody.
                    let waits = n == 9 && !open.load(Ordering::SeqCst);
                    if waits {
                        *waker.lock().unwrap() = Some(cx.waker().clone());
                    }
                    polls.fetch_add(1, Ordering::SeqCst);
                    match waits {
                        true => Poll::Pending,
                        false => Poll::Ready(Ok(n)),
                    }
                })
            }
        };
        let job = Job::new("end");
        let (sink, results) = Collect::new();
        job.source("numbers", Collection::new((0..10).collect()))
            .async_map(
                "ask",
                AsyncIo::unordered().timeout(Duration::from_secs(600)),
                make,
            )
            .sink("out", sink);
        let config = JobConfig {
            mode,
            ..JobConfig::default()
        };
        let handle = job.start(config).unwrap();
        until("the last request", || polls.load(Ordering::SeqCst) >= 10);
        let busy = || {
            let report = handle.report();
            let operators = report.operators.into_iter();
            operators.map(|operator| operator.busy).sum::<Duration>()
        };
        let mut before = busy();
        until("a rest", || {
            assert!(!handle.wait_for(Duration::from_millis(50)), "it has ended");
            std::mem::replace(&mut before, busy()) == before
        });
        open.store(true, Ordering::SeqCst);
        waker.lock().unwrap().take().unwrap().wake();
        finish(handle).unwrap();
        let mut found = results.take();
        found.sort_unstable();
        assert!(found.into_iter().eq(0..10), "{mode:?}");
    }
}

#[test]
fn a_failed_request_ends_the_job_with_the_operators_name() {
    let job = Job::new("failing");
    job.source("numbers", Collection::new((0..10_u64).collect()))
        .async_map("ask", AsyncIo::ordered(), || {
            |n: u64| async move {
                match n {
                    7 => Err("it does not like seven".into()),
                    n => Ok(n),
                }
            }
        })
        .sink("out", Null::new());
    let error = finish(job.start(JobConfig::default()).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserFunction);
    let text = error.to_string();
    for part in [
        "operator \"ask\" on worker 0",
        "it does not like seven",
        "attempts made: 1",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_request_that_takes_too_long_is_given_up_in_both_modes() {
    for mode in MODES {
        let job = Job::new("slow");
        let (sink, results) = Collect::new();
        let io = AsyncIo::ordered().timeout(Duration::from_millis(20));
        job.source("numbers", Collection::new((0..10_u64).collect()))
            .async_map_results("ask", io, || {
                |n: u64| async move {
                    if n == 4 {
                        std::future::pending::<()>().await;
                    }
                    Ok(n)
                }
            })
            .filter(|(_, result)| result.is_err())
            .sink("out", sink);
        let config = JobConfig {
            mode,
            ..JobConfig::default()
        };
        finish(job.start(config).unwrap()).unwrap();
        let given_up = AsyncFailure::TimedOut { attempts: 1 };
        // Under load others may take too long, too.
        assert!(results.take().contains(&(4, Err(given_up))), "{mode:?}");
    }
}

mod refused {
    use super::*;

    fn ask(io: AsyncIo) {
        let numbers = Job::new("refused").source("numbers", Collection::new(vec![1_u64]));
        numbers.async_map("ask", io, || |n: u64| async move { Ok(n) });
    }

    #[test]
    #[should_panic(expected = "operator \"ask\": the capacity must be at least one request, not 0")]
    fn a_capacity_of_zero() {
        ask(AsyncIo::ordered().capacity(0));
    }

    #[test]
    #[should_panic(expected = "operator \"ask\": the timeout must be at least 1 ms")]
    fn a_timeout_of_zero() {
        ask(AsyncIo::ordered().timeout(Duration::ZERO));
    }

    #[test]
    #[should_panic(
        expected = "operator \"ask\": a request must be asked at least once, not 0 times"
    )]
    fn no_attempt() {
        ask(AsyncIo::ordered().retry(Retry::fixed(0, Duration::ZERO)));
    }
}
