//! From a windowed stream to an operator: which windows, trigger and evictor it has, and which operator runs them.

use super::assign::{FixedGap, GapOf, millis, words};
use super::evictor::{Evictor, KeepAll};
use super::function::{
    Aggregate, AggregateThen, FullWindow, Incremental, IncrementalThen, Listed, WindowFunction,
};
use super::operator::{Parts, WindowOperator};
use super::sliced::SlicedOperator;
use super::trigger::{EventTimeTrigger, ProcessingTimeTrigger, WindowTrigger};
use super::tumbling::TumblingOperator;
use super::{
    Cumulating, EventTimeWindows, LateRecords, OutputMode, ProcessingTime, Session, Sliding,
    Tumbling, WindowContext, Windowed, Windows,
};
use crate::aggregate::Aggregator;
use crate::keyed::KeyedStream;
use crate::stateless::Collector;
use crate::stream::Stream;
use millstream_runtime::driver::{SideMaker, SideOutput};
use millstream_runtime::operator::{Operator, UserResult};
use millstream_runtime::record::{Data, Key};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Windows that are ready to be computed: it is settled when they fire.
#[diagnostic::on_unimplemented(
    message = "it is not settled when `{Self}` fires",
    label = "these windows need a trigger before anything can be computed",
    note = "add `.trigger(…)`: `Global` windows have none by default"
)]
pub trait Windowing<V: Data>: Clone + Send + Sync + 'static {
    /// Which windows.
    #[doc(hidden)]
    type Windows: Windows<V>;
    /// When they fire.
    #[doc(hidden)]
    type Trigger: WindowTrigger<V>;
    /// What is thrown out of them.
    #[doc(hidden)]
    type Evictor: Evictor<V>;

    /// Whether the user chose the trigger.
    #[doc(hidden)]
    const OWN_TRIGGER: bool = false;

    #[doc(hidden)]
    fn windows(&self) -> &Self::Windows;
    #[doc(hidden)]
    fn trigger(&self) -> Arc<Self::Trigger>;
    #[doc(hidden)]
    fn evictor(&self) -> Arc<Self::Evictor>;

    /// What is wrong with the settings, if anything.
    #[doc(hidden)]
    fn check(&self) -> Result<(), String> {
        self.windows().check()?;
        self.trigger().check()?;
        self.evictor().check()
    }

    /// What is legal but hardly meant.
    #[doc(hidden)]
    fn warning(&self) -> Option<String> {
        self.windows().warning()
    }

    /// The settings in words.
    #[doc(hidden)]
    fn describe(&self) -> String {
        self.windows().describe()
    }

    /// Adds the operator of an incremental aggregate without an output mode: a faster one than the general where
    /// there is one.
    #[doc(hidden)]
    fn add_aggregate<K: Key, G: Aggregator<V>>(
        &self,
        plan: Plan<K, V>,
        aggregator: Arc<G>,
    ) -> Results<K, V, Windowed<K, G::Out>> {
        plan.aggregate(self, aggregator)
    }
}

/// What an operator puts out, and its late records.
pub type Results<K, V, U> = (Stream<U>, LateRecords<K, V>);

/// What is settled before the function is.
pub struct Plan<K, V> {
    keyed: KeyedStream<K, V>,
    lateness_ms: i64,
    mode: Option<OutputMode>,
    details: String,
}

/// Settings of all windows of an operator.
#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub lateness: Duration,
    pub mode: Option<OutputMode>,
}

impl<K: Key, V: Data> Plan<K, V> {
    pub(super) fn new<W: Windowing<V>>(
        keyed: KeyedStream<K, V>,
        windowing: &W,
        settings: Settings,
    ) -> Self {
        let lateness_ms = millis(settings.lateness);
        let mut details = windowing.describe();
        if lateness_ms > 0 {
            details += &format!(", allowed lateness {}", words(lateness_ms));
        }
        if let Some(mode) = settings.mode {
            details += &format!(", output mode {}", mode.words());
        }
        Plan {
            keyed,
            lateness_ms,
            mode: settings.mode,
            details,
        }
    }

