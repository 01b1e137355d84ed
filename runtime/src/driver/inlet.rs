//! One input of an operator: its channel, its frontier, and the stash of messages that must wait.

use super::gate::Gate;
use super::port::{Bundle, Changes, Receiver};
use crate::record::Data;
use crate::time::Time;
use std::collections::VecDeque;
use timely::progress::ChangeBatch;
use timely::progress::frontier::MutableAntichain;

pub(crate) struct Inlet<T> {
    receiver: Receiver<T>,
    frontier: MutableAntichain<Time>,
    points: Vec<Time>,
    stash: VecDeque<(Time, Bundle<T>)>,
    stash_meet: Option<Time>,
    stashed: usize,
}

impl<T: Data> Inlet<T> {
    pub fn new(receiver: Receiver<T>) -> Self {
        Inlet {
            receiver,
            frontier: MutableAntichain::new(),
            points: Vec::new(),
            stash: VecDeque::new(),
            stash_meet: None,
            stashed: 0,
        }
    }

    pub fn consumed(&self) -> Changes {
        self.receiver.consumed()
    }

    /// Takes the frontier's changes; whether there were any.
    pub fn update(&mut self, changes: &mut ChangeBatch<Time>) -> bool {
        if changes.is_empty() {
            return false;
        }
        self.frontier.update_iter(changes.drain());
        self.points.clear();
        self.points.extend(self.frontier.frontier().iter());
        true
    }

    pub fn frontier(&self) -> impl Iterator<Item = &Time> {
        self.points.iter()
    }

    /// The meet of the times of the messages that wait.
    pub fn stash_meet(&self) -> Option<Time> {
        self.stash_meet
    }

    /// Records that wait.
    pub fn stashed(&self) -> usize {
        self.stashed
    }

    /// Takes the next message that may be processed now.
    pub fn next(&mut self, gate: &mut Gate) -> Option<Bundle<T>> {
        if let Some((time, _)) = self.stash.front()
            && gate.admits(*time)
        {
            let (_, records) = self.stash.pop_front()?;
            self.stashed -= records.len();
            if self.stash.is_empty() {
                self.stash_meet = None;
            }
            return Some(records);
        }
        while let Some((time, records)) = self.receiver.next() {
            let records = std::mem::take(records);
            if gate.admits(time) {
                return Some(records);
            }
            gate.block(time);
            self.stash_meet = Some(self.stash_meet.map_or(time, |meet| meet.meet(time)));
            self.stashed += records.len();
            self.stash.push_back((time, records));
        }
        None
    }

    /// The barrier was passed: what still waits may wait for the next one.
    pub fn note_stash(&self, gate: &mut Gate) {
        for (time, _) in &self.stash {
            gate.block(*time);
        }
    }
}
