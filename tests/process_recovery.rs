//! Split, distinct, groups, connected and broadcast functions in whole jobs: in both modes, stopped and
//! resumed on other numbers of workers, with the results of an undisturbed run.

use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use millstream::runtime::operator::UserResult;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const BATCHED: Mode = Mode::MicroBatch {
    interval: Duration::ZERO,
};

/// A key and a number.
type Event = (u8, i64);

/// Bursts of records: 10 keys, each with records 5 ms apart, then silent for longer than 100 ms.
fn events() -> Vec<(i64, Event)> {
    let burst = |n: i64| (0..100).map(move |at| (n * 300 + at / 10 * 5, ((at % 10) as u8, at)));
    (0..100).flat_map(burst).collect()
}

/// The length of silence that ends a burst.
const SILENCE_MS: i64 = 100;

/// Counts the records of a burst; says so when it has ended.
fn count_burst(
    key: &u8,
    event: Option<i64>,
    state: &mut GroupState<'_, '_, u8, (i64, u32), String>,
) -> Option<String> {
    let ended = state.get().copied().filter(|(last, _)| {
        // The next burst may begin before the watermark has let the timeout come.
        state.has_timed_out() || last + SILENCE_MS < state.time()
    });
    if ended.is_some() {
        state.remove();
    }
    if event.is_some() {
        let time = state.time();
        let count = state.get().map_or(0, |(_, count)| *count);
        state.update((time, count + 1));
        state.set_timeout_timestamp(time + SILENCE_MS);
    }
    ended.map(|(last, count)| format!("burst of {key} until {last}: {count}"))
}

/// Multiplies numbers by their key's factor; they wait until it is known.
struct Factors {
    waiting: ListState<i64>,
}

impl KeyedBroadcastProcess for Factors {
    type Key = u8;
    type In = i64;
    type Broadcast = (u8, i64);
    type RuleKey = u8;
    type Rule = i64;
    type Out = String;

    fn on_record(
        &mut self,
        number: i64,
        factors: &BTreeMap<u8, i64>,
        ctx: &mut KeyedContext<'_, u8, String>,
    ) -> UserResult {
        match factors.get(&(ctx.key() % 4)) {
            Some(factor) => ctx.emit(format!("product {} {}", ctx.key(), number * factor)),
            None => ctx.list(self.waiting).push(number),
        }
        Ok(())
    }

    fn on_broadcast(
        &mut self,
        (class, factor): (u8, i64),
        factors: &mut BTreeMap<u8, i64>,
        ctx: &mut BroadcastContext<'_, u8, String>,
    ) -> UserResult {
        factors.insert(class, factor);
        ctx.for_each_key(self.waiting, |ctx| {
            if ctx.key() % 4 == class {
                for number in ctx.list(self.waiting).take() {
                    ctx.emit(format!("product {} {}", ctx.key(), number * factor));
                }
            }
            Ok(())
        })
    }
}

/// Shows both sides.
struct Sides;

impl PlainConnectedProcess for Sides {
    type Left = i64;
    type Right = String;
    type Out = String;

    fn on_left(&mut self, even: i64, ctx: &mut ProcessContext<'_, String>) -> UserResult {
        ctx.emit(format!("even {even}"));
        Ok(())
    }

    fn on_right(&mut self, odd: String, ctx: &mut ProcessContext<'_, String>) -> UserResult {
        ctx.emit(odd);
        Ok(())
    }
}

/// Finds fault with its rules: too many, or one that came twice.
struct Thresholds;

impl BroadcastProcess for Thresholds {
    type In = i64;
    type Broadcast = (u8, i64);
    type RuleKey = u8;
    type Rule = i64;
    type Out = String;

    fn on_record(
        &mut self,
        _: i64,
        thresholds: &BTreeMap<u8, i64>,
        ctx: &mut ProcessContext<'_, String>,
    ) -> UserResult {
        if thresholds.len() > 4 {
            ctx.emit(format!("too many rules: {thresholds:?}"));
        }
        Ok(())
    }

    fn on_broadcast(
        &mut self,
        (class, threshold): (u8, i64),
        thresholds: &mut BTreeMap<u8, i64>,
        ctx: &mut ProcessContext<'_, String>,
    ) -> UserResult {
        if thresholds.insert(class, threshold).is_some() {
            ctx.emit(format!("rule {class} came twice"));
        }
        Ok(())
    }
}

