//! Changes bytes as disks, programs and people do.

use fastrand::Rng;

/// Random bytes, of any length up to `most`.
pub fn arbitrary(random: &mut Rng, most: usize) -> Vec<u8> {
    let length = random.usize(..=most);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Numbers that lengths and times like to be wrong by.
const NUMBERS: [u64; 8] = [
    0,
    1,
    0x7f,
    u32::MAX as u64,
    1 << 31,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Changes `bytes` once to four times.
pub fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let rest = bytes.len() - at;
        match random.u8(..8) {
            0 if rest > 0 => bytes[at] ^= 1 << random.u8(..8),
            1 if rest > 0 => bytes[at] = random.u8(..),
            2 => bytes.truncate(at),
            3 => {
                let more = arbitrary(random, 12);
                bytes.splice(at..at, more);
            }
            4 if rest > 0 => {
                let length = random.usize(1..=rest.min(16));
                bytes.drain(at..at + length);
            }
            5 if rest > 0 => {
                let length = random.usize(1..=rest.min(32));
                let copy = bytes[at..at + length].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, copy);
            }
            6 => {
                let number = NUMBERS[random.usize(..NUMBERS.len())].to_le_bytes();
                let width = [4, 8][random.usize(..2)];
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number[..width].iter().copied());
            }
            // The longest varint: a huge length for the compact codec.
            7 => {
                let end = (at + 1).min(bytes.len());
                let mut varint = vec![0xff; random.usize(1..=9)];
                varint.push(random.u8(..2));
                bytes.splice(at..end, varint);
            }
            _ => {}
        }
    }
}