    /// Adds an operator; `make` is called on each worker with the side output of late records.
    pub(super) fn operator<O: Operator<In = (K, V)>>(
        self,
        make: impl Fn(SideOutput<(K, V)>) -> O + Send + Sync + 'static,
    ) -> Results<K, V, O::Out> {
        let builder = &self.keyed.builder;
        let make = move |sides: &mut SideMaker<'_, '_, '_>| make(sides.side(1));
        let port = builder.operator("window", self.details, self.keyed.edge(), make);
        let late = builder.side::<_, (K, V)>(port, "late");
        (
            Stream::new(builder.clone(), port),
            Stream::new(builder.clone(), late),
        )
    }

    /// Whether a mode asks for something else than what windows do by themselves.
    pub(super) fn needs_the_general_operator(&self) -> bool {
        match self.mode {
            None => false,
            Some(OutputMode::Append) => self.lateness_ms > 0,
            Some(OutputMode::Update | OutputMode::Complete) => true,
        }
    }

    /// Adds the general operator.
    fn general<W, F>(self, windowing: &W, function: F) -> Results<K, V, F::Out>
    where
        W: Windowing<V>,
        F: WindowFunction<K, V>,
    {
        let parts = Parts {
            windows: windowing.windows().clone(),
            trigger: windowing.trigger(),
            own_trigger: W::OWN_TRIGGER,
            function: Arc::new(function),
            lateness_ms: self.lateness_ms,
            mode: self.mode,
        };
        self.operator(move |late| WindowOperator::<K, V, _, _, F>::new(parts.clone(), late))
    }

    /// Adds the general operator for a function over all records.
    pub(super) fn listed<W, F>(self, windowing: &W, function: F) -> Results<K, V, F::Out>
    where
        W: Windowing<V>,
        F: FullWindow<K, V>,
    {
        let listed = Listed {
            evictor: windowing.evictor(),
            function,
            clock: W::Windows::CLOCK,
        };
        self.general(windowing, listed)
    }

    /// Adds the general operator for an aggregate.
    pub(super) fn aggregate<W, G>(
        self,
        windowing: &W,
        aggregator: Arc<G>,
    ) -> Results<K, V, Windowed<K, G::Out>>
    where
        W: Windowing<V>,
        G: Aggregator<V>,
    {
        if W::Evictor::EVICTS {
            return self.listed(windowing, Aggregate(aggregator));
        }
        self.general(windowing, Incremental(aggregator))
    }

    /// Adds the general operator for an aggregate whose result a function takes.
    pub(super) fn aggregate_then<W, G, F, U>(
        self,
        windowing: &W,
        aggregator: G,
        function: F,
    ) -> Results<K, V, U>
    where
        W: Windowing<V>,
        G: Aggregator<V>,
        F: Fn(&WindowContext<'_, K>, G::Out, &mut Collector<'_, U>) -> UserResult
            + Send
            + Sync
            + 'static,
        U: Data,
    {
        let (aggregator, marker) = (Arc::new(aggregator), PhantomData);
        if W::Evictor::EVICTS {
            let aggregate = Aggregate(aggregator);
            return self.listed(
                windowing,
                AggregateThen {
                    aggregate,
                    function,
                    marker,
                },
            );
        }
        self.general(
            windowing,
            IncrementalThen {
                aggregator,
                function,
                marker,
            },
        )
    }
}

macro_rules! by_default {
    ($trigger:ident) => {
        type Windows = Self;
        type Trigger = $trigger;
        type Evictor = KeepAll;

        fn windows(&self) -> &Self {
            self
        }

        fn trigger(&self) -> Arc<$trigger> {
            Arc::new($trigger)
        }

        fn evictor(&self) -> Arc<KeepAll> {
            Arc::new(KeepAll)
        }
    };
}

impl<V: Data> Windowing<V> for Tumbling {
    by_default!(EventTimeTrigger);

    fn add_aggregate<K: Key, G: Aggregator<V>>(
        &self,
        plan: Plan<K, V>,
        aggregator: Arc<G>,
    ) -> Results<K, V, Windowed<K, G::Out>> {
        let (windows, lateness_ms) = (*self, plan.lateness_ms);
        plan.operator(move |late| {
            TumblingOperator::<K, V, G>::new(windows, lateness_ms, aggregator.clone(), late)
        })
    }
}

