//! State that expires.

use crate::testing::Harness;
use crate::{KeyedContext, KeyedProcess, StateSpec, Ttl, ValueState};
use millstream_runtime::operator::{UserResult, WORK_LIMIT};
use std::time::Duration;

/// Writes what its records say, and puts out what it reads before.
struct Memory {
    value: ValueState<u64>,
}

impl KeyedProcess for Memory {
    type Key = u64;
    type In = Option<u64>;
    type Out = Option<u64>;

    fn on_record(
        &mut self,
        write: Option<u64>,
        ctx: &mut KeyedContext<'_, u64, Option<u64>>,
    ) -> UserResult {
        let before = ctx.value(self.value).get().copied();
        ctx.emit(before);
        if let Some(write) = write {
            ctx.value(self.value).set(write);
        }
        Ok(())
    }
}

macro_rules! memory {
    ($ttl:expr) => {
        Harness::keyed(move |states| Memory {
            value: states.value(StateSpec::new("value").with_ttl($ttl)),
        })
    };
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn state_expires_by_the_event_time_of_records() {
    let mut harness = memory!(Ttl::event_time(SECOND));
    harness.record(0, (1, Some(7)));
    harness.record(999, (1, None));
    harness.record(1000, (1, None));
    assert_eq!(harness.take_values(), [None, Some(7), None]);
    harness.record(1000, (1, Some(8)));
    harness.record(1999, (1, Some(9)));
    harness.record(2500, (1, None));
    assert_eq!(harness.take_values(), [None, Some(8), Some(9)]);
}

#[test]
fn expired_keys_take_no_memory_though_nobody_touches_them() {
    for restart in [false, true] {
        let mut harness = memory!(Ttl::event_time(SECOND));
        let keys = 2 * WORK_LIMIT as u64;
        harness.batch((0..keys).map(|key| (key as i64 % 500, (key, Some(key)))));
        harness.batch((0..100).map(|key| (900, (key, Some(key)))));
        if restart {
            harness.restart_on(3);
        }
        harness.watermark(1000);
        assert!(harness.keys() as u64 > keys / 2);
        harness.watermark(1600);
        assert_eq!(harness.keys(), 100);
        harness.watermark(2000);
        assert_eq!(harness.keys(), 0);
    }
}

#[test]
fn processing_time_expires_state_without_a_record() {
    let mut harness = memory!(Ttl::processing_time(SECOND));
    harness.processing_time(10_000);
    harness.batch((0..100).map(|key| (0, (key, Some(key)))));
    harness.processing_time(10_500);
    harness.record(0, (5, Some(1)));
    let due = harness.next_processing_time().unwrap();
    assert!((11_000..=11_062).contains(&due), "{due}");
    harness.take();
    harness.processing_time(due);
    assert_eq!(harness.keys(), 1);
    harness.record(0, (5, None));
    assert_eq!(harness.take_values(), [Some(1)]);
    harness.processing_time(harness.next_processing_time().unwrap());
    assert_eq!(harness.keys(), 0);
    assert_eq!(harness.next_processing_time(), None);
}

#[test]
fn reads_refresh_if_so_chosen() {
    for (ttl, expected) in [
        (Ttl::event_time(SECOND), None),
        (Ttl::event_time(SECOND).refreshed_by_reads(), Some(7)),
    ] {
        let mut harness = memory!(ttl);
        harness.record(0, (1, Some(7)));
        harness.record(600, (1, None));
        harness.watermark(600);
        harness.restart();
        harness.watermark(1100);
        harness.record(1200, (1, None));
        assert_eq!(harness.take_values(), [None, Some(7), expected]);
    }
}

/// A key that is set and cleared with every record leaves nothing behind in the sweep's index.
#[test]
fn clearing_and_setting_again_is_swept_once() {
    let mut harness = memory!(Ttl::event_time(SECOND));
    for time in 0..500 {
        harness.record(time, (time as u64 % 3, Some(1)));
        harness.watermark(time * 7);
    }
    harness.watermark(5000);
    assert_eq!(harness.keys(), 0);
}

#[test]
fn a_time_to_live_may_be_given_later() {
    use std::cell::Cell;
    use std::rc::Rc;
    let expires = Rc::new(Cell::new(false));
    let shared = expires.clone();
    let mut harness = Harness::keyed(move |states| {
        let spec = StateSpec::new("value");
        let value = match shared.get() {
            true => states.value(spec.with_ttl(Ttl::event_time(SECOND))),
            false => states.value(spec),
        };
        Memory { value }
    });
    harness.record(0, (1, Some(7)));
    harness.watermark(10_000);
    expires.set(true);
    harness.restart();
    harness.record(10_500, (1, None));
    assert_eq!(harness.take_values(), [None, Some(7)]);
    harness.watermark(11_100);
    assert_eq!(harness.keys(), 0);
}

#[test]
#[should_panic(expected = "the time to live of state \"value\" must be at least 1 ms")]
fn a_time_to_live_of_zero_is_refused() {
    memory!(Ttl::event_time(Duration::ZERO));
}
