//! A container builder for exchanges that mostly carry a few records at a time.
//!
//! Timely's default builder reserves 8 KiB for every message that goes to another thread, however
//! short; at a message per record these allocations, freed on the other thread, are what a worker
//! spends most of its time on. This one grows from a small buffer.

use std::collections::VecDeque;
use timely::container::{ContainerBuilder, LengthPreservingContainerBuilder, PushInto};

/// Messages of at most this many records.
const LONGEST: usize = 512;

/// Builds vectors that grow as records come.
pub struct Growing<T> {
    current: Vec<T>,
    pending: VecDeque<Vec<T>>,
    sent: Vec<T>,
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Growing {
            current: Vec::new(),
            pending: VecDeque::new(),
            sent: Vec::new(),
        }
    }
}

impl<T> PushInto<T> for Growing<T> {
    #[inline]
    fn push_into(&mut self, item: T) {
        self.current.push(item);
        if self.current.len() >= LONGEST {
            self.pending.push_back(std::mem::take(&mut self.current));
        }
    }
}

impl<T> ContainerBuilder for Growing<T> {
    type Container = Vec<T>;

    #[inline]
    fn extract(&mut self) -> Option<&mut Vec<T>> {
        self.sent = self.pending.pop_front()?;
        Some(&mut self.sent)
    }

    #[inline]
    fn finish(&mut self) -> Option<&mut Vec<T>> {
        if !self.current.is_empty() {
            self.pending.push_back(std::mem::take(&mut self.current));
        }
        self.extract()
    }
}

impl<T> LengthPreservingContainerBuilder for Growing<T> {}
