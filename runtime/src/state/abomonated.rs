//! The codec that copies memory: for plain types, the fastest there is. Cargo feature `abomonation`.
//!
//! A value is written as it lies in memory, by [abomonation](https://docs.rs/abomonation), behind a
//! checksum and a fingerprint of its layout:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | the low half of the [stable hash](crate::hash::StableHasher) of all that follows |
//! | 4..8 | the low half of the [fingerprint](Codec::fingerprint)'s hash |
//! | 8.. | the value's memory, then the memory that it owns |
//!
//! Such bytes can be read only by a program in which the type lies in memory just so. Whether it does is part of
//! the name of the codec, which the checkpoint keeps with the state: a restore into another layout is
//! refused before a byte is decoded, and again for each value. For state that is to outlive a change of its
//! type there is [`Compact`](super::Compact).
//!
//! Text brings its address along, so that equal states are not equal bytes.

// Unsafe code: each use has its argument.
#![allow(unsafe_code)]

use super::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{StableHasher, stable_hash};
use abomonation::Abomonation;
use std::any::type_name;
use std::cell::RefCell;
use std::fmt::Write;
use std::hash::Hasher;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};

#[doc(hidden)]
pub use abomonation as implementation;

/// A type that may be written as it lies in memory. Implemented by [`abomonate!`](crate::abomonate) for a
/// struct of such types; of the standard library's for numbers, `bool`, `char`, arrays of up to 32, and,
/// which own memory, `String` and `Vec<u8>`.
///
/// # Safety
/// An implementation vouches that
/// - no byte of a value is padding, at any depth: all are initialised when they are written;
/// - the memory that a value owns is aligned at any address: abomonation puts one piece right behind the
///   other;
/// - [`describe`](Layout::describe) differs wherever the meaning of a value's bytes differs;
/// - cloning a value that [`Abomonation::exhume`] has mended is sound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as it lies in memory",
    label = "declare its fields with `abomonate!`",
    note = "types with padding, references, enums and collections other than `Vec<u8>` cannot: use `Compact`"
)]
pub unsafe trait Layout: Abomonation + Clone + 'static {
    /// Appends how the type lies in memory.
    fn describe(to: &mut String);
}

/// The codec that copies memory, for types with a known [`Layout`]. See the [module](self).
///
/// Give it to a table by name: `KeyedTable<K, S, Abomonated<S>>`.
pub struct Abomonated<T> {
    hash: u64,
    /// Where values are decoded: aligned for any [`Layout`].
    buffer: RefCell<Vec<Aligned>>,
    marker: PhantomData<fn() -> T>,
}

/// The unit of the buffer.
type Aligned = u128;

const CHECKSUM: usize = 4;
const HEADER: usize = CHECKSUM + 4;

/// Of a value and its mark. For a hundred bytes a CRC takes several times as long.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = StableHasher::default();
    hasher.write(bytes);
    (hasher.finish() as u32).to_le_bytes()
}

impl<T: Layout> Default for Abomonated<T> {
    fn default() -> Self {
        const {
            assert!(
                align_of::<T>() <= align_of::<Aligned>(),
                "the type is aligned too much"
            )
        };
        let mut layout = String::new();
        // The same number of another machine may mean another one.
        let endian = if cfg!(target_endian = "big") {
            "big"
        } else {
            "little"
        };
        let _ = write!(layout, "2,{endian},{},", size_of::<usize>());
        T::describe(&mut layout);
        Abomonated {
            hash: stable_hash(&layout),
            buffer: RefCell::default(),
            marker: PhantomData,
        }
    }
}

impl<T: Layout> Abomonated<T> {
    fn mark(&self) -> [u8; 4] {
        (self.hash as u32).to_le_bytes()
    }

    fn refuse(&self, what: &str) -> Error {
        Error::new(ErrorKind::Restore, format!("{}: {what}", type_name::<T>()))
    }

    /// The body of a value: all checks that need not know what is in it.
    fn check<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let Some((header, body)) = bytes.split_at_checked(HEADER) else {
            return Err(self.refuse(&format!("{} bytes are cut short", bytes.len())));
        };
        if header[..CHECKSUM] != checksum(&bytes[CHECKSUM..]) {
            return Err(self.refuse("its bytes are damaged: a checksum differs"));
        }
        if header[CHECKSUM..] != self.mark() {
            return Err(self.refuse("was written with another layout in memory"));
        }
        if body.len() < size_of::<T>() {
            return Err(self.refuse(&format!(
                "{} bytes, its size is {}",
                body.len(),
                size_of::<T>()
            )));
        }
        Ok(body)
    }
}

impl<T: Layout> Codec<T> for Abomonated<T> {
    fn fingerprint(&self) -> String {
        format!(
            "abomonation-{}-{}-{:016x}",
            size_of::<T>(),
            align_of::<T>(),
            self.hash
        )
    }

    #[inline]
    fn encode(&self, value: &T, to: &mut Vec<u8>) {
        let start = to.len();
        to.reserve(HEADER + size_of::<T>());
        to.extend_from_slice(&[0; CHECKSUM]);
        to.extend_from_slice(&self.mark());
        // SAFETY: `Layout` vouches that no byte of the value, or of what it owns, is padding: what is read is
        // initialised.
        let written = unsafe { abomonation::encode(value, to) };
        written.expect("writing to a vector does not fail");
        let checksum = checksum(&to[start + CHECKSUM..]);
        to[start..start + CHECKSUM].copy_from_slice(&checksum);
    }

