//! Process functions: side outputs, two inputs, what is refused; and in the folders' other files timers,
//! time to live, a model of everything, and speed.

mod broadcast;
mod codec;
mod model;
mod speed;
mod timers;
mod ttl;

use crate::testing::Harness;
use crate::{
    ConnectedProcess, KeyedContext, KeyedProcess, Side, SideTag, StateSpec, States, ValueState,
};
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::Record;

/// Passes on rising values; what falls goes to the side, as text.
struct Rising {
    last: ValueState<u64>,
    fallen: Side<String>,
}

impl KeyedProcess for Rising {
    type Key = u8;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u8, u64>) -> UserResult {
        let last = ctx.value(self.last).get_or_default();
        if value >= *last {
            *last = value;
            ctx.emit(value);
        } else {
            ctx.emit_to(&self.fallen, format!("{}: {value}", ctx.key()));
            ctx.emit_to_at(&self.fallen, 99, "again".into());
        }
        Ok(())
    }
}

#[test]
fn side_outputs_have_their_own_type_and_time() {
    let tag = SideTag::new("fallen");
    let (mut harness, fallen) = Harness::keyed_with_sides(tag, |states, fallen| Rising {
        last: states.value("last"),
        fallen,
    });
    harness.batch([(1, (7, 5)), (2, (7, 6)), (3, (7, 2)), (4, (8, 2))]);
    assert_eq!(harness.take_values(), [5, 6, 2]);
    let expected = [
        Record::new(3, "7: 2".to_string()),
        Record::new(99, "again".into()),
    ];
    assert_eq!(fallen.take(), expected);
}

/// Pairs up the last values of two streams.
struct Pairs {
    left: ValueState<u32>,
    right: ValueState<String>,
}

impl Pairs {
    fn new(states: &mut States<'_, u8>) -> Self {
        Pairs {
            left: states.value("left"),
            right: states.value("right"),
        }
    }

    fn emit(&self, ctx: &mut KeyedContext<'_, u8, (u32, String)>) -> UserResult {
        if let Some(left) = ctx.value(self.left).get().copied()
            && let Some(right) = ctx.value(self.right).get().cloned()
        {
            ctx.emit((left, right));
        }
        Ok(())
    }
}

impl ConnectedProcess for Pairs {
    type Key = u8;
    type Left = u32;
    type Right = String;
    type Out = (u32, String);

    fn on_left(&mut self, value: u32, ctx: &mut KeyedContext<'_, u8, Self::Out>) -> UserResult {
        ctx.value(self.left).set(value);
        self.emit(ctx)
    }

    fn on_right(&mut self, value: String, ctx: &mut KeyedContext<'_, u8, Self::Out>) -> UserResult {
        ctx.value(self.right).set(value);
        self.emit(ctx)
    }
}

#[test]
fn two_inputs_share_the_state_of_a_key() {
    let mut harness = Harness::connected(Pairs::new);
    harness.left([(1, (1, 10)), (2, (2, 20))]);
    harness.restart_on(2);
    harness.right([(3, (2, "two".into())), (4, (3, "three".into()))]);
    harness.left([(5, (3, 30)), (6, (2, 21))]);
    let mut pairs = harness.take_values();
    pairs.sort();
    let expected = [(20, "two"), (21, "two"), (30, "three")];
    assert_eq!(
        pairs,
        expected.map(|(left, right)| (left, right.to_string()))
    );
}

/// A value whose type has changed between two versions of a job.
struct Total {
    total: ValueState<u64>,
}

impl KeyedProcess for Total {
    type Key = u8;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, value: u64, ctx: &mut KeyedContext<'_, u8, u64>) -> UserResult {
        let total = ctx.value(self.total).get_or_default();
        *total += value;
        let total = *total;
        ctx.emit(total);
        Ok(())
    }
}

#[test]
fn a_state_of_an_older_version_is_migrated() {
    use std::cell::Cell;
    use std::rc::Rc;
    let version = Rc::new(Cell::new(1));
    let shared = version.clone();
    let mut harness = Harness::keyed(move |states| {
        let spec = StateSpec::new("total");
        let spec = match shared.get() {
            1 => spec,
            version => spec
                .with_version(version)
                .with_migration(1, |old: u64| old * 1000),
        };
        Total {
            total: states.value(spec),
        }
    });
    harness.record(0, (1, 7));
    version.set(2);
    harness.restart();
    harness.record(0, (1, 1));
    assert_eq!(harness.take_values(), [7, 7001]);
}

#[test]
#[should_panic(expected = "two states of one operator are named \"total\"")]
fn names_are_unique() {
    Harness::keyed(|states| {
        states.value::<u64>("total");
        Total {
            total: states.value("total"),
        }
    });
}

#[test]
#[should_panic(expected = "the state name \"watermark\" is reserved")]
fn names_of_the_driver_are_reserved() {
    Harness::keyed(|states| Total {
        total: states.value("watermark"),
    });
}
