//! The sum.

use super::Aggregator;
use millstream_runtime::record::Data;
use std::marker::PhantomData;
use std::time::Duration;

/// Adds up what a function takes from each value.
///
/// A sum that no longer fits its type ends the job, naming the type, rather than going on with a wrong number.
/// Where that can happen, add up a wider type: `Sum::of(|order: &Order| i128::from(order.cents))`. Floating
/// point sums never overflow; their last digits depend on the order of values.
pub struct Sum<F, N>(F, PhantomData<fn() -> N>);

impl<F, N> Sum<F, N> {
    /// Adds up `of` each value.
    pub fn of(of: F) -> Self {
        Sum(of, PhantomData)
    }
}

/// What can be added up: whole and floating point numbers and durations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be added up",
    label = "`Sum` adds up numbers and durations",
    note = "implement `Summable` for a type of your own"
)]
pub trait Summable: Data {
    /// The sum of nothing.
    const ZERO: Self;

    /// Whether [`minus`](Self::minus) takes back exactly what [`plus`](Self::plus) has added.
    const EXACT: bool = false;

    /// The sum of two; nothing when it does not fit.
    fn plus(&self, other: &Self) -> Option<Self>;

    /// The difference of two; nothing when it does not fit, or there is none that is [exact](Self::EXACT).
    fn minus(&self, _other: &Self) -> Option<Self> {
        None
    }
}

macro_rules! checked {
    ($zero:expr; $($number:ty),+) => {$(
        impl Summable for $number {
            const ZERO: Self = $zero;
            const EXACT: bool = true;
            #[inline]
            fn plus(&self, other: &Self) -> Option<Self> {
                self.checked_add(*other)
            }
            #[inline]
            fn minus(&self, other: &Self) -> Option<Self> {
                self.checked_sub(*other)
            }
        }
    )+};
}

checked!(0; u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
checked!(Duration::ZERO; Duration);

macro_rules! floating {
    ($($number:ty),+) => {$(
        impl Summable for $number {
            const ZERO: Self = 0.0;
            #[inline]
            fn plus(&self, other: &Self) -> Option<Self> {
                Some(self + other)
            }
        }
    )+};
}

floating!(f32, f64);

/// Adds to a sum.
///
/// # Panics
/// When it does not fit.
#[inline]
fn add<N: Summable>(sum: &mut N, number: &N) {
    match sum.plus(number) {
        Some(more) => *sum = more,
        None => overflow::<N>(),
    }
}

#[cold]
fn overflow<N>() -> ! {
    let number = std::any::type_name::<N>();
    panic!("a sum is too large for {number}: add up a wider type")
}

impl<V, N, F> Aggregator<V> for Sum<F, N>
where
    N: Summable,
    F: Fn(&V) -> N + Send + Sync + 'static,
{
    type Acc = N;
    type Out = N;
    const UNMERGES: bool = N::EXACT;
    #[inline]
    fn create(&self) -> N {
        N::ZERO
    }
    #[inline]
    fn add(&self, accumulator: &mut N, value: V) {
        add(accumulator, &(self.0)(&value));
    }
    #[inline]
    fn merge(&self, accumulator: &mut N, other: N) {
        add(accumulator, &other);
    }
    #[inline]
    fn unmerge(&self, accumulator: &mut N, other: &N) {
        match accumulator.minus(other) {
            Some(less) => *accumulator = less,
            None => overflow::<N>(),
        }
    }
    #[inline]
    fn result(&self, accumulator: &N) -> N {
        accumulator.clone()
    }
}
