//! Where sliding and cumulating windows begin and end, and the slices between these edges.
//!
//! A slice is a stretch of event time in which no window begins or ends, so each window is made of whole
//! slices. Slices are numbered as they follow each other, and so are windows, by their ends: a later window
//! begins no earlier and ends later than one before it. Numbers instead of times keep this so at the ends of
//! time, where bounds saturate.
//!
//! A slide that does not divide the size is cut twice, where windows begin and where they end: *paired windows*
//! (Krishnamurthy, Wu, Franklin: "On-the-fly sharing for streamed aggregation", SIGMOD 2006). So a window has
//! at most `2 * size / slide + 1` slices whatever the two are.

use super::{Cumulating, Sliding, Window};
use millstream_runtime::state::SHARDS;
use millstream_runtime::time::{EventTime, WATERMARK_MAX, Watermark};
use std::ops::Range;

/// A number of a window that is behind all others: none.
pub(super) const NO_WINDOW: i64 = i64::MAX;

/// How windows share slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slicing {
    /// After this time the edges repeat: the slide, or the greatest size of cumulating windows.
    period: i64,
    offset: i64,
    /// Slices in a period.
    per: i64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One window begins with each period.
    Sliding {
        size: i64,
        /// Slices in a window.
        slices: i64,
        /// Where windows end within a period; zero when they end with it.
        edge: i64,
    },
    /// All windows of a period begin with it; one ends with each slice.
    Cumulating { step: i64 },
}

impl Slicing {
    /// Windows of `size_ms`, one every `slide_ms`, beginning at `offset_ms`; all positive but the offset, which
    /// is in `0..slide_ms`.
    pub fn sliding(size_ms: i64, slide_ms: i64, offset_ms: i64) -> Self {
        let edge = size_ms % slide_ms;
        let per = if edge == 0 { 1 } else { 2 };
        let slices = (size_ms / slide_ms) * per + i64::from(edge != 0);
        Slicing {
            period: slide_ms,
            offset: offset_ms,
            per,
            kind: Kind::Sliding {
                size: size_ms,
                slices,
                edge,
            },
        }
    }

    /// Windows that grow by `step_ms` up to `max_ms`, then begin anew. When the step does not divide the
    /// greatest size, the last step is shorter.
    pub fn cumulating(max_ms: i64, step_ms: i64, offset_ms: i64) -> Self {
        let step = step_ms.min(max_ms);
        Slicing {
            period: max_ms,
            offset: offset_ms,
            per: max_ms.div_euclid(step) + i64::from(max_ms % step != 0),
            kind: Kind::Cumulating { step },
        }
    }

    /// The slice that an event time lies in. Costs a division; nothing is guessed from the record before, for
    /// records out of order would make the guess wrong half the time.
    #[inline(always)]
    pub(super) fn slice_of(&self, time: EventTime) -> i64 {
        let (mut period, mut into) = (time.div_euclid(self.period), time.rem_euclid(self.period));
        into -= self.offset;
        if into < 0 {
            into += self.period;
            period -= 1;
        }
        match self.kind {
            Kind::Sliding { edge: 0, .. } => period,
            Kind::Sliding { edge, .. } => period
                .saturating_mul(2)
                .saturating_add(i64::from(into >= edge)),
            Kind::Cumulating { step } => {
                period.saturating_mul(self.per).saturating_add(into / step)
            }
        }
    }

    /// Whether all slices are of one length.
    #[inline]
    pub(super) fn is_even(&self) -> bool {
        self.per == 1 && matches!(self.kind, Kind::Sliding { .. })
    }

    /// Whether a slice is part of no window: the slide is longer than the size.
    #[inline]
    pub(super) fn is_between_windows(&self, slice: i64) -> bool {
        matches!(self.kind, Kind::Sliding { slices: 1, .. }) && self.per == 2 && slice & 1 == 1
    }

    /// The first slice that is part of a window from this one on.
    pub(super) fn first_slice_from(&self, window: i64) -> i64 {
        match window {
            NO_WINDOW => i64::MAX,
            _ => self.slices_of(window).start,
        }
    }

    /// The first slice that no window before this one has.
    pub(super) fn end_of(&self, window: i64) -> i64 {
        self.slices_of(window.saturating_sub(1)).end
    }

    /// The first window that a slice is part of.
    #[inline]
    pub(super) fn first_window(&self, slice: i64) -> i64 {
        match self.kind {
            Kind::Sliding { slices, .. } => self
                .period_of(slice.saturating_sub(slices))
                .saturating_add(1),
            Kind::Cumulating { .. } => slice,
        }
    }

