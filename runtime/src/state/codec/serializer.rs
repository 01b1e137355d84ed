//! Writes serde values in postcard's format, <https://postcard.jamesmunns.com/wire-format>, version 1.
//!
//! The crate `postcard` reads what this writes. It is written here because it is what a snapshot costs:
//! `postcard` puts varints together byte by byte and copies each by itself, a few nanoseconds a byte of state.
//! The tests compare the two.

use super::varint::{put_varint, put_varint_128};
use serde::ser::{self, Serialize};
use std::fmt;

/// Appends to a buffer.
pub(super) struct Serializer<'a>(pub &'a mut Vec<u8>);

/// Why a value has no encoding.
#[derive(Debug)]
pub(super) enum Unwritable {
    /// A sequence or map that does not say how long it is.
    NoLength,
    /// What the type's own `Serialize` says.
    Custom(String),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::NoLength => f.write_str("a sequence or map must know its length"),
            Unwritable::Custom(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Unwritable::Custom(reason.to_string())
    }
}

type Written = Result<(), Unwritable>;

/// Signed numbers: small ones of either sign get small codes.
#[inline]
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

macro_rules! plain {
    ($($name:ident($value:ident: $type:ty, $to:ident) $write:expr;)*) => {
        $(
            #[inline]
            fn $name(self, $value: $type) -> Written {
                let $to = self.0;
                $write;
                Ok(())
            }
        )*
    };
}

impl<'s> ser::Serializer for Serializer<'s> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    plain! {
        serialize_bool(value: bool, to) to.push(u8::from(value));
        serialize_u8(value: u8, to) to.push(value);
        serialize_i8(value: i8, to) to.push(value as u8);
        serialize_u16(value: u16, to) put_varint(value.into(), to);
        serialize_u32(value: u32, to) put_varint(value.into(), to);
        serialize_u64(value: u64, to) put_varint(value, to);
        serialize_u128(value: u128, to) put_varint_128(value, to);
        serialize_i16(value: i16, to) put_varint(zigzag(value.into()), to);
        serialize_i32(value: i32, to) put_varint(zigzag(value.into()), to);
        serialize_i64(value: i64, to) put_varint(zigzag(value), to);
        serialize_i128(value: i128, to) put_varint_128((value << 1 ^ value >> 127) as u128, to);
        serialize_f32(value: f32, to) to.extend_from_slice(&value.to_le_bytes());
        serialize_f64(value: f64, to) to.extend_from_slice(&value.to_le_bytes());
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Written {
        self.serialize_bytes(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Written {
        put_varint(bytes.len() as u64, self.0);
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Written {
        self.0.push(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        self.0.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Written {
        self.serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Written {
        put_varint(index.into(), self.0);
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unwritable> {
        put_varint(length.ok_or(Unwritable::NoLength)? as u64, self.0);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        put_varint(index.into(), self.0);
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        put_varint(index.into(), self.0);
        Ok(self)
    }
}

/// Elements and fields follow each other with nothing in between.
macro_rules! elements {
    ($($trait:ident $name:ident($($key:ty)?);)*) => {
        $(
            impl ser::$trait for Serializer<'_> {
                type Ok = ();
                type Error = Unwritable;

                #[inline]
                fn $name<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Written {
                    value.serialize(Serializer(self.0))
                }

                #[inline]
                fn end(self) -> Written {
                    Ok(())
                }
            }
        )*
    };
}

elements! {
    SerializeSeq serialize_element();
    SerializeTuple serialize_element();
    SerializeTupleStruct serialize_field();
    SerializeTupleVariant serialize_field();
    SerializeStruct serialize_field(&'static str);
    SerializeStructVariant serialize_field(&'static str);
}

impl ser::SerializeMap for Serializer<'_> {
    type Ok = ();
    type Error = Unwritable;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        key.serialize(Serializer(self.0))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(Serializer(self.0))
    }

    #[inline]
    fn end(self) -> Written {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize, de::DeserializeOwned};
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    /// Both encoders write the same, and the decoder reads it.
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let mut own = Vec::new();
        value.serialize(Serializer(&mut own)).unwrap();
        assert_eq!(own, postcard::to_allocvec(value).unwrap(), "{value:?}");
        assert_eq!(postcard::from_bytes::<T>(&own).unwrap(), *value);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(u64);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(i8, char);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Nothing,
        One(Option<u32>),
        Two(i64, String),
        Fields {
            text: Option<String>,
            map: BTreeMap<u16, Vec<bool>>,
        },
    }

    #[test]
    fn every_kind_of_value_is_as_postcard_writes_it() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..500 {
            let shift = random.u32(..64);
            let number = random.u64(..) >> shift;
            let wide = u128::from(number) << random.u32(..64);
            check(&(
                number,
                number as u8,
                number as u16,
                number as u32,
                number as usize,
            ));
            check(&(
                number as i64,
                -(number as i32 as i64),
                number as i8,
                number as i16,
                number as i32,
            ));
            check(&(wide, wide as i128, -(wide as i128 >> 1)));
            check(&(number as f32, number as f64, random.bool(), random.char(..)));
            check(&(
                Unit,
                (),
                Wrapped(number),
                Pair(number as i8, random.char(..)),
            ));
            let text: String = (0..random.usize(..300)).map(|_| random.char(..)).collect();
            let map = (0..random.u16(..200)).map(|key| (key, vec![true; key as usize % 3]));
            check(&vec![
                Shape::Nothing,
                Shape::One(random.bool().then_some(number as u32)),
                Shape::Two(number as i64, text.clone()),
                Shape::Fields {
                    text: random.bool().then_some(text),
                    map: map.collect(),
                },
            ]);
            check(&[number; 14]);
        }
        check(&(
            i64::MIN,
            i64::MAX,
            i128::MIN,
            i128::MAX,
            u128::MAX,
            i16::MIN,
            i32::MIN,
        ));
    }

    #[test]
    fn a_sequence_must_know_its_length() {
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq((0..3).filter(|_| true))
            }
        }
        let error = Endless.serialize(Serializer(&mut Vec::new())).unwrap_err();
        assert_eq!(error.to_string(), "a sequence or map must know its length");
    }
}
