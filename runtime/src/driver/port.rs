//! Channels: how batches of records leave an operator and enter the next, type-erased while the graph
//! is compiled and typed while it runs.

use super::channel::{Exchange, Forward};
use crate::error::Result;
use crate::operator::Emit;
use crate::record::{Data, Record};
use crate::time::Time;
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use timely::communication::{Pull, Push};
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::channels::pullers::Counter as PullCounter;
use timely::dataflow::channels::pushers::{Counter as PushCounter, Tee, TeeHelper};
use timely::dataflow::operators::generic::builder_raw::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::{Antichain, ChangeBatch, Source};

/// What travels through a channel.
pub(crate) type Bundle<T> = Vec<Record<T>>;
pub(super) type Message_<T> = Message<Time, Bundle<T>>;
pub(crate) type Changes = Rc<RefCell<ChangeBatch<Time>>>;

/// The end of an operator's chain: puts batches into timely's channels.
struct Channel<T> {
    pusher: PushCounter<Time, Tee<Time, Bundle<T>>>,
    sent: u64,
}

impl<T: 'static> Emit<T> for Channel<T> {
    fn emit(&mut self, time: Time, records: &mut Vec<Record<T>>) -> Result<()> {
        if !records.is_empty() {
            self.sent += records.len() as u64;
            Message::push_at(records, time, &mut self.pusher);
            records.clear();
        }
        Ok(())
    }

    fn flush(&mut self) {
        Push::<Message_<T>>::done(&mut self.pusher);
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

/// The consumers' end of an output port. Its parts outlive the scope, so that they can be kept in a
/// type-erased table while the graph is compiled.
struct StreamParts<T> {
    source: Source,
    helper: TeeHelper<Time, Bundle<T>>,
}

/// A port that was opened: the emitter for the producer, the stream for the consumers.
pub(crate) struct OpenPort {
    /// A `Box<dyn Emit<T>>`.
    pub emit: Box<dyn Any>,
    /// What [`take_stream`] needs.
    pub stream: Box<dyn Any>,
    /// What was sent, for progress tracking.
    pub produced: Changes,
}

/// Opens ports of one record type. Only the runtime implements it.
pub trait PortType: Send + Sync {
    #[doc(hidden)]
    fn open(&self, builder: &mut OperatorBuilder<'_, Time>, connected: &[usize]) -> Box<dyn Any>;
}

struct Typed<T>(PhantomData<fn() -> T>);

/// The port type of `T`.
pub(crate) fn port_type<T: Data>() -> Arc<dyn PortType> {
    Arc::new(Typed::<T>(PhantomData))
}

impl<T: Data> PortType for Typed<T> {
    fn open(&self, builder: &mut OperatorBuilder<'_, Time>, connected: &[usize]) -> Box<dyn Any> {
        let output = builder.shape().outputs();
        let connection = connected
            .iter()
            .map(|input| (*input, Antichain::from_elem(Default::default())));
        // The builder's own tee cannot be taken apart; ours takes its place.
        let _ = builder.new_output_connection::<Bundle<T>, _>(connection);
        let (tee, helper) = Tee::new();
        let pusher = PushCounter::new(tee);
        let produced = Rc::clone(pusher.produced());
        let emit: Box<dyn Emit<T>> = Box::new(Channel { pusher, sent: 0 });
        Box::new(OpenPort {
            emit: Box::new(emit),
            stream: Box::new(StreamParts::<T> {
                source: Source::new(builder.index(), output),
                helper,
            }),
            produced,
        })
    }
}

/// A typed stream from what [`OpenPort::stream`] holds. `last`: no further consumer will ask.
pub(crate) fn take_stream<'s, T: Data>(
    parts: &mut Option<Box<dyn Any>>,
    last: bool,
    scope: Scope<'s, Time>,
) -> Stream<'s, Time, Bundle<T>> {
    const TYPE: &str = "a port is read with the type it was declared with";
    if last {
        let parts = parts.take().expect("the last consumer comes once");
        let parts = parts.downcast::<StreamParts<T>>().expect(TYPE);
        return Stream::new(parts.source, parts.helper, scope);
    }
    let parts = parts.as_ref().expect("the last consumer comes last");
    let parts = parts.downcast_ref::<StreamParts<T>>().expect(TYPE);
    Stream::new(parts.source, parts.helper.clone(), scope)
}

/// Spreads a batch over workers: one dynamic call per batch.
pub trait Partition<T>: 'static {
    /// Moves every record into the vector of the worker it belongs to.
    fn partition(&mut self, records: &mut Vec<Record<T>>, targets: &mut [Vec<Record<T>>]);
}

/// A [`Partition`] by a function that names the worker.
pub struct ByWorker<F>(pub F);

impl<T, F: FnMut(&T) -> usize + 'static> Partition<T> for ByWorker<F> {
    fn partition(&mut self, records: &mut Vec<Record<T>>, targets: &mut [Vec<Record<T>>]) {
        for record in records.drain(..) {
            targets[(self.0)(&record.value)].push(record);
        }
    }
}

/// Makes the [`Partition`] of one worker; `None`: records stay where they are.
pub type Route<T> = Option<Box<dyn Partition<T>>>;

/// The receiving end of an edge, counting what it consumes.
pub(crate) struct Receiver<T> {
    counter: PullCounter<Time, Bundle<T>, Box<dyn Pull<Message_<T>>>>,
}

impl<T: Data> Receiver<T> {
    /// Connects a stream to the next input of `builder`. `connected`: outputs whose timestamps this
    /// input's may pass through to.
    pub fn connect<'s>(
        builder: &mut OperatorBuilder<'s, Time>,
        stream: Stream<'s, Time, Bundle<T>>,
        route: Route<T>,
    ) -> Self {
        let puller: Box<dyn Pull<Message_<T>>> = match route {
            None => Box::new(connect_pact(builder, stream, Forward)),
            Some(partition) => Box::new(connect_pact(builder, stream, Exchange(partition))),
        };
        Receiver {
            counter: PullCounter::new(puller),
        }
    }

    /// The next message: its time and its records, which may be taken.
    #[inline]
    pub fn next(&mut self) -> Option<(Time, &mut Bundle<T>)> {
        self.counter
            .next()
            .map(|message| (message.time, &mut message.data))
    }

    pub fn consumed(&self) -> Changes {
        Rc::clone(self.counter.consumed())
    }
}

fn connect_pact<'s, T: Data, P: ParallelizationContract<Time, Bundle<T>>>(
    builder: &mut OperatorBuilder<'s, Time>,
    stream: Stream<'s, Time, Bundle<T>>,
    pact: P,
) -> P::Puller {
    builder.new_input_connection(stream, pact, std::iter::empty())
}
