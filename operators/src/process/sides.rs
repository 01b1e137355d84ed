//! Side outputs: streams of other types beside the main one.
//!
//! Tags say which side outputs a function has. The function is handed an open [`Side`] for each tag, and
//! the caller a stream for each: what does not match does not compile.

use crate::stream::Stream;
use millstream_runtime::driver::{SideMaker, SideOutput};
use millstream_runtime::graph::TypedPort;
use millstream_runtime::job::Builder;
use millstream_runtime::operator::Emit;
use millstream_runtime::record::{Data, Record};
use millstream_runtime::time::{EventTime, Time};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

/// Declares a side output of records of type `T`.
pub struct SideTag<T> {
    name: &'static str,
    marker: PhantomData<fn() -> T>,
}

impl<T> Clone for SideTag<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SideTag<T> {}

impl<T: Data> SideTag<T> {
    /// A side output that people see as `name`.
    pub fn new(name: &'static str) -> Self {
        SideTag {
            name,
            marker: PhantomData,
        }
    }
}

/// An open side output in the hands of a function; the context's `emit_to` puts records into it.
pub struct Side<T>(SideOutput<T>);

impl<T> Clone for Side<T> {
    fn clone(&self) -> Self {
        Side(self.0.clone())
    }
}

impl<T: Data> Side<T> {
    #[cfg(test)]
    pub(crate) fn into_output(self) -> SideOutput<T> {
        self.0
    }

    #[inline]
    pub(crate) fn push(&self, time: EventTime, value: T) {
        self.0.push(time, value);
    }
}

/// A [`SideTag`], a tuple of up to four of them, or `()` for none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` declares no side outputs",
    label = "expected a `SideTag<T>`, a tuple of up to four of them, or `()`"
)]
pub trait SideTags: Copy + Send + Sync + 'static {
    /// What the function is handed: a [`Side`] for each tag.
    type Sides: Clone + 'static;
    /// What the caller gets: a [`Stream`] for each tag.
    type Streams;
    /// What a test gets: [`SideRecords`] for each tag.
    type Records;

    #[doc(hidden)]
    const COUNT: usize;
    #[doc(hidden)]
    fn open(self, maker: &mut SideMaker<'_, '_, '_>, first: usize) -> Self::Sides;
    #[doc(hidden)]
    fn declare<O: Data>(self, builder: &Builder, port: TypedPort<O>) -> Self::Streams;
    #[doc(hidden)]
    fn collect(self) -> (Self::Sides, Self::Records);
}

impl<T: Data> SideTags for SideTag<T> {
    type Sides = Side<T>;
    type Streams = Stream<T>;
    type Records = SideRecords<T>;

    const COUNT: usize = 1;

    fn open(self, maker: &mut SideMaker<'_, '_, '_>, first: usize) -> Side<T> {
        Side(maker.side(first))
    }

    fn declare<O: Data>(self, builder: &Builder, port: TypedPort<O>) -> Stream<T> {
        Stream::new(builder.clone(), builder.side(port, self.name))
    }

    fn collect(self) -> (Side<T>, SideRecords<T>) {
        let records = SideRecords::of(Collected::default());
        let side = SideOutput::detached(Box::new(records.records.clone()));
        records.opened().borrow_mut().push(side.clone());
        (Side(side), records)
    }
}

macro_rules! side_tags {
    ($($tag:ident),*) => {
        #[allow(non_snake_case, unused_variables, unused_mut, unused_assignments)]
        #[allow(clippy::unused_unit)]
        impl<$($tag: SideTags),*> SideTags for ($($tag,)*) {
            type Sides = ($($tag::Sides,)*);
            type Streams = ($($tag::Streams,)*);
            type Records = ($($tag::Records,)*);

            const COUNT: usize = 0 $(+ $tag::COUNT)*;

            fn open(self, maker: &mut SideMaker<'_, '_, '_>, first: usize) -> Self::Sides {
                let ($($tag,)*) = self;
                let mut next = first;
                ($({
                    let side = $tag.open(maker, next);
                    next += $tag::COUNT;
                    side
                },)*)
            }

            fn declare<O: Data>(self, builder: &Builder, port: TypedPort<O>) -> Self::Streams {
                let ($($tag,)*) = self;
                ($($tag.declare(builder, port),)*)
            }

            fn collect(self) -> (Self::Sides, Self::Records) {
                let ($($tag,)*) = self;
                $(let $tag = $tag.collect();)*
                (($($tag.0,)*), ($($tag.1,)*))
            }
        }
    };
}

side_tags!();
side_tags!(A);
side_tags!(A, B);
side_tags!(A, B, C);
side_tags!(A, B, C, D);

/// What came out of a side output in a test.
pub struct SideRecords<T> {
    /// The side outputs of all instances, which buffer.
    sides: Rc<RefCell<Vec<SideOutput<T>>>>,
    records: Collected<T>,
}

impl<T: Data> SideRecords<T> {
    pub(crate) fn of(records: Collected<T>) -> Self {
        SideRecords {
            sides: Rc::default(),
            records,
        }
    }

    /// Where side outputs that are opened later are to be noted.
    pub(crate) fn opened(&self) -> Rc<RefCell<Vec<SideOutput<T>>>> {
        self.sides.clone()
    }

    /// Takes what came out since the last call.
    pub fn take(&self) -> Vec<Record<T>> {
        for side in self.sides.borrow().iter() {
            side.flush();
        }
        self.records.take()
    }
}

/// Keeps what is put out.
pub(crate) struct Collected<T>(Rc<RefCell<Vec<Record<T>>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Collected(self.0.clone())
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Collected(Rc::default())
    }
}

impl<T> Collected<T> {
    pub fn take(&self) -> Vec<Record<T>> {
        self.0.take()
    }

    /// Puts back what was taken, in front.
    pub fn put_back(&self, mut records: Vec<Record<T>>) {
        let mut kept = self.0.borrow_mut();
        records.append(&mut kept);
        *kept = records;
    }
}

impl<T> Emit<T> for Collected<T> {
    fn emit(&mut self, _: Time, records: &mut Vec<Record<T>>) -> millstream_runtime::Result<()> {
        self.0.borrow_mut().append(records);
        Ok(())
    }
}
