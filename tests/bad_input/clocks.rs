//! Clocks that are set back or jump ahead: timers fire when due and once, idle splits are found idle, checkpoints go
//! on.

use crate::harness::{DEADLINE, MODES, durable, finish, until};
use millstream::connectors::collect::CollectedHandle;
use millstream::prelude::*;
use millstream::runtime::job::Options;
use millstream::runtime::operator::UserResult;
use millstream::testing::{Event, ManualClock, Script, scripted_with};
use std::sync::Arc;
use std::time::Duration;

const NOW: i64 = 1_700_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn started(job: &Job, config: JobConfig, clock: &Arc<ManualClock>) -> JobHandle {
    let options = Options {
        clock: Some(clock.clone()),
        ..Options::default()
    };
    job.start_with(config, options).unwrap()
}

fn config(mode: Mode) -> JobConfig {
    JobConfig {
        mode,
        ..JobConfig::default()
    }
}

/// Emits each value at once, and its negative a second later.
struct Echo;

impl KeyedProcess for Echo {
    type Key = i64;
    type In = i64;
    type Out = i64;

    fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.emit(n);
        ctx.register_processing_timer(ctx.now_ms() + 1_000);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        let n = *ctx.key();
        ctx.emit(-n);
        Ok(())
    }
}

/// A job that echoes what is sent.
struct Echoing {
    handle: JobHandle,
    numbers: memory::ChannelHandle<i64>,
    results: CollectedHandle<i64>,
    clock: Arc<ManualClock>,
}

impl Echoing {
    fn start(mode: Mode) -> Self {
        let job = Job::new("echo");
        let (numbers, source) = memory::channel(10);
        let (sink, results) = Collect::new();
        job.source("numbers", source)
            .key_by(|n: &i64| *n)
            .process("echo", |_| Echo)
            .sink("out", sink);
        let clock = Arc::new(ManualClock::at_ms(NOW));
        Echoing {
            handle: started(&job, config(mode), &clock),
            numbers,
            results,
            clock,
        }
    }

    fn send(&self, n: i64) {
        self.numbers.send(n).unwrap();
    }

    /// Waits for results, which must be exactly these.
    #[track_caller]
    fn expect(&self, expected: &[i64]) {
        until(&self.handle, "a result", || {
            (self.results.snapshot().len() >= expected.len()).then_some(())
        });
        assert_eq!(self.results.snapshot(), expected);
    }

    fn end(self) {
        self.numbers.close();
        finish(self.handle).unwrap();
    }
}

/// Set back by an hour, a clock once kept timers waiting for that hour.
#[test]
fn timers_do_not_notice_that_a_clock_is_set_back() {
    for mode in MODES {
        let job = Echoing::start(mode);
        job.send(1);
        job.expect(&[1]);
        job.clock.set_back(HOUR);
        job.send(2);
        job.expect(&[1, 2]);
        job.clock.advance(Duration::from_millis(999));
        job.send(3);
        job.expect(&[1, 2, 3]);
        job.clock.advance(Duration::from_millis(1));
        job.expect(&[1, 2, 3, -1, -2]);
        job.clock.set_back(YEAR);
        job.send(4);
        job.expect(&[1, 2, 3, -1, -2, 4]);
        job.clock.advance(Duration::from_millis(999));
        job.expect(&[1, 2, 3, -1, -2, 4, -3]);
        job.end();
    }
}

#[test]
fn timers_fire_once_when_a_clock_jumps_ahead() {
    for mode in MODES {
        let job = Echoing::start(mode);
        job.send(1);
        job.expect(&[1]);
        job.clock.advance(YEAR);
        job.expect(&[1, -1]);
        job.clock.advance(YEAR);
        job.clock.set_back(YEAR * 2);
        job.send(2);
        job.expect(&[1, -1, 2]);
        job.clock.advance(Duration::from_secs(1));
        job.expect(&[1, -1, 2, -2]);
        job.end();
    }
}

#[test]
fn a_clock_that_is_set_back_still_finds_a_split_idle() {
    for mode in MODES {
        let job = Job::new("idle");
        let first = [Event::Record(1, 1_u64), Event::Watermark(100), Event::Pause];
        let script = Script::new(first).and_split([Event::Pause]);
        let end = script.handle();
        let timeout = Duration::from_secs(10);
        scripted_with(&job, "in", script, |time| time.idle_after(timeout)).sink("out", Null::new());
        let clock = Arc::new(ManualClock::at_ms(NOW));
        let handle = started(&job, config(mode), &clock);
        until(&handle, "the record", || {
            (handle.report().records_written() == 1).then_some(())
        });
        clock.set_back(HOUR);
        assert!(handle.watermarks().iter().any(|hold| hold.watermark < 100));
        clock.advance(timeout);
        assert!(handle.wait_for_watermark(100, DEADLINE), "{mode}");
        end.resume();
        finish(handle).unwrap();
    }
}

/// Ticks, barriers and micro-batches go by the job's clock: set back, it once stopped them all.
#[test]
fn checkpoints_go_on_while_the_clock_jumps() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let job = Job::new("jumping");
        let (numbers, source) = memory::channel(10);
        let (sink, results) = Collect::new();
        job.source("numbers", source)
            .key_by(|n: &i64| n % 7)
            .count()
            .sink("out", sink);
        let clock = Arc::new(ManualClock::at_ms(NOW));
        let config = JobConfig {
            mode,
            ..durable(dir.path())
        };
        let handle = started(&job, config, &clock);
        for n in 0..20 {
            numbers.send(n).unwrap();
            let mut jumps = [YEAR, Duration::ZERO, HOUR].into_iter().cycle();
            until(&handle, "a committed result", || {
                clock.advance(Duration::from_millis(5));
                if n % 2 == 0 {
                    clock.set_back(jumps.next().unwrap());
                } else if n % 5 == 0 {
                    clock.advance(jumps.next().unwrap());
                }
                (results.committed().len() as i64 > n).then_some(())
            });
        }
        numbers.close();
        until(&handle, "the end", || {
            clock.advance(Duration::from_millis(5));
            (!handle.is_running()).then_some(())
        });
        finish(handle).unwrap();
    }
}

/// Durations that are longer than 64 bits of nanoseconds once turned negative: every split was idle.
#[test]
fn absurd_durations_are_as_long_as_can_be() {
    for mode in MODES {
        let job = Job::new("absurd");
        let first = [Event::Record(1, 1_u64), Event::Watermark(100), Event::Pause];
        let script = Script::new(first).and_split([Event::Pause]);
        let end = script.handle();
        scripted_with(&job, "in", script, |time| {
            time.idle_after(Duration::MAX).align_within(Duration::MAX)
        })
        .sink("out", Null::new());
        let dir = tempfile::tempdir().unwrap();
        let config = JobConfig {
            mode,
            checkpoint_interval: Duration::MAX,
            tick: Duration::MAX,
            ..durable(dir.path())
        };
        let handle = job.start(config).unwrap();
        until(&handle, "the record", || {
            (handle.report().records_written() == 1).then_some(())
        });
        let holds = handle.watermarks();
        assert!(holds.iter().all(|hold| hold.watermark < 100), "{holds:?}");
        end.resume();
        finish(handle).unwrap();
    }
}
