//! When timers fire, and when not.

use crate::testing::Harness;
use crate::{KeyedContext, KeyedProcess, TimeDomain, Timer};
use millstream_runtime::operator::{UserResult, WORK_LIMIT};
use millstream_runtime::record::Record;
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Ask {
    Event(EventTime),
    Processing(EventTime),
    DeleteEvent(EventTime),
    DeleteProcessing(EventTime),
}

/// Does with timers what its records ask for; puts out what fires.
struct Alarm;

impl KeyedProcess for Alarm {
    type Key = u64;
    type In = Ask;
    type Out = (u64, TimeDomain, EventTime);

    fn on_record(&mut self, ask: Ask, ctx: &mut KeyedContext<'_, u64, Self::Out>) -> UserResult {
        match ask {
            Ask::Event(time) => ctx.register_event_timer(time),
            Ask::Processing(time) => ctx.register_processing_timer(time),
            Ask::DeleteEvent(time) => ctx.delete_event_timer(time),
            Ask::DeleteProcessing(time) => ctx.delete_processing_timer(time),
        };
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u64, Self::Out>) -> UserResult {
        ctx.emit((*ctx.key(), timer.domain, timer.time));
        Ok(())
    }
}

fn alarm() -> Harness<impl millstream_runtime::operator::Operator<In = (u64, Ask), Out = Fired>> {
    Harness::keyed(|_| Alarm)
}

type Fired = (u64, TimeDomain, EventTime);
use Ask::{DeleteEvent, DeleteProcessing, Event, Processing};
use TimeDomain as Of;

#[test]
fn an_event_timer_fires_when_the_watermark_is_above_it() {
    let mut harness = alarm();
    harness.record(0, (1, Event(10)));
    harness.watermark(10);
    assert_eq!(harness.take(), []);
    harness.watermark(11);
    assert_eq!(harness.take(), [Record::new(10, (1, Of::Event, 10))]);
    assert_eq!(harness.keys(), 0);
}

#[test]
fn a_timer_fires_once_however_often_it_was_registered() {
    let mut harness = alarm();
    harness.batch([
        (0, (1, Event(10))),
        (0, (1, Event(10))),
        (0, (2, Event(10))),
    ]);
    harness.record(0, (1, Processing(10)));
    harness.restart();
    harness.record(0, (1, Event(10)));
    harness.watermark(50);
    let mut fired = harness.take_values();
    fired.sort();
    assert_eq!(fired, [(1, Of::Event, 10), (2, Of::Event, 10)]);
    harness.processing_time(10);
    assert_eq!(harness.take_values(), [(1, Of::Processing, 10)]);
}

#[test]
fn timers_fire_in_order_of_time() {
    let mut harness = alarm();
    let times = [30, 10, 20, -5, 40, 25];
    harness.batch(times.map(|time| (0, (time as u64 % 3, Event(time)))));
    harness.batch(times.map(|time| (0, (7, Event(time)))));
    harness.restart();
    harness.watermark(35);
    let fired: Vec<_> = harness.take_values().into_iter().map(|f| f.2).collect();
    assert_eq!(fired, [-5, -5, 10, 10, 20, 20, 25, 25, 30, 30]);
    harness.end();
    assert_eq!(harness.take().len(), 2);
}

#[test]
fn a_deleted_timer_does_not_fire() {
    let mut harness = alarm();
    harness.batch([
        (0, (1, Event(10))),
        (0, (1, Event(20))),
        (0, (1, Processing(5))),
    ]);
    harness.batch([(0, (1, DeleteEvent(10))), (0, (2, DeleteEvent(20)))]);
    harness.record(0, (1, DeleteProcessing(5)));
    assert_eq!(harness.next_processing_time(), None);
    harness.processing_time(100);
    harness.watermark(100);
    assert_eq!(harness.take_values(), [(1, Of::Event, 20)]);
}

/// A timer at or behind the watermark fires at the end of the batch, and does not wait for the
/// watermark to rise.
#[test]
fn a_timer_in_the_past_fires_at_once() {
    let mut harness = alarm();
    harness.watermark(100);
    harness.batch([
        (100, (1, Event(99))),
        (100, (1, Event(100))),
        (100, (1, Event(3))),
    ]);
    assert_eq!(
        harness.take_values(),
        [(1, Of::Event, 3), (1, Of::Event, 99)]
    );
    harness.processing_time(50);
    harness.record(100, (1, Processing(20)));
    assert_eq!(harness.next_processing_time(), Some(20));
    harness.processing_time(50);
    assert_eq!(harness.take(), [Record::new(100, (1, Of::Processing, 20))]);
}

#[test]
fn all_event_timers_fire_at_the_end_of_input() {
    let mut harness = alarm();
    harness.batch([(0, (1, Event(i64::MAX))), (0, (1, Event(i64::MIN)))]);
    harness.watermark(0);
    assert_eq!(harness.take_values(), [(1, Of::Event, i64::MIN)]);
    harness.end();
    assert_eq!(harness.take_values(), [(1, Of::Event, i64::MAX)]);
}

#[test]
fn a_key_may_move_its_timer_for_ever() {
    let mut harness = alarm();
    harness.record(0, (1, Event(0)));
    for time in 0..1000 {
        harness.batch([(0, (1, DeleteEvent(time))), (0, (1, Event(time + 1)))]);
    }
    assert_eq!(harness.keys(), 1);
    harness.watermark(5000);
    assert_eq!(harness.take_values(), [(1, Of::Event, 1000)]);
}

#[test]
fn more_timers_than_one_call_may_fire() {
    let mut harness = alarm();
    let keys = 3 * WORK_LIMIT as u64 + 7;
    harness.batch((0..keys).map(|key| (0, (key, Event(5)))));
    harness.batch((0..keys).map(|key| (0, (key, Processing(5)))));
    harness.watermark(6);
    harness.processing_time(5);
    assert_eq!(harness.take().len() as u64, 2 * keys);
    assert_eq!(harness.keys(), 0);
}

/// Registers a timer from a timer: a tick every 10 ms until the input ends.
struct Ticks;

impl KeyedProcess for Ticks {
    type Key = u64;
    type In = ();
    type Out = EventTime;

    fn on_record(&mut self, (): (), ctx: &mut KeyedContext<'_, u64, EventTime>) -> UserResult {
        ctx.register_event_timer(ctx.time() + 10);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u64, EventTime>) -> UserResult {
        ctx.emit(timer.time);
        if !ctx.input_ended() {
            ctx.register_event_timer(timer.time + 10);
        }
        Ok(())
    }
}

#[test]
fn a_timer_may_register_the_next_one() {
    let mut harness = Harness::keyed(|_| Ticks);
    harness.record(0, (1, ()));
    harness.watermark(35);
    assert_eq!(harness.take_values(), [10, 20, 30]);
    harness.end();
    assert_eq!(harness.take_values(), [40]);
}
