//! Session windows.

use super::{Clock, EventTimeWindows, Windows, at_least_1_ms, millis, words};
use crate::window::Window;
use millstream_runtime::error::BoxError;
use millstream_runtime::time::EventTime;
use std::sync::Arc;
use std::time::Duration;

/// Sessions: a window for each stretch of activity of a key. It ends when no record came for the gap: a record at
/// `t` alone has the window `[t, t + gap)`, and windows of one key that overlap or touch are one. So records exactly
/// the gap apart are of one session.
#[derive(Clone, Copy, Debug)]
pub struct Session<G = FixedGap>(G);

/// The same gap for all records.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FixedGap {
    gap_ms: i64,
}

/// A gap from the record.
#[doc(hidden)]
pub struct GapOf<F>(Arc<F>);

impl<F> Clone for GapOf<F> {
    fn clone(&self) -> Self {
        GapOf(self.0.clone())
    }
}

impl Session {
    /// Sessions that end after `gap`, in whole milliseconds, without a record. A job with less than one does not
    /// start.
    pub fn with_gap(gap: Duration) -> Self {
        Session(FixedGap {
            gap_ms: millis(gap),
        })
    }
}

impl<F> Session<GapOf<F>> {
    /// Sessions whose gap depends on the record: each one has the window from its time for as long as the function
    /// says. A record with less than a millisecond ends the job.
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Session, Stream, Windowed};
    /// # use std::time::Duration;
    /// fn visits(pages: &KeyedStream<String, String>) -> Stream<Windowed<String, u64>> {
    ///     let gap = |page: &String| match page.as_str() {
    ///         "/video" => Duration::from_secs(3600),
    ///         _ => Duration::from_secs(300),
    ///     };
    ///     pages.window(Session::with_gap_of(gap)).count()
    /// }
    /// ```
    pub fn with_gap_of<V>(gap: F) -> Self
    where
        F: Fn(&V) -> Duration + Send + Sync + 'static,
    {
        Session(GapOf(Arc::new(gap)))
    }
}

impl<G> EventTimeWindows for Session<G> {}

fn session(time: EventTime, gap_ms: i64) -> Window {
    Window {
        start: time,
        end: time.saturating_add(gap_ms),
    }
}

impl<V> Windows<V> for Session<FixedGap> {
    const CLOCK: Clock = Clock::Event;
    const MERGES: bool = true;

    fn check(&self) -> Result<(), String> {
        at_least_1_ms("the gap of a session", self.0.gap_ms)
    }

    fn describe(&self) -> String {
        format!("sessions with a gap of {}", words(self.0.gap_ms))
    }

    #[inline]
    fn assign(&self, time: EventTime, _: &V, windows: &mut Vec<Window>) -> Result<(), BoxError> {
        windows.push(session(time, self.0.gap_ms));
        Ok(())
    }
}

impl<V, F: Fn(&V) -> Duration + Send + Sync + 'static> Windows<V> for Session<GapOf<F>> {
    const CLOCK: Clock = Clock::Event;
    const MERGES: bool = true;

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn describe(&self) -> String {
        "sessions with a gap from the record".into()
    }

    #[inline]
    fn assign(
        &self,
        time: EventTime,
        value: &V,
        windows: &mut Vec<Window>,
    ) -> Result<(), BoxError> {
        let gap = (self.0.0)(value);
        let gap_ms = millis(gap);
        if gap_ms < 1 {
            let message =
                format!("the session gap of this record is {gap:?}: it must be at least 1 ms");
            return Err(message.into());
        }
        windows.push(session(time, gap_ms));
        Ok(())
    }
}
