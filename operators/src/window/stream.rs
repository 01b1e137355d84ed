//! A keyed stream cut into windows, stage by stage.

use super::assign::{EventTimeWindows, TakesTrigger};
use super::evictor::Evictor;
use super::function::Process;
use super::plan::{Evicted, Plan, Results, Settings, Triggered, Windowing};
use super::trigger::WindowTrigger;
use super::{Clock, OutputMode, WindowContext, Windowed, Windows};
use crate::aggregate::{Aggregator, Count, Fold, Reduce};
use crate::keyed::KeyedStream;
use crate::stateless::Collector;
use crate::stream::Stream;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Key, Record};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Results of windows, with their keys and windows.
pub type WindowResults<K, R> = Stream<Windowed<K, R>>;
/// Records that came after their window had ended, with their keys.
pub type LateRecords<K, V> = Stream<(K, V)>;

/// A keyed stream cut into windows `W`: say when they fire, if not at their end, and what to compute
/// in each.
pub struct WindowedStream<K, V, W> {
    keyed: KeyedStream<K, V>,
    windowing: W,
    settings: Settings,
}

impl<K: Key, V: Data, W> WindowedStream<K, V, W> {
    pub(crate) fn new(keyed: KeyedStream<K, V>, windows: W) -> Self {
        WindowedStream {
            keyed,
            windowing: windows,
            settings: Settings::default(),
        }
    }

    /// The same with other windowing.
    fn with<X>(self, with: impl FnOnce(W) -> X) -> WindowedStream<K, V, X> {
        WindowedStream {
            keyed: self.keyed,
            windowing: with(self.windowing),
            settings: self.settings,
        }
    }

    /// Says when the windows fire, in the place of their default: at their end.
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Stream, Tumbling, Windowed};
    /// # use millstream_operators::window::{ContinuousTrigger, EventTimeTrigger};
    /// # use std::time::Duration;
    /// /// The day's count: each second so far, at midnight in full.
    /// fn today(clicks: &KeyedStream<String, u64>) -> Stream<Windowed<String, u64>> {
    ///     let each_second = ContinuousTrigger::processing_time(Duration::from_secs(1));
    ///     let days = clicks.window(Tumbling::of(Duration::from_secs(24 * 3600)));
    ///     days.trigger(EventTimeTrigger.early(each_second)).count()
    /// }
    /// ```
    pub fn trigger<T: WindowTrigger<V>>(self, trigger: T) -> WindowedStream<K, V, Triggered<W, T>>
    where
        W: Windows<V> + TakesTrigger,
    {
        let trigger = Arc::new(trigger);
        self.with(|windows| Triggered { windows, trigger })
    }

    /// Throws records out of a window when it fires. The window then keeps all its records, whatever is computed.
    pub fn evictor<E: Evictor<V>>(self, evictor: E) -> WindowedStream<K, V, Evicted<W, E>>
    where
        W: Windowing<V>,
    {
        let evictor = Arc::new(evictor);
        self.with(|windowing| Evicted { windowing, evictor })
    }

    /// Says which results are put out.
    pub fn output_mode(mut self, mode: OutputMode) -> Self
    where
        W: Windowing<V>,
    {
        self.settings.mode = Some(mode);
        self
    }
}

impl<K: Key, V: Data, W> WindowedStream<K, V, W> {
    /// Keeps a window for this long after its end: records that come until then update its result,
    /// which is put out again for each. Later ones are late. Default: zero.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self
    where
        W: EventTimeWindows,
    {
        self.settings.lateness = lateness;
        self
    }

    /// Hands out the late records as well: those that came after their window (and its allowed lateness) had
    /// ended. What is computed next returns two streams.
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Tumbling};
    /// # use std::time::Duration;
    /// fn per_minute(clicks: &KeyedStream<String, u64>) {
    ///     let minutes = clicks.window(Tumbling::of(Duration::from_secs(60)));
    ///     let (counts, late) = minutes.with_late_records().count();
    /// }
    /// ```
    pub fn with_late_records(self) -> LateWindowedStream<K, V, W>
    where
        W: EventTimeWindows,
    {
        LateWindowedStream { windowed: self }
    }
}

