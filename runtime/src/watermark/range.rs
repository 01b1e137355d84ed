//! The range of event times that a strategy allows.

use crate::record::NO_TIME;
use crate::time::EventTime;
use std::fmt;

/// How far event times may lie from processing time, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventTimeRange {
    pub ahead_ms: Option<i64>,
    pub behind_ms: Option<i64>,
}

impl EventTimeRange {
    #[inline]
    pub fn check(&self, time: EventTime, now_ms: EventTime) -> Result<(), OutOfRange> {
        let (ahead, behind) = (time.saturating_sub(now_ms), now_ms.saturating_sub(time));
        let is_allowed = time != NO_TIME
            && self.ahead_ms.is_none_or(|most| ahead <= most)
            && self.behind_ms.is_none_or(|most| behind <= most);
        match is_allowed {
            true => Ok(()),
            false => Err(OutOfRange { time, now_ms }),
        }
    }
}

impl fmt::Display for EventTimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [(self.behind_ms, "past"), (self.ahead_ms, "future")];
        for (index, (most, side)) in bounds.iter().filter(|b| b.0.is_some()).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}at most {} ms in the {side}", most.unwrap_or(0))?;
        }
        Ok(())
    }
}

/// An event time out of the range that the strategy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The event time.
    pub time: EventTime,
    /// Processing time then.
    pub now_ms: EventTime,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.time == NO_TIME {
            return f.write_str("it has no event time");
        }
        let side = match self.time > self.now_ms {
            true => "ahead of",
            false => "behind",
        };
        let distance = self.time.abs_diff(self.now_ms);
        write!(
            f,
            "event time {} lies {distance} ms {side} processing time",
            self.time
        )
    }
}

impl std::error::Error for OutOfRange {}
