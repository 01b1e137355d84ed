//! From a windowed stream to an operator: which one runs which windows.

use super::sliced::SlicedOperator;
use super::tumbling::TumblingOperator;
use super::{Cumulating, LateRecords, Sliding, Tumbling, Windowed, Windows};
use crate::aggregate::Aggregator;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::{SideMaker, SideOutput};
use millstream_runtime::operator::Operator;
use millstream_runtime::record::{Data, Key};
use std::sync::Arc;

/// Windows that are ready to be computed: it is settled when they fire.
#[diagnostic::on_unimplemented(
    message = "it is not settled when `{Self}` fires",
    label = "these windows need a trigger before anything can be computed",
    note = "add `.trigger(…)`: `Global` windows have none by default"
)]
pub trait Windowing<V: Data>: Clone + Send + Sync + 'static {
    /// The kind of windows.
    #[doc(hidden)]
    type Windows: Windows<V>;

    /// The kind of windows.
    #[doc(hidden)]
    fn windows(&self) -> &Self::Windows;

    /// Adds the operator of an incremental aggregate.
    #[doc(hidden)]
    fn add_aggregate<K: Key, G: Aggregator<V>>(
        &self,
        plan: Plan<K, V>,
        aggregator: Arc<G>,
    ) -> Results<K, V, Windowed<K, G::Out>>;
}

/// What an operator puts out, and its late records.
pub type Results<K, V, U> = (Stream<U>, LateRecords<K, V>);

/// What is settled before the function is.
pub struct Plan<K, V> {
    pub(super) keyed: KeyedStream<K, V>,
    pub(super) lateness_ms: i64,
    pub(super) details: String,
}

impl<K: Key, V: Data> Plan<K, V> {
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
}

impl<V: Data> Windowing<V> for Tumbling {
    type Windows = Self;

    fn windows(&self) -> &Self {
        self
    }

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

macro_rules! sliced {
    ($windows:ty) => {
        impl<V: Data> Windowing<V> for $windows {
            type Windows = Self;

            fn windows(&self) -> &Self {
                self
            }

            fn add_aggregate<K: Key, G: Aggregator<V>>(
                &self,
                plan: Plan<K, V>,
                aggregator: Arc<G>,
            ) -> Results<K, V, Windowed<K, G::Out>> {
                const {
                    assert!(
                        G::MERGES,
                        "windows that overlap share slices, which are merged: give the fold a merge with `merged_by`"
                    )
                };
                let (windows, lateness_ms) = (*self, plan.lateness_ms);
                plan.operator(move |late| {
                    SlicedOperator::<K, V, G>::new(windows, lateness_ms, aggregator.clone(), late)
                })
            }
        }
    };
}

sliced!(Sliding);
sliced!(Cumulating);
