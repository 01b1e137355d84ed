//! Aggregates that fail.

use super::*;
use crate::aggregate::Mapped;
use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, Work};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A record that is set aside leaves no trace, also one that is late for some of its windows.
#[test]
fn a_record_that_fails_leaves_no_trace() {
    struct Choosy<G>(G);
    impl<G: Aggregator<u64>> Aggregator<u64> for Choosy<G> {
        type Acc = G::Acc;
        type Out = G::Out;
        const UNMERGES: bool = G::UNMERGES;
        fn create(&self) -> G::Acc {
            self.0.create()
        }
        fn add(&self, accumulator: &mut G::Acc, value: u64) {
            self.0.add(accumulator, value);
            assert_ne!(value, 13, "it was added all the same");
        }
        fn merge(&self, accumulator: &mut G::Acc, other: G::Acc) {
            self.0.merge(accumulator, other);
        }
        fn unmerge(&self, accumulator: &mut G::Acc, other: &G::Acc) {
            self.0.unmerge(accumulator, other);
        }
        fn result(&self, accumulator: &G::Acc) -> G::Out {
            self.0.result(accumulator)
        }
    }
    fn run<G: Aggregator<u64, Out = u64>>(aggregator: G, with_failures: bool) -> Vec<String> {
        let (late, _) = SideTag::<(u8, u64)>::new("late").collect();
        let slicing = Slicing::sliding(20, 5, 0);
        let mut operator = SlicedOperator::<_, _, _, 2>::new(
            slicing,
            10,
            Arc::new(Choosy(aggregator)),
            late.into_output(),
        );
        let put_out = Collected::<Windowed<u8, u64>>::default();
        let mut out = Output::new(Box::new(put_out.clone()));
        let mut context = OperatorContext::detached();
        context.tolerant = true;
        operator.open(&context);
        let mut random = fastrand::Rng::with_seed(3);
        let mut watermark = 0;
        for _ in 0..2_000 {
            let (time, key) = (watermark + random.i64(-25..20), random.u8(..5));
            let record = Record::new(time, (key, random.u64(14..99)));
            if with_failures && time % 3 == 0 {
                let fails = Record::new(time, (key, 13));
                let took = AssertUnwindSafe(|| operator.on_record(fails, &mut context, &mut out));
                drop(catch_unwind(took)); // one that is late for all is not added
            }
            operator.on_record(record, &mut context, &mut out).unwrap();
            if random.u8(..20) == 0 {
                watermark += random.i64(0..20);
                context.watermark = watermark;
                while operator.on_watermark(&mut context, &mut out).unwrap() == Work::More {}
            }
        }
        context.watermark = WATERMARK_MAX;
        while operator.on_watermark(&mut context, &mut out).unwrap() == Work::More {}
        out.flush().unwrap();
        put_out
            .take()
            .iter()
            .map(|record| format!("{record:?}"))
            .collect()
    }
    let reduced = || Reduce::new(|a: u64, b: u64| a + b);
    let (summed, summed_too) = (run(sum(), false), run(sum(), true));
    let (merged, merged_too) = (run(reduced(), false), run(reduced(), true));
    assert!(summed.len() > 1_000);
    assert_eq!(summed, summed_too);
    assert_eq!(summed, merged);
    assert_eq!(summed, merged_too);
}

/// A window that fails while a late record makes it fire before its turn ends the job, whatever becomes of the
/// record: half of its results would be missing.
#[test]
fn a_window_that_fails_as_a_late_record_comes_ends_the_job() {
    let (late, _) = SideTag::<(u64, u64)>::new("late").collect();
    let picky = Mapped::new(Count, |count: u64| {
        assert!(count < 2, "too many");
        count
    });
    let slicing = Slicing::sliding(20, 10, 0);
    let mut operator =
        SlicedOperator::<_, _, _, 2>::new(slicing, 20, Arc::new(picky), late.into_output());
    let mut out = Output::new(Box::new(Collected::<Windowed<u64, u64>>::default()));
    let mut context = OperatorContext::detached();
    context.tolerant = true;
    let add = |operator: &mut SlicedOperator<_, _, _, 2>, context: &mut _, key, out: &mut _| {
        let record = Record::new(5, (key, 0));
        let added = catch_unwind(AssertUnwindSafe(|| {
            operator.on_record(record, context, out)
        }));
        added.is_ok_and(|added| added.is_ok())
    };
    (0..5_000).for_each(|key| assert!(add(&mut operator, &mut context, key, &mut out)));
    let shard = |key: &u64| stable_hash(key) >> 44 & 0xFF;
    let last = (0..5_000).max_by_key(shard).unwrap(); // its turn comes last
    assert!(add(&mut operator, &mut context, last, &mut out));
    context.watermark = 10;
    let work = operator.on_watermark(&mut context, &mut out).unwrap();
    assert_eq!(work, Work::More);
    assert!(!add(&mut operator, &mut context, last, &mut out));
    let error = operator.on_watermark(&mut context, &mut out).unwrap_err();
    assert!(error.to_string().contains("late record"), "{error}");
}
