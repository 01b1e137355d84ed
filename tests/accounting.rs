//! Every record is accounted for: what an operator took is what it put out and what it counted as
//! late, filtered, skipped or dead.

use millstream::prelude::*;
use millstream::runtime::job::OperatorReport;
use std::time::Duration;

const MODES: [Mode; 2] = [
    Mode::Continuous,
    Mode::MicroBatch {
        interval: Duration::ZERO,
    },
];

/// What an operator with at most one result a record took, less all that it accounts for.
fn unaccounted(operator: &OperatorReport) -> i64 {
    let passed_over = operator.filtered + operator.skipped + operator.dead;
    let accounted = operator.records_out + operator.late + passed_over;
    operator.records_in as i64 - accounted as i64
}

/// Chained, on their own and behind an exchange: steps that reject a part say how many.
#[test]
fn one_to_one_operators_account_for_every_record() {
    for (mode, workers, chaining) in [
        (MODES[0], 1, true),
        (MODES[0], 2, false),
        (MODES[1], 2, true),
    ] {
        let job = Job::new("accounting");
        let numbers = Generator::new(|at, _| at.index).total(10_000);
        job.source("numbers", numbers)
            .filter(|n| n % 3 != 0)
            .name("thirds")
            .map(|n| n + 1)
            .name("plus")
            .filter_map(|n| (n % 2 == 0).then_some(n))
            .name("even")
            .key_by(|n| n % 100)
            .count()
            .name("count")
            .sink("out", Null::new());
        let config = JobConfig {
            workers,
            mode,
            chaining,
            ..JobConfig::default()
        };
        let report = job.start(config).unwrap().wait().unwrap();
        let named = |name| report.operator(name).expect("an operator of that name");
        assert_eq!(named("thirds").filtered, 3_334);
        assert_eq!(named("even").filtered, 3_333);
        assert_eq!(named("plus").filtered, 0);
        for name in ["numbers", "thirds", "plus", "even", "count"] {
            assert_eq!(unaccounted(named(name)), 0, "{name}: {report:#?}");
        }
        // From operator to operator nothing is lost on the way either.
        for pair in ["numbers", "thirds", "plus", "even", "count", "out"].windows(2) {
            let (from, to) = (named(pair[0]), named(pair[1]));
            assert_eq!(from.records_out, to.records_in, "{pair:?}");
        }
    }
}

/// Steps and keyed operators whose functions fail at some records, under both policies that go on.
#[test]
fn records_that_fail_are_accounted_for() {
    for (mode, chaining) in [(MODES[0], true), (MODES[0], false), (MODES[1], true)] {
        let job = Job::new("accounting");
        let numbers = Generator::new(|at, _| at.index).total(10_000);
        let (kept, letters) = job
            .source("numbers", numbers)
            .map(|n| {
                assert!(n % 10 != 1, "ends in one");
                n
            })
            .name("skips")
            .on_error(ErrorPolicy::Skip)
            .filter(|n| {
                assert!(n % 10 != 2, "ends in two");
                n % 10 != 3
            })
            .name("buries")
            .dead_letters();
        letters.sink("dead", Null::new());
        kept.key_by(|n| n % 100)
            .count()
            .name("count")
            .sink("out", Null::new());
        let config = JobConfig {
            workers: 2,
            mode,
            chaining,
            ..JobConfig::default()
        };
        let report = job.start(config).unwrap().wait().unwrap();
        let named = |name| report.operator(name).expect("an operator of that name");
        let (skips, buries) = (named("skips"), named("buries"));
        assert_eq!((skips.skipped, skips.dead, skips.filtered), (1_000, 0, 0));
        assert_eq!(
            (buries.skipped, buries.dead, buries.filtered),
            (0, 1_000, 1_000)
        );
        assert_eq!(named("dead").records_in, 1_000);
        for name in ["numbers", "skips", "buries", "count"] {
            assert_eq!(unaccounted(named(name)), 0, "{name}: {report:#?}");
        }
        assert_eq!(report.lost(), (0, 1_000, 1_000));
    }
}

/// What a window takes is either late or in a result.
#[test]
fn a_window_counts_what_it_takes_or_says_that_it_was_late() {
    for mode in MODES {
        let job = Job::new("accounting");
        // Every seventh is far behind the others.
        let time = |n: i64| if n % 7 == 6 { n - 5_000 } else { n };
        let numbers = (0..10_000).map(|n| (time(n), n)).collect();
        let (sink, results) = Collect::new();
        let strategy = WatermarkStrategy::ascending();
        job.timed_source("numbers", Collection::timed(numbers).batch(10), strategy)
            .key_by(|n| n % 3)
            .window(Tumbling::of(Duration::from_millis(100)))
            .count()
            .name("window")
            .sink("out", sink);
        let config = JobConfig {
            mode,
            max_batch_records: 500,
            tick: Duration::from_millis(1),
            ..JobConfig::default()
        };
        let report = job.start(config).unwrap().wait().unwrap();
        let window = report.operator("window").unwrap();
        let counted: u64 = results.take().iter().map(|row| row.value).sum();
        assert_eq!(window.records_in, 10_000);
        assert_eq!(counted + window.late, window.records_in);
        assert!(window.late > 0, "{window:#?}");
        let rows = report.operator("out").unwrap().records_in;
        assert_eq!(window.records_out, rows);
    }
}
