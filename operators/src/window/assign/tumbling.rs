//! Tumbling windows.

use super::aligned::{into_step, offset_within, window_around};
use super::{Clock, EventTimeWindows, Windows, at_least_1_ms, millis, offset_words, words};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;
use std::time::Duration;

/// Tumbling windows: all of one size, next to each other, aligned to the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_ms: i64,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of `size`, in whole milliseconds; a job with windows of less than one does not start.
    pub fn of(size: Duration) -> Self {
        Tumbling {
            size_ms: millis(size),
            offset_ms: 0,
        }
    }

    /// Shifts the windows: with an offset of 15 minutes, windows of an hour begin at a quarter past.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = offset_within(offset, self.size_ms);
        self
    }

    /// The window that a time lies in.
    ///
    /// # Panics
    /// When the size is less than a millisecond.
    #[inline]
    pub fn window_of(&self, time: EventTime) -> Window {
        let into = into_step(time, self.size_ms, self.offset_ms);
        window_around(time, into, self.size_ms)
    }
}

impl EventTimeWindows for Tumbling {}

impl<V> Windows<V> for Tumbling {
    const CLOCK: Clock = Clock::Event;

    fn check(&self) -> Result<(), String> {
        at_least_1_ms("the size of a tumbling window", self.size_ms)
    }

    fn describe(&self) -> String {
        format!(
            "tumbling windows of {}{}",
            words(self.size_ms),
            offset_words(self.offset_ms)
        )
    }

    #[inline]
    fn assign(&self, time: EventTime, _: &V, windows: &mut Vec<Window>) -> Result<(), BoxError> {
        windows.push(self.window_of(time));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumbling_windows_also_before_1970() {
        let minutes = Tumbling::of(Duration::from_secs(60));
        let window = |start, end| Window { start, end };
        assert_eq!(minutes.window_of(0), window(0, 60_000));
        assert_eq!(minutes.window_of(59_999), window(0, 60_000));
        assert_eq!(minutes.window_of(-1), window(-60_000, 0));
        let shifted = minutes.offset(Duration::from_secs(15));
        assert_eq!(shifted.window_of(14_999), window(-45_000, 15_000));
    }

    /// A window that began before the range of time once had its end too late by what was cut off, and
    /// overlapped its neighbour.
    #[test]
    fn windows_at_the_ends_of_time_are_cut_off() {
        let windows = Tumbling::of(Duration::from_millis(1000));
        assert_eq!(windows.window_of(i64::MAX).end, i64::MAX);
        let first = windows.window_of(i64::MIN);
        assert_eq!(first.start, i64::MIN);
        assert_eq!(windows.window_of(first.last()), first);
        assert_eq!(windows.window_of(first.end).start, first.end);
    }
}