    fn decode(&self, bytes: &[u8]) -> Result<T> {
        let body = self.check(bytes)?;
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        buffer.resize(body.len().div_ceil(size_of::<Aligned>()).max(1), 0);
        // SAFETY: the buffer is that long, its bytes are initialised, and bytes have no alignment.
        let copy =
            unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<u8>(), body.len()) };
        copy.copy_from_slice(body);
        // SAFETY: the bytes are those that `encode` wrote for this type in a program where it lay in memory as
        // it does here: their checksum is right and the fingerprint is that of this layout. They are no
        // fewer than the value's size; `exhume` compares what it takes of the rest with what is there.
        // The buffer is aligned for the value (checked when the codec was made), and what values own needs
        // no alignment (`Layout`). The reference ends before the buffer is used again; what is in the buffer
        // is never dropped as a `T`.
        let decoded = unsafe { abomonation::decode::<T>(copy) };
        match decoded {
            Some((value, [])) => Ok(value.clone()),
            Some((_, rest)) => Err(self.refuse(&format!("{} bytes are left", rest.len()))),
            None => Err(self.refuse("what it owns is cut short")),
        }
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: no padding, nothing owned; name and size say all there is.
        unsafe impl Layout for $type {
            fn describe(to: &mut String) {
                to.push_str(stringify!($type));
            }
        }
    )*};
}

plain!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char
);

// SAFETY: elements without padding lie next to each other.
unsafe impl<T: Layout, const N: usize> Layout for [T; N]
where
    [T; N]: Abomonation,
{
    fn describe(to: &mut String) {
        to.push('[');
        T::describe(to);
        let _ = write!(to, ";{N}]");
    }
}

// SAFETY: three words; what it owns are bytes, which need no alignment. In which order the words lie the
// compiler decides, so that is looked up.
unsafe impl Layout for Vec<u8> {
    fn describe(to: &mut String) {
        to.push_str("bytes");
        describe_words(to);
    }
}

// SAFETY: a string is a vector of bytes.
unsafe impl Layout for String {
    fn describe(to: &mut String) {
        to.push_str("text");
        describe_words(to);
    }
}

/// Which word of a vector is its address, which its capacity, and which its length.
fn describe_words(to: &mut String) {
    const { assert!(size_of::<Vec<u8>>() == 3 * size_of::<usize>()) };
    const { assert!(size_of::<String>() == size_of::<Vec<u8>>()) };
    let mut vector: Vec<u8> = Vec::with_capacity(7);
    vector.push(0);
    // SAFETY: a vector is three words (checked above), all of them initialised.
    let words: [usize; 3] = unsafe { std::mem::transmute_copy(&vector) };
    for word in words {
        to.push(match word {
            1 => 'l',
            word if word == vector.capacity() => 'c',
            _ => 'p',
        });
    }
}

/// Declares that a struct may be written as it lies in memory ([`Layout`]): all its fields with their types.
/// What it relies on is checked when it is compiled: no field is left out, each is a [`Layout`], and there
/// is no padding between them. Where there would be, order the fields by size, or fill up with a `[u8; N]`.
///
/// ```
/// #[derive(Clone)]
/// struct Account {
///     owner: String,
///     balance: i64,
///     bookings: u32,
///     flags: [u8; 4],
/// }
/// millstream_runtime::abomonate!(Account { owner: String, balance: i64, bookings: u32, flags: [u8; 4] });
/// ```
///
/// Padding would be written uninitialised:
///
/// ```compile_fail
/// #[derive(Clone)]
/// struct Padded {
///     balance: i64,
///     bookings: u32,
/// }
/// millstream_runtime::abomonate!(Padded { balance: i64, bookings: u32 });
/// ```
///
/// [`Layout`]: crate::state::Layout
#[macro_export]
macro_rules! abomonate {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        const _: () = {
            assert!(
                ::std::mem::size_of::<$name>() == 0 $(+ ::std::mem::size_of::<$type>())*,
                concat!(stringify!($name), " has padding: order its fields by size or fill up")
            );
            #[allow(dead_code)]
            fn every_field(value: &$name) {
                fn layout<T: $crate::state::Layout>(_: &T) {}
                let $name { $($field),* } = value;
                $(layout::<$type>($field);)*
            }
            use $crate::state::abomonated::implementation::Abomonation;
            // Each field in turn; what holds for the caller holds for the fields.
            #[allow(unsafe_code)]
            impl Abomonation for $name {
                unsafe fn entomb<W: ::std::io::Write>(
                    &self,
                    write: &mut W,
                ) -> ::std::io::Result<()> {
                    // SAFETY: as the caller vouches.
                    $(unsafe { self.$field.entomb(write)? };)*
                    Ok(())
                }

                unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
                    // SAFETY: as the caller vouches.
                    $(let bytes = unsafe { self.$field.exhume(bytes)? };)*
                    Some(bytes)
                }

                fn extent(&self) -> usize {
                    0 $(+ self.$field.extent())*
                }
            }
            // SAFETY: the fields are all there are, are themselves so, and leave no gap: checked above.
            #[allow(unsafe_code)]
            unsafe impl $crate::state::Layout for $name {
                fn describe(to: &mut ::std::string::String) {
                    to.push_str(concat!(stringify!($name), "{"));
                    $(
                        <$type as $crate::state::Layout>::describe(to);
                        to.push_str(&::std::format!(
                            " {}@{};",
                            stringify!($field),
                            ::std::mem::offset_of!($name, $field)
                        ));
                    )*
                    to.push('}');
                }
            }
        };
    };
}

#[cfg(test)]
mod tests;
