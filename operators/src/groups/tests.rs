//! Groups with timeouts against a naive reference.

use super::*;
use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use millstream_runtime::record::Record;
use millstream_runtime::time::{WATERMARK_MAX, WATERMARK_MIN};
use std::collections::BTreeMap;

/// What a record asks for.
type Ask = (u8, i64);
/// Key, whether it timed out, the number of calls so far.
type Line = (u8, bool, u32);

/// Counts calls; sets a timeout as the record asks, forgets the key when it comes.
fn count(key: &u8, ask: Option<Ask>, state: &mut GroupState<'_, '_, u8, u32, Line>) -> Vec<Line> {
    let calls = state.get().copied().unwrap_or(0) + 1;
    let line = (*key, state.has_timed_out(), calls);
    let Some((what, time)) = ask else {
        assert_eq!(state.remove(), Some(calls - 1));
        assert!(!state.exists());
        return vec![line];
    };
    match state.get_mut() {
        Some(calls) => *calls += 1,
        None => state.update(calls),
    }
    match what {
        0 => {}
        1 => state.set_timeout_timestamp(time),
        2 => state.set_timeout_duration(Duration::from_millis(time as u64 % 50)),
        _ => {
            state.set_timeout_duration(Duration::ZERO);
            state.set_timeout_timestamp(time); // the last one counts
        }
    }
    vec![line]
}

fn harness()
-> Harness<crate::process::KeyedOperator<impl KeyedProcess<Key = u8, In = Ask, Out = Line>>> {
    Harness::keyed(|states| Groups::new(states, Arc::new(count)))
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<u8, (u32, Option<Timer>)>,
    lines: Vec<Record<Line>>,
    watermark: i64,
    now: i64,
}

impl Model {
    fn record(&mut self, time: i64, key: u8, (what, at): Ask) {
        let entry = self.keys.entry(key).or_default();
        entry.0 += 1;
        let event = Timer {
            time: at,
            domain: TimeDomain::Event,
        };
        let processing = Timer {
            time: self.now + at % 50,
            domain: TimeDomain::Processing,
        };
        entry.1 = [None, Some(event), Some(processing), Some(event)][usize::from(what)];
        self.lines.push(Record::new(time, (key, false, entry.0)));
    }

    fn fire(&mut self, domain: TimeDomain, until: i64) {
        let due = |timer: &Timer| timer.domain == domain && timer.time < until;
        let keys: Vec<u8> = self.keys.keys().copied().collect();
        for key in keys {
            let (calls, timeout) = self.keys[&key];
            if let Some(timer) = timeout.filter(due) {
                self.keys.remove(&key);
                let event = domain == TimeDomain::Event;
                let time = if event { timer.time } else { self.watermark };
                self.lines.push(Record::new(time, (key, true, calls + 1)));
            }
        }
    }
}

fn reference(script: &[Step<u8, Ask>]) -> Vec<Vec<Record<Line>>> {
    let mut model = Model {
        watermark: WATERMARK_MIN,
        ..Model::default()
    };
    let mut results = Vec::new();
    for step in script.iter().chain([&Step::Watermark(WATERMARK_MAX)]) {
        match *step {
            Step::Record(time, key, ask) => model.record(time, key, ask),
            Step::ProcessingTime(now) => {
                model.now = now;
                model.fire(TimeDomain::Processing, now + 1);
            }
            Step::Watermark(watermark) => {
                model.fire(TimeDomain::Event, watermark);
                model.watermark = watermark;
                model.lines.sort();
                results.push(std::mem::take(&mut model.lines));
            }
        }
    }
    results
}

fn script(random: &mut fastrand::Rng) -> Vec<Step<u8, Ask>> {
    let (mut watermark, mut now) = (0, 0);
    let mut step = || match random.u8(..8) {
        0 => {
            watermark += random.i64(0..40);
            Step::Watermark(watermark)
        }
        1 => {
            now += random.i64(1..40);
            Step::ProcessingTime(now)
        }
        _ => {
            // Not in the past: batches fire those later than single records do.
            let ask = (random.u8(..4), watermark + random.i64(0..60));
            Step::Record(watermark + random.i64(-20..60), random.u8(..5), ask)
        }
    };
    (0..150).map(|_| step()).collect()
}

#[test]
fn random_scripts_give_the_results_of_a_naive_reference() {
    for seed in 0..20 {
        let script = script(&mut fastrand::Rng::with_seed(seed));
        let found = in_every_way(harness, &script);
        for (at, (found, expected)) in found.iter().zip(reference(&script)).enumerate() {
            assert_eq!(*found, expected, "seed {seed}, by watermark number {at}");
        }
    }
}

#[test]
fn a_timeout_in_the_past_comes_soon() {
    let mut harness = harness();
    harness.watermark(100);
    harness.record(100, (1, (1, 5)));
    assert_eq!(harness.take_values(), [(1, false, 1), (1, true, 2)]);
    assert_eq!(harness.keys(), 0);
}

/// A function that sets a timeout in every call would never come to an end of the input.
#[test]
fn timeouts_end_with_the_input() {
    let mut harness = Harness::keyed(|states| {
        let again = |_: &u8, _: Option<()>, state: &mut GroupState<'_, '_, u8, (), i64>| {
            let next = state.time() + 10;
            state.set_timeout_timestamp(next);
            Some(next)
        };
        Groups::new(states, Arc::new(again))
    });
    harness.record(0, (1, ()));
    harness.watermark(25);
    harness.end();
    assert_eq!(harness.take_values(), [10, 20, 30, 40]);
    assert_eq!(harness.keys(), 0);
}
