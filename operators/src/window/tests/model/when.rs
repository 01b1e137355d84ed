//! Triggers the slow way: each is told of every record and of every millisecond of both clocks.

use crate::window::{Clock, Window};

/// When windows fire.
#[derive(Clone, Debug)]
pub enum When {
    /// At the end in event time, and for late records.
    End,
    /// At the end in processing time.
    ClockEnd,
    Count(u64),
    /// At intervals of event time.
    Each(i64),
    /// At intervals of processing time.
    EachOfClock(i64),
    Delta(u64),
    Purging(Box<When>),
    Any(Box<When>, Box<When>),
    All(Box<When>, Box<When>),
    Staged(Box<When>, Box<When>),
}

/// What a trigger remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    count: u64,
    armed: Option<i64>,
    last: Option<u64>,
    fired: (bool, bool),
    parts: Vec<Memory>,
}

/// Something that happens to a window.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Record {
        time: i64,
        value: u64,
    },
    /// Event time passes this millisecond.
    Passes(i64),
    /// Processing time comes to this millisecond.
    Clock(i64),
}

#[derive(Clone, Copy, Debug)]
pub struct At {
    pub window: Window,
    pub clock: Clock,
    pub watermark: i64,
    pub now: i64,
}

impl At {
    pub fn over(&self) -> bool {
        match self.clock {
            Clock::Processing => self.window.end <= self.now,
            _ => self.window.end <= self.watermark,
        }
    }

    /// Whether the window's end is what happens.
    fn ends(&self, event: Event) -> bool {
        match (event, self.clock) {
            (Event::Passes(time), Clock::Event | Clock::None) => time == self.window.end - 1,
            (Event::Clock(now), Clock::Processing) => now == self.window.end,
            _ => false,
        }
    }
}

fn multiple_after(time: i64, interval: i64) -> i64 {
    (time.div_euclid(interval) + 1) * interval
}

/// Whether it fires, and whether it purges.
pub type Said = (bool, bool);

impl When {
    pub fn on(&self, event: Event, memory: &mut Memory, at: &At) -> Said {
        memory.parts.resize(2, Memory::default());
        match (self, event) {
            (When::End, Event::Record { .. }) => (at.window.end <= at.watermark, false),
            (When::End, Event::Passes(time)) => (time == at.window.end - 1, false),
            (When::ClockEnd, Event::Record { .. }) => {
                memory.armed = (at.now < at.window.end).then_some(at.window.end);
                (at.window.end <= at.now, false)
            }
            (When::ClockEnd, Event::Clock(now)) => {
                (memory.armed.take_if(|t| *t == now).is_some(), false)
            }
            (When::Count(n), Event::Record { .. }) => {
                memory.count += 1;
                let full = memory.count >= *n;
                if full {
                    memory.count = 0;
                }
                (full, false)
            }
            (When::Each(_) | When::EachOfClock(_), _) => (self.interval(event, memory, at), false),
            (When::Delta(threshold), Event::Record { value, .. }) => {
                let moved = memory
                    .last
                    .is_some_and(|last| last.abs_diff(value) > *threshold);
                if moved || memory.last.is_none() {
                    memory.last = Some(value);
                }
                (moved, false)
            }
            (When::Purging(inner), _) => {
                let (fires, purges) = inner.on(event, &mut memory.parts[0], at);
                (fires, fires || purges)
            }
            (When::Any(a, b), _) => {
                let a = a.on(event, &mut memory.parts[0], at);
                let b = b.on(event, &mut memory.parts[1], at);
                (a.0 || b.0, a.1 || b.1)
            }
            (When::All(a, b), _) => {
                let a = a.on(event, &mut memory.parts[0], at);
                let b = b.on(event, &mut memory.parts[1], at);
                memory.fired = (memory.fired.0 || a.0, memory.fired.1 || b.0);
                let both = memory.fired == (true, true);
                if both {
                    memory.fired = (false, false);
                }
                (both, a.1 || b.1)
            }
            (When::Staged(early, late), _) => {
                if at.ends(event) {
                    memory.parts[0] = Memory::default();
                    return (true, false);
                }
                let over = match (event, at.clock) {
                    // Late from the moment behind its end.
                    (Event::Passes(time), Clock::Event | Clock::None) => at.window.end <= time,
                    _ => at.over(),
                };
                match over {
                    false => early.on(event, &mut memory.parts[0], at),
                    true => late.on(event, &mut memory.parts[1], at),
                }
            }
            _ => (false, false),
        }
    }

    fn interval(&self, event: Event, memory: &mut Memory, at: &At) -> bool {
        match (self, event) {
            (_, Event::Record { .. }) if at.over() => return true,
            (When::Each(interval), Event::Record { time, .. }) => {
                let next = multiple_after(time.max(at.watermark - 1), *interval);
                memory.armed.get_or_insert(next);
                return false;
            }
            (When::EachOfClock(interval), Event::Record { .. }) => {
                memory
                    .armed
                    .get_or_insert(multiple_after(at.now, *interval));
                return false;
            }
            _ => {}
        }
        let rings = match (self, event) {
            (When::Each(_), Event::Passes(time)) | (When::EachOfClock(_), Event::Clock(time)) => {
                memory.armed == Some(time)
            }
            _ => false,
        };
        if rings || at.ends(event) {
            memory.armed = None;
            return true;
        }
        false
    }

    pub fn merge(&self, memory: &mut Memory, other: Memory) {
        memory.count += other.count;
        memory.armed = memory.armed.into_iter().chain(other.armed).min();
        memory.last = memory.last.or(other.last);
        memory.fired.0 |= other.fired.0;
        memory.fired.1 |= other.fired.1;
        memory.parts.resize(2, Memory::default());
        let parts: [Option<&When>; 2] = match self {
            When::Purging(a) => [Some(a), None],
            When::Any(a, b) | When::All(a, b) | When::Staged(a, b) => [Some(a), Some(b)],
            _ => [None, None],
        };
        for ((part, memory), other) in parts.iter().zip(&mut memory.parts).zip(other.parts) {
            if let Some(part) = part {
                part.merge(memory, other);
            }
        }
    }
}

pub fn is_fresh(memory: &Memory) -> bool {
    let Memory {
        count,
        armed,
        last,
        fired,
        parts,
    } = memory;
    (*count, *armed, *last, *fired) == (0, None, None, (false, false)) && parts.iter().all(is_fresh)
}