    /// The last window that a slice is part of.
    #[inline]
    pub(super) fn last_window(&self, slice: i64) -> i64 {
        let period = self.period_of(slice);
        match self.kind {
            Kind::Sliding { .. } => period,
            Kind::Cumulating { .. } => period.saturating_mul(self.per).saturating_add(self.per - 1),
        }
    }

    #[inline]
    fn period_of(&self, slice: i64) -> i64 {
        match self.per {
            1 => slice,
            2 => slice >> 1,
            per => slice.div_euclid(per),
        }
    }

    /// The slices of a window.
    #[inline]
    pub(super) fn slices_of(&self, window: i64) -> Range<i64> {
        match self.kind {
            Kind::Sliding { slices, .. } => {
                let first = window.saturating_mul(self.per);
                first..first.saturating_add(slices)
            }
            Kind::Cumulating { .. } => {
                self.period_of(window).saturating_mul(self.per)..window.saturating_add(1)
            }
        }
    }

    /// Whether a shard, of [`SHARDS`], aggregates its slices anew with this window, if it has not to do so earlier.
    /// Each does in its turn, once in as many windows as a window spans.
    #[inline]
    pub(super) fn turns(&self, window: i64, shard: usize) -> bool {
        match self.kind {
            Kind::Sliding { slices, .. } => {
                let every = slices.div_euclid(self.per).max(1);
                let turn = shard as i64 * every / i64::from(SHARDS);
                window.rem_euclid(every) == turn
            }
            // All windows of a period begin together: nothing leaves before its end.
            Kind::Cumulating { .. } => false,
        }
    }

    /// The bounds of a window.
    pub(super) fn window(&self, number: i64) -> Window {
        let (period, length) = match self.kind {
            Kind::Sliding { size, .. } => (number, size),
            Kind::Cumulating { step } => {
                let steps = number.rem_euclid(self.per) + 1;
                (self.period_of(number), (steps * step).min(self.period))
            }
        };
        let start = i128::from(period) * i128::from(self.period) + i128::from(self.offset);
        Window {
            start: clamp(start),
            end: clamp(start + i128::from(length)),
        }
    }

    /// The first window whose end, and `lateness` after it, is still above the watermark.
    pub(super) fn first_above(&self, watermark: Watermark, lateness: i64) -> i64 {
        if watermark == WATERMARK_MAX {
            return NO_WINDOW;
        }
        let until = i128::from(watermark) - i128::from(lateness) - i128::from(self.offset);
        let period = i128::from(self.period);
        clamp(match self.kind {
            Kind::Sliding { size, .. } => (until - i128::from(size)).div_euclid(period) + 1,
            Kind::Cumulating { step } => {
                let steps = until.rem_euclid(period) / i128::from(step);
                until.div_euclid(period) * i128::from(self.per) + steps
            }
        })
    }
}

impl From<Sliding> for Slicing {
    fn from(windows: Sliding) -> Self {
        Slicing::sliding(windows.size_ms(), windows.slide_ms(), windows.offset_ms())
    }
}

impl From<Cumulating> for Slicing {
    fn from(windows: Cumulating) -> Self {
        Slicing::cumulating(
            windows.max_size_ms(),
            windows.step_ms(),
            windows.offset_ms(),
        )
    }
}

/// Finds slices without a division, near a time: the offset from it is multiplied by the reciprocal of the
/// period (Lemire, Kaser, Kurz: "Faster remainder by direct computation", 2019). For slices of one length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder {
    /// Where the first slice within reach begins.
    start: EventTime,
    first: i64,
    /// How far it reaches, in milliseconds.
    reach: u64,
    /// 2^64 over the length of a slice, rounded up.
    reciprocal: u64,
}

impl Finder {
    /// Finds nothing.
    pub const NOTHING: Finder = Finder {
        start: 0,
        first: 0,
        reach: 0,
        reciprocal: 0,
    };
    /// Offsets of so many bits are exact.
    const REACH: u64 = 1 << 32;

    /// Finds slices near this time; nothing if slices differ in length.
    #[inline(never)]
    pub fn near(time: EventTime, slicing: &Slicing) -> Finder {
        let length = slicing.period as u64;
        let back = (Finder::REACH / 2) as i64;
        let reaches = (2..=Finder::REACH / 4).contains(&length) && time >= i64::MIN + 4 * back;
        if !slicing.is_even() || !reaches {
            return Finder::NOTHING;
        }
        let first = slicing.slice_of(time - back);
        Finder {
            start: first * slicing.period + slicing.offset,
            first,
            reach: Finder::REACH,
            reciprocal: u64::MAX / length + 1,
        }
    }

