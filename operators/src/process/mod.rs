//! Process functions: the user's own operators, with state and timers per key and with side outputs.
//!
//! A function is a struct that implements [`KeyedProcess`] (one keyed input), [`ConnectedProcess`] (two) or
//! [`KeyedBroadcastProcess`] (one, and rules that all workers have); without keys there are closures,
//! [`PlainConnectedProcess`] and [`BroadcastProcess`]. It is made on each worker by a closure that declares its states:
//!
//! ```
//! use millstream_operators::{KeyedContext, KeyedProcess, States, Timer};
//! use millstream_runtime::operator::UserResult;
//! use millstream_runtime::state::ValueState;
//!
//! /// Puts out a key each time that it had no record for a minute.
//! struct Silence {
//!     last: ValueState<i64>,
//! }
//!
//! impl KeyedProcess for Silence {
//!     type Key = String;
//!     type In = u64;
//!     type Out = String;
//!
//!     fn on_record(&mut self, _: u64, ctx: &mut KeyedContext<'_, String, String>) -> UserResult {
//!         let time = ctx.time();
//!         if let Some(before) = ctx.value(self.last).get().copied() {
//!             ctx.delete_event_timer(before + 60_000);
//!             // This record may come before the watermark has let the timer fire.
//!             if before + 60_000 < time {
//!                 ctx.emit_at(before + 60_000, ctx.key().clone());
//!             }
//!         }
//!         ctx.value(self.last).set(time);
//!         ctx.register_event_timer(time + 60_000);
//!         Ok(())
//!     }
//!
//!     fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, String, String>) -> UserResult {
//!         ctx.value(self.last).clear();
//!         ctx.emit(ctx.key().clone());
//!         Ok(())
//!     }
//! }
//!
//! let make = |states: &mut States<'_, String>| Silence { last: states.value("last") };
//! # let mut silence = millstream_operators::testing::Harness::keyed(make);
//! # silence.record(0, ("a".to_string(), 1));
//! # silence.record(30_000, ("a".to_string(), 1));
//! # silence.watermark(90_000);
//! # assert!(silence.take().is_empty());
//! # silence.watermark(90_001);
//! # assert_eq!(silence.take()[0].value, "a");
//! ```
//!
//! `keyed.process("silence", make)` puts it into a job.

mod broadcast;
mod connected;
mod context;
mod engine;
mod keyed;
mod keyed_broadcast;
mod plain;
mod plain_connected;
mod sides;
mod states;

pub use broadcast::{BroadcastProcess, BroadcastStreams};
pub use connected::{ConnectedProcess, ConnectedStreams};
pub use context::{BroadcastContext, KeyedContext, ProcessContext};
pub use keyed::KeyedProcess;
pub use keyed_broadcast::{KeyedBroadcastProcess, KeyedBroadcastStreams};
pub use plain_connected::{PlainConnectedProcess, PlainConnectedStreams};
pub use sides::{Side, SideRecords, SideTag, SideTags};
pub use states::{AggregatingAccess, AggregatingState, States};

pub(crate) use connected::{ConnectedOperator, TwoInputs};
pub(crate) use engine::Engine;
pub(crate) use keyed::{KeyedOperator, OneInput};
pub(crate) use keyed_broadcast::{KeyedBroadcastOperator, WithRules};
pub(crate) use sides::Collected;

#[cfg(test)]
mod tests;
