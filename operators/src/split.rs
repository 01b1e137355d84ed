//! Splits a stream into several of different types: a function chooses where each value goes.

use crate::process::{Side, SideTags};
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::operator::{Operator, OperatorContext, OperatorCore, Output, UserResult};
use millstream_runtime::record::{Data, Record};
use millstream_runtime::time::EventTime;
use std::marker::PhantomData;
use std::sync::Arc;

impl<T: Data> Stream<T> {
    /// Splits the stream: a stream comes back for each tag, of the tag's type. `choose` is handed each value
    /// and an open side output for each tag, and puts the value, or what it makes of it, into as many of
    /// them as it likes; what it puts nowhere is gone.
    ///
    /// ```
    /// # use millstream_operators::{SideTag, Stream};
    /// fn split(lines: &Stream<String>) -> (Stream<u64>, Stream<String>) {
    ///     let tags = (SideTag::new("numbers"), SideTag::new("words"));
    ///     lines.split("kinds", tags, |line, (numbers, words), to| match line.parse() {
    ///         Ok(number) => to.put(numbers, number),
    ///         Err(_) => to.put(words, line),
    ///     })
    /// }
    /// ```
    pub fn split<S: SideTags>(
        &self,
        name: &str,
        tags: S,
        choose: impl Fn(T, &S::Sides, &Splitter) + Send + Sync + 'static,
    ) -> S::Streams {
        let choose = Arc::new(choose);
        let make = move |sides: &mut SideMaker<'_, '_, '_>| Split {
            choose: choose.clone(),
            sides: tags.open(sides, 1),
            marker: PhantomData::<fn(T)>,
        };
        let port = self.builder.operator(name, "split", self.edge(), make);
        tags.declare(&self.builder, port)
    }
}

/// Puts values into the outputs of a [`split`](Stream::split).
pub struct Splitter {
    time: EventTime,
}

impl Splitter {
    /// Puts a value into an output, at the event time of the record it comes from.
    #[inline]
    pub fn put<T: Data>(&self, side: &Side<T>, value: T) {
        side.push(self.time, value);
    }

    /// The event time of the record.
    pub fn time(&self) -> EventTime {
        self.time
    }
}

struct Split<F, S, T> {
    choose: Arc<F>,
    sides: S,
    marker: PhantomData<fn(T)>,
}

impl<F: 'static, S: 'static, T: Data> OperatorCore for Split<F, S, T> {
    type Out = ();
}

impl<F, S, T> Operator for Split<F, S, T>
where
    F: Fn(T, &S, &Splitter) + 'static,
    S: 'static,
    T: Data,
{
    type In = T;

    #[inline]
    fn on_record(
        &mut self,
        record: Record<T>,
        _: &mut OperatorContext,
        _: &mut Output<()>,
    ) -> UserResult {
        let splitter = Splitter { time: record.time };
        (self.choose)(record.value, &self.sides, &splitter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SideTag;
    use crate::testing::Harness;

    #[test]
    fn values_go_where_the_function_puts_them() {
        let tags = (
            SideTag::<u64>::new("even"),
            (SideTag::<String>::new("odd"), SideTag::<()>::new("all")),
        );
        let (sides, (even, (odd, all))) = tags.collect();
        let mut harness = Harness::new(move || Split {
            choose: Arc::new(
                |n: u64,
                 (even, (odd, all)): &(Side<u64>, (Side<String>, Side<()>)),
                 to: &Splitter| {
                    match n % 2 {
                        0 => to.put(even, n),
                        _ => to.put(odd, format!("{n} at {}", to.time())),
                    }
                    to.put(all, ());
                },
            ),
            sides: sides.clone(),
            marker: PhantomData::<fn(u64)>,
        });
        harness.batch_on(0, [(10, 1), (20, 2)]);
        harness.restart_on(2);
        harness.batch_on(1, [(30, 3)]);
        assert_eq!(even.take(), [Record::new(20, 2)]);
        let expected = [(10, "1 at 10"), (30, "3 at 30")];
        assert_eq!(
            odd.take(),
            expected.map(|(time, text)| Record::new(time, text.to_string()))
        );
        assert_eq!(all.take().len(), 3);
        assert_eq!(harness.take(), []);
    }
}
