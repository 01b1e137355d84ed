//! What only the operator itself can be asked: pieces of work, calendars, a restore at an earlier watermark.

use super::ms;
use crate::aggregate::Count;
use crate::process::Collected;
use crate::window::function::Incremental;
use crate::window::operator::{Parts, WindowOperator};
use crate::window::{
    CountTrigger, CountWindow, EventTimeTrigger, PurgingTrigger, Session, Tumbling, WindowTrigger,
    Windows,
};
use millstream_runtime::checkpoint::BlockKind;
use millstream_runtime::driver::{Position, SideOutput};
use millstream_runtime::operator::{
    Discard, Operator, OperatorContext, OperatorCore, Output, WORK_LIMIT, Work,
};
use millstream_runtime::record::Record;
use millstream_runtime::state::{BlockSink, BlockView, SliceBudget, StateDescriptor};
use std::sync::Arc;

type Counting<W, T> = WindowOperator<u32, u64, W, T, Incremental<Count>>;

/// An operator that counts.
fn counting<W: Windows<u64>, T: WindowTrigger<u64>>(
    windows: W,
    trigger: T,
    lateness_ms: i64,
) -> Counting<W, T> {
    let parts = Parts {
        windows,
        trigger: Arc::new(trigger),
        own_trigger: false,
        function: Arc::new(Incremental(Arc::new(Count))),
        lateness_ms,
        mode: None,
    };
    WindowOperator::new(parts, SideOutput::unread())
}

/// Windows of many keys that come due at once fire in pieces, so that others get their turn. A record that comes
/// between two pieces finds its key as if all had fired.
#[test]
fn firing_is_bounded_work() {
    let mut operator = counting(Session::with_gap(ms(10)), EventTimeTrigger, 1000);
    let collected = Collected::default();
    let mut out = Output::new(Box::new(collected.clone()));
    let mut context = OperatorContext::detached();
    let keys = 2 * WORK_LIMIT as u32 + 1;
    let records = (0..keys).map(|key| Record::new(5, (key, 0)));
    let batch = records.collect();
    Position::detached(|at| operator.on_batch(batch, &mut context, &mut out, at)).unwrap();
    context.watermark = 100;
    let mut piece = |operator: &mut Counting<_, _>, out: &mut Output<_>| {
        let work = operator.on_watermark(&mut context, out).unwrap();
        out.flush().unwrap();
        (work, collected.take().len())
    };
    assert_eq!(piece(&mut operator, &mut out), (Work::More, WORK_LIMIT));
    let mut late = OperatorContext::detached();
    late.watermark = 100;
    let record = Record::new(6, (keys - 1, 0)); // the last to fire
    operator.on_record(record, &mut late, &mut out).unwrap();
    out.flush().unwrap();
    let counts = collected.take().into_iter();
    let counts: Vec<u64> = counts.map(|record| record.value.value).collect();
    assert_eq!(counts, [1, 2], "on time, then late");
    assert_eq!(piece(&mut operator, &mut out), (Work::More, WORK_LIMIT));
    assert_eq!(piece(&mut operator, &mut out), (Work::Done, 0));
}

/// A key that comes and goes leaves no trail of entries in the calendars.
#[test]
fn calendars_do_not_grow_without_keys() {
    let trigger = PurgingTrigger::of(CountTrigger::of(1));
    let mut operator = counting(CountWindow::of(1), trigger, 0);
    let mut out = Output::new(Box::new(Discard));
    let mut context = OperatorContext::detached();
    for key in 0..10_000 {
        let first = Record::new(0, (key, 0));
        operator.on_record(first, &mut context, &mut out).unwrap();
        operator.on_batch_end(&mut context, &mut out).unwrap();
    }
    assert!(
        operator.calendar_entries() < 2_000,
        "{}",
        operator.calendar_entries()
    );
}

/// Takes a snapshot apart for a restore by hand.
#[derive(Default)]
struct Blocks(Vec<(StateDescriptor, BlockKind, u32, Vec<u8>)>);

impl BlockSink for Blocks {
    fn block(
        &mut self,
        state: &StateDescriptor,
        kind: BlockKind,
        shard: u32,
        _: u32,
        payload: Vec<u8>,
    ) {
        self.0.push((state.clone(), kind, shard, payload));
    }
}

/// A restored operator begins at the least watermark of all workers. A window that had fired on a worker that was
/// ahead once fired on time again.
#[test]
fn a_window_fires_on_time_once_although_the_watermark_was_set_back() {
    let make = || counting(Tumbling::of(ms(10)), EventTimeTrigger, 1000);
    let collected = Collected::default();
    let mut out = Output::new(Box::new(collected.clone()));
    let mut context = OperatorContext::detached();
    let mut operator = make();
    let record = Record::new(5, (1, 0));
    operator.on_record(record, &mut context, &mut out).unwrap();
    context.watermark = 100;
    operator.on_watermark(&mut context, &mut out).unwrap();
    out.flush().unwrap();
    assert_eq!(collected.take().len(), 1);

    let mut blocks = Blocks::default();
    operator.states(&mut |state| {
        state.freeze(1, true);
        while !state.encode_slice(&SliceBudget::unlimited(), &mut blocks) {}
    });
    let mut operator = make();
    operator.states(&mut |state| {
        state.assign(context.key_groups, 0);
        for (descriptor, kind, shard, payload) in &blocks.0 {
            let view = BlockView {
                state: descriptor,
                kind: *kind,
                shard: *shard,
                payload,
            };
            state.restore(view).unwrap();
        }
    });
    context.watermark = 3;
    operator.open(&context);
    context.watermark = 100;
    operator.on_watermark(&mut context, &mut out).unwrap();
    out.flush().unwrap();
    assert_eq!(collected.take().len(), 0);
}
