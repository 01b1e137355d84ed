//! The testing kit itself: scripts, the clock that is moved by hand, and that the contract kit finds what it is there
//! to find.

use millstream::operators::{KeyedContext, KeyedProcess, States, Timer, ValueState};
use millstream::prelude::*;
use millstream::runtime::job::Options;
use millstream::runtime::operator::UserResult;
use millstream::testing::contract::{Step, in_every_way};
use millstream::testing::{Event, Harness, ManualClock, Script, scripted, scripted_with};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

fn modes() -> [Mode; 2] {
    let interval = Duration::ZERO;
    [Mode::Continuous, Mode::MicroBatch { interval }]
}

fn started(job: &Job, config: JobConfig, clock: &Arc<ManualClock>) -> JobHandle {
    let options = Options {
        clock: Some(clock.clone()),
        ..Options::default()
    };
    job.start_with(config, options).unwrap()
}

/// Counts in a field that no snapshot sees.
struct Forgetful {
    counts: HashMap<u8, u64>,
}

impl KeyedProcess for Forgetful {
    type Key = u8;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, _: u64, ctx: &mut KeyedContext<'_, u8, u64>) -> UserResult {
        let count = self.counts.entry(*ctx.key()).or_default();
        *count += 1;
        ctx.emit(*count);
        Ok(())
    }
}

#[test]
#[should_panic(expected = "Restarts")]
fn state_that_is_in_no_snapshot_is_found() {
    let script: Vec<_> = (0..6)
        .flat_map(|at| [Step::Record(at, 1, 0), Step::Watermark(at)])
        .collect();
    let make = || {
        let counts = HashMap::new;
        Harness::keyed(move |_: &mut States<'_, u8>| Forgetful { counts: counts() })
    };
    in_every_way(make, &script);
}

/// Emits a key a second after its record.
struct Echo {
    seen: ValueState<u64>,
}

impl KeyedProcess for Echo {
    type Key = u8;
    type In = u64;
    type Out = (u8, u64);

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u8, (u8, u64)>) -> UserResult {
        ctx.value(self.seen).set(value);
        ctx.register_processing_timer(ctx.now_ms() + 1_000);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, u8, (u8, u64)>) -> UserResult {
        let seen = ctx.value(self.seen).get().copied().unwrap_or_default();
        ctx.value(self.seen).clear();
        ctx.emit((*ctx.key(), seen));
        Ok(())
    }
}

#[test]
fn timers_follow_a_clock_that_is_moved_by_hand() {
    for mode in modes() {
        let job = Job::new("echo");
        let script = Script::new([Event::Record(1, (7, 70)), Event::Watermark(5), Event::Pause]);
        let end = script.handle();
        let (sink, results) = Collect::new();
        scripted(&job, "in", script)
            .keyed()
            .process("echo", |states| Echo {
                seen: states.value("seen"),
            })
            .sink("out", sink);
        let clock = Arc::new(ManualClock::at_ms(100_000));
        let config = JobConfig {
            mode,
            workers: 2,
            ..JobConfig::default()
        };
        let handle = started(&job, config, &clock);
        assert!(handle.wait_for_watermark(5, DEADLINE), "{mode}");
        assert!(results.snapshot().is_empty(), "{mode}");
        clock.advance(Duration::from_millis(1_000));
        until(&handle, || results.snapshot() == [(7, 70)]);
        end.resume();
        handle.wait().unwrap();
    }
}

#[test]
fn a_pause_becomes_idleness_when_the_clock_says_so() {
    for mode in modes() {
        let job = Job::new("idle");
        let script = Script::new([Event::Record(1, 1_u64), Event::Watermark(100), Event::Pause])
            .and_split([Event::Pause]);
        let end = script.handle();
        let idle_after = Duration::from_secs(10);
        scripted_with(&job, "in", script, |time| time.idle_after(idle_after))
            .sink("out", Null::new());
        let clock = Arc::new(ManualClock::at_ms(0));
        let config = JobConfig {
            mode,
            ..JobConfig::default()
        };
        let handle = started(&job, config, &clock);
        until(&handle, || handle.report().records_written() == 1);
        let holds = handle.watermarks();
        assert!(
            holds.iter().any(|hold| hold.watermark < 100),
            "{mode}: {holds:?}"
        );
        clock.advance(idle_after);
        assert!(handle.wait_for_watermark(100, DEADLINE), "{mode}");
        end.resume();
        handle.wait().unwrap();
    }
}

#[test]
fn a_failure_ends_an_attempt_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for mode in modes() {
        let checkpoints = folder.path().join(format!("{}", mode.is_micro_batch()));
        let job = Job::new("failing");
        let script = Script::new([
            Event::Record(1, (1_u8, 1_u64)),
            Event::Record(2, (1, 2)),
            Event::Pause,
            Event::Fail("the cable was pulled".into()),
            Event::Record(3, (1, 3)),
        ]);
        let go_on = script.handle();
        let (sink, results) = Collect::new();
        scripted(&job, "in", script)
            .keyed()
            .fold(0, |sum, value| *sum += value)
            .sink("out", sink);
        let config = JobConfig {
            mode,
            checkpoint_dir: Some(checkpoints),
            checkpoint_interval: Duration::from_millis(1),
            ..JobConfig::default()
        };
        let handle = job.start(config.clone()).unwrap();
        until(&handle, || results.committed().len() == 2);
        go_on.resume();
        let error = handle.wait().unwrap_err().to_string();
        assert!(error.contains("the cable was pulled"), "{mode}: {error}");
        job.start(config).unwrap().wait().unwrap();
        assert_eq!(results.committed(), [(1, 1), (1, 3), (1, 6)], "{mode}");
    }
}

/// Waits until `done`, with a deadline.
fn until(handle: &JobHandle, done: impl Fn() -> bool) {
    let watch = millstream::runtime::clock::Stopwatch::start();
    while !done() {
        assert!(
            watch.elapsed() < DEADLINE,
            "timed out: {:#?}",
            handle.report()
        );
        handle.wait_for(Duration::from_millis(1));
    }
}
