//! Small files that people may read and nobody may edit unnoticed: indented JSON whose last field is the checksum of
//! all before it.

use serde::Serialize;

/// Between the text and its checksum.
const TRAILER: &str = ",\n  \"crc32\": \"";
/// Behind the checksum.
pub(super) const END: &str = "\"\n}\n";
const DIGITS: usize = 8;

/// The bytes of the file.
pub(super) fn seal(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string_pretty(value)
        .expect("what is sealed has string keys and plain values only");
    let text = text.strip_suffix("\n}").expect("a pretty object ends so");
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}{TRAILER}{crc:08x}{END}").into_bytes()
}

/// The text of a file whose checksum is right; none when it is damaged or cut short.
pub(super) fn unseal(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let before_end = text.strip_suffix(END)?;
    let (before, crc) = before_end.split_at_checked(before_end.len().checked_sub(DIGITS)?)?;
    let covered = before.strip_suffix(TRAILER)?;
    // Compared as text: a checksum has one spelling.
    (format!("{:08x}", crc32fast::hash(covered.as_bytes())) == crc).then_some(text)
}
