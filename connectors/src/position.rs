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
    if bytes.len() != 1 + N * 8 || bytes[0] != version {
        return Err(Error::new(
            ErrorKind::Restore,
            format!(
                "the position of {what} is not one of version {version}: {} bytes, first {:?}",
                bytes.len(),
                bytes.first()
            ),
        ));
    }
    let mut fields = [0; N];
    for (field, bytes) in fields.iter_mut().zip(bytes[1..].chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *field = u64::from_le_bytes(word);
    }
    Ok(fields)
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
