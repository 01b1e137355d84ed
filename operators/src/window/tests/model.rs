//! Windows the slow way: time passes millisecond by millisecond, every window keeps all its records, and every one is
//! looked at each time.

mod when;

pub use self::when::When;
use self::when::{At, Event, Memory, is_fresh};
use crate::testing::contract::{Results, Step};
use crate::window::{Clock, OutputMode, Timing, Window};
use millstream_runtime::record::Record;
use millstream_runtime::time::{WATERMARK_MAX, WATERMARK_MIN};
use std::collections::BTreeMap;

/// Which windows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Tumbling {
        size: i64,
        offset: i64,
    },
    Sliding {
        size: i64,
        slide: i64,
    },
    Cumulating {
        max_size: i64,
        step: i64,
    },
    Session {
        gap: i64,
    },
    /// The gap is [`gap_of`] the value.
    SessionOf,
    Global,
}

/// The gap of a session that the record says.
pub fn gap_of(value: u64) -> i64 {
    5 + (value % 4) as i64 * 10
}

impl Kind {
    fn assign(self, time: i64, value: u64) -> Vec<Window> {
        let from = |start: i64, size: i64| Window {
            start,
            end: start + size,
        };
        match self {
            Kind::Tumbling { size, offset } => {
                vec![from((time - offset).div_euclid(size) * size + offset, size)]
            }
            Kind::Sliding { size, slide } => {
                let starts = (time - size + 1..=time).filter(|start| start.rem_euclid(slide) == 0);
                starts.map(|start| from(start, size)).collect()
            }
            Kind::Cumulating { max_size, step } => {
                let start = time.div_euclid(max_size) * max_size;
                let sizes = (1..=max_size).filter(|size| size % step == 0);
                let windows = sizes.map(|size| from(start, size));
                windows.filter(|window| time < window.end).collect()
            }
            Kind::Session { gap } => vec![from(time, gap)],
            Kind::SessionOf => vec![from(time, gap_of(value))],
            Kind::Global => vec![Window::ALL],
        }
    }

    fn merges(self) -> bool {
        matches!(self, Kind::Session { .. } | Kind::SessionOf)
    }
}

/// What is thrown out.
#[derive(Clone, Copy, Debug)]
pub enum Evict {
    Nothing,
    Count(usize, After),
    Time(i64, After),
    Delta(u64, After),
}

/// After the function, not before.
pub type After = bool;

impl Evict {
    fn apply(self, records: &mut Vec<(i64, u64)>, now: After) {
        match self {
            Evict::Count(keep, after) if after == now => {
                while records.len() > keep {
                    records.remove(0);
                }
            }
            Evict::Time(keep, after) if after == now => {
                if let Some(latest) = records.iter().map(|(time, _)| *time).max() {
                    records.retain(|(time, _)| latest - time < keep);
                }
            }
            Evict::Delta(threshold, after) if after == now => {
                if let Some((_, last)) = records.last().copied() {
                    records.retain(|(_, value)| value.abs_diff(last) < threshold);
                }
            }
            _ => {}
        }
    }
}

/// Key, window, why and the how manieth time, and the records.
pub type Line = (u8, (i64, i64), Timing, u32, Vec<(i64, u64)>);

#[derive(Clone, Debug)]
struct Pane {
    window: Window,
    records: Vec<(i64, u64)>,
    memory: Memory,
    fired: u32,
    fired_on_time: bool,
    changed: bool,
}

/// The whole operator.
#[derive(Clone, Debug)]
pub struct Model {
    pub kind: Kind,
    pub clock: Clock,
    pub when: When,
    pub evict: Evict,
    pub lateness: i64,
    pub mode: Option<OutputMode>,
}

impl Model {
    /// Windows of event time that fire at their end.
    pub fn of(kind: Kind) -> Model {
        let clock = match kind {
            Kind::Global => Clock::None,
            _ => Clock::Event,
        };
        Model {
            kind,
            clock,
            when: When::End,
            evict: Evict::Nothing,
            lateness: 0,
            mode: None,
        }
    }

    pub fn clock(self) -> Model {
        Model {
            clock: Clock::Processing,
            when: When::ClockEnd,
            ..self
        }
    }

