//! A function that uses every kind of state, both kinds of timers and time to live, at random, against
//! a naive model.

use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use crate::{
    AggregatingState, Average, KeyedContext, KeyedProcess, ListState, MapState, ReducingState,
    StateSpec, States, TimeDomain, Timer, Ttl, ValueState,
};
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TTL_MS: i64 = 60;
const TTL: Duration = Duration::from_millis(TTL_MS as u64);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Set(u32),
    Clear,
    Push(u32),
    TakeList,
    Insert(u8, u32),
    Remove(u8),
    Reduce(u32),
    Average(u32),
    EventTimer(i64),
    ProcessingTimer(i64),
    DeleteEventTimer(i64),
    DeleteProcessingTimer(i64),
}

/// What a function sees of the state of a key.
type View = (
    Option<u32>,
    Vec<u32>,
    BTreeMap<u8, u32>,
    Option<u32>,
    Option<u64>,
);

/// Key, what it did, what it sees.
type Line = (u8, String, View);

type MeanOf = fn(&u32) -> f64;

struct Everything {
    value: ValueState<u32>,
    list: ListState<u32>,
    map: MapState<u8, u32>,
    sum: ReducingState<u32>,
    mean: AggregatingState<u32, Average<MeanOf>>,
}

impl Everything {
    fn new(states: &mut States<'_, u8>) -> Self {
        let mean_of: MeanOf = |value| f64::from(*value);
        Everything {
            value: states.value(StateSpec::new("value").with_ttl(Ttl::event_time(TTL))),
            list: states
                .list(StateSpec::new("list").with_ttl(Ttl::event_time(TTL).refreshed_by_reads())),
            map: states.map(StateSpec::new("map").with_ttl(Ttl::processing_time(TTL))),
            sum: states.reducing("sum", |sum, value| *sum += value),
            mean: states.aggregating("mean", Average::of(mean_of)),
        }
    }

    fn show(&self, what: String, ctx: &mut KeyedContext<'_, u8, Line>) {
        let view = (
            ctx.value(self.value).get().copied(),
            ctx.list(self.list).get().to_vec(),
            ctx.map(self.map).entries().cloned().unwrap_or_default(),
            ctx.reducing(self.sum).get().copied(),
            ctx.aggregating(self.mean).get().map(f64::to_bits),
        );
        ctx.emit((*ctx.key(), what, view));
    }
}

impl KeyedProcess for Everything {
    type Key = u8;
    type In = Ask;
    type Out = Line;

    fn on_record(&mut self, ask: Ask, ctx: &mut KeyedContext<'_, u8, Line>) -> UserResult {
        let what = format!("{ask:?}");
        match ask {
            Ask::Set(value) => ctx.value(self.value).set(value),
            Ask::Clear => ctx.value(self.value).clear(),
            Ask::Push(value) => ctx.list(self.list).push(value),
            Ask::TakeList => drop(ctx.list(self.list).take()),
            Ask::Insert(key, value) => drop(ctx.map(self.map).insert(key, value)),
            Ask::Remove(key) => drop(ctx.map(self.map).remove(&key)),
            Ask::Reduce(value) => ctx.reducing(self.sum).add(value),
            Ask::Average(value) => ctx.aggregating(self.mean).add(value),
            Ask::EventTimer(time) => drop(ctx.register_event_timer(time)),
            Ask::ProcessingTimer(time) => drop(ctx.register_processing_timer(time)),
            Ask::DeleteEventTimer(time) => drop(ctx.delete_event_timer(time)),
            Ask::DeleteProcessingTimer(time) => drop(ctx.delete_processing_timer(time)),
        }
        self.show(what, ctx);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u8, Line>) -> UserResult {
        let sum = match timer.domain {
            TimeDomain::Event => 1,
            TimeDomain::Processing => 1000,
        };
        ctx.reducing(self.sum).add(sum);
        self.show(format!("{timer:?}"), ctx);
        Ok(())
    }
}

/// A state with the time at which it expires.
#[derive(Default)]
struct Expiring<T> {
    value: T,
    refreshed: Option<i64>,
}

