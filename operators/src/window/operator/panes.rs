//! The open windows of one key.

use super::calendar::Wake;
use crate::window::Window;
use crate::window::function::WindowFunction;
use crate::window::trigger::{TriggerState, WindowTrigger};
use millstream_runtime::state::StateData;
use millstream_runtime::time::{EventTime, Watermark};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// One open window of one key.
#[derive(Serialize, Deserialize)]
#[serde(bound = "A: StateData, S: TriggerState")]
pub(super) struct Pane<A, S> {
    /// The window; of one without bounds the span of its records.
    pub window: Window,
    /// What is kept of its records; nothing after a purge.
    pub kept: Option<A>,
    pub trigger: S,
    /// The trigger has been called for all event times below.
    pub clock: Watermark,
    /// How many times it has fired.
    pub fired: u32,
    /// It has fired since its end came.
    pub fired_on_time: bool,
    /// A record came since it last fired.
    pub changed: bool,
}

/// A pane as a trigger and a function have it.
pub(super) type PaneOf<K, V, T, F> =
    Pane<<F as WindowFunction<K, V>>::Kept, <T as WindowTrigger<V>>::State>;

/// The panes of a key as a trigger and a function have them.
pub(super) type PanesOf<K, V, T, F> =
    Panes<<F as WindowFunction<K, V>>::Kept, <T as WindowTrigger<V>>::State>;

impl<A, S: TriggerState> Pane<A, S> {
    pub fn new(window: Window) -> Self {
        Pane {
            window,
            kept: None,
            trigger: S::default(),
            clock: Watermark::MIN,
            fired: 0,
            fired_on_time: false,
            changed: false,
        }
    }
}

/// The open windows of one key, those that end first in front; nearly always one, in place.
#[derive(Serialize, Deserialize)]
#[serde(bound = "A: StateData, S: TriggerState")]
pub(super) struct Panes<A, S> {
    pub panes: SmallVec<[Pane<A, S>; 1]>,
    /// When the calendars wake this key: when its first window has something due, or before.
    #[serde(skip)]
    pub wake: Wake,
}

impl<A, S: TriggerState> Panes<A, S> {
    pub fn new() -> Self {
        Panes {
            panes: SmallVec::new(),
            wake: Wake::NEVER,
        }
    }

    /// Where the pane of a window is; a new one if there was none.
    #[inline]
    pub fn of(&mut self, window: Window) -> usize {
        // Records tend to belong to the latest window.
        let mut index = self.panes.len();
        while index > 0 {
            let other = self.panes[index - 1].window;
            if other == window {
                return index - 1;
            }
            if (other.end, other.start) < (window.end, window.start) {
                break;
            }
            index -= 1;
        }
        self.panes.insert(index, Pane::new(window));
        index
    }

    /// The only pane, of a window without bounds, is to hold a record of `time`.
    #[inline]
    pub fn reach(&mut self, time: EventTime) {
        let moment = Window::at(time);
        if self.panes.is_empty() {
            self.panes.push(Pane::new(moment));
        }
        let pane = &mut self.panes[0];
        pane.window = match pane.kept {
            Some(_) => pane.window.cover(moment),
            None => moment, // it begins anew after a purge
        };
    }

    /// The panes that a session touches; they lie side by side, for sessions that touch have become one.
    #[inline]
    pub fn touching(&self, session: Window) -> std::ops::Range<usize> {
        let touches = |pane: &Pane<A, S>| {
            pane.window.start <= session.end && session.start <= pane.window.end
        };
        let before = |pane: &&Pane<A, S>| pane.window.end < session.start;
        let first = self.panes.iter().take_while(before).count();
        let count = self.panes[first..]
            .iter()
            .take_while(|p| touches(p))
            .count();
        first..first + count
    }

    /// Makes one pane of a session and those it touches.
    pub fn merge(
        &mut self,
        touching: std::ops::Range<usize>,
        session: Window,
        mut merge: impl FnMut(&mut Pane<A, S>, Pane<A, S>),
    ) {
        let first = touching.start;
        if touching.is_empty() {
            self.panes.insert(first, Pane::new(session));
        }
        for _ in 1..touching.len() {
            let other = self.panes.remove(first + 1);
            let pane = &mut self.panes[first];
            pane.window = pane.window.cover(other.window);
            merge(pane, other);
        }
        let pane = &mut self.panes[first];
        pane.window = pane.window.cover(session);
    }
}
