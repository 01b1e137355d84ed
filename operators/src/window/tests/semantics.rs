//! Single cases that the random scripts do not reach or do not show.

use super::ms;
use crate::aggregate::{Fold, Sum};
use crate::keyed::KeyedStream;
use crate::testing::Harness;
use crate::testing::contract::{Step, in_every_way};
use crate::window::{
    ContinuousTrigger, CountTrigger, CountWindow, EventTimeTrigger, Global, OutputMode, Session,
    Sliding, Timing, TriggerContext, TriggerResult, Tumbling, WindowTrigger, Windowed,
};
use millstream_runtime::operator::OperatorCore;
use millstream_runtime::record::{NO_TIME, Record};
use millstream_runtime::time::{EventTime, WATERMARK_MAX};
use serde::{Deserialize, Serialize};

type Keyed = KeyedStream<u8, u64>;

/// Start, end and value of each result.
fn rows(results: Vec<Record<Windowed<u8, u64>>>) -> Vec<(i64, i64, u64)> {
    let rows = results.into_iter().map(|record| {
        assert_eq!(record.time, record.value.window.end - 1);
        let Windowed { window, value, .. } = record.value;
        (window.start, window.end, value)
    });
    rows.collect()
}

#[test]
fn sessions_that_touch_are_one() {
    let mut sessions = Harness::of(|k: Keyed| k.window(Session::with_gap(ms(10))).count());
    sessions.batch([(0, (1, 0)), (10, (1, 0)), (21, (1, 0))]);
    sessions.end();
    assert_eq!(rows(sessions.take()), [(0, 20, 2), (21, 31, 1)]);
}

/// As in Flink: a late record that lies between two sessions which have fired, and are kept, makes one of
/// them and updates it.
#[test]
fn a_late_record_merges_sessions_that_have_fired() {
    let mut sessions = Harness::of(|k: Keyed| {
        let windows = k
            .window(Session::with_gap(ms(10)))
            .allowed_lateness(ms(100));
        windows.aggregate_then(Sum::of(|v: &u64| *v), |at, sum, out| {
            out.push((at.window.start, at.window.end, sum, at.timing, at.pane));
            Ok(())
        })
    });
    sessions.batch([(0, (1, 1)), (18, (1, 2))]);
    sessions.watermark(40);
    assert_eq!(
        sessions.take_values(),
        [
            (0, 10, 1, Timing::OnTime, 0),
            (18, 28, 2, Timing::OnTime, 0)
        ]
    );
    sessions.record(9, (1, 4));
    assert_eq!(sessions.take_values(), [(0, 28, 7, Timing::Late, 2)]);
    // One that reaches beyond the watermark gets another result in time.
    sessions.record(28, (1, 8));
    sessions.record(38, (1, 16));
    assert_eq!(sessions.take_values(), [(0, 38, 15, Timing::Late, 3)]);
    sessions.watermark(48);
    assert_eq!(sessions.take_values(), [(0, 48, 31, Timing::OnTime, 4)]);
    assert_eq!(sessions.late(), 0);
    sessions.watermark(148);
    assert_eq!(sessions.keys(), 0);
    sessions.record(38, (1, 0));
    assert_eq!(sessions.late(), 1);
}

/// A record whose own window is late belongs to a session that is kept.
#[test]
fn a_late_record_that_touches_a_session_is_not_late() {
    let mut sessions = Harness::of(|k: Keyed| k.window(Session::with_gap(ms(10))).count());
    sessions.batch([(5, (1, 0)), (12, (1, 0))]);
    sessions.watermark(16);
    sessions.batch([(2, (1, 0)), (3, (2, 0))]);
    assert_eq!(sessions.late(), 1, "that of the other key");
    sessions.end();
    assert_eq!(rows(sessions.take()), [(2, 22, 3)]);
}

#[test]
fn a_fold_with_a_merge_folds_sessions() {
    let mut sessions = Harness::of(|k: Keyed| {
        let fold = Fold::new(0, |sum: &mut u64, value| *sum += value);
        let fold = fold.merged_by(|sum, other| *sum += other);
        k.window(Session::with_gap(ms(10))).aggregate(fold)
    });
    sessions.batch([(0, (1, 1)), (18, (1, 2)), (9, (1, 4))]);
    sessions.end();
    assert_eq!(rows(sessions.take()), [(0, 28, 7)]);
}

