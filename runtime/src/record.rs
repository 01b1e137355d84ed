//! What flows: a value with its event time, and the traits that values must have.

use crate::time::EventTime;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One record: the user's value and its event time.
///
/// Event time travels inside the record and not in the timestamp of the message that carries it:
/// thousands of records share one timestamp, so that progress traffic depends on the tick rate and
/// never on the record rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record<T> {
    /// Event time in milliseconds since the Unix epoch; [`NO_TIME`] before one is assigned.
    pub time: EventTime,
    /// The user's value.
    pub value: T,
}

/// The event time of a record to which none was assigned.
pub const NO_TIME: EventTime = i64::MIN;

impl<T> Record<T> {
    /// A record of `value` at event time `time`.
    #[inline]
    pub fn new(time: EventTime, value: T) -> Self {
        Record { time, value }
    }

    /// The same event time with another value.
    #[inline]
    pub fn with<U>(self, map: impl FnOnce(T) -> U) -> Record<U> {
        Record {
            time: self.time,
            value: map(self.value),
        }
    }
}

/// A value that can flow through a job: `Clone + Send + Sync + 'static` and serde's two traits.
///
/// Implemented for every type that has these. Serialisation is used when a record leaves its
/// process; within one process records move by pointer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a job",
    label = "records need `Clone + Send + 'static` and serde's `Serialize` and `Deserialize`",
    note = "derive them: `#[derive(Clone, serde::Serialize, serde::Deserialize)]`; borrowed data must be owned first"
)]
pub trait Data: Clone + Send + Serialize + DeserializeOwned + 'static {}
impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Data for T {}

/// A key: [`Data`] that can be compared and hashed.
///
/// The hash decides in which key group a key lives, in every process and across restarts, so
/// `Hash` must depend on the value alone (never on an address or a random state).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "keys need `Clone + Send + Eq + Hash + 'static` and serde's `Serialize` and `Deserialize`",
    note = "floating point numbers are no keys: use their bits or a rounded integer"
)]
pub trait Key: Data + Eq + std::hash::Hash {}
impl<T: Data + Eq + std::hash::Hash> Key for T {}
