//! The one door to wall-clock time, monotonic time and parking.
//!
//! Everything in the runtime that asks what time it is asks a [`Clock`]; a test hands in
//! [`ManualClock`] and moves it by hand.

use crate::source::Waker;
use crate::time::EventTime;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of processing time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since the Unix epoch. Never goes back within one clock.
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
        self.now_ns
            .fetch_add(by.as_nanos() as i64, Ordering::SeqCst);
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
