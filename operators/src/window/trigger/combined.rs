//! Triggers made of others.

use super::{TriggerContext, TriggerResult, TriggerState, WindowTrigger, earlier};
use millstream_runtime::time::EventTime;
use serde::{Deserialize, Serialize};

/// Drops the contents of a window whenever a trigger fires: each result is of the records since the last one.
#[derive(Clone, Copy, Debug)]
pub struct PurgingTrigger<T>(T);

impl<T> PurgingTrigger<T> {
    /// Drops the contents whenever `trigger` fires.
    pub fn of(trigger: T) -> Self {
        PurgingTrigger(trigger)
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    TriggerResult::of(result.fires(), result.fires() || result.purges())
}

impl<V, T: WindowTrigger<V>> WindowTrigger<V> for PurgingTrigger<T> {
    type State = T::State;

    #[inline]
    fn on_record(
        &self,
        time: EventTime,
        value: &V,
        state: &mut T::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        purging(self.0.on_record(time, value, state, at))
    }

    fn next_event_time(&self, state: &T::State, at: &TriggerContext) -> Option<EventTime> {
        self.0.next_event_time(state, at)
    }

    fn on_event_time(
        &self,
        time: EventTime,
        state: &mut T::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        purging(self.0.on_event_time(time, state, at))
    }

    fn next_processing_time(&self, state: &T::State, at: &TriggerContext) -> Option<EventTime> {
        self.0.next_processing_time(state, at)
    }

    fn on_processing_time(
        &self,
        time: EventTime,
        state: &mut T::State,
        at: &TriggerContext,
    ) -> TriggerResult {
        purging(self.0.on_processing_time(time, state, at))
    }

    fn merge(&self, state: &mut T::State, other: T::State) {
        self.0.merge(state, other);
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn describe(&self) -> String {
        format!("{}, purging", self.0.describe())
    }
}

/// Fires whenever one of two triggers does.
#[derive(Clone, Copy, Debug)]
pub struct AnyTrigger<A, B>(A, B);

impl<A, B> AnyTrigger<A, B> {
    /// Fires whenever `a` or `b` does; for more than two: `AnyTrigger::of(a, AnyTrigger::of(b, c))`.
    pub fn of(a: A, b: B) -> Self {
        AnyTrigger(a, b)
    }
}

/// Fires once both of two triggers have.
#[derive(Clone, Copy, Debug)]
pub struct AllTrigger<A, B>(AnyTrigger<A, B>);

impl<A, B> AllTrigger<A, B> {
    /// Fires once both `a` and `b` have since it last did.
    pub fn of(a: A, b: B) -> Self {
        AllTrigger(AnyTrigger(a, b))
    }
}

/// What two triggers remember.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound = "A: TriggerState, B: TriggerState")]
pub struct Both<A, B> {
    a: A,
    b: B,
    /// Which of them have fired, if it takes both.
    fired: (bool, bool),
}

/// What two triggers said, each if it was asked.
type Said = (Option<TriggerResult>, Option<TriggerResult>);

impl<A, B> AnyTrigger<A, B> {
    fn next<V>(
        &self,
        state: &Both<A::State, B::State>,
        at: &TriggerContext,
        domain: Calls,
    ) -> (Option<EventTime>, Option<EventTime>)
    where
        A: WindowTrigger<V>,
        B: WindowTrigger<V>,
    {
        match domain {
            Calls::Event => (
                self.0.next_event_time(&state.a, at),
                self.1.next_event_time(&state.b, at),
            ),
            Calls::Processing => (
                self.0.next_processing_time(&state.a, at),
                self.1.next_processing_time(&state.b, at),
            ),
        }
    }

