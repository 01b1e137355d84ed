//! Rules that all workers have.

use crate::testing::Harness;
use crate::testing::contract::{Step, compare};
use crate::{BroadcastContext, KeyedBroadcastProcess, KeyedContext, States, Timer, ValueState};
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::Record;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

type Rules = BTreeMap<u8, u32>;
/// Key, what happened, the sum, the rules.
type Line = (u8, &'static str, u32, Vec<(u8, u32)>);

/// Serialised with owned text: a line of results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Shown(u8, String, u32, Vec<(u8, u32)>);

fn shown((key, what, sum, rules): Line) -> Shown {
    Shown(key, what.to_string(), sum, rules)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Add(u32),
    Timer(EventTime),
    Clear,
    /// For everybody: a rule, or its end.
    Rule(u8, Option<u32>),
}

/// Sums up; shows the rules with every record; a rule change shows every key that has a sum and halves it.
struct Sums {
    sum: ValueState<u32>,
}

impl Sums {
    fn new(states: &mut States<'_, u8>) -> Self {
        Sums {
            sum: states.value("sum"),
        }
    }

    fn show(&self, what: &'static str, rules: &Rules, ctx: &mut KeyedContext<'_, u8, Shown>) {
        let sum = ctx.value(self.sum).get().copied().unwrap_or(0);
        let rules = rules.iter().map(|(name, rule)| (*name, *rule)).collect();
        ctx.emit(shown((*ctx.key(), what, sum, rules)));
    }
}

impl KeyedBroadcastProcess for Sums {
    type Key = u8;
    type In = Ask;
    type Broadcast = (u8, Option<u32>);
    type RuleKey = u8;
    type Rule = u32;
    type Out = Shown;

    fn on_record(
        &mut self,
        ask: Ask,
        rules: &Rules,
        ctx: &mut KeyedContext<'_, u8, Shown>,
    ) -> UserResult {
        match ask {
            Ask::Add(value) => *ctx.value(self.sum).get_or_default() += value,
            Ask::Timer(time) => drop(ctx.register_event_timer(time)),
            Ask::Clear => ctx.value(self.sum).clear(),
            Ask::Rule(..) => unreachable!("rules are broadcast"),
        }
        self.show("record", rules, ctx);
        Ok(())
    }

    fn on_broadcast(
        &mut self,
        (name, rule): (u8, Option<u32>),
        rules: &mut Rules,
        ctx: &mut BroadcastContext<'_, u8, Shown>,
    ) -> UserResult {
        match rule {
            Some(rule) => rules.insert(name, rule),
            None => rules.remove(&name),
        };
        ctx.for_each_key(self.sum, |ctx| {
            *ctx.value(self.sum).get_or_default() /= 2;
            self.show("rule", rules, ctx);
            ctx.register_event_timer(ctx.time());
            Ok(())
        })
    }

    fn on_timer(
        &mut self,
        _: Timer,
        rules: &Rules,
        ctx: &mut KeyedContext<'_, u8, Shown>,
    ) -> UserResult {
        self.show("timer", rules, ctx);
        Ok(())
    }
}

fn take(
    harness: &mut Harness<crate::process::KeyedBroadcastOperator<Sums>>,
    records: Vec<(EventTime, (u8, Ask))>,
) {
    let mut batch = Vec::new();
    for (time, (key, ask)) in records {
        match ask {
            Ask::Rule(name, rule) => {
                harness.left(std::mem::take(&mut batch));
                harness.broadcast([(time, (name, rule))]);
            }
            ask => batch.push((time, (key, ask))),
        }
    }
    harness.left(batch);
}

fn random_script(random: &mut fastrand::Rng) -> Vec<Step<u8, Ask>> {
    let mut watermark = 0;
    let mut step = || {
        // Not in the past: batches fire those later than single records do.
        let time = watermark + random.i64(0..50);
        let ask = match random.u8(..10) {
            0 | 1 => {
                watermark += random.i64(0..30);
                return Step::Watermark(watermark);
            }
            2 => Ask::Timer(time + random.i64(0..50)),
            3 => Ask::Clear,
            4 => Ask::Rule(random.u8(..4), random.bool().then(|| random.u32(..9))),
            _ => Ask::Add(random.u32(..100)),
        };
        Step::Record(time, random.u8(..8), ask)
    };
    (0..120).map(|_| step()).collect()
}

fn reference(script: &[Step<u8, Ask>]) -> Vec<Vec<Record<Shown>>> {
    let mut rules = Rules::new();
    let mut sums: BTreeMap<u8, u32> = BTreeMap::new();
    let mut timers: BTreeSet<(EventTime, u8)> = BTreeSet::new();
    let mut lines = Vec::new();
    let mut results = Vec::new();
    let mut watermark = WATERMARK_MIN;
    for step in script.iter().chain([&Step::Watermark(WATERMARK_MAX)]) {
        let list = |rules: &Rules| rules.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
        match step {
            Step::Record(time, key, ask) => {
                match *ask {
                    Ask::Add(value) => *sums.entry(*key).or_default() += value,
                    Ask::Timer(at) => drop(timers.insert((at, *key))),
                    Ask::Clear => drop(sums.remove(key)),
                    Ask::Rule(name, rule) => {
                        match rule {
                            Some(rule) => rules.insert(name, rule),
                            None => rules.remove(&name),
                        };
                        for (key, sum) in &mut sums {
                            *sum /= 2;
                            let line = (*key, "rule", *sum, list(&rules));
                            lines.push(Record::new(*time, shown(line)));
                            timers.insert((*time, *key));
                        }
                        continue;
                    }
                }
                let sum = sums.get(key).copied().unwrap_or(0);
                let line = (*key, "record", sum, list(&rules));
                lines.push(Record::new(*time, shown(line)));
            }
            Step::Watermark(to) => {
                watermark = watermark.max(*to);
                while let Some((time, key)) = timers.first().copied()
                    && (time < watermark || watermark == WATERMARK_MAX)
                {
                    timers.pop_first();
                    let sum = sums.get(&key).copied().unwrap_or(0);
                    let line = (key, "timer", sum, list(&rules));
                    lines.push(Record::new(time, shown(line)));
                }
                lines.sort();
                results.push(std::mem::take(&mut lines));
            }
            Step::ProcessingTime(_) => {}
        }
    }
    results
}

#[test]
fn random_scripts_give_the_results_of_a_naive_reference() {
    for seed in 0..20 {
        let script = random_script(&mut fastrand::Rng::with_seed(seed));
        let found = compare(|| Harness::keyed_broadcast(Sums::new), &script, take);
        for (at, (found, expected)) in found.iter().zip(reference(&script)).enumerate() {
            assert_eq!(*found, expected, "seed {seed}, by watermark number {at}");
        }
    }
}

/// Each instance has the whole map, so it must be neither multiplied nor divided when their number changes.
#[test]
fn every_instance_has_all_rules_however_many_there_are() {
    let mut harness = Harness::keyed_broadcast(Sums::new);
    harness.broadcast((0..100).map(|name| (0, (name, Some(7)))));
    assert_eq!(harness.keys(), 100);
    for workers in [3, 1, 4, 2] {
        harness.restart_on(workers);
        assert_eq!(harness.keys(), 100 * workers);
    }
    harness.broadcast((0..100).map(|name| (0, (name, None))));
    harness.restart_on(3);
    assert_eq!(harness.keys(), 0);
}
