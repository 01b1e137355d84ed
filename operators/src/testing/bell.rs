//! Lets a test wait until an operator is woken from outside.

use millstream_runtime::source::Waker;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Rings when an operator's waker is called.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub fn waker(self: &Arc<Self>) -> Waker {
        let bell = self.clone();
        Waker::new(move || {
            *bell.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
            bell.changed.notify_all();
        })
    }

    /// Waits until it rings.
    pub fn wait(&self) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(rung, PATIENCE, |rung| !*rung);
        let (mut rung, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "what is under way outside does not come"
        );
        *rung = false;
    }
}

/// How long a test waits for what is under way outside.
const PATIENCE: Duration = Duration::from_secs(30);
