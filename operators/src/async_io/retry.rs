//! When a request that failed is asked again.

use millstream_runtime::hash::stable_hash;
use std::time::Duration;

/// How often a request is asked, and how long it waits in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    first: Duration,
    longest: Duration,
    factor: u32,
}

impl Retry {
    /// A request is asked once.
    pub fn never() -> Self {
        Retry::fixed(1, Duration::ZERO)
    }

    /// A request is asked up to `attempts` times, `delay` apart.
    pub fn fixed(attempts: u32, delay: Duration) -> Self {
        Retry {
            attempts,
            first: delay,
            longest: delay,
            factor: 1,
        }
    }

    /// A request is asked up to `attempts` times; it waits `first` before the second and twice as long each
    /// time, up to [`longest`](Self::longest). Up to half of each wait is taken off, another share for each
    /// request, so that those that failed together are not asked together again.
    pub fn exponential(attempts: u32, first: Duration) -> Self {
        Retry {
            attempts,
            first,
            longest: Duration::from_secs(60),
            factor: 2,
        }
    }

    /// The longest wait: a minute if not given.
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Why this is no policy.
    pub(super) fn fault(&self) -> Option<&'static str> {
        (self.attempts == 0).then_some("a request must be asked at least once, not 0 times")
    }

    /// How long to wait after `attempts` attempts of a request, in milliseconds; none: it has failed.
    pub(super) fn delay_ms(&self, request: u64, attempts: u32) -> Option<i64> {
        if attempts >= self.attempts {
            return None;
        }
        let factor = self.factor.saturating_pow(attempts - 1);
        let delay = self.first.saturating_mul(factor).min(self.longest);
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let spread = match self.factor {
            1 => 0,
            _ => stable_hash(&(request, attempts)) % (delay_ms as u64 / 2 + 1),
        };
        Some(delay_ms - spread as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_are_spread() {
        let retry =
            Retry::exponential(20, Duration::from_millis(100)).longest(Duration::from_secs(3));
        for (attempts, full) in [(1, 100), (2, 200), (5, 1600), (6, 3000), (19, 3000)] {
            let waits: Vec<i64> = (0..100)
                .map(|request| retry.delay_ms(request, attempts).unwrap())
                .collect();
            assert!(waits.iter().all(|wait| (full / 2..=full).contains(wait)));
            let distinct: std::collections::BTreeSet<_> = waits.into_iter().collect();
            assert!(distinct.len() > 20);
        }
        assert_eq!(retry.delay_ms(0, 20), None);
        let fixed = Retry::fixed(3, Duration::from_millis(7));
        assert_eq!(
            [1, 2, 3].map(|n| fixed.delay_ms(9, n)),
            [Some(7), Some(7), None]
        );
        assert_eq!(Retry::never().delay_ms(0, 1), None);
        assert_eq!(
            Retry::exponential(99, Duration::MAX)
                .delay_ms(0, 98)
                .map(|ms| ms > 0),
            Some(true)
        );
    }
}
