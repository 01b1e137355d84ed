//! Stop, crash and resume: the results are those of an undisturbed run, whatever the mode, the number of
//! workers and the moment.

use fastrand::Rng;
use millstream::connectors::files::FileSink;
use millstream::connectors::memory::Collection;
use millstream::operators::{
    AsyncIo, CountTrigger, Cumulating, EventTimeTrigger, Global, Job, KeyedStream, Session,
    Sliding, Stream, Sum, Timing, Tumbling, WindowContext,
};
use millstream::runtime::config::{JobConfig, Mode};
use millstream::runtime::watermark::WatermarkStrategy;
use millstream::runtime::{BoxError, ErrorKind};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

type Event = (u32, i64);

/// Event times out of order by at most 50 ms.
fn events(rng: &mut Rng, count: usize) -> Vec<(i64, Event)> {
    (0..count as i64)
        .map(|i| (i * 3 - rng.i64(0..50), (rng.u32(0..40), rng.i64(-5..100))))
        .collect()
}

/// How events are cut into windows of some size.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Tumbling,
    Sliding,
    /// All records are kept, and handed to a function.
    SlidingProcess,
    Cumulating,
    Session,
    /// Early results, which do not count, and one on time.
    Staged,
    /// One window up to the end of input.
    Global,
}

/// A window's start and end, and its sum.
type WindowSum = ((i64, i64), i64);

impl Cut {
    const ALL: [Cut; 7] = [
        Cut::Tumbling,
        Cut::Sliding,
        Cut::SlidingProcess,
        Cut::Cumulating,
        Cut::Session,
        Cut::Staged,
        Cut::Global,
    ];

    /// How far apart windows begin, or grow.
    fn step(size: i64) -> i64 {
        size.div_euclid(3) + 1
    }

    fn lines(self, size: i64, keyed: &KeyedStream<u32, i64>) -> Stream<String> {
        let ms = |ms: i64| Duration::from_millis(ms as u64);
        let sum = || Sum::of(|value: &i64| *value);
        let line = |at: &WindowContext<'_, u32>, sum: i64| {
            format!(
                "window {} {} {} {sum}",
                at.window.start, at.window.end, at.key
            )
        };
        let sliding = Sliding::of(ms(size), ms(Cut::step(size)));
        let plain = match self {
            Cut::Tumbling => keyed.window(Tumbling::of(ms(size))).aggregate(sum()),
            Cut::Sliding => keyed.window(sliding).aggregate(sum()),
            Cut::Cumulating => {
                let windows = Cumulating::of(ms(3 * size), ms(size));
                keyed.window(windows).aggregate(sum())
            }
            Cut::Session => keyed.window(Session::with_gap(ms(size))).aggregate(sum()),
            Cut::SlidingProcess => {
                return keyed.window(sliding).process(move |at, records, out| {
                    out.push(line(at, records.iter().map(|record| record.value).sum()));
                    Ok(())
                });
            }
            Cut::Staged => {
                let windows = keyed.window(Tumbling::of(ms(size)));
                let windows = windows.trigger(EventTimeTrigger.early(CountTrigger::of(2)));
                return windows.aggregate_then(sum(), move |at, sum, out| {
                    if at.timing == Timing::OnTime {
                        out.push(line(at, sum));
                    }
                    Ok(())
                });
            }
            Cut::Global => keyed
                .window(Global)
                .trigger(EventTimeTrigger)
                .aggregate(sum()),
        };
        plain.map(|w| {
            format!(
                "window {} {} {} {}",
                w.window.start, w.window.end, w.key, w.value
            )
        })
    }

    /// The same the slow way, of the events of one key in order of time.
    fn sums(self, size: i64, events: &[(i64, i64)]) -> Vec<WindowSum> {
        let mut sums: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        for (time, value) in events {
            let windows: Vec<(i64, i64)> = match self {
                Cut::Tumbling | Cut::Staged => {
                    let start = time.div_euclid(size) * size;
                    vec![(start, start + size)]
                }
                Cut::Sliding | Cut::SlidingProcess => {
                    let starts = (time - size + 1)..=*time;
                    let starts = starts.filter(|start| start.rem_euclid(Cut::step(size)) == 0);
                    starts.map(|start| (start, start + size)).collect()
                }
                Cut::Cumulating => {
                    let start = time.div_euclid(3 * size) * 3 * size;
                    let ends = (1..=3).map(|steps| start + steps * size);
                    ends.filter(|end| time < end)
                        .map(|end| (start, end))
                        .collect()
                }
                Cut::Session => match sums.last_entry() {
                    Some(last) if last.key().1 >= *time => {
                        let ((start, _), sum) = last.remove_entry();
                        sums.insert((start, time + size), sum);
                        vec![(start, time + size)]
                    }
                    _ => vec![(*time, time + size)],
                },
                Cut::Global => vec![(events[0].0, events[events.len() - 1].0 + 1)],
            };
            for window in windows {
                *sums.entry(window).or_default() += value;
            }
        }
        sums.into_iter().collect()
    }
}

