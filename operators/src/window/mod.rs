//! Windows: groups of records by event time.

mod stream;
mod tumbling;

pub use stream::{LateRecords, WindowResults, WindowedStream};
#[cfg(test)]
pub(crate) use tumbling::TumblingOperator;

use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A stretch of event time: from `start` to before `end`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// The first event time in the window.
    pub start: EventTime,
    /// The first event time behind it.
    pub end: EventTime,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A result of a window. Its event time is the last one in the window: `window.end - 1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windowed<K, R> {
    /// The window.
    pub window: Window,
    /// The key.
    pub key: K,
    /// The result.
    pub value: R,
}

/// Tumbling windows: all of one size, next to each other, aligned to the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_ms: i64,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of `size`, in whole milliseconds.
    ///
    /// # Panics
    /// When the size is less than a millisecond.
    pub fn of(size: Duration) -> Self {
        let size_ms = size.as_millis() as i64;
        assert!(
            size_ms > 0,
            "the size of a tumbling window must be at least 1 ms, not {size:?}"
        );
        Tumbling {
            size_ms,
            offset_ms: 0,
        }
    }

    /// Shifts the windows: with an offset of 15 minutes, windows of an hour begin at a quarter past.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = (offset.as_millis() as i64).rem_euclid(self.size_ms);
        self
    }

    /// Its settings in words.
    pub(crate) fn describe(&self, lateness_ms: i64) -> String {
        let ms = |ms: i64| format!("{:?}", Duration::from_millis(ms as u64));
        let mut text = format!("tumbling windows of {}", ms(self.size_ms));
        if self.offset_ms > 0 {
            text += &format!(", offset {}", ms(self.offset_ms));
        }
        if lateness_ms > 0 {
            text += &format!(", allowed lateness {}", ms(lateness_ms));
        }
        text
    }

    /// The window that an event time lies in.
    #[inline]
    pub fn window_of(&self, time: EventTime) -> Window {
        // Before the offset, so that times at either end of the range do not overflow.
        let into = (time.rem_euclid(self.size_ms) - self.offset_ms).rem_euclid(self.size_ms);
        let start = time.saturating_sub(into);
        Window {
            start,
            end: start.saturating_add(self.size_ms),
        }
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
        assert_eq!(minutes.window_of(i64::MAX).end, i64::MAX);
        assert_eq!(minutes.window_of(i64::MIN).start, i64::MIN);
        let shifted = minutes.offset(Duration::from_secs(15));
        assert_eq!(shifted.window_of(14_999), window(-45_000, 15_000));
    }
}
