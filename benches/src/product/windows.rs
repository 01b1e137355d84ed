//! The window benches: a source of the event stream, a keyed count per window, a sink that hashes.

use super::{Tally, spinning};
use crate::common::answer::Answer;
use crate::common::throughput::{ThroughputRun, timed};
use crate::common::window_events::{Event, WINDOW_MS, event_of};
use crate::twins::timely_sessions::GAP_MS;
use crate::twins::timely_sliding::SlidingCase;
use crate::twins::timely_windows::{WindowCount, WindowsCase};
use millstream_operators::window::{Windowing, Windows};
use millstream_operators::{
    Fold, Job, KeyedContext, KeyedProcess, KeyedStream, Session, Sliding, Stream, Timer, Tumbling,
    ValueState, Windowed,
};
use millstream_runtime::Result;
use millstream_runtime::config::JobConfig;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::Record;
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::watermark::WatermarkStrategy;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs Millstream once over tumbling windows.
pub fn windows(case: &WindowsCase) -> ThroughputRun {
    windows_with(case, spinning(case.workers))
}

/// The same with other settings.
pub fn windows_with(case: &WindowsCase, config: JobConfig) -> ThroughputRun {
    let windows = Tumbling::of(ms(WINDOW_MS));
    run(*case, config, |events| counts(events, windows))
}

/// Runs Millstream once over sliding windows; over tumbling ones when they do not overlap.
pub fn sliding(case: &SlidingCase) -> ThroughputRun {
    let (size, slide) = (ms(case.size_ms), ms(case.slide_ms));
    if size == slide {
        return count(case.load, Tumbling::of(size));
    }
    count(case.load, Sliding::of(size, slide))
}

/// The same with an aggregate of which nothing can be taken out again.
pub fn sliding_merged(case: &SlidingCase) -> ThroughputRun {
    let (size, slide) = (ms(case.size_ms), ms(case.slide_ms));
    run(case.load, spinning(case.load.workers), |events| {
        let count = Fold::new(0, |count: &mut u64, (): ()| *count += 1);
        let count = count.merged_by(|count: &mut u64, other: u64| *count += other);
        let counts = match size == slide {
            true => events.window(Tumbling::of(size)).aggregate(count),
            false => events.window(Sliding::of(size, slide)).aggregate(count),
        };
        counts.map(|count: Windowed<u64, u64>| (count.window.start, count.key, count.value))
    })
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms as u64)
}

/// Runs Millstream once over session windows.
pub fn sessions(case: &WindowsCase) -> ThroughputRun {
    count(*case, Session::with_gap(ms(GAP_MS)))
}

/// Runs Millstream once with the tumbling windows written by hand, as a process function.
pub fn process(case: &WindowsCase) -> ThroughputRun {
    run(*case, spinning(case.workers), |events| {
        events.process("count per second", |states| PerSecond {
            counts: states.value("counts"),
        })
    })
}

fn count<W: Windows<()> + Windowing<()>>(case: WindowsCase, windows: W) -> ThroughputRun {
    run(case, spinning(case.workers), |events| {
        counts(events, windows)
    })
}

fn counts<W: Windows<()> + Windowing<()>>(
    events: KeyedStream<u64, ()>,
    windows: W,
) -> Stream<WindowCount> {
    let counts = events.window(windows).count();
    counts.map(|count: Windowed<u64, u64>| (count.window.start, count.key, count.value))
}

/// Counts the events of each key and second: a value, and a timer at the end of the second.
struct PerSecond {
    counts: ValueState<Counts>,
}

/// The seconds of a key whose timers have not fired: mostly one. With two workers, one source may be ahead of the
/// other by some.
#[derive(Clone, Serialize, Deserialize)]
struct Counts {
    second: i64,
    count: u64,
    others: Vec<(i64, u64)>,
}

impl Counts {
    fn count_mut(&mut self, second: i64) -> &mut u64 {
        if self.second == second {
            return &mut self.count;
        }
        let at = self.others.iter().position(|other| other.0 == second);
        let at = at.unwrap_or_else(|| {
            self.others.push((second, 0));
            self.others.len() - 1
        });
        &mut self.others[at].1
    }

