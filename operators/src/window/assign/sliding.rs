//! Sliding windows.

use super::aligned::{into_step, offset_within, window_around};
use super::{Clock, EventTimeWindows, Windows, at_least_1_ms, millis, offset_words, words};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;
use std::time::Duration;

/// Sliding windows: all of one size, one beginning each `slide`, aligned to the Unix epoch. With a slide
/// shorter than the size they overlap, and a record belongs to `size / slide` of them; with a longer
/// one, records between two windows belong to none (the log says so when the job starts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
}

impl Sliding {
    /// Windows of `size`, one each `slide`, both in whole milliseconds; a job with less than one does not
    /// start.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Sliding {
            size_ms: millis(size),
            slide_ms: millis(slide),
            offset_ms: 0,
        }
    }

    /// Shifts the windows.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = offset_within(offset, self.slide_ms);
        self
    }

    /// The size in milliseconds.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// The slide in milliseconds.
    pub fn slide_ms(&self) -> i64 {
        self.slide_ms
    }

    /// The offset in milliseconds, less than the slide.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

impl EventTimeWindows for Sliding {}

impl<V> Windows<V> for Sliding {
    const CLOCK: Clock = Clock::Event;

    fn check(&self) -> Result<(), String> {
        at_least_1_ms("the size of a sliding window", self.size_ms)?;
        at_least_1_ms("the slide of a sliding window", self.slide_ms)
    }

    fn warning(&self) -> Option<String> {
        (self.slide_ms > self.size_ms).then(|| {
            format!(
                "windows of {} slide by {}: records in between belong to no window",
                words(self.size_ms),
                words(self.slide_ms)
            )
        })
    }

    fn describe(&self) -> String {
        format!(
            "sliding windows of {} by {}{}",
            words(self.size_ms),
            words(self.slide_ms),
            offset_words(self.offset_ms)
        )
    }

    fn assign(&self, time: EventTime, _: &V, windows: &mut Vec<Window>) -> Result<(), BoxError> {
        let first = windows.len();
        let mut into = into_step(time, self.slide_ms, self.offset_ms);
        while into < self.size_ms {
            windows.push(window_around(time, into, self.size_ms));
            let Some(next) = into.checked_add(self.slide_ms) else {
                break;
            };
            into = next;
        }
        windows[first..].reverse();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows_of(sliding: Sliding, time: EventTime) -> Vec<(i64, i64)> {
        let mut windows = Vec::new();
        sliding.assign(time, &(), &mut windows).unwrap();
        windows.iter().map(|w| (w.start, w.end)).collect()
    }

    #[test]
    fn each_record_lies_in_the_windows_that_hold_its_time() {
        let ms = Duration::from_millis;
        let sliding = Sliding::of(ms(10), ms(4));
        assert_eq!(windows_of(sliding, 0), [(-8, 2), (-4, 6), (0, 10)]);
        assert_eq!(windows_of(sliding, 3), [(-4, 6), (0, 10)]);
        assert_eq!(windows_of(sliding, -1), [(-8, 2), (-4, 6)]);
        assert_eq!(windows_of(sliding.offset(ms(5)), 0), [(-7, 3), (-3, 7)]);
        let gaps = Sliding::of(ms(3), ms(10));
        assert_eq!(windows_of(gaps, 12), [(10, 13)]);
        assert_eq!(windows_of(gaps, 13), []);
    }

    #[test]
    fn windows_at_the_ends_of_time_are_cut_off() {
        let sliding = Sliding::of(Duration::from_millis(1000), Duration::from_millis(500));
        for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
            let windows = windows_of(sliding, time);
            assert_eq!(windows.len(), 2, "{time}");
            assert!(
                windows
                    .iter()
                    .all(|(start, end)| *start <= time && (time < *end || *end == i64::MAX))
            );
        }
    }
}