    pub fn when(self, when: When) -> Model {
        Model { when, ..self }
    }

    pub fn evict(self, evict: Evict) -> Model {
        Model { evict, ..self }
    }

    pub fn lateness(self, lateness: i64) -> Model {
        Model { lateness, ..self }
    }

    pub fn mode(self, mode: OutputMode) -> Model {
        Model {
            mode: Some(mode),
            ..self
        }
    }

    /// Runs a script; returns what comes out by each watermark, and the late records.
    pub fn run(self, script: &[Step<u8, u64>]) -> (Results<Line>, Vec<(i64, u64)>) {
        let mut run = Run {
            model: self,
            keys: BTreeMap::new(),
            watermark: WATERMARK_MIN,
            now: 0,
            out: Vec::new(),
            late: Vec::new(),
        };
        let mut results = Vec::new();
        for step in script.iter().chain([&Step::Watermark(WATERMARK_MAX)]) {
            match *step {
                Step::Record(time, key, value) => run.record(key, time, value),
                Step::ProcessingTime(now) => {
                    while run.now < now {
                        run.now += 1;
                        run.happens(Event::Clock(run.now));
                    }
                }
                Step::Watermark(watermark) => {
                    run.watermark(watermark);
                    run.out.sort();
                    results.push(std::mem::take(&mut run.out));
                }
            }
        }
        (results, run.late)
    }
}

/// Before all records of a script, and after all that comes of them.
pub const FIRST: i64 = -500;
const LAST: i64 = 5_000;

struct Run {
    model: Model,
    keys: BTreeMap<u8, Vec<Pane>>,
    watermark: i64,
    now: i64,
    out: Vec<Record<Line>>,
    late: Vec<(i64, u64)>,
}

impl Run {
    fn watermark(&mut self, to: i64) {
        for time in self.watermark.max(FIRST)..to.min(LAST) {
            self.watermark = time + 1;
            self.happens(Event::Passes(time));
        }
        self.watermark = to;
        if to == WATERMARK_MAX {
            self.happens(Event::Passes(WATERMARK_MAX - 1));
        }
    }

    fn at(&self, pane: &Pane) -> At {
        At {
            window: pane.window,
            clock: self.model.clock,
            watermark: self.watermark,
            now: self.now,
        }
    }

    fn is_late(&self, window: Window) -> bool {
        self.model.clock == Clock::Event && window.end + self.model.lateness <= self.watermark
    }

    fn record(&mut self, key: u8, time: i64, value: u64) {
        let place = match self.model.clock {
            Clock::Processing => self.now,
            _ => time,
        };
        let mut panes = self.keys.remove(&key).unwrap_or_default();
        let mut windows = self.model.kind.assign(place, value);
        let between = windows.is_empty();
        if self.model.kind.merges() {
            windows = self.merge(windows[0], &mut panes);
        } else {
            windows.retain(|window| !self.is_late(*window));
        }
        if windows.is_empty() && !between {
            self.late.push((time, value));
        }
        for window in windows {
            let found = panes.iter().position(|pane| pane.window == window);
            let index = found.unwrap_or_else(|| {
                panes.push(Pane {
                    window,
                    records: Vec::new(),
                    memory: Memory::default(),
                    fired: 0,
                    fired_on_time: false,
                    changed: false,
                });
                panes.len() - 1
            });
            let pane = &mut panes[index];
            pane.records.push((time, value));
            if self.model.clock == Clock::Event {
                pane.records.sort_by_key(|(time, _)| *time);
            }
            pane.changed = true;
            self.call(key, pane, Event::Record { time, value });
        }
        panes.sort_by_key(|pane| (pane.window.end, pane.window.start));
        self.forget_purged(&mut panes);
        self.keys.insert(key, panes);
    }

