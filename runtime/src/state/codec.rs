//! How keys and values become bytes in a snapshot.

use crate::error::{Error, ErrorKind, Result};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// Turns values of type `T` into bytes and back.
pub trait Codec<T>: Default + 'static {
    /// The codec's name and whatever must be equal to decode what it wrote.
    fn fingerprint(&self) -> String;
    /// Appends the encoded value.
    fn encode(&self, value: &T, to: &mut Vec<u8>);
    /// Decodes a value from all of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Restore`] when the bytes are no such value.
    fn decode(&self, bytes: &[u8]) -> Result<T>;
}

/// The default codec: serde values in postcard's compact format (varints, no field names).
#[derive(Clone, Copy, Default, Debug)]
pub struct Compact;

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Compact {
    fn fingerprint(&self) -> String {
        "postcard".into()
    }

    #[inline]
    fn encode(&self, value: &T, to: &mut Vec<u8>) {
        postcard::serialize_with_flavor(value, Append(to))
            .expect("writing to a vector does not fail, and a state type serialises");
    }

    fn decode(&self, bytes: &[u8]) -> Result<T> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| {
            Error::new(
                ErrorKind::Restore,
                format!(
                    "{} does not decode from {} bytes",
                    std::any::type_name::<T>(),
                    bytes.len()
                ),
            )
            .with_source(error.to_string())
        })?;
        if !rest.is_empty() {
            return Err(Error::new(
                ErrorKind::Restore,
                format!(
                    "{} bytes are left after {}",
                    rest.len(),
                    std::any::type_name::<T>()
                ),
            ));
        }
        Ok(value)
    }
}

/// Appends a LEB128 varint.
#[inline]
pub(crate) fn put_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends what `encode` writes behind its length, a varint. `length_bytes` is how many bytes the last length took: if this
/// one takes as many, nothing is moved.
#[inline]
pub(crate) fn put_sized(
    to: &mut Vec<u8>,
    length_bytes: &mut usize,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let (start, guessed) = (to.len(), (*length_bytes).max(1));
    to.resize(start + guessed, 0);
    encode(to);
    let mut length = to.len() - start - guessed;
    let needed = varint_bytes(length as u64);
    if needed != guessed {
        to.resize(start + needed.max(guessed) + length, 0);
        to.copy_within(start + guessed..start + guessed + length, start + needed);
        to.truncate(start + needed + length);
    }
    *length_bytes = needed;
    for byte in &mut to[start..start + needed - 1] {
        *byte = length as u8 | 0x80;
        length >>= 7;
    }
    to[start + needed - 1] = length as u8;
}

/// How many bytes a varint takes: one for each seven bits begun.
#[inline]
fn varint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes a LEB128 varint from the front of `bytes`.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a length and that many bytes from the front of `bytes`.
pub(crate) fn take_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (slice, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_round_trip_and_refusal() {
        let mut bytes = Vec::new();
        Compact.encode(&("word".to_string(), 300u64), &mut bytes);
        let back: (String, u64) = Compact.decode(&bytes).unwrap();
        assert_eq!(back, ("word".to_string(), 300));
        let longer: Result<(String, u64)> = Compact.decode(&[&bytes[..], &[0]].concat());
        assert!(longer.unwrap_err().to_string().contains("1 bytes are left"));
        let shorter: Result<(String, u64)> = Compact.decode(&bytes[..3]);
        assert!(shorter.is_err());
    }

    #[test]
    fn varints() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        assert_eq!(take_varint(&mut &[0x80u8; 11][..]), None);
    }
}
