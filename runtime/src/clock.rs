//! The one door to wall-clock time, monotonic time and parking.
//!
//! Everything in the runtime that asks what time it is asks a [`Clock`]; a test hands in
//! [`ManualClock`] and moves it by hand.

use crate::source::Waker;
use crate::time::{EventTime, whole_ns};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of processing time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since the Unix epoch. A clock that a job is given may be set back: to the job, time goes on
    /// from where it was.
    fn now_ns(&self) -> i64;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> EventTime {
        self.now_ns().div_euclid(1_000_000)
    }

    /// Gives a clock that is moved by hand what it has to wake when it was moved: whatever waits for a time of it. A
    /// clock that runs by itself has no need of it.
    fn on_moved(&self, _wakers: &mut dyn FnMut() -> Waker) {}
}

impl std::fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({} ns)", self.now_ns())
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock: the wall-clock time at the start of the process plus the monotonic time
/// since, so that a wall clock that is set back does not turn back processing time.
pub struct SystemClock {
    start: Instant,
    start_ns: i64,
}

impl SystemClock {
    /// A clock that starts at the wall-clock time of now.
    #[allow(clippy::disallowed_methods)] // this is the door
    pub fn new() -> Self {
        let start_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as i64);
        SystemClock {
            start: Instant::now(),
            start_ns,
        }
    }

    /// A shared system clock.
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now_ns(&self) -> i64 {
        self.start_ns + self.start.elapsed().as_nanos() as i64
    }
}

/// A clock that stands still until it is moved. A job that runs by it fires timers and processing-time
/// windows, and finds splits idle, when it is moved.
#[derive(Default)]
pub struct ManualClock {
    now_ns: AtomicI64,
    wakers: Mutex<Vec<Waker>>,
}

impl ManualClock {
    /// A clock that shows `ms` milliseconds since the Unix epoch.
    pub fn at_ms(ms: EventTime) -> Self {
        ManualClock {
            now_ns: AtomicI64::new(ms * 1_000_000),
            wakers: Mutex::default(),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.move_by(whole_ns(by));
    }

    /// Sets the clock back, as it happens to clocks on a wall. To a job that runs by it, time goes on
    /// from where it was.
    pub fn set_back(&self, by: Duration) {
        self.move_by(-whole_ns(by));
    }

    fn move_by(&self, ns: i64) {
        self.now_ns.fetch_add(ns, Ordering::SeqCst);
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> i64 {
        self.now_ns.load(Ordering::SeqCst)
    }

    fn on_moved(&self, wakers: &mut dyn FnMut() -> Waker) {
        let mut all = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(wakers());
    }
}

/// A clock that goes on where another one jumps back: a job's processing time never goes back, and never stands
/// still because a clock was set. Jumps forward are followed.
pub(crate) struct SteadyClock {
    clock: SharedClock,
    shown: Mutex<Shown>,
}

/// What a [`SteadyClock`] last showed.
struct Shown {
    /// The time of the clock behind it.
    raw_ns: i64,
    /// How far it was set back, in all.
    set_back_ns: i64,
}

impl SteadyClock {
    pub fn new(clock: SharedClock) -> Self {
        let raw_ns = clock.now_ns();
        SteadyClock {
            clock,
            shown: Mutex::new(Shown {
                raw_ns,
                set_back_ns: 0,
            }),
        }
    }
}

impl Clock for SteadyClock {
    fn now_ns(&self) -> i64 {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let raw_ns = self.clock.now_ns();
        if raw_ns < shown.raw_ns {
            shown.set_back_ns += shown.raw_ns - raw_ns;
        }
        shown.raw_ns = raw_ns;
        raw_ns.saturating_add(shown.set_back_ns)
    }

    fn on_moved(&self, wakers: &mut dyn FnMut() -> Waker) {
        self.clock.on_moved(wakers);
    }
}

/// Measures how long something took, for budgets and metrics.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[inline]
    #[allow(clippy::disallowed_methods)] // this is the door
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// The time since the start.
    #[inline]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on_where_it_was() {
        let hour = Duration::from_secs(3_600);
        let second = Duration::from_secs(1);
        let manual = Arc::new(ManualClock::at_ms(10_000));
        let steady = SteadyClock::new(manual.clone());
        assert_eq!(steady.now_ms(), 10_000);
        manual.set_back(hour);
        assert_eq!(steady.now_ms(), 10_000);
        manual.advance(second);
        assert_eq!(steady.now_ms(), 11_000, "it does not wait for an hour");
        manual.set_back(second);
        manual.set_back(hour);
        assert_eq!(steady.now_ms(), 11_000);
        manual.advance(hour);
        assert_eq!(steady.now_ms(), 3_611_000, "forward it follows");
    }
}