fn job(out: &Path) -> Job {
    let job = Job::new("process");
    let events = job.timed_source(
        "events",
        Collection::timed(events()).batch(20),
        WatermarkStrategy::ascending(),
    );
    let factors = (0..4).map(|class| (class, i64::from(class) + 2)).collect();
    let factors = job.source("factors", Collection::<(u8, i64)>::new(factors).batch(1));
    let tags = (SideTag::new("even"), SideTag::new("odd"));
    let (even, odd) = events.split("parity", tags, |(_, n), (even, odd), to| match n % 2 {
        0 => to.put(even, n),
        _ => to.put(odd, format!("odd {n}")),
    });
    let ttl = Ttl::event_time(Duration::from_millis(100));
    let streams = [
        even.connect(&odd).process("sides", || Sides),
        even.distinct().map(|n| format!("distinct {n}")),
        events
            .distinct_by_within(ttl, |(key, _)| *key)
            .map(|(key, n)| format!("first {key} {n}")),
        events.keyed().flat_map_groups_with_state(count_burst),
        events
            .keyed()
            .connect_broadcast(&factors)
            .process("factors", |states| Factors {
                waiting: states.list("waiting"),
            }),
        even.connect_broadcast(&factors)
            .process("thresholds", || Thresholds),
    ];
    let [first, others @ ..] = streams;
    first.union(others).sink("out", FileSink::lines(out));
    job
}

/// The lines of an undisturbed run, sorted.
fn expected() -> Vec<String> {
    let mut lines = Vec::new();
    let mut distinct = BTreeSet::new();
    let mut bursts: BTreeMap<(u8, i64), (i64, u32)> = BTreeMap::new();
    for (time, (key, n)) in events() {
        lines.push(match n % 2 {
            0 => format!("even {n}"),
            _ => format!("odd {n}"),
        });
        if n % 2 == 0 && distinct.insert(n) {
            lines.push(format!("distinct {n}"));
        }
        lines.push(format!("product {key} {}", n * i64::from(key % 4 + 2)));
        let burst = bursts.entry((key, time / 300)).or_default();
        if burst.1 == 0 {
            lines.push(format!("first {key} {n}"));
        }
        *burst = (time, burst.1 + 1);
    }
    let of_burst = |((key, _), (last, count))| format!("burst of {key} until {last}: {count}");
    lines.extend(bursts.into_iter().map(of_burst));
    lines.sort();
    lines
}

fn found(out: &Path) -> Vec<String> {
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

#[track_caller]
fn finish(handle: JobHandle) -> JobReport {
    assert!(
        handle.wait_for(Duration::from_secs(60)),
        "the job hangs: {:#?}",
        handle.report()
    );
    handle.wait().unwrap()
}

#[test]
fn stopped_and_resumed_on_other_workers_the_results_are_the_same() {
    let expected = expected();
    let mut stops = 0;
    for (number, mode) in [Mode::Continuous, BATCHED]
        .into_iter()
        .cycle()
        .take(4)
        .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let config = |life: usize| JobConfig {
            workers: [1, 2, 4][(number + life) % 3],
            mode: [mode, Mode::Continuous, BATCHED, mode][life],
            checkpoint_dir: Some(dir.path().join("checkpoints")),
            checkpoint_interval: Duration::from_millis(1),
            max_in_flight: 100,
            max_batch_records: 50,
            ..JobConfig::default()
        };
        let out = dir.path().join("out");
        for life in 0..3 {
            let handle = job(&out).start(config(life)).unwrap();
            handle.wait_for_checkpoints(2);
            handle.stop();
            stops += usize::from(finish(handle).outcome == Some(Outcome::Stopped));
        }
        finish(job(&out).start(config(3)).unwrap());
        let found = found(&out);
        assert_eq!(found.len(), expected.len(), "round {number}");
        assert_eq!(found, expected, "round {number}");
    }
    assert!(stops > 0, "every job was over before it was disturbed");
}

/// Puts out a key when the watermark comes to its record.
struct Echo;

