//! Fraud rules that change while the job runs: broadcast state.
//!
//! ```text
//! cargo run --release --example 07_fraud_rules
//! ```
//!
//! Payments are keyed by card: each worker has the cards of its key groups. Rules are few and concern every card, so
//! they are *broadcast*: each worker has them all, and keeps them in the checkpoint. A function sees both: at a payment
//! it has the card's own state and the rules, to read; at a new rule it has the rules, to change, and can visit the
//! cards it knows, so that a rule holds for what was paid before it came, too.
//!
//! The two streams are not synchronised. That is why this function keeps, per card, which rules were broken already: then
//! the alerts are the same whether a rule comes before the payments, after, or in between. Prints each card and the
//! rules that it breaks.

use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What is forbidden.
#[derive(Clone, Serialize, Deserialize)]
enum Rule {
    /// One payment of more than this.
    Single(u64),
    /// More than this in all.
    Total(u64),
    /// More payments than this.
    Payments(u64),
}

/// What is known of a card.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Card {
    highest: u64,
    total: u64,
    payments: u64,
}

impl Rule {
    fn is_broken_by(&self, card: &Card) -> bool {
        match *self {
            Rule::Single(most) => card.highest > most,
            Rule::Total(most) => card.total > most,
            Rule::Payments(most) => card.payments > most,
        }
    }
}

/// Finds the cards that break rules.
#[derive(Clone, Copy)]
struct Detector {
    card: ValueState<Card>,
    broken: MapState<String, ()>,
}

type Context<'a> = KeyedContext<'a, u32, String>;
type Rules = BTreeMap<String, Rule>;

impl Detector {
    /// Alerts once per card and rule.
    fn check(self, name: &str, rule: &Rule, ctx: &mut Context<'_>) {
        let card = ctx.value(self.card).get();
        let is_broken = card.is_some_and(|card| rule.is_broken_by(card));
        if is_broken && ctx.map(self.broken).insert(name.to_owned(), ()).is_none() {
            let line = format!("card {:2} breaks \"{name}\"", ctx.key());
            ctx.emit(line);
        }
    }
}

impl KeyedBroadcastProcess for Detector {
    type Key = u32;
    type In = u64;
    type Broadcast = (String, Rule);
    type RuleKey = String;
    type Rule = Rule;
    type Out = String;

    fn on_record(&mut self, amount: u64, rules: &Rules, ctx: &mut Context<'_>) -> UserResult {
        let card = ctx.value(self.card).get_or_default();
        card.highest = card.highest.max(amount);
        card.total += amount;
        card.payments += 1;
        for (name, rule) in rules {
            self.check(name, rule, ctx);
        }
        Ok(())
    }

    fn on_broadcast(
        &mut self,
        (name, rule): (String, Rule),
        rules: &mut Rules,
        ctx: &mut BroadcastContext<'_, u32, String>,
    ) -> UserResult {
        ctx.for_each_key(self.card, |ctx| {
            self.check(&name, &rule, ctx);
            Ok(())
        })?;
        rules.insert(name, rule);
        Ok(())
    }
}

fn main() -> ExitCode {
    let program =
        Program::new("fraud-rules").about("finds cards that break rules which come while it runs");
    millstream::main(program, |job, _| {
        let payments = Generator::new(|_, rng| {
            let card = rng.u32(1..=20);
            // Some cards are used with a lighter heart than others.
            let most = if card % 7 == 0 { 900 } else { 300 };
            (card, rng.u64(1..most))
        })
        .total(400)
        .rate(2_000.0)
        .event_time(|index| index as i64);
        let rules = vec![
            ("more than 880 at once".to_owned(), Rule::Single(880)),
            ("more than 5,000 in all".to_owned(), Rule::Total(5_000)),
            ("more than 25 payments".to_owned(), Rule::Payments(25)),
        ];
        let rules = job.source("rules", Collection::new(rules));
        job.timed_source("payments", payments, WatermarkStrategy::ascending())
            .keyed()
            .connect_broadcast(&rules)
            .process("detector", |states| Detector {
                card: states.value("card"),
                broken: states.map("broken"),
            })
            .sink("alerts", Console::new());
        Ok(())
    })
}
