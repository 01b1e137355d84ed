//! Several aggregates at once: a tuple of aggregators gives a tuple of results.

use super::Aggregator;
use millstream_runtime::time::EventTime;

macro_rules! tuple {
    ($($each:ident $at:tt),+; $last:ident $last_at:tt) => {
        /// All of them over the same values; each value is cloned for all but the last.
        impl<V: Clone, $($each: Aggregator<V>,)+ $last: Aggregator<V>> Aggregator<V>
            for ($($each,)+ $last)
        {
            type Acc = ($($each::Acc,)+ $last::Acc);
            type Out = ($($each::Out,)+ $last::Out);
            const MERGES: bool = $($each::MERGES &&)+ $last::MERGES;
            const UNMERGES: bool = $($each::UNMERGES &&)+ $last::UNMERGES;
            fn create(&self) -> Self::Acc {
                ($(self.$at.create(),)+ self.$last_at.create())
            }
            fn add(&self, accumulator: &mut Self::Acc, value: V) {
                $(self.$at.add(&mut accumulator.$at, value.clone());)+
                self.$last_at.add(&mut accumulator.$last_at, value);
            }
            fn add_at(&self, accumulator: &mut Self::Acc, value: V, time: EventTime) {
                $(self.$at.add_at(&mut accumulator.$at, value.clone(), time);)+
                self.$last_at.add_at(&mut accumulator.$last_at, value, time);
            }
            fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc) {
                $(self.$at.merge(&mut accumulator.$at, other.$at);)+
                self.$last_at.merge(&mut accumulator.$last_at, other.$last_at);
            }
            fn unmerge(&self, accumulator: &mut Self::Acc, other: &Self::Acc) {
                $(self.$at.unmerge(&mut accumulator.$at, &other.$at);)+
                self.$last_at.unmerge(&mut accumulator.$last_at, &other.$last_at);
            }
            fn result(&self, accumulator: &Self::Acc) -> Self::Out {
                ($(self.$at.result(&accumulator.$at),)+ self.$last_at.result(&accumulator.$last_at))
            }
        }
    };
}

tuple!(A 0; B 1);
tuple!(A 0, B 1; C 2);
tuple!(A 0, B 1, C 2; D 3);
tuple!(A 0, B 1, C 2, D 3; E 4);
tuple!(A 0, B 1, C 2, D 3, E 4; F 5);