impl<K: Key, V: Data, W> WindowedStream<K, V, W> {
    /// Counts the records of each window.
    pub fn count(self) -> WindowResults<K, u64>
    where
        W: Windowing<V>,
    {
        self.aggregate(Count)
    }

    /// Combines the values of each window pairwise.
    pub fn reduce(self, reduce: impl Fn(V, V) -> V + Send + Sync + 'static) -> WindowResults<K, V>
    where
        W: Windowing<V>,
    {
        self.aggregate(Reduce::new(reduce))
    }

    /// Folds the values of each window into an accumulator. For sessions, which merge, that does not compile: they
    /// take an [`aggregate`](Self::aggregate) of a [`Fold`] that says how to merge.
    pub fn fold<A: Data + Sync>(
        self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> WindowResults<K, A>
    where
        W: Windowing<V>,
    {
        self.aggregate(Fold::new(initial, fold))
    }

    /// Aggregates the values of each window.
    pub fn aggregate<G: Aggregator<V>>(self, aggregator: G) -> WindowResults<K, G::Out>
    where
        W: Windowing<V>,
    {
        self.add_aggregate(aggregator).0
    }

    /// Aggregates the values of each window; also returns the stream of late records: those that came
    /// after their window (and its allowed lateness) had ended.
    pub fn aggregate_with_late<G: Aggregator<V>>(
        self,
        aggregator: G,
    ) -> (WindowResults<K, G::Out>, LateRecords<K, V>)
    where
        W: Windowing<V>,
    {
        self.add_aggregate(aggregator)
    }

    /// Aggregates the values of each window record by record; a function takes the result, with what there is to
    /// know of the window.
    ///
    /// ```
    /// # use millstream_operators::{Average, KeyedStream, Stream, Tumbling};
    /// # use std::time::Duration;
    /// fn alarms(sensors: &KeyedStream<String, f64>) -> Stream<String> {
    ///     let minutes = sensors.window(Tumbling::of(Duration::from_secs(60)));
    ///     minutes.aggregate_then(Average::of(|t: &f64| *t), |at, mean, out| {
    ///         if mean > 90.0 {
    ///             out.push(format!("{} is at {mean} in {}", at.key, at.window));
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn aggregate_then<G: Aggregator<V>, U: Data>(
        self,
        aggregator: G,
        then: impl Fn(&WindowContext<'_, K>, G::Out, &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> Stream<U>
    where
        W: Windowing<V>,
    {
        self.add_aggregate_then(aggregator, then).0
    }

    /// Hands all records of a window to a function when it fires, with what there is to know of the window. In
    /// event-time windows they come in order of event time, those of one time in order of arrival; in
    /// others all in order of arrival. What the function pushes has the event time of the window's last millisecond.
    ///
    /// The window keeps all its records until then: where an aggregate will do, it needs far less memory.
    ///
    /// ```
    /// # use millstream_operators::{KeyedStream, Stream, Tumbling};
    /// # use std::time::Duration;
    /// fn medians(sensors: &KeyedStream<String, u64>) -> Stream<(String, u64)> {
    ///     let minutes = sensors.window(Tumbling::of(Duration::from_secs(60)));
    ///     minutes.process(|at, records, out| {
    ///         let mut values: Vec<u64> = records.iter().map(|record| record.value).collect();
    ///         values.sort_unstable();
    ///         out.push((at.key.clone(), values[values.len() / 2]));
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn process<U: Data>(
        self,
        function: impl Fn(&WindowContext<'_, K>, &[Record<V>], &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> Stream<U>
    where
        W: Windowing<V>,
    {
        self.add_process(function).0
    }
}

impl<K: Key, V: Data, W: Windowing<V>> WindowedStream<K, V, W> {
    fn add_aggregate<G: Aggregator<V>>(self, aggregator: G) -> Results<K, V, Windowed<K, G::Out>> {
        const { assert_merges::<V, W, G>() };
        self.add(|windowing, plan| {
            let aggregator = Arc::new(aggregator);
            match plan.needs_the_general_operator() {
                true => plan.aggregate(windowing, aggregator),
                false => windowing.add_aggregate(plan, aggregator),
            }
        })
    }

    fn add_aggregate_then<G: Aggregator<V>, U: Data>(
        self,
        aggregator: G,
        then: impl Fn(&WindowContext<'_, K>, G::Out, &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> Results<K, V, U> {
        const { assert_merges::<V, W, G>() };
        self.add(|windowing, plan| plan.aggregate_then(windowing, aggregator, then))
    }

    fn add_process<U: Data>(
        self,
        function: impl Fn(&WindowContext<'_, K>, &[Record<V>], &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> Results<K, V, U> {
        let marker = PhantomData;
        self.add(|windowing, plan| plan.listed(windowing, Process { function, marker }))
    }

    /// Adds an operator, and says what is wrong with its settings.
    fn add<U: Data>(
        self,
        add: impl FnOnce(&W, Plan<K, V>) -> Results<K, V, U>,
    ) -> Results<K, V, U> {
        let refusal = self.check();
        let plan = Plan::new(self.keyed, &self.windowing, self.settings);
        let (results, late) = add(&self.windowing, plan);
        let builder = &results.builder;
        if let Err(reason) = refusal {
            builder.refuse(results.port, reason);
        }
        if let Some(warning) = self.windowing.warning() {
            builder.warn(results.port, warning);
        }
        (results, late)
    }

    fn check(&self) -> Result<(), String> {
        self.windowing.check()?;
        if self.settings.mode != Some(OutputMode::Append) {
            return Ok(());
        }
        if W::OWN_TRIGGER {
            return Err(
                "output mode append puts out final results only, so a trigger has no say: \
                        leave out one of them"
                    .into(),
            );
        }
        if W::Windows::CLOCK == Clock::None {
            return Err("output mode append needs windows that end by themselves".into());
        }
        Ok(())
    }
}

/// Sessions need accumulators that merge; where an evictor keeps all records there are none.
const fn assert_merges<V: Data, W: Windowing<V>, G: Aggregator<V>>() {
    assert!(
        G::MERGES || !W::Windows::MERGES || W::Evictor::EVICTS,
        "session windows merge, and this aggregator cannot: give it a merge function"
    );
}

/// A [`WindowedStream`] whose late records are handed out: what is computed comes with a second stream.
pub struct LateWindowedStream<K, V, W> {
    windowed: WindowedStream<K, V, W>,
}

impl<K: Key, V: Data, W: Windowing<V>> LateWindowedStream<K, V, W> {
    /// As [`WindowedStream::count`].
    pub fn count(self) -> (WindowResults<K, u64>, LateRecords<K, V>) {
        self.aggregate(Count)
    }

    /// As [`WindowedStream::reduce`].
    pub fn reduce(
        self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
    ) -> (WindowResults<K, V>, LateRecords<K, V>) {
        self.aggregate(Reduce::new(reduce))
    }

    /// As [`WindowedStream::fold`].
    pub fn fold<A: Data + Sync>(
        self,
        initial: A,
        fold: impl Fn(&mut A, V) + Send + Sync + 'static,
    ) -> (WindowResults<K, A>, LateRecords<K, V>) {
        self.aggregate(Fold::new(initial, fold))
    }

    /// As [`WindowedStream::aggregate`].
    pub fn aggregate<G: Aggregator<V>>(
        self,
        aggregator: G,
    ) -> (WindowResults<K, G::Out>, LateRecords<K, V>) {
        self.windowed.add_aggregate(aggregator)
    }

    /// As [`WindowedStream::aggregate_then`].
    pub fn aggregate_then<G: Aggregator<V>, U: Data>(
        self,
        aggregator: G,
        then: impl Fn(&WindowContext<'_, K>, G::Out, &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> (Stream<U>, LateRecords<K, V>) {
        self.windowed.add_aggregate_then(aggregator, then)
    }

    /// As [`WindowedStream::process`].
    pub fn process<U: Data>(
        self,
        function: impl Fn(&WindowContext<'_, K>, &[Record<V>], &mut Collector<'_, U>) -> UserResult
        + Send
        + Sync
        + 'static,
    ) -> (Stream<U>, LateRecords<K, V>) {
        self.windowed.add_process(function)
    }
}
