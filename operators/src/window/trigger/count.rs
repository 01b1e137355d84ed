//! Fires by number.

use super::{TriggerContext, TriggerResult, WindowTrigger};
use millstream_runtime::time::EventTime;

/// Fires at every `n`th record of a window; not at its end.
#[derive(Clone, Copy, Debug)]
pub struct CountTrigger(u64);

impl CountTrigger {
    /// Fires at every `n`th record; a job with zero does not start.
    pub fn of(n: u64) -> Self {
        CountTrigger(n)
    }
}

impl<V> WindowTrigger<V> for CountTrigger {
    type State = u64;

    #[inline]
    fn on_record(&self, _: EventTime, _: &V, count: &mut u64, _: &TriggerContext) -> TriggerResult {
        *count += 1;
        let full = *count >= self.0;
        if full {
            *count = 0;
        }
        TriggerResult::of(full, false)
    }

    /// What both have counted is added up; if that is enough, the record that merged them fires.
    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn check(&self) -> Result<(), String> {
        match self.0 {
            0 => Err("the number of records of a count trigger must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        format!("every {} records", self.0)
    }
}
