//! The first record of each value or key; those that come later are dropped.
//!
//! The first is the first that arrives. What was seen is keyed state, with a time to live if it is not
//! to grow for ever.

use crate::keyed::KeyedStream;
use crate::process::{KeyedContext, KeyedProcess, States};
use crate::stream::Stream;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::{StateSpec, Ttl, ValueState};
use std::marker::PhantomData;

impl<T: Key> Stream<T> {
    /// Every value once. All values that were ever seen are kept: where there is no end of new ones, use
    /// [`distinct_within`](Self::distinct_within).
    pub fn distinct(&self) -> Stream<T> {
        self.distinct_values(None)
    }

    /// Every value once in a while: one that was put out is dropped until `ttl` has passed since. Its
    /// duplicates do not prolong that, unless `ttl` is
    /// [refreshed by reads](Ttl::refreshed_by_reads).
    ///
    /// By event time it is the record's time that counts (or the watermark, when that is ahead), so a duplicate
    /// whose event time is `ttl` or more beyond the first one's comes through however soon it
    /// arrives.
    pub fn distinct_within(&self, ttl: Ttl) -> Stream<T> {
        self.distinct_values(Some(ttl))
    }

    fn distinct_values(&self, ttl: Option<Ttl>) -> Stream<T> {
        let unit = self.map(|value| (value, ())).name("value");
        first_of_key(&unit.keyed(), ttl, |value, ()| value.clone())
    }
}

