//! The drivers: what binds operators, sources and sinks to timely. The only place that knows timely's
//! operator builder.

mod alarm;
mod barrier;
mod channel;
mod compile;
mod context;
mod control;
mod coordinator;
mod faults;
mod gate;
mod inlet;
pub(crate) mod one_input;
mod operator;
mod port;
mod sink;
mod source;
mod station;
mod step;
mod turn;
pub(crate) mod two_input;

pub use compile::{OperatorFactory, SideCatch, SideMaker, SideOutput, Site};
pub use port::{ByWorker, Partition, PortType, Route};
pub use sink::PREPARED_STATE;
pub use source::{AnyEnumerator, SPLITS_STATE};
pub use step::{MakeRoute, Position, RouteContext, Step, StepFactory, WorkerParts, forward};

pub(crate) use compile::compile;
pub(crate) use context::WorkerContext;
pub(crate) use port::port_type;
pub(crate) use sink::SinkFactory;
pub(crate) use source::SourceFactory;
pub(crate) use station::common_states;
pub(crate) use step::TypedStep;