#[test]
fn windows_at_the_ends_of_time() {
    let times = [NO_TIME + 1, -1, 0, i64::MAX - 1, i64::MAX];
    let records = || times.map(|time| (time, (1, 1)));
    let mut tumbling = Harness::of(|k: Keyed| {
        let windows = k.window(Tumbling::of(ms(1000)));
        windows.trigger(EventTimeTrigger).count()
    });
    tumbling.batch(records());
    tumbling.end();
    let counts: Vec<u64> = tumbling.take_values().iter().map(|w| w.value).collect();
    assert_eq!(counts, [1, 1, 1, 2]);
    let mut sessions = Harness::of(|k: Keyed| {
        k.window(Session::with_gap(ms(i64::MAX)))
            .allowed_lateness(ms(i64::MAX))
            .count()
    });
    sessions.batch(records());
    sessions.watermark(WATERMARK_MAX - 1);
    assert_eq!(sessions.take_values().len(), 0);
    sessions.end();
    assert_eq!(rows(sessions.take()), [(NO_TIME + 1, i64::MAX, 5)]);
    assert_eq!(sessions.keys(), 0);
    let each = || ContinuousTrigger::event_time(ms(i64::MAX));
    let mut global = Harness::of(move |k: Keyed| k.window(Global).trigger(each()).count());
    global.batch(records());
    global.end();
    assert_eq!(global.take_values().last().unwrap().value, 5);
    assert_eq!(global.keys(), 0);
}

#[test]
fn count_windows_need_no_event_time() {
    let mut pairs = Harness::of(|k: Keyed| k.window(CountWindow::of(2)).count());
    pairs.batch([(NO_TIME, (1, 0)), (NO_TIME, (1, 0)), (NO_TIME, (1, 0))]);
    let records = pairs.take();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].time, NO_TIME);
    pairs.restart();
    pairs.record(NO_TIME, (1, 0));
    assert_eq!(pairs.take().len(), 1);
    assert_eq!(pairs.keys(), 0, "a full window leaves nothing");
}

/// Fires when the values of a window have come to a limit, however they were spread over sessions, and at a
/// time that the first record says.
struct Budget(u64);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spent {
    sum: u64,
    review_at: Option<EventTime>,
}

impl WindowTrigger<u64> for Budget {
    type State = Spent;

    fn on_record(
        &self,
        time: EventTime,
        value: &u64,
        spent: &mut Spent,
        _: &TriggerContext,
    ) -> TriggerResult {
        spent.sum += value;
        spent.review_at.get_or_insert(time + 7);
        if spent.sum < self.0 {
            return TriggerResult::Continue;
        }
        spent.sum = 0;
        TriggerResult::Fire
    }

    fn next_event_time(&self, spent: &Spent, _: &TriggerContext) -> Option<EventTime> {
        spent.review_at
    }

    fn on_event_time(&self, _: EventTime, spent: &mut Spent, _: &TriggerContext) -> TriggerResult {
        spent.review_at = None;
        TriggerResult::FireAndPurge
    }

    fn merge(&self, spent: &mut Spent, other: Spent) {
        spent.sum += other.sum;
        spent.review_at = spent.review_at.into_iter().chain(other.review_at).min();
    }
}

#[test]
fn a_trigger_of_ones_own_has_state_and_timers_and_merges() {
    let make = || {
        Harness::of(|k: Keyed| {
            let sessions = k.window(Session::with_gap(ms(10))).trigger(Budget(10));
            sessions.aggregate(Sum::of(|value: &u64| *value))
        })
    };
    let script = [
        Step::Record(0, 1, 4),
        Step::Record(18, 1, 4),
        Step::Watermark(3),
        Step::Record(9, 1, 2), // brings both together: ten
        Step::Watermark(7),
        Step::Watermark(8), // the review of the first
        Step::Record(20, 1, 5),
        Step::Watermark(100),
    ];
    let results = in_every_way(make, &script);
    let results: Vec<_> = results.into_iter().map(rows).collect();
    let expected = [
        vec![],
        vec![(0, 28, 10)],
        vec![(0, 28, 10)],
        vec![(0, 30, 5)],
        vec![],
    ];
    assert_eq!(results, expected);
}

/// A trigger that does not move on would be called for ever.
struct Stuck;

impl WindowTrigger<u64> for Stuck {
    type State = bool;

    fn on_record(&self, _: i64, _: &u64, pending: &mut bool, _: &TriggerContext) -> TriggerResult {
        *pending = true;
        TriggerResult::Continue
    }

    fn next_processing_time(&self, pending: &bool, _: &TriggerContext) -> Option<EventTime> {
        pending.then_some(5)
    }

    fn next_event_time(&self, _: &bool, at: &TriggerContext) -> Option<EventTime> {
        Some(at.watermark.saturating_sub(1)) // has passed: never called
    }

    fn merge(&self, _: &mut bool, _: bool) {}
}

#[test]
fn a_trigger_that_is_stuck_is_an_error() {
    let mut global = Harness::of(|k: Keyed| k.window(Global).trigger(Stuck).count());
    global.record(0, (1, 0));
    global.watermark(100);
    let ten = std::panic::AssertUnwindSafe(|| global.processing_time(10));
    let panic = std::panic::catch_unwind(ten).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("names processing time 5 again"), "{text}");
}

