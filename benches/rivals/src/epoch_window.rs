//! Tumbling event-time windows for Renoir that are aligned to the epoch.
//!
//! Renoir's own `EventTimeWindow` begins its first window at the time of a key's first record, and a
//! record older than that falls out. This one differs from it in nothing but where a window starts.

use renoir::operator::window::{WindowAccumulator, WindowDescription, WindowManager, WindowResult};
use renoir::operator::{Data, StreamElement, Timestamp};
use std::collections::VecDeque;

/// Tumbling windows of `size` milliseconds that start at multiples of `size`.
#[derive(Clone, Copy, Debug)]
pub struct EpochWindow {
    /// The length of a window in milliseconds.
    pub size: Timestamp,
}

impl<T: Data> WindowDescription<T> for EpochWindow {
    type Manager<A: WindowAccumulator<In = T>> = EpochWindowManager<A>;

    fn build<A: WindowAccumulator<In = T>>(&self, accumulator: A) -> Self::Manager<A> {
        EpochWindowManager {
            size: self.size,
            empty: accumulator,
            open: VecDeque::new(),
        }
    }
}

/// The open windows of one key, in the order of their starts.
#[derive(Clone)]
pub struct EpochWindowManager<A> {
    size: Timestamp,
    empty: A,
    open: VecDeque<(Timestamp, A)>,
}

impl<A: WindowAccumulator> EpochWindowManager<A> {
    #[inline]
    fn add(&mut self, item: &A::In, time: Timestamp) {
        let start = time.div_euclid(self.size) * self.size;
        let place = self.open.iter().position(|window| window.0 >= start);
        let place = place.unwrap_or(self.open.len());
        if self.open.get(place).is_none_or(|window| window.0 != start) {
            self.open.insert(place, (start, self.empty.clone()));
        }
        self.open[place].1.process(item);
    }

    fn close(&mut self, count: usize) -> Vec<WindowResult<A::Out>> {
        let size = self.size;
        let closed = self.open.drain(..count);
        closed
            .map(|(start, all)| WindowResult::Timestamped(all.output(), start + size))
            .collect()
    }
}

impl<A: WindowAccumulator> WindowManager for EpochWindowManager<A> {
    type In = A::In;
    type Out = A::Out;
    type Output = Vec<WindowResult<A::Out>>;

    #[inline]
    fn process(&mut self, element: StreamElement<A::In>) -> Self::Output {
        match element {
            StreamElement::Timestamped(item, time) => {
                self.add(&item, time);
                Vec::new()
            }
            StreamElement::Watermark(watermark) => {
                let size = self.size;
                self.close(
                    self.open
                        .partition_point(|window| window.0 + size <= watermark),
                )
            }
            StreamElement::FlushAndRestart | StreamElement::Terminate => {
                self.close(self.open.len())
            }
            StreamElement::Item(_) => panic!("event-time windows take records with a timestamp"),
            StreamElement::FlushBatch => Vec::new(),
        }
    }

    fn recycle(&self) -> bool {
        self.open.is_empty()
    }
}
