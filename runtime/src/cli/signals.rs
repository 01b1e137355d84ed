//! SIGINT and SIGTERM: the first asks for a clean end, the second kills.

use super::setting::wrong;
use super::terminal;
use crate::error::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a process that a user killed by hand.
const KILLED: i32 = 130;

/// Listens for signals until it is dropped.
pub(super) struct StopSignals {
    asked: Arc<AtomicBool>,
    listener: Handle,
}

impl StopSignals {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let failed = |error| wrong("cannot listen for signals").with_source(error);
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let listener = signals.handle();
        let asked = Arc::new(AtomicBool::new(false));
        let heard = asked.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in signals.forever() {
                    if heard.swap(true, Ordering::Relaxed) {
                        terminal::clear_status();
                        terminal::notice("killed");
                        signal_hook::low_level::exit(KILLED);
                    }
                }
            })
            .map_err(failed)?;
        Ok(StopSignals { asked, listener })
    }

    /// Whether a signal has come.
    pub fn asked_to_stop(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        self.listener.close();
    }
}