    /// The slice of a time, if it is within reach.
    #[inline(always)] // for the innermost loops
    pub fn find(&self, time: EventTime) -> Option<i64> {
        let offset = time.wrapping_sub(self.start) as u64;
        let slices = (u128::from(offset) * u128::from(self.reciprocal)) >> 64;
        (offset < self.reach).then(|| self.first + slices as i64)
    }
}

fn clamp(number: i128) -> i64 {
    number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind there is: dividing, not dividing, tumbling, with gaps; with an offset.
    fn all() -> Vec<Slicing> {
        let mut all = Vec::new();
        for (size, slide) in [(10, 1), (10, 5), (10, 3), (7, 4), (10, 10), (3, 7), (1, 1)] {
            all.extend([0, slide / 2].map(|offset| Slicing::sliding(size, slide, offset)));
        }
        for (max, step) in [(12, 3), (10, 4), (5, 5), (6, 1)] {
            all.extend([0, max / 3].map(|offset| Slicing::cumulating(max, step, offset)));
        }
        all
    }

    #[test]
    fn a_time_is_in_the_windows_of_its_slice_and_in_no_other() {
        for slicing in all() {
            for time in -60..60 {
                let slice = slicing.slice_of(time);
                let windows = slicing.first_window(slice)..=slicing.last_window(slice);
                assert_eq!(windows.is_empty(), slicing.is_between_windows(slice));
                for number in -200..200 {
                    let window = slicing.window(number);
                    let within = window.start <= time && time < window.end;
                    let of_slice = windows.contains(&number);
                    assert_eq!(within, of_slice, "{slicing:?}, {time} in {window}");
                    let of_window = slicing.slices_of(number).contains(&slice);
                    assert_eq!(within, of_window, "{slicing:?}, {time} in {window}");
                }
            }
        }
    }

    #[test]
    fn what_a_finder_finds_is_the_slice() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            // Of any number of bits.
            let mut number = |bits: u32| random.i64(..) >> random.u32(64 - bits..64);
            let slide = number(40).abs().max(1);
            let slices = number(4).abs().max(1);
            let slicing = Slicing::sliding(slide * slices, slide, number(40).rem_euclid(slide));
            let anchor = number(62);
            let finder = Finder::near(anchor, &slicing);
            assert_eq!(
                finder.find(anchor).is_some(),
                (2..=1 << 30).contains(&slide)
            );
            for _ in 0..50 {
                let time = anchor + number(34);
                let slice = slicing.slice_of(time);
                assert_eq!(
                    finder.find(time).unwrap_or(slice),
                    slice,
                    "{time} by {slide}"
                );
            }
        }
        for slicing in all() {
            for anchor in [i64::MIN, i64::MIN + 1, -1, 0, 1 << 62] {
                let finder = Finder::near(anchor, &slicing);
                for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                    let slice = slicing.slice_of(time);
                    assert_eq!(finder.find(time).unwrap_or(slice), slice, "{slicing:?}");
                }
            }
        }
    }

    #[test]
    fn windows_end_one_after_the_other() {
        for slicing in all() {
            for number in -50..50 {
                let (one, next) = (slicing.window(number), slicing.window(number + 1));
                assert!(one.start <= next.start && one.end < next.end, "{slicing:?}");
                assert_eq!(slicing.first_above(one.end - 1, 0), number, "{slicing:?}");
                assert_eq!(slicing.first_above(one.end, 0), number + 1, "{slicing:?}");
                assert_eq!(slicing.first_above(one.end + 4, 5), number, "{slicing:?}");
            }
        }
    }

    #[test]
    fn bounds_saturate_at_the_ends_of_time() {
        for slicing in all() {
            for time in [i64::MIN + 1, i64::MAX] {
                let slice = slicing.slice_of(time);
                let window = slicing.window(slicing.last_window(slice));
                let within = window.start <= time && (time < window.end || window.end == i64::MAX);
                // Cumulating slices of a millisecond have numbers beyond the range: there they are one.
                if matches!(slicing.kind, Kind::Sliding { .. }) {
                    assert_eq!(within, !slicing.is_between_windows(slice), "{slicing:?}");
                }
            }
            assert_eq!(slicing.first_above(WATERMARK_MAX, 3), NO_WINDOW);
            slicing.first_above(Watermark::MIN, 3);
        }
    }
}
