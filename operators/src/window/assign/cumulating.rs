//! Cumulating windows.

use super::aligned::{into_step, offset_within};
use super::{Clock, EventTimeWindows, Windows, at_least_1_ms, millis, offset_words, words};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;
use std::time::Duration;

/// Cumulating windows: they begin together each `max_size` and grow by `step` up to it. A day in steps
/// of an hour gives `[0:00, 1:00)`, `[0:00, 2:00)`, … `[0:00, 24:00)`: the total of the day so far, each hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cumulating {
    max_size_ms: i64,
    step_ms: i64,
    offset_ms: i64,
}

impl Cumulating {
    /// Windows that grow by `step` up to `max_size`, a multiple of it; both in whole milliseconds. A job
    /// with other settings does not start.
    pub fn of(max_size: Duration, step: Duration) -> Self {
        Cumulating {
            max_size_ms: millis(max_size),
            step_ms: millis(step),
            offset_ms: 0,
        }
    }

    /// Shifts the windows.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_ms = offset_within(offset, self.max_size_ms);
        self
    }

    /// The greatest size in milliseconds.
    pub fn max_size_ms(&self) -> i64 {
        self.max_size_ms
    }

    /// The step in milliseconds.
    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// The offset in milliseconds, less than the greatest size.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

impl EventTimeWindows for Cumulating {}

impl<V> Windows<V> for Cumulating {
    const CLOCK: Clock = Clock::Event;

    fn check(&self) -> Result<(), String> {
        at_least_1_ms("the step of a cumulating window", self.step_ms)?;
        at_least_1_ms("the greatest size of a cumulating window", self.max_size_ms)?;
        match self.max_size_ms % self.step_ms {
            0 => Ok(()),
            _ => Err(format!(
                "the greatest size of a cumulating window, {}, must be a multiple of its step, {}",
                words(self.max_size_ms),
                words(self.step_ms)
            )),
        }
    }

    fn describe(&self) -> String {
        format!(
            "cumulating windows up to {} by {}{}",
            words(self.max_size_ms),
            words(self.step_ms),
            offset_words(self.offset_ms)
        )
    }

    fn assign(&self, time: EventTime, _: &V, windows: &mut Vec<Window>) -> Result<(), BoxError> {
        let into = into_step(time, self.max_size_ms, self.offset_ms);
        let start = time.saturating_sub(into);
        // The first size that holds the record.
        let mut size = into - into % self.step_ms;
        while size < self.max_size_ms {
            size += self.step_ms;
            let end = time.saturating_add(size - into);
            windows.push(Window { start, end });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows_of(cumulating: Cumulating, time: EventTime) -> Vec<(i64, i64)> {
        let mut windows = Vec::new();
        cumulating.assign(time, &(), &mut windows).unwrap();
        windows.iter().map(|w| (w.start, w.end)).collect()
    }

    #[test]
    fn each_record_lies_in_the_windows_that_still_grow() {
        let ms = Duration::from_millis;
        let day = Cumulating::of(ms(24), ms(8));
        assert_eq!(windows_of(day, 0), [(0, 8), (0, 16), (0, 24)]);
        assert_eq!(windows_of(day, 8), [(0, 16), (0, 24)]);
        assert_eq!(windows_of(day, 23), [(0, 24)]);
        assert_eq!(windows_of(day, -1), [(-24, 0)]);
        assert_eq!(windows_of(day.offset(ms(1)), 0), [(-23, 1)]);
        assert_eq!(windows_of(day, i64::MAX).last().unwrap().1, i64::MAX);
    }
}