/// Answers after a while that depends on the event.
async fn answer(event: Event) -> Result<Event, BoxError> {
    for _ in 0..event.1.rem_euclid(7) {
        let mut waited = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    Ok(event)
}

/// What comes of the events: a line per window and key, and one per event for the running sum.
struct Shape {
    splits: usize,
    batch: usize,
    cut: Cut,
    size: i64,
    drop_below: i64,
    rolling: bool,
    /// Every event is asked of a service that answers in disorder.
    requests: Option<AsyncIo>,
}

impl Shape {
    fn random(rng: &mut Rng) -> Shape {
        Shape {
            splits: rng.usize(1..6),
            batch: rng.usize(1..200),
            cut: Cut::ALL[rng.usize(..Cut::ALL.len())],
            size: rng.i64(1..400),
            drop_below: rng.i64(-5..20),
            rolling: rng.bool(),
            requests: rng.bool().then(|| Shape::requests(rng)),
        }
    }

    fn requests(rng: &mut Rng) -> AsyncIo {
        let io = match rng.bool() {
            true => AsyncIo::ordered(),
            false => AsyncIo::unordered(),
        };
        io.capacity(rng.usize(1..300))
            .timeout(Duration::from_secs(600))
    }

    fn reference(&self, events: &[(i64, Event)]) -> Vec<String> {
        let mut kept: BTreeMap<u32, Vec<(i64, i64)>> = BTreeMap::new();
        let mut totals: BTreeMap<u32, (u64, i64)> = BTreeMap::new();
        for (time, (key, value)) in events {
            if *value < self.drop_below {
                continue;
            }
            kept.entry(*key).or_default().push((*time, *value));
            let total = totals.entry(*key).or_default();
            *total = (total.0 + 1, total.1 + value);
        }
        let mut lines = Vec::new();
        for (key, mut values) in kept {
            values.sort();
            for ((start, end), sum) in self.cut.sums(self.size, &values) {
                lines.push(format!("window {start} {end} {key} {sum}"));
            }
        }
        if self.rolling {
            // The order between keys' records is free; the last value of each key and the number of
            // updates are not.
            for (key, (count, sum)) in totals {
                lines.push(format!("total {key} {count} {sum} in {count} updates"));
            }
        }
        lines.sort();
        lines
    }

    fn job(&self, events: &[(i64, Event)], out: &Path, fuse: &Arc<AtomicI64>) -> Job {
        let job = Job::new("random");
        let drop_below = self.drop_below;
        let fuse = fuse.clone();
        let kept = job
            .timed_source(
                "events",
                Collection::timed(events.to_vec())
                    .splits(self.splits)
                    .batch(self.batch),
                WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(
                    50 + 3 * self.splits as u64,
                )),
            )
            .inspect(move |_| {
                if fuse.fetch_sub(1, Ordering::Relaxed) == 1 {
                    panic!("the fuse blew");
                }
            })
            .name("fuse")
            .filter(move |(_, value)| *value >= drop_below);
        let kept = match self.requests {
            Some(io) => kept.async_map("request", io, || answer),
            None => kept,
        };
        let keyed = kept.map(|(key, value)| (key, value)).keyed();
        self.cut
            .lines(self.size, &keyed)
            .sink("windows", FileSink::lines(out.join("windows")));
        if self.rolling {
            keyed
                .fold((0u64, 0i64), |total, value| {
                    *total = (total.0 + 1, total.1 + value);
                })
                .map(|(key, (count, sum))| format!("total {key} {count} {sum}"))
                .sink("totals", FileSink::lines(out.join("totals")));
        }
        job
    }
}

