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
