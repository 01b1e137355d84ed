//! Replay, schedule and splits of the generator, on a clock that is moved by hand.

use super::*;
use crate::testing::{drain, error_of, read_all, reader_context, resumes_everywhere};
use millstream_runtime::clock::{Clock, ManualClock};
use millstream_runtime::record::Record;
use millstream_runtime::source::{Batch, ReadStatus};

fn random(at: Scheduled, rng: &mut fastrand::Rng) -> (u64, u32) {
    (at.index, rng.u32(..))
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_ms(1_000))
}

#[test]
fn records_depend_on_seed_and_index_alone() {
    let of = |seed, splits| {
        let source = Generator::new(random).seed(seed).total(50).splits(splits);
        let mut records: Vec<_> = read_all(&source)
            .unwrap()
            .into_iter()
            .map(|r| r.value)
            .collect();
        records.sort_unstable();
        records
    };
    assert_eq!(of(1, 1), of(1, 4));
    assert_ne!(of(1, 1), of(2, 1));
    let numbers: std::collections::BTreeSet<u32> = of(1, 1).iter().map(|r| r.1).collect();
    assert_eq!(numbers.len(), 50, "neighbours differ");
}

#[test]
fn a_split_resumes_everywhere_and_keeps_its_schedule() {
    let source = Generator::new(random).total(23).splits(3).clock(clock());
    resumes_everywhere(&source);

    let clock = clock();
    let source = Generator::new(|at, _| at.scheduled_ns)
        .rate(1_000.0)
        .clock(clock.clone());
    let split = source.enumerator().unwrap().discover().unwrap().remove(0);
    let mut reader = source.open(&split, None, &reader_context()).unwrap();
    assert_eq!(drain(&mut *reader, 10).unwrap().0.len(), 1);
    let position = reader.position();
    // Away for 5 ms: what became due meanwhile comes at once, with the old schedule.
    clock.advance(Duration::from_millis(5));
    let late = source.enumerator().unwrap().discover().unwrap().remove(0);
    let mut reader = source
        .open(&late, Some(&position), &reader_context())
        .unwrap();
    let (records, _) = drain(&mut *reader, 10).unwrap();
    let due: Vec<i64> = records.iter().map(|r| r.value).collect();
    assert_eq!(
        due,
        (1..=5)
            .map(|i| 1_000_000_000 + i * 1_000_000)
            .collect::<Vec<_>>()
    );
    assert_eq!(records[4].time, 1_005);
}

#[test]
fn a_rate_is_an_open_loop() {
    let clock = clock();
    let source = Generator::new(|at, _| at.index)
        .rate(2_000.0)
        .splits(2)
        .total(9)
        .clock(clock.clone());
    let splits = source.enumerator().unwrap().discover().unwrap();
    let mut reader = source.open(&splits[1], None, &reader_context()).unwrap();
    let mut batch = Batch::default();
    let half = Duration::from_micros(500);
    assert_eq!(
        reader.poll(&mut batch, 9).unwrap(),
        ReadStatus::WaitFor(half)
    );
    assert!(
        batch.records.is_empty(),
        "record 1 is due after half a millisecond"
    );
    clock.advance(half);
    assert_eq!(
        reader.poll(&mut batch, 9).unwrap(),
        ReadStatus::WaitFor(2 * half)
    );
    assert_eq!(batch.records, [Record::new(1_000, 1)]);
    clock.advance(10 * half);
    assert_eq!(reader.poll(&mut batch, 1).unwrap(), ReadStatus::More);
    assert_eq!(reader.poll(&mut batch, 9).unwrap(), ReadStatus::Finished);
    assert_eq!(
        batch.records.iter().map(|r| r.value).collect::<Vec<_>>(),
        [1, 3, 5, 7]
    );
}

#[test]
fn a_schedule_can_begin_later() {
    let clock = clock();
    let wait = Duration::from_millis(20);
    let source = Generator::new(random)
        .rate(1e3)
        .start_after(wait)
        .clock(clock.clone());
    let split = source.enumerator().unwrap().discover().unwrap().remove(0);
    let mut reader = source.open(&split, None, &reader_context()).unwrap();
    assert_eq!(
        drain(&mut *reader, 9).unwrap(),
        (vec![], ReadStatus::WaitFor(wait))
    );
    clock.advance(wait);
    assert_eq!(drain(&mut *reader, 9).unwrap().0[0].time, 1_020);
}

#[test]
fn due_counts_agree_with_the_schedule() {
    for rate in [0.3, 1.0, 3.0, 7_777.7, 1e6, 3e8] {
        let source = Generator::new(|at, _| at.index).rate(rate);
        let schedule = source.schedule(1_700_000_000_000_000_000);
        for index in (0..2_000).chain([(1 << 33) + 1].into_iter().filter(|_| rate > 3.0)) {
            let at = schedule.scheduled_ns(index);
            let due = schedule.due_at(at);
            assert!(
                due > index && schedule.scheduled_ns(due) > at,
                "rate {rate}, index {index}"
            );
            assert!(schedule.due_at(at - 1) <= index);
        }
    }
}

#[test]
fn event_time_by_function() {
    let source = Generator::new(|_, _| ())
        .event_time(|index| index as i64 * 10)
        .total(3);
    let times: Vec<i64> = read_all(&source).unwrap().iter().map(|r| r.time).collect();
    assert_eq!(times, [0, 10, 20]);
}

#[test]
fn fewer_records_than_splits() {
    assert_eq!(
        read_all(&Generator::new(random).total(2).splits(5))
            .unwrap()
            .len(),
        2
    );
    assert_eq!(read_all(&Generator::new(random).total(0)).unwrap().len(), 0);
}

#[test]
fn available_now_needs_an_end() {
    let context = ReaderContext {
        available_now: true,
        ..reader_context()
    };
    let clock = clock();
    let source = Generator::new(random).clock(clock.clone());
    let split = GeneratorSplit {
        first: 0,
        start_ns: clock.now_ns(),
    };
    assert!(error_of(source.open(&split, None, &context)).contains("no present end"));
    let source = source.rate(1_000.0);
    clock.advance(Duration::from_millis(3));
    let mut reader = source.open(&split, None, &context).unwrap();
    let (records, status) = drain(&mut *reader, 100).unwrap();
    assert_eq!((records.len(), status), (4, ReadStatus::Finished));
}