impl<T: Clone + Default> Expiring<T> {
    fn expired(&self, now: i64) -> bool {
        self.refreshed.is_some_and(|time| time + TTL_MS <= now)
    }

    /// What a read sees; a record of an earlier event time may see it again.
    fn seen(&self, now: i64) -> T {
        match self.expired(now) {
            true => T::default(),
            false => self.value.clone(),
        }
    }

    /// For changing.
    fn at(&mut self, now: i64) -> &mut T {
        if self.expired(now) {
            self.value = T::default();
        }
        &mut self.value
    }

    fn refresh(&mut self, now: i64) {
        self.refreshed = self.refreshed.max(Some(now));
    }
}

#[derive(Default)]
struct OneKey {
    value: Expiring<Option<u32>>,
    list: Expiring<Vec<u32>>,
    map: Expiring<BTreeMap<u8, u32>>,
    sum: Option<u32>,
    seen: Vec<u32>,
}

struct Model {
    keys: BTreeMap<u8, OneKey>,
    event: BTreeSet<(EventTime, u8)>,
    processing: BTreeSet<(EventTime, u8)>,
    watermark: EventTime,
    now: EventTime,
    lines: Vec<Record<Line>>,
}

impl Model {
    fn show(&mut self, key: u8, what: String, time: EventTime, event: EventTime) {
        let state = self.keys.entry(key).or_default();
        let list = state.list.seen(event);
        if !list.is_empty() {
            state.list.refresh(event);
        }
        let mean = state
            .seen
            .iter()
            .map(|value| f64::from(*value))
            .sum::<f64>();
        let mean = mean / state.seen.len() as f64;
        let view = (
            state.value.seen(event),
            list,
            state.map.seen(self.now),
            state.sum,
            (!state.seen.is_empty()).then_some(mean.to_bits()),
        );
        self.lines.push(Record::new(time, (key, what, view)));
    }

    fn record(&mut self, time: EventTime, key: u8, ask: &Ask) {
        let event = time.max(self.watermark);
        let now = self.now;
        let state = self.keys.entry(key).or_default();
        match *ask {
            Ask::Set(value) => {
                *state.value.at(event) = Some(value);
                state.value.refresh(event);
            }
            Ask::Clear => state.value = Expiring::default(),
            Ask::Push(value) => {
                state.list.at(event).push(value);
                state.list.refresh(event);
            }
            Ask::TakeList => state.list = Expiring::default(),
            Ask::Insert(at, value) => {
                state.map.at(now).insert(at, value);
                state.map.refresh(now);
            }
            Ask::Remove(at) => {
                let map = state.map.at(now);
                map.remove(&at);
                if !map.is_empty() || state.map.refreshed.is_some() {
                    state.map.refresh(now);
                }
                if state.map.value.is_empty() {
                    state.map = Expiring::default();
                }
            }
            Ask::Reduce(value) => state.sum = Some(state.sum.unwrap_or(0) + value),
            Ask::Average(value) => state.seen.push(value),
            Ask::EventTimer(time) => drop(self.event.insert((time, key))),
            Ask::ProcessingTimer(time) => drop(self.processing.insert((time, key))),
            Ask::DeleteEventTimer(time) => drop(self.event.remove(&(time, key))),
            Ask::DeleteProcessingTimer(time) => drop(self.processing.remove(&(time, key))),
        }
        self.show(key, format!("{ask:?}"), time, event);
    }

    fn fire(&mut self, timer: Timer, key: u8, time: EventTime, event: EventTime) {
        let state = self.keys.entry(key).or_default();
        let add = if timer.domain == TimeDomain::Event {
            1
        } else {
            1000
        };
        state.sum = Some(state.sum.unwrap_or(0) + add);
        self.show(key, format!("{timer:?}"), time, event);
    }

    fn watermark(&mut self, to: EventTime) {
        while let Some((time, key)) = self.event.first().copied()
            && (time < to || to == WATERMARK_MAX)
        {
            self.event.pop_first();
            let domain = TimeDomain::Event;
            self.fire(Timer { time, domain }, key, time, time.max(self.watermark));
        }
        self.watermark = to;
    }