    /// Makes one session of all that touch a new one; none when that is late.
    fn merge(&self, session: Window, panes: &mut Vec<Pane>) -> Vec<Window> {
        let touches =
            |pane: &Pane| pane.window.start <= session.end && session.start <= pane.window.end;
        let (mut touching, others): (Vec<Pane>, Vec<Pane>) = panes.drain(..).partition(touches);
        *panes = others;
        touching.sort_by_key(|pane| pane.window.start);
        let windows = touching.iter().map(|pane| pane.window);
        let whole = windows.fold(session, |whole, window| Window {
            start: whole.start.min(window.start),
            end: whole.end.max(window.end),
        });
        if self.is_late(whole) {
            assert!(touching.is_empty(), "what is late is not kept");
            return Vec::new();
        }
        let mut touching = touching.into_iter();
        if let Some(mut first) = touching.next() {
            for other in touching {
                first.records.extend(other.records);
                self.model.when.merge(&mut first.memory, other.memory);
                first.fired += other.fired;
                first.fired_on_time |= other.fired_on_time;
                first.changed |= other.changed;
            }
            first.window = whole;
            first.fired_on_time &= whole.end <= self.watermark;
            panes.push(first);
        }
        vec![whole]
    }

    /// Something happens to all windows.
    fn happens(&mut self, event: Event) {
        let keys: Vec<u8> = self.keys.keys().copied().collect();
        for key in keys {
            let mut panes = self.keys.remove(&key).unwrap();
            for pane in &mut panes {
                self.call(key, pane, event);
            }
            let (clock, lateness) = (self.model.clock, self.model.lateness);
            let dropped = |pane: &Pane| match (event, clock) {
                (Event::Passes(time), Clock::Event) => time == pane.window.end - 1 + lateness,
                (Event::Clock(now), Clock::Processing) => now == pane.window.end,
                (Event::Passes(time), _) => time == WATERMARK_MAX - 1,
                _ => false,
            };
            for pane in panes.iter_mut().filter(|pane| dropped(pane)) {
                let cut_off = self.model.clock == Clock::Processing
                    && matches!(event, Event::Passes(_))
                    && pane.changed;
                if cut_off {
                    let now = std::mem::replace(&mut self.now, pane.window.end);
                    self.fire(key, pane);
                    self.now = now;
                } else if self.model.mode == Some(OutputMode::Append) {
                    self.fire(key, pane);
                }
            }
            panes.retain(|pane| !dropped(pane));
            self.forget_purged(&mut panes);
            self.keys.insert(key, panes);
        }
    }

    fn forget_purged(&self, panes: &mut Vec<Pane>) {
        if self.model.clock == Clock::None {
            panes.retain(|pane| !pane.records.is_empty() || !is_fresh(&pane.memory));
        }
    }

    fn call(&mut self, key: u8, pane: &mut Pane, event: Event) {
        let at = self.at(pane);
        let own = matches!(self.model.when, When::End | When::ClockEnd);
        let (fires, purges) = match (self.model.mode, event) {
            (Some(OutputMode::Append), _) => (false, false),
            (Some(OutputMode::Update), Event::Record { .. }) if own => (true, false),
            (Some(OutputMode::Update), _) if own => (false, false),
            _ => self.model.when.on(event, &mut pane.memory, &at),
        };
        if fires && (self.model.mode != Some(OutputMode::Update) || pane.changed) {
            self.fire(key, pane);
        }
        if purges {
            pane.records.clear();
        }
    }

    fn fire(&mut self, key: u8, pane: &mut Pane) {
        if pane.records.is_empty() {
            return;
        }
        let over = self.at(pane).over();
        let update = matches!(self.model.when, When::End | When::ClockEnd)
            && self.model.mode == Some(OutputMode::Update);
        let timing = match (self.model.clock, over, pane.fired_on_time || update) {
            (Clock::None, ..) => Timing::OnTime,
            (_, false, _) => Timing::Early,
            (_, true, false) => Timing::OnTime,
            (_, true, true) => Timing::Late,
        };
        self.model.evict.apply(&mut pane.records, false);
        if !pane.records.is_empty() {
            let times = || pane.records.iter().map(|(time, _)| *time);
            let window = match self.model.clock {
                Clock::None => (times().min().unwrap(), times().max().unwrap() + 1),
                _ => (pane.window.start, pane.window.end),
            };
            let line = (key, window, timing, pane.fired, pane.records.clone());
            self.out.push(Record::new(window.1 - 1, line));
            self.model.evict.apply(&mut pane.records, true);
        }
        pane.fired += 1;
        pane.fired_on_time |= timing == Timing::OnTime;
        pane.changed = false;
    }
}
