//! The codec of a state can be chosen.

use crate::testing::Harness;
use crate::{KeyedContext, KeyedProcess, StateSpec, Ttl, ValueState};
use millstream_runtime::Result;
use millstream_runtime::operator::UserResult;
use millstream_runtime::state::{Codec, Compact};
use std::time::Duration;

/// Writes numbers as text.
#[derive(Default)]
struct Text;

impl Codec<u64> for Text {
    fn fingerprint(&self) -> String {
        "text".into()
    }

    fn encode(&self, value: &u64, to: &mut Vec<u8>) {
        to.extend_from_slice(format!("number {value}").as_bytes());
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64> {
        let text = String::from_utf8_lossy(bytes);
        let number = text.strip_prefix("number ").expect("it wrote that");
        Ok(number.parse().expect("it wrote that"))
    }
}

struct Last {
    last: ValueState<u64>,
}

impl KeyedProcess for Last {
    type Key = u8;
    type In = u64;
    type Out = Option<u64>;

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u8, Self::Out>) -> UserResult {
        let last = ctx.value(self.last).get().copied();
        ctx.value(self.last).set(value);
        ctx.emit(last);
        Ok(())
    }
}

fn last(
    spec: impl Fn() -> StateSpec<u64> + 'static,
) -> Harness<crate::process::KeyedOperator<Last>> {
    Harness::keyed(move |states| Last {
        last: states.value(spec()),
    })
}

#[test]
fn a_state_is_written_and_read_by_the_codec_that_was_chosen() {
    let specs: [fn() -> StateSpec<u64>; 2] = [
        || StateSpec::new("last").with_codec(Text),
        || {
            let ttl = Ttl::event_time(Duration::from_millis(10));
            StateSpec::new("last").with_codec(Text).with_ttl(ttl)
        },
    ];
    for (expires, spec) in [(false, specs[0]), (true, specs[1])] {
        let mut harness = last(spec);
        harness.record(0, (1, 7));
        harness.restart_on(2);
        harness.record(5, (1, 8));
        harness.restart();
        harness.record(15, (1, 9));
        let third = if expires { None } else { Some(8) };
        assert_eq!(harness.take_values(), [None, Some(7), third]);
    }
}

#[test]
fn a_codec_is_changed_by_a_migration() {
    use std::cell::Cell;
    use std::rc::Rc;
    let text = Rc::new(Cell::new(false));
    let shared = text.clone();
    let mut harness = last(move || match shared.get() {
        false => StateSpec::new("last").with_codec(Compact),
        true => StateSpec::new("last")
            .with_version(2)
            .with_migration(1, |old: u64| old)
            .with_codec(Text),
    });
    harness.record(0, (1, 7));
    text.set(true);
    harness.restart();
    harness.record(0, (1, 8));
    harness.restart();
    harness.record(0, (1, 9));
    assert_eq!(harness.take_values(), [None, Some(7), Some(8)]);
}