/// Results of one key come in order of time, then of windows, however far the watermark leaps.
#[test]
fn results_of_a_key_are_in_order() {
    let mut sliding = Harness::of(|k: Keyed| {
        let windows = k.window(Sliding::of(ms(30), ms(10)));
        windows
            .trigger(ContinuousTrigger::event_time(ms(7)))
            .count()
    });
    sliding.batch([(31, (1, 0)), (3, (1, 0)), (12, (1, 0)), (25, (1, 0))]);
    sliding.end();
    let rows = rows(sliding.take());
    let finals = [
        (-20, 10, 1),
        (-10, 20, 2),
        (0, 30, 3),
        (10, 40, 3),
        (20, 50, 2),
        (30, 60, 1),
    ];
    let at = finals.map(|row| rows.iter().rposition(|found| *found == row).unwrap());
    assert!(at.is_sorted(), "{at:?} in {rows:?}");
}

/// In event-time windows records come by event time, those of one time as they came; by number, as they came.
#[test]
fn records_of_a_window_are_in_order() {
    let values = |at: &crate::window::WindowContext<'_, u8>, records: &[Record<u64>]| {
        let values: Vec<u64> = records.iter().map(|record| record.value).collect();
        (*at.key, values)
    };
    let records = [
        (5, (1, 1)),
        (3, (1, 2)),
        (5, (1, 3)),
        (3, (1, 4)),
        (4, (1, 5)),
    ];
    let mut by_time = Harness::of(move |k: Keyed| {
        k.window(Tumbling::of(ms(10)))
            .process(move |at, records, out| {
                out.push(values(at, records));
                Ok(())
            })
    });
    by_time.batch(records);
    by_time.end();
    assert_eq!(by_time.take_values(), [(1, vec![2, 4, 5, 1, 3])]);
    let mut by_number = Harness::of(move |k: Keyed| {
        k.window(CountWindow::of(5))
            .process(move |at, records, out| {
                out.push(values(at, records));
                Ok(())
            })
    });
    by_number.batch(records);
    assert_eq!(by_number.take_values(), [(1, vec![1, 2, 3, 4, 5])]);
}

#[test]
fn complete_mode_puts_out_the_whole_table() {
    let mut table = Harness::of(|k: Keyed| {
        let windows = k.window(Tumbling::of(ms(10)));
        windows.output_mode(OutputMode::Complete).count()
    });
    table.batch([(1, (1, 0)), (2, (2, 0)), (15, (1, 0))]);
    table.watermark(9);
    assert_eq!(table.take().len(), 0);
    table.watermark(10);
    let sorted = |table: &mut Harness<_>| {
        let mut rows: Vec<_> = take_table(table);
        rows.sort_unstable();
        rows
    };
    assert_eq!(sorted(&mut table), [(1, 0, 1), (1, 10, 1), (2, 0, 1)]);
    table.restart();
    // Nothing is late: the window fires again, and so the table comes.
    table.record(3, (2, 0));
    assert_eq!(table.late(), 0);
    assert_eq!(sorted(&mut table), [(1, 0, 1), (1, 10, 1), (2, 0, 2)]);
    table.watermark(25);
    assert_eq!(sorted(&mut table), [(1, 0, 1), (1, 10, 1), (2, 0, 2)]);
    table.end();
    assert_eq!(table.keys(), 0);
}

/// A table longer than one piece of work, by the clock: it comes whole, though the call that fired ended before it.
#[test]
fn a_long_table_comes_in_pieces() {
    use millstream_runtime::operator::WORK_LIMIT;
    let keys = WORK_LIMIT as u32;
    let mut table = Harness::of(|k: KeyedStream<u32, u64>| {
        let each = ContinuousTrigger::processing_time(ms(5));
        let global = k.window(Global).trigger(each);
        global.output_mode(OutputMode::Complete).count()
    });
    table.batch((0..keys).map(|key| (1, (key, 0))));
    table.processing_time(5);
    assert_eq!(table.take().len(), keys as usize);
    table.end();
    assert_eq!(table.keys(), 0);
}

fn take_table<O>(table: &mut Harness<O>) -> Vec<(u8, i64, u64)>
where
    O: OperatorCore<Out = Windowed<u8, u64>>,
{
    let rows = table.take_values().into_iter();
    rows.map(|row| (row.key, row.window.start, row.value))
        .collect()
}

#[test]
fn a_global_table_by_count() {
    let mut words = Harness::of(|k: Keyed| {
        let global = k.window(Global).trigger(CountTrigger::of(2));
        global.output_mode(OutputMode::Complete).count()
    });
    words.batch([(1, (1, 0)), (2, (2, 0)), (3, (1, 0))]);
    let mut rows = take_table(&mut words);
    rows.sort_unstable();
    assert_eq!(rows, [(1, 1, 2), (2, 2, 1)]);
}
