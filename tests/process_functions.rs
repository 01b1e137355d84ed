//! Process functions in whole jobs: timers, side outputs and two inputs, in both modes.

use millstream::connectors::collect::Collect;
use millstream::connectors::memory::Collection;
use millstream::operators::{
    ConnectedProcess, Job, KeyedContext, KeyedProcess, ProcessContext, Side, SideTag, Timer,
    ValueState,
};
use millstream::runtime::config::{JobConfig, Mode};
use millstream::runtime::operator::UserResult;
use millstream::runtime::watermark::WatermarkStrategy;
use std::time::Duration;

fn configurations() -> impl Iterator<Item = JobConfig> {
    let batched = Mode::MicroBatch {
        interval: Duration::ZERO,
    };
    [1, 2].into_iter().flat_map(move |workers| {
        [Mode::Continuous, batched].map(|mode| JobConfig {
            workers,
            mode,
            ..Default::default()
        })
    })
}

/// Counts the records of a key until it was silent for 50 ms.
struct Silence {
    count: ValueState<u64>,
    last: ValueState<i64>,
    first: Side<u64>,
}

impl KeyedProcess for Silence {
    type Key = u64;
    type In = i64;
    type Out = (u64, u64, i64);

    fn on_record(&mut self, _: i64, ctx: &mut KeyedContext<'_, u64, Self::Out>) -> UserResult {
        let time = ctx.time();
        let mut last = ctx.value(self.last).get().copied();
        if let Some(end) = last.map(|last| last + 50) {
            ctx.delete_event_timer(end);
            if end < time {
                // The next session begins before the watermark has come to the end of this one.
                self.close(end, ctx);
                last = None;
            }
        }
        if last.is_none() {
            ctx.emit_to(&self.first, *ctx.key());
        }
        ctx.value(self.last).set(time);
        *ctx.value(self.count).get_or_default() += 1;
        ctx.register_event_timer(time + 50);
        // Far in the future: it must not keep the job from ending.
        ctx.register_processing_timer(i64::MAX);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u64, Self::Out>) -> UserResult {
        self.close(timer.time, ctx);
        Ok(())
    }
}

impl Silence {
    fn close(&self, end: i64, ctx: &mut KeyedContext<'_, u64, (u64, u64, i64)>) {
        let count = ctx.value(self.count).take().unwrap_or(0);
        ctx.value(self.last).clear();
        ctx.emit_at(end, (*ctx.key(), count, end));
    }
}

#[test]
fn timers_close_sessions() {
    // Five keys, each in bursts of ten records 5 ms apart.
    let mut records: Vec<(i64, i64)> = (0..1000)
        .map(|n| (n / 50 * 200 + n % 10 * 5, n % 50 / 10))
        .collect();
    records.sort();
    for config in configurations() {
        let job = Job::new("silence");
        let (sink, results) = Collect::new();
        let (side, first) = Collect::new();
        let source = Collection::timed(records.clone());
        let strategy = WatermarkStrategy::ascending();
        let keyed = job
            .timed_source("records", source, strategy)
            .key_by(|key| *key as u64);
        let tag = SideTag::new("first");
        let (closed, started) = keyed.process_with_sides("silence", tag, |states, first| Silence {
            count: states.value("count"),
            last: states.value("last"),
            first,
        });
        closed.sink("closed", sink);
        started.sink("started", side);
        job.start(config).unwrap().wait().unwrap();
        let mut closed = results.take();
        closed.sort();
        let expected = (0..5).flat_map(|key| (0..20).map(move |burst| (key, 10, burst * 200 + 95)));
        assert_eq!(closed, expected.collect::<Vec<_>>());
        assert_eq!(first.take().len(), 100);
    }
}

/// Adds the latest rate of a key to its amounts, which wait for it.
struct Priced {
    rate: ValueState<u64>,
    waiting: ValueState<Vec<u64>>,
}

impl ConnectedProcess for Priced {
    type Key = u64;
    type Left = u64;
    type Right = u64;
    type Out = u64;

    fn on_left(&mut self, amount: u64, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        match ctx.value(self.rate).get().copied() {
            Some(rate) => ctx.emit(amount * rate),
            None => ctx.value(self.waiting).get_or_default().push(amount),
        }
        Ok(())
    }

    fn on_right(&mut self, rate: u64, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        ctx.value(self.rate).set(rate);
        for amount in ctx.value(self.waiting).take().unwrap_or_default() {
            ctx.emit(amount * rate);
        }
        Ok(())
    }
}

#[test]
fn two_streams_and_a_split() {
    for config in configurations() {
        let job = Job::new("priced");
        let (sink, results) = Collect::new();
        let lines: Vec<String> = (0..300)
            .map(|n| format!("{}{n}", ["", "rate "][n % 2]))
            .collect();
        let split = |rates: Side<u64>| {
            move |line: String, ctx: &mut ProcessContext<'_, u64>| {
                match line.strip_prefix("rate ") {
                    Some(rate) => ctx.emit_to(&rates, rate.parse()?),
                    None => ctx.emit(line.parse()?),
                }
                Ok(())
            }
        };
        let (amounts, rates) = job
            .source("lines", Collection::new(lines))
            .process_with_sides("split", SideTag::new("rates"), split);
        let amounts = amounts.key_by(|amount| amount / 2);
        let rates = rates.key_by(|rate| rate / 2);
        let priced = amounts.connect(&rates).process("priced", |states| Priced {
            rate: states.value("rate"),
            waiting: states.value("waiting"),
        });
        priced.sink("out", sink);
        job.start(config).unwrap().wait().unwrap();
        let mut priced = results.take();
        priced.sort_unstable();
        assert!(priced.into_iter().eq((0..150).map(|n| 2 * n * (2 * n + 1))));
    }
}
