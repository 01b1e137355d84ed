//! Fires when a value has moved away.

use super::{TriggerContext, TriggerResult, WindowTrigger};
use millstream_runtime::record::Data;
use millstream_runtime::time::EventTime;

/// Fires when a value is further than a threshold from the one at which it last fired (at first: from the first);
/// not at the end of the window.
#[derive(Clone, Copy, Debug)]
pub struct DeltaTrigger<F> {
    threshold: f64,
    distance: F,
}

impl<F> DeltaTrigger<F> {
    /// Fires when `distance(value of then, value)` is greater than `threshold`. A job with a threshold that is
    /// no number does not start.
    pub fn of(threshold: f64, distance: F) -> Self {
        DeltaTrigger {
            threshold,
            distance,
        }
    }
}

impl<V, F> WindowTrigger<V> for DeltaTrigger<F>
where
    V: Data + PartialEq,
    F: Fn(&V, &V) -> f64 + Send + Sync + 'static,
{
    type State = Option<V>;

    fn on_record(
        &self,
        _: EventTime,
        value: &V,
        last: &mut Option<V>,
        _: &TriggerContext,
    ) -> TriggerResult {
        let moved = match last {
            Some(last) => (self.distance)(last, value) > self.threshold,
            None => false,
        };
        if moved || last.is_none() {
            *last = Some(value.clone());
        }
        TriggerResult::of(moved, false)
    }

    /// The value of the earlier window stays.
    fn merge(&self, last: &mut Option<V>, other: Option<V>) {
        if last.is_none() {
            *last = other;
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.threshold.is_nan() {
            true => Err("the threshold of a delta trigger is not a number".into()),
            false => Ok(()),
        }
    }

    fn describe(&self) -> String {
        format!("at a delta of more than {}", self.threshold)
    }
}
