//! LEB128 varints: seven bits a byte, the lowest first, the top bit set on all but the last.

/// The most bytes that a varint of 64 bits takes.
const LONGEST: usize = 10;

/// How many bytes a varint takes: one for each seven bits begun.
#[inline]
pub(super) fn varint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a varint.
#[inline]
pub(super) fn put_varint(value: u64, to: &mut Vec<u8>) {
    if value < 0x80 {
        to.push(value as u8);
    } else {
        put_long_varint(value, to);
    }
}

/// All bytes at once: the groups of seven bits are moved apart in three steps, for a loop takes a few
/// cycles a byte and large numbers have ten.
#[inline]
fn put_long_varint(value: u64, to: &mut Vec<u8>) {
    const GO_ON: u64 = 0x8080_8080_8080_8080;
    let mut low = value & ((1 << 56) - 1);
    low = (low & 0x0FFF_FFFF) | (low & 0x00FF_FFFF_F000_0000) << 4;
    low = (low & 0x0000_3FFF_0000_3FFF) | (low & 0x0FFF_C000_0FFF_C000) << 2;
    low = (low & 0x007F_007F_007F_007F) | (low & 0x3F80_3F80_3F80_3F80) << 1;
    let (start, high) = (to.len(), value >> 56);
    if high == 0 {
        let unused = low.leading_zeros() / 8;
        let go_on = (GO_ON >> 8) >> (8 * unused); // all but the last
        to.extend_from_slice(&(low | go_on).to_le_bytes());
        to.truncate(start + 8 - unused as usize);
    } else {
        to.extend_from_slice(&(low | GO_ON).to_le_bytes());
        to.extend_from_slice(&[high as u8, 1]); // the top bit of the first says whether the second is needed
        to.truncate(start + 9 + (high >> 7) as usize);
    }
}

/// Appends a varint of up to 128 bits.
pub(super) fn put_varint_128(mut value: u128, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Takes a varint from the front of `bytes`.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for group in 0..LONGEST {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << (7 * group);
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

/// Appends what `encode` writes behind its length. `length_bytes` is how many bytes the last length took: if this
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
        let end = start + guessed + length;
        to.resize(end + needed, 0);
        to.copy_within(start + guessed..end, start + needed);
        to.truncate(start + needed + length);
        *length_bytes = needed;
    }
    for byte in &mut to[start..start + needed - 1] {
        *byte = length as u8 | 0x80;
        length >>= 7;
    }
    to[start + needed - 1] = length as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length() {
        let mut random = fastrand::Rng::with_seed(7);
        for shift in 0..64 {
            for _ in 0..100 {
                let value = random.u64(..) >> shift;
                for value in [value, u64::MAX >> shift, 1 << shift, (1 << shift) - 1] {
                    let (mut bytes, mut looped) = (vec![9], vec![9]);
                    put_varint(value, &mut bytes);
                    put_varint_128(value.into(), &mut looped);
                    assert_eq!(bytes, looped, "{value}");
                    assert_eq!(bytes.len(), 1 + varint_bytes(value));
                    let mut rest = &bytes[1..];
                    assert_eq!(take_varint(&mut rest), Some(value));
                    assert!(rest.is_empty());
                }
            }
        }
        assert_eq!(take_varint(&mut &[0x80u8; 11][..]), None);
    }

    #[test]
    fn lengths_that_are_guessed_wrong() {
        let mut guess = 0;
        let mut bytes = Vec::new();
        let lengths = [0, 5, 127, 128, 300, 3, 20_000, 16_383, 200, 1];
        for length in lengths {
            put_sized(&mut bytes, &mut guess, |to| {
                to.resize(to.len() + length, length as u8)
            });
        }
        let mut rest = &bytes[..];
        for length in lengths {
            assert_eq!(take_slice(&mut rest), Some(&vec![length as u8; length][..]));
        }
        assert!(rest.is_empty());
    }
}
