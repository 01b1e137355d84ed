//! The positions of readers as bytes: a version, then whole numbers, little-endian, eight bytes
//! each.
//!
//! A position is written into every checkpoint, so the layout is fixed: a reader that needs other
//! fields takes another version.

use millstream_runtime::{Error, ErrorKind, Result};

/// The position of `fields` in layout `version`.
pub(crate) fn encode(version: u8, fields: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + fields.len() * 8);
    bytes.push(version);
    for field in fields {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes
}

/// The `N` fields of a position in layout `version`; `what` names the split in the error.
pub(crate) fn decode<const N: usize>(version: u8, bytes: &[u8], what: &str) -> Result<[u64; N]> {
    match decode_front(version, bytes, what)? {
        (fields, []) => Ok(fields),
        _ => Err(foreign(version, bytes, what)),
    }
}

/// The `N` fields at the front of a position, and what comes behind them.
pub(crate) fn decode_front<'a, const N: usize>(
    version: u8,
    bytes: &'a [u8],
    what: &str,
) -> Result<([u64; N], &'a [u8])> {
    if bytes.len() < 1 + N * 8 || bytes[0] != version {
        return Err(foreign(version, bytes, what));
    }
    let (front, rest) = bytes[1..].split_at(N * 8);
    let mut fields = [0; N];
    for (field, bytes) in fields.iter_mut().zip(front.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *field = u64::from_le_bytes(word);
    }
    Ok((fields, rest))
}

fn foreign(version: u8, bytes: &[u8], what: &str) -> Error {
    Error::new(
        ErrorKind::Restore,
        format!(
            "the position of {what} is not one of version {version}: {} bytes, first {:?}",
            bytes.len(),
            bytes.first()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_fixed() {
        let bytes = encode(1, &[0x0102, u64::MAX]);
        assert_eq!(bytes[..4], [1, 2, 1, 0]);
        assert_eq!(bytes.len(), 17);
        assert_eq!(decode::<2>(1, &bytes, "x").unwrap(), [0x0102, u64::MAX]);
        let (front, rest) = decode_front::<1>(1, &bytes, "x").unwrap();
        assert_eq!((front, rest), ([0x0102], &[255; 8][..]));
    }

    #[test]
    fn foreign_positions_are_refused() {
        for bytes in [&[][..], &[1, 2, 3], &[2, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let error = decode::<1>(1, bytes, "split 7").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Restore);
            assert!(error.to_string().contains("split 7"));
        }
    }
}
