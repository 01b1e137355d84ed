//! Arithmetic of windows that begin at multiples of a step, up to the ends of the range of time.

use crate::window::Window;
use millstream_runtime::time::EventTime;

/// How far a time lies behind the last multiple of `step_ms`, shifted by `offset_ms`.
#[inline]
pub(super) fn into_step(time: EventTime, step_ms: i64, offset_ms: i64) -> i64 {
    // Before the offset, so that times at either end of the range do not overflow.
    (time.rem_euclid(step_ms) - offset_ms).rem_euclid(step_ms)
}

/// The window of `size_ms` that began `into_ms` before `time`, cut off at the ends of the range.
#[inline]
pub(super) fn window_around(time: EventTime, into_ms: i64, size_ms: i64) -> Window {
    Window {
        start: time.saturating_sub(into_ms),
        end: time.saturating_add(size_ms - into_ms),
    }
}

/// An offset within a step; none for a step that the job's check refuses.
pub(super) fn offset_within(offset: std::time::Duration, step_ms: i64) -> i64 {
    super::millis(offset)
        .checked_rem_euclid(step_ms)
        .unwrap_or(0)
}
