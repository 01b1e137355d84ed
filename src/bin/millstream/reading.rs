//! What can be said of bytes whose type is not known: whether they read as a text or as a number of the compact codec.

use serde::Serialize;

/// Bytes as hexadecimal digits, with a guess.
#[derive(Serialize)]
pub(crate) struct Reading {
    pub hex: String,
    /// The bytes are exactly this text in the compact codec.
    pub text: Option<String>,
    /// The bytes are exactly this unsigned number in the compact codec; as a signed one, the second.
    pub number: Option<(u64, i64)>,
}

impl Reading {
    pub fn of(bytes: &[u8]) -> Self {
        let number = exact::<u64>(bytes).zip(exact::<i64>(bytes));
        let text: Option<String> = exact(bytes);
        let is_readable = |text: &String| !text.is_empty() && !text.chars().any(char::is_control);
        Reading {
            hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            text: text.filter(is_readable),
            number,
        }
    }

    /// The digits, and what they may mean.
    pub fn line(&self) -> String {
        let hex = &self.hex;
        match (&self.text, self.number) {
            (Some(text), _) => format!("{hex} \"{text}\""),
            (None, Some((unsigned, signed))) => format!("{hex} ({unsigned} or {signed})"),
            (None, None) => hex.clone(),
        }
    }
}

/// The value that the bytes are, to the last one.
fn exact<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_to_the_last_byte_is_said() {
        for (bytes, line) in [
            (&b"\x05hello"[..], "0568656c6c6f \"hello\""),
            (b"\x05hell", "0568656c6c"),
            (b"\x02", "02 (2 or 1)"),
            (b"\x03", "03 (3 or -2)"),
            (b"\x80", "80"),
            (b"\x02\x01\x02", "020102"),
            (b"", ""),
        ] {
            assert_eq!(Reading::of(bytes).line(), line);
        }
    }
}
