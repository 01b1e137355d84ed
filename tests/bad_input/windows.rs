//! Windows over records of which some fail: as if these had not been there.

use crate::functions::{Case, PANIC, as_if_they_had_not_been_there, check};
use millstream::prelude::*;

fn ms(ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ms)
}

/// Half of the change is made when it fails; some windows have no record but a bad one.
macro_rules! windowed {
    ($windows:expr) => {
        windowed!($windows, |w| format!(
            "{} {} {:?}",
            w.key, w.window, w.value
        ))
    };
    ($windows:expr, $show:expr) => {
        |numbers, policy| {
            let fold = Fold::new((0, 0), add).merged_by(|(a, b), (c, d)| {
                *a += c;
                *b += d;
            });
            let windowed = numbers.key_by(|n| n % 20).window($windows);
            let folded = windowed.aggregate(fold).name("bad").on_error(policy);
            folded.map($show)
        }
    };
}

fn add((seen, good): &mut (i64, i64), n: i64) {
    *seen += 1;
    check(n);
    *good += 1;
}

const WINDOWS: &[Case] = &[
    Case {
        name: "tumbling",
        kind: PANIC,
        build: windowed!(Tumbling::of(ms(10))),
    },
    Case {
        name: "sliding",
        kind: PANIC,
        build: windowed!(Sliding::of(ms(50), ms(10))),
    },
    Case {
        name: "cumulating",
        kind: PANIC,
        build: windowed!(Cumulating::of(ms(50), ms(10))),
    },
    Case {
        name: "session",
        kind: PANIC,
        build: windowed!(Session::with_gap(ms(5))),
    },
    Case {
        name: "count",
        kind: PANIC,
        // Which records come together depends on the order of splits.
        build: windowed!(CountWindow::of(7), |w| format!("{} {:?}", w.key, w.value)),
    },
    Case {
        name: "a key for each",
        kind: PANIC,
        build: windowed!(Tumbling::of(ms(1))),
    },
];

#[test]
fn windows() {
    WINDOWS.iter().for_each(as_if_they_had_not_been_there);
}
