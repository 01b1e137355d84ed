//! The watermark of a source instance: the minimum of its splits that are active. An instance that has
//! none follows the other instances of its source, for an idle one must not hold the job back.

use super::splits::ActiveSplit;
use crate::graph::NodeId;
use crate::metrics::{Registry, SourceMetrics};
use crate::time::{EventTime, WATERMARK_MAX, WATERMARK_MIN, Watermark, whole_ms};
use crate::watermark::WatermarkStrategy;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All instances of one source in this process, as one of them sees them: by their metrics.
pub(super) struct Instances {
    registry: Arc<Registry>,
    node: NodeId,
    worker: usize,
}

impl Instances {
    pub fn new(registry: Arc<Registry>, node: NodeId, worker: usize) -> Self {
        Instances {
            registry,
            node,
            worker,
        }
    }

    fn all(&self) -> impl Iterator<Item = (usize, Arc<SourceMetrics>)> {
        let sources = self.registry.sources().into_iter();
        sources
            .filter(|(node, _, _)| *node == self.node)
            .map(|(_, worker, source)| (worker, source))
    }

    /// The least watermark of all active splits of this source.
    pub fn slowest_split(&self) -> Watermark {
        let mut slowest = WATERMARK_MAX;
        for (_, source) in self.all() {
            for split in source.splits() {
                let counts =
                    !split.idle.load(Ordering::Relaxed) && !split.finished.load(Ordering::Relaxed);
                if counts {
                    slowest = slowest.min(split.watermark.get());
                }
            }
        }
        slowest
    }

    /// What an instance without an active split follows.
    pub fn leading(&self) -> Option<Watermark> {
        self.others().or_else(|| self.resting())
    }

    /// The least watermark of the other instances of this source that are active.
    fn others(&self) -> Option<Watermark> {
        let others = self
            .all()
            .filter(|(worker, source)| *worker != self.worker && is_active(source));
        others.map(|(_, source)| source.watermark.get()).min()
    }

    /// When no split of any instance is active: how far the furthest one has come, as in Flink. What came
    /// before is then not left waiting for a record that may never come.
    fn resting(&self) -> Option<Watermark> {
        let mut furthest = None;
        for (_, source) in self.all() {
            if is_active(&source) {
                return None;
            }
            let splits = source.splits();
            furthest = furthest.max(splits.iter().map(|split| split.watermark.get()).max());
        }
        furthest
    }
}

fn is_active(source: &SourceMetrics) -> bool {
    !source.idle.load(Ordering::Relaxed) && !source.finished.load(Ordering::Relaxed)
}

/// Whether a split is about to become idle, or active again: the watermark may go on then.
pub(super) fn idleness_changes<T>(
    splits: &[ActiveSplit<T>],
    strategy: &WatermarkStrategy<T>,
    now_ms: EventTime,
) -> bool {
    let Some(timeout) = strategy.idle_timeout else {
        return false;
    };
    let timeout = whole_ms(timeout);
    splits.iter().any(|split| {
        let idle = now_ms - split.last_record_ms >= timeout;
        idle != split.metrics.idle.load(Ordering::Relaxed)
    })
}

/// Says which splits are idle, publishes their watermarks and pauses those that run ahead. Whether one that was
/// paused goes on: it may have had something to read all the time, and nobody else will say so.
pub(super) fn observe<T>(
    splits: &mut [ActiveSplit<T>],
    strategy: &WatermarkStrategy<T>,
    now_ms: EventTime,
    instances: &Instances,
) -> bool {
    if let Some(timeout) = strategy.idle_timeout {
        let timeout = whole_ms(timeout);
        for split in splits.iter() {
            let idle = now_ms - split.last_record_ms >= timeout;
            split.metrics.idle.store(idle, Ordering::Relaxed);
        }
    }
    for split in splits.iter() {
        split.metrics.watermark.set(split.watermark);
    }
    match strategy.max_drift_ms {
        Some(drift) => align(splits, drift, instances.slowest_split()),
        None => false,
    }
}

fn align<T>(splits: &mut [ActiveSplit<T>], drift: i64, slowest: Watermark) -> bool {
    let mut resumed = false;
    for split in splits {
        let ahead = split.watermark.saturating_sub(slowest) > drift && slowest > WATERMARK_MIN;
        if ahead != split.paused {
            split.paused = ahead;
            resumed |= !ahead;
            split.reader.pause(ahead);
        }
    }
    resumed
}

/// The least watermark of the splits that are active.
pub(super) fn least_active<T>(splits: &[ActiveSplit<T>]) -> Option<Watermark> {
    let active = splits
        .iter()
        .filter(|split| !split.metrics.idle.load(Ordering::Relaxed));
    active.map(|split| split.watermark).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SplitMetrics;

    const NODE: NodeId = 3;

    /// An instance with one split, both at `watermark`.
    fn instance(registry: &Registry, worker: usize, watermark: Watermark) -> Arc<SourceMetrics> {
        let source = registry.source(NODE, worker);
        source.watermark.set(watermark);
        let split = SplitMetrics {
            id: worker.to_string(),
            watermark: Default::default(),
            idle: Default::default(),
            finished: Default::default(),
        };
        split.watermark.set(watermark);
        source.splits.lock().unwrap().push(Arc::new(split));
        source
    }

    fn rest(source: &SourceMetrics) {
        source.idle.store(true, Ordering::Relaxed);
        for split in source.splits() {
            split.idle.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_instance_at_rest_follows_the_slowest_of_those_that_are_active() {
        let registry = Arc::new(Registry::default());
        let own = instance(&registry, 0, 5);
        let fast = instance(&registry, 1, 300);
        instance(&registry, 2, 200);
        rest(&own);
        // Another source is none of our business.
        registry.source(NODE + 1, 1).watermark.set(1);
        let instances = Instances::new(registry.clone(), NODE, 0);
        assert_eq!(instances.leading(), Some(200));
        assert_eq!(instances.slowest_split(), 200);
        registry
            .source(NODE, 2)
            .finished
            .store(true, Ordering::Relaxed);
        assert_eq!(instances.leading(), Some(300));
        rest(&fast);
        assert_eq!(
            instances.leading(),
            Some(300),
            "at rest, the furthest counts"
        );
    }

    #[test]
    fn while_only_this_instance_is_active_there_is_nobody_to_follow() {
        let registry = Arc::new(Registry::default());
        instance(&registry, 0, 5);
        rest(&instance(&registry, 1, 300));
        assert_eq!(Instances::new(registry, NODE, 0).leading(), None);
    }
}
