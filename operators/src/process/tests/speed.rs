//! How fast a keyed process function is: run by hand, in release.

use crate::testing::Harness;
use crate::{KeyedContext, KeyedProcess, Timer, ValueState};
use millstream_runtime::clock::Stopwatch;
use millstream_runtime::operator::UserResult;

/// One value state and one timer per record.
struct Last {
    last: ValueState<u64>,
}

impl KeyedProcess for Last {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        *ctx.value(self.last).get_or_default() += value;
        ctx.register_event_timer(ctx.time() + 1000);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, u64, u64>) -> UserResult {
        let last = ctx.value(self.last).get().copied();
        ctx.emit(last.unwrap_or(0));
        Ok(())
    }
}

/// `cargo test --release -p millstream-operators speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn one_value_and_one_timer_per_record() {
    for keys in [1_000u64, 100_000, 1_000_000] {
        let mut harness = Harness::keyed(|states| Last {
            last: states.value("last"),
        });
        let records = 10_000_000u64;
        let batch = 1000;
        let watch = Stopwatch::start();
        let mut hash = 0u64;
        for start in (0..records).step_by(batch) {
            // A thousand records a millisecond.
            let time = (start / 1000) as i64;
            harness.batch((start..start + batch as u64).map(|n| {
                let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                (time, (key % keys, 1))
            }));
            harness.watermark(time);
            hash = harness.take_values().iter().fold(hash, |hash, value| hash ^ value);
        }
        let rate = records as f64 / watch.elapsed().as_secs_f64() / 1e6;
        println!("{keys} keys: {rate:.2} million records/s, hash {hash:x}");
    }
}