impl<T: Data> Stream<T> {
    /// The first record of every key. All keys that were ever seen are kept: where there is no end of new
    /// ones, use [`distinct_by_within`](Self::distinct_by_within).
    ///
    /// ```
    /// # use millstream_operators::Stream;
    /// fn first_visits(visits: &Stream<(String, i64)>) -> Stream<(String, i64)> {
    ///     visits.distinct_by(|(visitor, _)| visitor.clone())
    /// }
    /// ```
    pub fn distinct_by<K: Key>(&self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Stream<T> {
        first_of_key(&self.key_by(key), None, |_, value| value)
    }

    /// The first record of every key in a while; the time to live is as in
    /// [`distinct_within`](Self::distinct_within).
    pub fn distinct_by_within<K: Key>(
        &self,
        ttl: Ttl,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> Stream<T> {
        first_of_key(&self.key_by(key), Some(ttl), |_, value| value)
    }
}

fn first_of_key<K: Key, V: Data, U: Data>(
    keyed: &KeyedStream<K, V>,
    ttl: Option<Ttl>,
    result: fn(&K, V) -> U,
) -> Stream<U> {
    keyed.process("distinct", move |states| Distinct::new(states, ttl, result))
}

struct Distinct<K, V, U> {
    seen: ValueState<()>,
    result: fn(&K, V) -> U,
    marker: PhantomData<fn(V)>,
}

impl<K: Key, V, U> Distinct<K, V, U> {
    fn new(states: &mut States<'_, K>, ttl: Option<Ttl>, result: fn(&K, V) -> U) -> Self {
        let spec = StateSpec::new("seen");
        let spec = match ttl {
            Some(ttl) => spec.with_ttl(ttl),
            None => spec,
        };
        Distinct {
            seen: states.value(spec),
            result,
            marker: PhantomData,
        }
    }
}

impl<K: Key, V: Data, U: Data> KeyedProcess for Distinct<K, V, U> {
    type Key = K;
    type In = V;
    type Out = U;

    #[inline]
    fn on_record(&mut self, value: V, ctx: &mut KeyedContext<'_, K, U>) -> UserResult {
        if ctx.value(self.seen).get().is_none() {
            ctx.value(self.seen).set(());
            let result = (self.result)(ctx.key(), value);
            ctx.emit(result);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Harness;
    use crate::testing::contract::{Step, in_every_way};
    use millstream_runtime::record::Record;
    use millstream_runtime::time::WATERMARK_MIN;
    use std::collections::HashMap;
    use std::time::Duration;

    const TTL_MS: i64 = 50;
    const TTL: Duration = Duration::from_millis(TTL_MS as u64);

    macro_rules! harness {
        ($ttl:expr) => {
            Harness::keyed(move |states| Distinct::<u8, i64, i64>::new(states, $ttl, |_, v| v))
        };
    }

    /// Records, watermarks and processing time at random; values are numbered.
    fn script(random: &mut fastrand::Rng) -> Vec<Step<u8, i64>> {
        let (mut watermark, mut now) = (0, 0);
        (0..random.i64(0..200))
            .map(|number| match random.u8(..8) {
                0 => {
                    watermark += random.i64(0..40);
                    Step::Watermark(watermark)
                }
                1 => {
                    now += random.i64(0..40);
                    Step::ProcessingTime(now)
                }
                _ => Step::Record(watermark + random.i64(-20..60), random.u8(..6), number),
            })
            .collect()
    }

    /// The values that come out by each watermark; `by_event`: which clock the time to live is of.
    fn reference(script: &[Step<u8, i64>], ttl_ms: i64, by_event: bool) -> Vec<Vec<i64>> {
        let (mut watermark, mut now) = (WATERMARK_MIN, 0);
        let mut seen: HashMap<u8, i64> = HashMap::new();
        let mut results = vec![Vec::new()];
        for step in script {
            match *step {
                Step::Record(time, key, value) => {
                    let at = if by_event { time.max(watermark) } else { now };
                    let first = seen.get(&key);
                    if first.is_none_or(|first| first.saturating_add(ttl_ms) <= at) {
                        // Event times are out of order: the later of the two counts.
                        let refreshed = first.map_or(at, |first| at.max(*first));
                        seen.insert(key, refreshed);
                        results.last_mut().unwrap().push(value);
                    }
                }
                Step::Watermark(to) => {
                    watermark = to;
                    results.push(Vec::new());
                }
                Step::ProcessingTime(to) => now = to,
            }
        }
        results
    }

    #[test]
    fn random_scripts_give_the_results_of_a_naive_reference() {
        for seed in 0..20 {
            let script = script(&mut fastrand::Rng::with_seed(seed));
            for (ttl, ttl_ms, by_event) in [
                (None, i64::MAX, true),
                (Some(Ttl::event_time(TTL)), TTL_MS, true),
                (Some(Ttl::processing_time(TTL)), TTL_MS, false),
            ] {
                let found = in_every_way(|| harness!(ttl), &script);
                let values = |records: Vec<Record<i64>>| {
                    let mut values: Vec<_> = records.into_iter().map(|r| r.value).collect();
                    values.sort_unstable();
                    values
                };
                let found: Vec<_> = found.into_iter().map(values).collect();
                assert_eq!(
                    found,
                    reference(&script, ttl_ms, by_event),
                    "seed {seed} {ttl:?}"
                );
            }
        }
    }

    #[test]
    fn duplicates_prolong_the_time_only_if_so_chosen() {
        let ttl = Ttl::event_time(TTL);
        for (ttl, expected) in [(ttl, vec![1, 3]), (ttl.refreshed_by_reads(), vec![1])] {
            let mut harness = harness!(Some(ttl));
            harness.batch([(0, (7, 1)), (30, (7, 2)), (60, (7, 3))]);
            assert_eq!(harness.take_values(), expected);
        }
    }

    #[test]
    fn what_was_seen_is_forgotten() {
        let mut harness = harness!(Some(Ttl::event_time(TTL)));
        harness.batch((0..100).map(|n| (i64::from(n), (n, 0))));
        assert_eq!(harness.keys(), 100);
        harness.restart_on(3);
        harness.watermark(100 + 2 * TTL_MS);
        assert_eq!(harness.keys(), 0);
        let mut harness = harness!(Some(Ttl::processing_time(TTL)));
        harness.batch((0..100).map(|n| (0, (n, 0))));
        harness.restart_on(2);
        harness.processing_time(2 * TTL_MS);
        assert_eq!(harness.keys(), 0);
    }
}