    /// Calls those that wanted this time.
    fn call<V>(
        &self,
        time: EventTime,
        state: &mut Both<A::State, B::State>,
        at: &TriggerContext,
        domain: Calls,
    ) -> Said
    where
        A: WindowTrigger<V>,
        B: WindowTrigger<V>,
    {
        let mut before = *at;
        if domain == Calls::Event {
            before.watermark = time; // so that it has not passed
        }
        let (a, b) = self.next::<V>(state, &before, domain);
        let wanted = |next: Option<EventTime>| next == Some(time);
        match domain {
            Calls::Event => (
                wanted(a).then(|| self.0.on_event_time(time, &mut state.a, at)),
                wanted(b).then(|| self.1.on_event_time(time, &mut state.b, at)),
            ),
            Calls::Processing => (
                wanted(a).then(|| self.0.on_processing_time(time, &mut state.a, at)),
                wanted(b).then(|| self.1.on_processing_time(time, &mut state.b, at)),
            ),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Calls {
    Event,
    Processing,
}

fn any<A, B>(_: &mut Both<A, B>, (a, b): Said) -> TriggerResult {
    let said = |result: Option<TriggerResult>| result.unwrap_or(TriggerResult::Continue);
    let (a, b) = (said(a), said(b));
    TriggerResult::of(a.fires() || b.fires(), a.purges() || b.purges())
}

fn all<A, B>(state: &mut Both<A, B>, (a, b): Said) -> TriggerResult {
    let fires = |result: Option<TriggerResult>| result.is_some_and(TriggerResult::fires);
    let purges = |result: Option<TriggerResult>| result.is_some_and(TriggerResult::purges);
    state.fired.0 |= fires(a);
    state.fired.1 |= fires(b);
    let both = state.fired == (true, true);
    if both {
        state.fired = (false, false);
    }
    TriggerResult::of(both, purges(a) || purges(b))
}

macro_rules! of_two {
    ($name:ident, $any:ident => $pair:expr, $join:ident, $words:literal) => {
        impl<V, A: WindowTrigger<V>, B: WindowTrigger<V>> WindowTrigger<V> for $name<A, B> {
            type State = Both<A::State, B::State>;

            fn on_record(
                &self,
                time: EventTime,
                value: &V,
                state: &mut Self::State,
                at: &TriggerContext,
            ) -> TriggerResult {
                let $any = self;
                let a = $pair.0.on_record(time, value, &mut state.a, at);
                let b = $pair.1.on_record(time, value, &mut state.b, at);
                $join(state, (Some(a), Some(b)))
            }

            fn next_event_time(
                &self,
                state: &Self::State,
                at: &TriggerContext,
            ) -> Option<EventTime> {
                let $any = self;
                let (a, b) = $pair.next::<V>(state, at, Calls::Event);
                earlier(a, b)
            }

            fn on_event_time(
                &self,
                time: EventTime,
                state: &mut Self::State,
                at: &TriggerContext,
            ) -> TriggerResult {
                let $any = self;
                let said = $pair.call::<V>(time, state, at, Calls::Event);
                $join(state, said)
            }

            fn next_processing_time(
                &self,
                state: &Self::State,
                at: &TriggerContext,
            ) -> Option<EventTime> {
                let $any = self;
                let (a, b) = $pair.next::<V>(state, at, Calls::Processing);
                earlier(a, b)
            }

            fn on_processing_time(
                &self,
                time: EventTime,
                state: &mut Self::State,
                at: &TriggerContext,
            ) -> TriggerResult {
                let $any = self;
                let said = $pair.call::<V>(time, state, at, Calls::Processing);
                $join(state, said)
            }

            fn merge(&self, state: &mut Self::State, other: Self::State) {
                let $any = self;
                $pair.0.merge(&mut state.a, other.a);
                $pair.1.merge(&mut state.b, other.b);
                state.fired.0 |= other.fired.0;
                state.fired.1 |= other.fired.1;
            }

            fn check(&self) -> Result<(), String> {
                let $any = self;
                $pair.0.check()?;
                $pair.1.check()
            }

            fn describe(&self) -> String {
                let $any = self;
                format!(
                    concat!("{} ", $words, " {}"),
                    $pair.0.describe(),
                    $pair.1.describe()
                )
            }
        }
    };
}

of_two!(AnyTrigger, this => this, any, "or");
of_two!(AllTrigger, this => this.0, all, "and");
