//! How fast a keyed process function is: run by hand, in release.

use crate::testing::Harness;
use crate::{KeyedContext, KeyedProcess, Timer, ValueState};
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::operator::UserResult;

/// One value state and one timer per record, a little after the next multiple of `step`.
struct Last {
    last: ValueState<u64>,
    step: i64,
}

impl KeyedProcess for Last {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        *ctx.value(self.last).get_or_default() += value;
        ctx.register_event_timer((ctx.time() / self.step + 1) * self.step + 100);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        let last = ctx.value(self.last).get().copied();
        ctx.emit(last.unwrap_or(0));
        Ok(())
    }
}

/// Millions of records a second at a thousand records a millisecond of event time, and a hash of the
/// results.
fn measure(keys: u64, step: i64) -> (f64, u64) {
    let mut harness = Harness::keyed(move |states| Last {
        last: states.value("last"),
        step,
    });
    let records = 5_000_000u64;
    let mut hash = 0;
    let watch = Stopwatch::start();
    for start in (0..records).step_by(1000) {
        let time = (start / 1000) as i64;
        harness.batch((start..start + 1000).map(|n| {
            let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            (time, (key % keys, 1))
        }));
        harness.watermark(time);
        let results = harness.take_values();
        hash = results.iter().fold(hash, |hash, value| hash ^ value);
    }
    (records as f64 / watch.elapsed().as_secs_f64() / 1e6, hash)
}

/// `cargo test --release -p millstream-operators speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn one_value_and_one_timer_per_record() {
    for (what, step) in [("of its own", 1), ("of a second", 1000)] {
        for keys in [1_000, 10_000, 100_000, 1_000_000] {
            let (rate, hash) = measure(keys, step);
            println!("{keys} keys, a timer {what}: {rate:.2} million records/s, hash {hash:x}");
        }
    }
}
