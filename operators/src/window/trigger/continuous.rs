//! Fires at intervals.

use super::{TriggerContext, TriggerResult, WindowTrigger, earlier};
use crate::window::assign::{millis, words};
use millstream_runtime::state::TimeDomain;
use millstream_runtime::time::EventTime;
use std::time::Duration;

/// Fires at every multiple of an interval for windows that took records since, and at the end of the window: early
/// results. An interval without a record gives no result. Records within the allowed lateness fire at once.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousTrigger {
    interval_ms: i64,
    domain: TimeDomain,
}

impl ContinuousTrigger {
    /// Fires each `interval` of event time: when the watermark is beyond a multiple of it. A job with
    /// less than a millisecond does not start.
    pub fn event_time(interval: Duration) -> Self {
        ContinuousTrigger {
            interval_ms: millis(interval),
            domain: TimeDomain::Event,
        }
    }

    /// Fires each `interval` of processing time. A job with less than a millisecond does not start.
    pub fn processing_time(interval: Duration) -> Self {
        ContinuousTrigger {
            interval_ms: millis(interval),
            domain: TimeDomain::Processing,
        }
    }

    /// The first multiple of the interval after a time.
    fn after(&self, time: EventTime) -> EventTime {
        time.saturating_add(self.interval_ms - time.rem_euclid(self.interval_ms))
    }

    fn next(&self, state: &Option<EventTime>, domain: TimeDomain) -> Option<EventTime> {
        if self.domain == domain { *state } else { None }
    }
}

impl<V> WindowTrigger<V> for ContinuousTrigger {
    /// When it fires next, if a record came since it last did.
    type State = Option<EventTime>;

    #[inline]
    fn on_record(
        &self,
        time: EventTime,
        _: &V,
        next: &mut Option<EventTime>,
        at: &TriggerContext,
    ) -> TriggerResult {
        if at.is_over() {
            return TriggerResult::Fire;
        }
        if next.is_none() {
            *next = Some(match self.domain {
                TimeDomain::Event => self.after(time.max(at.watermark.saturating_sub(1))),
                TimeDomain::Processing => self.after(at.now_ms),
            });
        }
        TriggerResult::Continue
    }

    #[inline]
    fn next_event_time(&self, next: &Option<EventTime>, at: &TriggerContext) -> Option<EventTime> {
        earlier(self.next(next, TimeDomain::Event), at.end_event_time())
    }

    fn on_event_time(
        &self,
        _: EventTime,
        next: &mut Option<EventTime>,
        _: &TriggerContext,
    ) -> TriggerResult {
        *next = None;
        TriggerResult::Fire
    }

    #[inline]
    fn next_processing_time(
        &self,
        next: &Option<EventTime>,
        at: &TriggerContext,
    ) -> Option<EventTime> {
        earlier(
            self.next(next, TimeDomain::Processing),
            at.end_processing_time(),
        )
    }

    fn on_processing_time(
        &self,
        _: EventTime,
        next: &mut Option<EventTime>,
        _: &TriggerContext,
    ) -> TriggerResult {
        *next = None;
        TriggerResult::Fire
    }

    fn merge(&self, next: &mut Option<EventTime>, other: Option<EventTime>) {
        *next = earlier(*next, other);
    }

    fn check(&self) -> Result<(), String> {
        match self.interval_ms {
            1.. => Ok(()),
            _ => Err("the interval of a continuous trigger must be at least 1 ms".into()),
        }
    }

    fn describe(&self) -> String {
        let clock = match self.domain {
            TimeDomain::Event => "event",
            TimeDomain::Processing => "processing",
        };
        format!("each {} of {clock} time", words(self.interval_ms))
    }
}
