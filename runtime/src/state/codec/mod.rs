//! How keys and values become bytes in a snapshot.

mod serializer;
mod varint;

use crate::error::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};
use serializer::Serializer;
pub(crate) use varint::{put_sized, take_slice};

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

/// A [`Codec`] whose type is forgotten: of a state for which one was chosen.
pub(super) trait ValueCodec<T>: 'static {
    fn name(&self) -> String;
    fn put(&self, value: &T, to: &mut Vec<u8>);
    fn take(&self, bytes: &[u8]) -> Result<T>;
}

impl<T, C: Codec<T>> ValueCodec<T> for C {
    fn name(&self) -> String {
        self.fingerprint()
    }

    fn put(&self, value: &T, to: &mut Vec<u8>) {
        self.encode(value, to);
    }

    fn take(&self, bytes: &[u8]) -> Result<T> {
        self.decode(bytes)
    }
}

/// The default codec: serde values in postcard's compact format (varints, no field names).
#[derive(Clone, Copy, Default, Debug)]
pub struct Compact;

impl Compact {
    /// Decodes a value from the front of `bytes`; also returns the rest.
    pub(super) fn decode_front<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8])> {
        postcard::take_from_bytes(bytes).map_err(|error| {
            Error::new(
                ErrorKind::Restore,
                format!(
                    "{} does not decode from {} bytes",
                    std::any::type_name::<T>(),
                    bytes.len()
                ),
            )
            .with_source(error.to_string())
        })
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Compact {
    fn fingerprint(&self) -> String {
        "postcard".into()
    }

    #[inline]
    fn encode(&self, value: &T, to: &mut Vec<u8>) {
        let written = value.serialize(Serializer(to));
        written.expect("a state type serialises");
    }

    fn decode(&self, bytes: &[u8]) -> Result<T> {
        let (value, rest) = Compact::decode_front(bytes)?;
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
}
