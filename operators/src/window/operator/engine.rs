//! What happens to the windows of one key: records are added, times come, and the calendars learn when the key is to
//! wake next.

use super::calendar::{Calendars, NEVER, Wake};
use super::panes::{PaneOf, Panes, PanesOf};
use super::rules::{Outlet, Rules};
use crate::window::Windows;
use crate::window::function::WindowFunction;
use crate::window::trigger::WindowTrigger;
use millstream_runtime::error::BoxError;
use millstream_runtime::operator::{OperatorContext, UserResult};
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{Slot, TimeDomain};
use millstream_runtime::time::EventTime;

pub(super) struct Engine<K, V, W, T, F: WindowFunction<K, V>> {
    pub rules: Rules<K, V, W, T, F>,
    pub calendars: Calendars,
    pub outlet: Outlet<F::Out>,
    /// Keys that may have no window left.
    pub emptied: Vec<Slot>,
}

impl<K, V, W, T, F> Engine<K, V, W, T, F>
where
    K: Key,
    V: Data,
    W: Windows<V>,
    T: WindowTrigger<V>,
    F: WindowFunction<K, V>,
{
    /// Adds a record to a window of a key.
    #[inline]
    pub fn add(
        &mut self,
        (slot, key): (Slot, &K),
        panes: &mut PanesOf<K, V, T, F>,
        index: usize,
        record: (EventTime, V),
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let Panes { panes, wake } = panes;
        let pane = &mut panes[index];
        pane.clock = pane.clock.max(context.watermark);
        rules.add(record, key, pane, context, out)?;
        if rules.is_over(pane) {
            panes.remove(index);
            self.emptied.push(slot);
        } else {
            self.calendars.wake(wake, rules.next(pane, context), slot);
        }
        Ok(())
    }

    /// Calls the windows of a key for all times of a clock up to `until`.
    pub fn pass(
        &mut self,
        domain: TimeDomain,
        (slot, key): (Slot, &K),
        panes: &mut PanesOf<K, V, T, F>,
        until: EventTime,
        context: &OperatorContext,
    ) -> UserResult {
        let (rules, out) = (&self.rules, &mut self.outlet);
        let Panes { panes, wake } = panes;
        loop {
            let (due, index) = earliest(panes, |pane| rules.next(pane, context).of(domain));
            if due > until || due == NEVER {
                break;
            }
            let pane = &mut panes[index];
            let ends = match domain {
                TimeDomain::Event => rules.on_event_time(due, key, pane, context, out)?,
                TimeDomain::Processing => rules.on_processing_time(due, key, pane, context, out)?,
            };
            if ends || rules.is_over(pane) {
                panes.remove(index);
            } else if rules.next(pane, context).of(domain) <= due {
                return Err(stuck(domain, due));
            }
        }
        wake.never(domain);
        self.schedule(slot, panes, wake, context);
        Ok(())
    }

    /// Wakes a key for what is next, or notes that nothing is left of it.
    pub fn schedule(
        &mut self,
        slot: Slot,
        panes: &[PaneOf<K, V, T, F>],
        wake: &mut Wake,
        context: &OperatorContext,
    ) {
        if panes.is_empty() {
            self.emptied.push(slot);
        }
        let mut next = Wake::NEVER;
        for pane in panes {
            next.note(self.rules.next(pane, context));
        }
        self.calendars.wake(wake, next, slot);
    }
}

/// The least of what `next` says of some panes, and where; [`NEVER`] for none.
#[inline]
fn earliest<P>(panes: &[P], next: impl Fn(&P) -> EventTime) -> (EventTime, usize) {
    let times = panes.iter().map(next).zip(0..);
    times.min().unwrap_or((NEVER, 0))
}

#[cold]
fn stuck(domain: TimeDomain, due: EventTime) -> BoxError {
    let clock = match domain {
        TimeDomain::Event => "event",
        TimeDomain::Processing => "processing",
    };
    format!("the trigger names {clock} time {due} again when it was called for it").into()
}