/// Whether accumulators own nothing, and two of them with their key are no more than a cache line or so: then those of the newest
/// slices lie with the key.
const fn is_small<A>() -> bool {
    size_of::<A>() <= 16 && !std::mem::needs_drop::<A>()
}

macro_rules! sliced {
    ($windows:ident) => {
        impl<V: Data> Windowing<V> for $windows {
            by_default!(EventTimeTrigger);

            /// From slices that windows share, if they can be merged.
            fn add_aggregate<K: Key, G: Aggregator<V>>(
                &self,
                plan: Plan<K, V>,
                aggregator: Arc<G>,
            ) -> Results<K, V, Windowed<K, G::Out>> {
                if !G::MERGES {
                    return plan.aggregate(self, aggregator);
                }
                let (windows, lateness_ms) = (*self, plan.lateness_ms);
                match is_small::<G::Acc>() {
                    true => plan.operator(move |late| {
                        let aggregator = aggregator.clone();
                        SlicedOperator::<K, V, G, 2>::new(windows, lateness_ms, aggregator, late)
                    }),
                    false => plan.operator(move |late| {
                        let aggregator = aggregator.clone();
                        SlicedOperator::<K, V, G, 0>::new(windows, lateness_ms, aggregator, late)
                    }),
                }
            }
        }
    };
}

sliced!(Sliding);
sliced!(Cumulating);

impl<V: Data> Windowing<V> for Session<FixedGap> {
    by_default!(EventTimeTrigger);
}

impl<V: Data, F: Fn(&V) -> Duration + Send + Sync + 'static> Windowing<V> for Session<GapOf<F>> {
    by_default!(EventTimeTrigger);
}

impl<V: Data, W: Windows<V>> Windowing<V> for ProcessingTime<W> {
    by_default!(ProcessingTimeTrigger);
}

/// Windows that fire as a trigger says.
pub struct Triggered<W, T> {
    pub(super) windows: W,
    pub(super) trigger: Arc<T>,
}

impl<W: Clone, T> Clone for Triggered<W, T> {
    fn clone(&self) -> Self {
        Triggered {
            windows: self.windows.clone(),
            trigger: self.trigger.clone(),
        }
    }
}

impl<W: EventTimeWindows, T> EventTimeWindows for Triggered<W, T> {}

impl<V: Data, W: Windows<V>, T: WindowTrigger<V>> Windowing<V> for Triggered<W, T> {
    type Windows = W;
    type Trigger = T;
    type Evictor = KeepAll;
    const OWN_TRIGGER: bool = true;

    fn windows(&self) -> &W {
        &self.windows
    }

    fn trigger(&self) -> Arc<T> {
        self.trigger.clone()
    }

    fn evictor(&self) -> Arc<KeepAll> {
        Arc::new(KeepAll)
    }

    fn describe(&self) -> String {
        format!(
            "{}, firing {}",
            self.windows.describe(),
            self.trigger.describe()
        )
    }
}

/// Windows from which an evictor throws records out.
pub struct Evicted<W, E> {
    pub(super) windowing: W,
    pub(super) evictor: Arc<E>,
}

impl<W: Clone, E> Clone for Evicted<W, E> {
    fn clone(&self) -> Self {
        Evicted {
            windowing: self.windowing.clone(),
            evictor: self.evictor.clone(),
        }
    }
}

impl<W: EventTimeWindows, E> EventTimeWindows for Evicted<W, E> {}

impl<V: Data, W: Windowing<V>, E: Evictor<V>> Windowing<V> for Evicted<W, E> {
    type Windows = W::Windows;
    type Trigger = W::Trigger;
    type Evictor = E;
    const OWN_TRIGGER: bool = W::OWN_TRIGGER;

    fn windows(&self) -> &W::Windows {
        self.windowing.windows()
    }

    fn trigger(&self) -> Arc<W::Trigger> {
        self.windowing.trigger()
    }

    fn evictor(&self) -> Arc<E> {
        self.evictor.clone()
    }

    fn check(&self) -> Result<(), String> {
        self.windowing.check()?;
        self.evictor.check()
    }

    fn warning(&self) -> Option<String> {
        self.windowing.warning()
    }

    fn describe(&self) -> String {
        format!("{}, {}", self.windowing.describe(), self.evictor.describe())
    }
}