/// All final lines; of the totals, which are updates, the last of each key.
fn results(out: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut totals: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut updates: BTreeMap<String, u64> = BTreeMap::new();
    for folder in ["windows", "totals"] {
        let Ok(files) = std::fs::read_dir(out.join(folder)) else {
            continue;
        };
        for file in files {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            for line in std::fs::read_to_string(file.path()).unwrap().lines() {
                let parts: Vec<&str> = line.split(' ').collect();
                if parts[0] == "window" {
                    lines.push(line.to_owned());
                    continue;
                }
                let count: u64 = parts[2].parse().unwrap();
                *updates.entry(parts[1].to_owned()).or_default() += 1;
                let last = totals.entry(parts[1].to_owned()).or_default();
                if count > last.0 {
                    *last = (count, line.to_owned());
                }
            }
        }
    }
    for (key, (_, line)) in totals {
        lines.push(format!("{line} in {} updates", updates[&key]));
    }
    lines.sort();
    lines
}

fn config(rng: &mut Rng, dir: &Path) -> JobConfig {
    JobConfig {
        workers: [1, 2, 4][rng.usize(0..3)],
        mode: if rng.bool() {
            Mode::Continuous
        } else {
            Mode::MicroBatch {
                interval: Duration::from_millis(rng.u64(0..3)),
            }
        },
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(rng.u64(0..8)),
        max_in_flight: rng.usize(1..5_000),
        max_batch_records: rng.usize(1..2_000),
        chaining: rng.bool(),
        ..JobConfig::default()
    }
}

/// One random job, disturbed a few times, then run to its end.
fn round(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let count = rng.usize(0..6_000);
    let events = events(&mut rng, count);
    let shape = Shape::random(&mut rng);
    let expected = shape.reference(&events);
    let mut log = Vec::new();
    for _ in 0..rng.usize(0..4) {
        let config = config(&mut rng, dir.path());
        log.push(format!("{config:?}"));
        let crash = rng.bool();
        let fuse = Arc::new(AtomicI64::new(if crash {
            rng.i64(1..4_000)
        } else {
            i64::MAX
        }));
        let job = shape.job(&events, dir.path(), &fuse);
        let handle = job
            .start(config)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        if !crash {
            let until = rng.u64(1..5);
            handle.wait_for_checkpoints(until);
            handle.stop();
        }
        match handle.wait() {
            Ok(report) => log.push(format!("{:?}", report.outcome)),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::UserFunction,
                    "seed {seed}: {error}"
                );
                let text = error.to_string();
                assert!(
                    text.contains("\"fuse\" on worker") && text.contains("the fuse blew"),
                    "seed {seed}: {text}"
                );
                log.push(text);
            }
        }
    }
    let config = config(&mut rng, dir.path());
    log.push(format!("{config:?}"));
    let job = shape.job(&events, dir.path(), &Arc::new(AtomicI64::new(i64::MAX)));
    let handle = job
        .start(config)
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    assert!(
        handle.wait_for(Duration::from_secs(60)),
        "seed {seed} hangs: {:#?}\n{log:#?}",
        handle.report()
    );
    handle.wait().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let found = results(dir.path());
    if found != expected {
        let missing: Vec<_> = expected
            .iter()
            .filter(|l| !found.contains(l))
            .take(10)
            .collect();
        let extra: Vec<_> = found
            .iter()
            .filter(|l| !expected.contains(l))
            .take(10)
            .collect();
        panic!(
            "seed {seed}: {} lines, expected {}; missing {missing:#?}; extra {extra:#?}\n{log:#?}",
            found.len(),
            expected.len()
        );
    }
}

/// `MILLSTREAM_SEEDS=1000..2000` runs others.
#[test]
fn random_jobs_give_the_results_of_a_batch() {
    let (from, to) = std::env::var("MILLSTREAM_SEEDS")
        .ok()
        .and_then(|text| {
            let (a, b) = text.split_once("..")?;
            Some((a.parse().ok()?, b.parse().ok()?))
        })
        .unwrap_or((0, 60));
    for seed in from..to {
        round(seed);
    }
}