impl KeyedBroadcastProcess for Echo {
    type Key = u64;
    type In = u64;
    type Broadcast = u64;
    type RuleKey = u64;
    type Rule = ();
    type Out = u64;

    fn on_record(
        &mut self,
        _: u64,
        _: &BTreeMap<u64, ()>,
        ctx: &mut KeyedContext<'_, u64, u64>,
    ) -> UserResult {
        ctx.register_event_timer(ctx.time());
        Ok(())
    }

    fn on_broadcast(
        &mut self,
        _: u64,
        _: &mut BTreeMap<u64, ()>,
        _: &mut BroadcastContext<'_, u64, u64>,
    ) -> UserResult {
        Ok(())
    }

    fn on_timer(
        &mut self,
        _: Timer,
        _: &BTreeMap<u64, ()>,
        ctx: &mut KeyedContext<'_, u64, u64>,
    ) -> UserResult {
        ctx.emit(*ctx.key());
        Ok(())
    }
}

/// A stream of rules is silent most of the time and has no event time: were its watermark to count, no
/// timer would fire before it has ended.
#[test]
fn time_does_not_wait_for_rules() {
    for mode in [Mode::Continuous, BATCHED] {
        let job = Job::new("echo");
        let (rules, rules_source) = memory::channel::<u64>(10);
        let (events, events_source) = memory::channel::<u64>(10);
        let (sink, results) = Collect::new();
        let rules_stream = job.source("rules", rules_source);
        job.timed_source("events", events_source, WatermarkStrategy::ascending())
            .key_by(|n| *n)
            .connect_broadcast(&rules_stream)
            .process("echo", |_| Echo)
            .sink("out", sink);
        let config = JobConfig {
            workers: 2,
            mode,
            ..JobConfig::default()
        };
        let handle = job.start(config).unwrap();
        let watch = Stopwatch::start();
        let mut sent = 0;
        let mut echoed = Vec::new();
        while echoed.is_empty() {
            sent += 1;
            events.send_at(sent, sent as u64).unwrap();
            echoed.extend(results.take());
            let waited = watch.elapsed();
            assert!(waited < Duration::from_secs(30), "time stands still");
            handle.wait_for(Duration::from_millis(1));
        }
        rules.close();
        events.close();
        finish(handle);
        echoed.extend(results.take());
        echoed.sort_unstable();
        assert!(echoed.into_iter().eq(1..=sent as u64));
    }
}

/// Bad input is refused while the job is built, with the operator's name.
mod refused {
    use super::*;

    fn events() -> Stream<Event> {
        Job::new("refused").source("events", Collection::new(Vec::new()))
    }

    #[test]
    #[should_panic(
        expected = "operator \"distinct\": the time to live of state \"seen\" must be at least 1 ms"
    )]
    fn a_time_to_live_of_zero() {
        events().distinct_within(Ttl::event_time(Duration::ZERO));
    }

    #[test]
    #[should_panic(
        expected = "operator \"factors\": the state name \"broadcast.rules\" is reserved: choose another"
    )]
    fn a_name_of_broadcast_state() {
        let events = events();
        let both = events.keyed().connect_broadcast(&events);
        both.process("factors", |states| Factors {
            waiting: states.list("broadcast.rules"),
        });
    }
}

/// A key whose hash is not the same in every process: a restore finds out, and names operator and state.
#[test]
fn a_key_whose_hash_differs_between_processes_is_found_at_the_restore() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PROCESS: AtomicU64 = AtomicU64::new(0);

    #[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Unstable(u64);

    impl std::hash::Hash for Unstable {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            state.write_u64(self.0 ^ PROCESS.load(Ordering::Relaxed));
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let config = || JobConfig {
        checkpoint_dir: Some(dir.path().join("checkpoints")),
        resume: Resume::Latest,
        ..JobConfig::default()
    };
    let run = || {
        let job = Job::new("unstable");
        job.source("numbers", Collection::new((0..100).collect()))
            .distinct_by(|n: &u64| Unstable(*n))
            .sink("out", Null::new());
        job.start(config())?.wait()
    };
    run().unwrap();
    PROCESS.store(1 << 40, Ordering::Relaxed);
    let error = run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Restore);
    let text = error.to_string();
    for part in [
        "operator \"distinct\"",
        "state \"seen\"",
        "the key's Hash differs",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