    /// Takes out a second; also says whether it was the last.
    fn take(&mut self, second: i64) -> (u64, bool) {
        let count = *self.count_mut(second);
        if self.second != second {
            self.others.retain(|other| other.0 != second);
            return (count, false);
        }
        match self.others.pop() {
            Some((second, count_of_it)) => {
                (self.second, self.count) = (second, count_of_it);
                (count, false)
            }
            None => (count, true),
        }
    }
}

impl KeyedProcess for PerSecond {
    type Key = u64;
    type In = ();
    type Out = WindowCount;

    fn on_record(&mut self, (): (), ctx: &mut KeyedContext<'_, u64, WindowCount>) -> UserResult {
        let second = ctx.time().div_euclid(WINDOW_MS);
        ctx.register_event_timer((second + 1) * WINDOW_MS - 1);
        let new = || Counts {
            second,
            count: 0,
            others: Vec::new(),
        };
        let counts = ctx.value(self.counts).get_or_insert_with(new);
        *counts.count_mut(second) += 1;
        Ok(())
    }

    fn on_timer(
        &mut self,
        timer: Timer,
        ctx: &mut KeyedContext<'_, u64, WindowCount>,
    ) -> UserResult {
        let second = timer.time.div_euclid(WINDOW_MS);
        let Some(counts) = ctx.value(self.counts).get_mut() else {
            return Ok(());
        };
        let (count, was_last) = counts.take(second);
        if was_last {
            ctx.value(self.counts).clear();
        }
        let key = *ctx.key();
        ctx.emit((second * WINDOW_MS, key, count));
        Ok(())
    }
}

fn run(
    case: WindowsCase,
    config: JobConfig,
    count: impl FnOnce(KeyedStream<u64, ()>) -> Stream<WindowCount>,
) -> ThroughputRun {
    timed(move || {
        let all = Arc::new(Mutex::new(Vec::new()));
        let job = Job::new("windows");
        // A millisecond more than needed: an event at the very watermark would find the session that it touches
        // fired or not as it happens.
        let strategy = WatermarkStrategy::bounded_out_of_orderness(ms(case.out_of_order_ms + 1));
        let events = job
            .timed_source("events", Events(case), strategy)
            .map(|event: Event| (event.key, ()))
            .keyed();
        count(events).sink(
            "answer",
            Tally {
                all: all.clone(),
                make: Answer::default,
                take: add_all,
                item: PhantomData,
            },
        );
        let handle = job.start(config).expect("the job starts");
        handle.wait().expect("the job ends well");
        let parts = all.lock().expect("no sink panicked").clone();
        parts.into_iter().sum()
    })
}

fn add_all(answer: &mut Answer, records: &[Record<WindowCount>]) {
    for Record { value, .. } in records {
        let (start_ms, key, count) = *value;
        answer.add_triple(start_ms as u64, key, count);
    }
}

struct Events(WindowsCase);

const BUFFER: u64 = 1_024;

impl Source for Events {
    type Item = Event;
    type Split = String;

    fn describe(&self) -> String {
        "events".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = (0..self.0.workers).map(|split| split.to_string()).collect();
        Ok(Box::new(FixedSplits(splits)))
    }

    fn open(
        &self,
        split: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Event>>> {
        let split: u64 = split.parse().expect("made above");
        Ok(Box::new(Reader {
            next: split * BUFFER,
            stride: self.0.workers as u64 * BUFFER,
            end: self.0.events,
            keys: self.0.keys,
            out_of_order_ms: self.0.out_of_order_ms,
        }))
    }
}

struct Reader {
    next: u64,
    stride: u64,
    end: u64,
    keys: u64,
    out_of_order_ms: i64,
}

impl SplitReader<Event> for Reader {
    fn poll(&mut self, batch: &mut Batch<Event>, max: usize) -> Result<ReadStatus> {
        let until = self.end.min(self.next + BUFFER);
        batch.records.reserve(BUFFER as usize);
        for index in self.next..until {
            let event = event_of(index, self.keys, self.out_of_order_ms);
            batch.push(event.time_ms, event);
        }
        self.next += self.stride;
        let _ = max; // a buffer is about what is asked for
        Ok(if self.next < self.end {
            ReadStatus::More
        } else {
            ReadStatus::Finished
        })
    }

    fn position(&self) -> Vec<u8> {
        self.next.to_le_bytes().to_vec()
    }
}