    fn processing_time(&mut self, now: EventTime) {
        self.now = now;
        while let Some((time, key)) = self.processing.first().copied()
            && time <= now
        {
            self.processing.pop_first();
            let domain = TimeDomain::Processing;
            self.fire(Timer { time, domain }, key, self.watermark, self.watermark);
        }
    }
}

fn run_model(script: &[Step<u8, Ask>]) -> Vec<Vec<Record<Line>>> {
    let mut model = Model {
        keys: BTreeMap::new(),
        event: BTreeSet::new(),
        processing: BTreeSet::new(),
        watermark: WATERMARK_MIN,
        now: 0,
        lines: Vec::new(),
    };
    let mut results = Vec::new();
    for step in script.iter().chain([&Step::Watermark(WATERMARK_MAX)]) {
        match step {
            Step::Record(time, key, ask) => model.record(*time, *key, ask),
            Step::ProcessingTime(now) => model.processing_time(*now),
            Step::Watermark(watermark) => {
                model.watermark(*watermark);
                model.lines.sort();
                results.push(std::mem::take(&mut model.lines));
            }
        }
    }
    results
}

fn random_ask(random: &mut fastrand::Rng, watermark: i64, now: i64) -> Ask {
    let value = random.u32(..100);
    let small = random.u8(..4);
    match random.u8(..14) {
        0 | 1 => Ask::Set(value),
        2 => Ask::Clear,
        3 | 4 => Ask::Push(value),
        5 => Ask::TakeList,
        6 | 7 => Ask::Insert(small, value),
        8 => Ask::Remove(small),
        9 => Ask::Reduce(value),
        10 => Ask::Average(value),
        // Not in the past: batches fire those later than single records do.
        11 => Ask::EventTimer(watermark + random.i64(0..20) * 5),
        12 => Ask::ProcessingTimer(now + random.i64(1..20) * 5),
        _ if random.bool() => Ask::DeleteEventTimer(watermark + random.i64(0..20) * 5),
        _ => Ask::DeleteProcessingTimer(now + random.i64(1..20) * 5),
    }
}

fn random_script(seed: u64) -> Vec<Step<u8, Ask>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut watermark, mut now) = (0, 0);
    let mut steps = vec![Step::Watermark(0)];
    for _ in 0..random.usize(..250) {
        let step = match random.u8(..8) {
            0 => {
                watermark += random.i64(0..10) * 5;
                Step::Watermark(watermark)
            }
            1 => {
                now += random.i64(0..10) * 5;
                Step::ProcessingTime(now)
            }
            _ => {
                let time = watermark + random.i64(-20..50);
                let ask = random_ask(&mut random, watermark, now);
                Step::Record(time, random.u8(..4), ask)
            }
        };
        steps.push(step);
    }
    steps
}

#[test]
fn everything_is_as_in_the_model() {
    for seed in 0..10 {
        let script = random_script(seed);
        let results = in_every_way(|| Harness::keyed(Everything::new), &script);
        let expected = run_model(&script);
        assert_eq!(results.len(), expected.len());
        for (at, (found, expected)) in results.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "seed {seed}, watermark number {at}");
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    for seed in 0..20 {
        let mut harness = Harness::keyed(Everything::new);
        let mut last = 0;
        for step in random_script(seed) {
            match step {
                Step::Record(_, _, Ask::Reduce(_) | Ask::Average(_)) => {}
                Step::Record(_, _, Ask::EventTimer(_) | Ask::ProcessingTimer(_)) => {}
                Step::Record(time, key, ask) => harness.record(time, (key, ask)),
                Step::Watermark(watermark) => harness.watermark(watermark),
                Step::ProcessingTime(now) => {
                    last = now;
                    harness.processing_time(now);
                }
            }
        }
        harness.restart_on(2);
        harness.processing_time(last + 2 * TTL_MS);
        harness.end();
        assert_eq!(harness.keys(), 0, "seed {seed}");
    }
}
