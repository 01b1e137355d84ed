//! Records that could not be processed: what is done with them, and what is kept of them.
//!
//! A record can fail in a source (it cannot be parsed), in a watermark strategy (its event time is out
//! of range) or in a user's function (an error or a panic). The [`ErrorPolicy`] of the operator
//! decides; under [`ErrorPolicy::DeadLetter`] a [`DeadLetter`] takes the record's place, in a stream of
//! its own. That stream obeys barriers like any other: a dead letter is as exactly-once as a result.

use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::record::Data;
use crate::state::{Codec, Compact};
use crate::time::EventTime;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an operator does with a record that it cannot process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorPolicy {
    /// The job fails, with an error that names the operator, the worker, the record and the reason.
    #[default]
    Fail,
    /// The record is passed over and counted (`skipped`).
    Skip,
    /// The record is counted (`dead`) and a [`DeadLetter`] is put out in its place.
    DeadLetter,
}

impl fmt::Display for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorPolicy::Fail => "fail",
            ErrorPolicy::Skip => "skip",
            ErrorPolicy::DeadLetter => "dead letter",
        })
    }
}

/// What was wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadLetterKind {
    /// The source could not make a record of what it read.
    Malformed,
    /// Its event time is out of the range that the watermark strategy allows.
    EventTime,
    /// A user's function returned an error.
    Error,
    /// A user's function panicked.
    Panic,
}

/// How the text of a payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PayloadEncoding {
    /// What was read, as it is.
    Text,
    /// What was read, in base64: it is not UTF-8.
    Base64,
    /// The record as JSON.
    Json,
    /// The record in the compact codec, in base64: JSON cannot hold it (a map whose keys are no
    /// strings, an infinite number).
    Compact,
}

/// A record that could not be processed. Flat, so that every sink can write it: as JSON, as a row of
/// CSV, as a message with headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The name of the operator that could not process it.
    pub operator: String,
    /// The stable name of that operator.
    pub uid: String,
    /// The index of the worker.
    pub worker: u32,
    /// The split that it was read from, if a source could not process it.
    pub split: Option<String>,
    /// Where it was: as the source counts within the split (`line 17`), or the number of the record
    /// among those that the operator took on this worker since the job was started (`record 17`, the
    /// first is 0).
    pub position: String,
    /// What was wrong.
    pub kind: DeadLetterKind,
    /// What was wrong, in words.
    pub reason: String,
    /// Its event time in milliseconds since the Unix epoch, if it has one.
    pub event_time: Option<EventTime>,
    /// How [`payload`](Self::payload) is to be read.
    pub encoding: PayloadEncoding,
    /// The record, or the bytes from which none could be made.
    pub payload: String,
}

impl DeadLetter {
    /// The payload's bytes: what was read, or the record in its encoding.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] when the payload is not what its encoding says.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match self.encoding {
            PayloadEncoding::Text | PayloadEncoding::Json => {
                Ok(Cow::Borrowed(self.payload.as_bytes()))
            }
            PayloadEncoding::Base64 | PayloadEncoding::Compact => {
                let decoded = BASE64.decode(&self.payload);
                let decoded = decoded.map_err(|error| self.unreadable(error.to_string()))?;
                Ok(Cow::Owned(decoded))
            }
        }
    }

    /// The record that a function or a watermark strategy could not process, for a replay.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] when the payload is no such record: of another type, or the raw bytes
    /// of a source.
    pub fn record<T: Data>(&self) -> Result<T> {
        match self.encoding {
            PayloadEncoding::Json => {
                serde_json::from_str(&self.payload).map_err(|error| self.unreadable(error))
            }
            PayloadEncoding::Compact => Compact
                .decode(&self.bytes()?)
                .map_err(|error| self.unreadable(error)),
            PayloadEncoding::Text | PayloadEncoding::Base64 => {
                Err(self.unreadable("it holds what a source read, not a record"))
            }
        }
    }

    fn unreadable(&self, reason: impl Into<crate::BoxError>) -> Error {
        let what = format!(
            "the dead letter of operator \"{}\" at {}",
            self.operator, self.position
        );
        Error::new(ErrorKind::Record, what).with_source(reason)
    }
}

/// Bytes that were read, as the payload of a dead letter.
pub(crate) fn raw_payload(bytes: Vec<u8>) -> (PayloadEncoding, String) {
    match String::from_utf8(bytes) {
        Ok(text) => (PayloadEncoding::Text, text),
        Err(error) => (PayloadEncoding::Base64, BASE64.encode(error.as_bytes())),
    }
}

/// A record as the payload of a dead letter. What a user's `Serialize` does must not end the job that tolerates
/// what a user's function does.
pub(crate) fn record_payload<T: Data>(value: &T) -> (PayloadEncoding, String) {
    let payload = catch_unwind(AssertUnwindSafe(|| {
        if let Ok(json) = serde_json::to_string(value)
            // Not all that is written can be read again: what is not a number becomes null.
            && serde_json::from_str::<T>(&json).is_ok()
        {
            return (PayloadEncoding::Json, json);
        }
        let mut bytes = Vec::new();
        Compact.encode(value, &mut bytes);
        (PayloadEncoding::Compact, BASE64.encode(bytes))
    }));
    payload.unwrap_or_else(|panic| {
        let what = std::any::type_name::<T>();
        let text = format!(
            "({what} does not serialise: {})",
            panic_text(panic.as_ref())
        );
        (PayloadEncoding::Text, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn letter((encoding, payload): (PayloadEncoding, String)) -> DeadLetter {
        DeadLetter {
            operator: "parse".into(),
            uid: "parse".into(),
            worker: 0,
            split: None,
            position: "record 3".into(),
            kind: DeadLetterKind::Error,
            reason: "bad".into(),
            event_time: Some(5),
            encoding,
            payload,
        }
    }

    #[test]
    fn what_was_read_comes_back_byte_by_byte() {
        for bytes in [
            &b"plain"[..],
            b"",
            b"caf\xc3\xa9",
            b"caf\xe9",
            b"\0\xff\r\n",
        ] {
            let letter = letter(raw_payload(bytes.to_vec()));
            assert_eq!(&*letter.bytes().unwrap(), bytes, "{letter:?}");
            assert!(letter.record::<String>().is_err());
        }
    }

    #[test]
    fn records_come_back_with_and_without_a_json_form() {
        let plain = letter(record_payload(&("ada".to_string(), 7u32)));
        assert_eq!(plain.encoding, PayloadEncoding::Json);
        assert_eq!(plain.payload, "[\"ada\",7]");
        assert_eq!(plain.record::<(String, u32)>().unwrap(), ("ada".into(), 7));
        let error = plain.record::<u32>().unwrap_err().to_string();
        assert!(error.contains("\"parse\" at record 3"), "{error}");

        let map = BTreeMap::from([((1u8, 2u8), 3u8)]); // no string as key
        let compact = letter(record_payload(&map));
        assert_eq!(compact.encoding, PayloadEncoding::Compact);
        assert_eq!(compact.record::<BTreeMap<(u8, u8), u8>>().unwrap(), map);
    }

    /// JSON writes what is not a number as null, and nobody can read that back.
    #[test]
    fn what_json_would_lose_is_kept() {
        let letter = letter(record_payload(&(f64::INFINITY, 1u8)));
        assert_eq!(letter.encoding, PayloadEncoding::Compact);
        assert_eq!(letter.record::<(f64, u8)>().unwrap(), (f64::INFINITY, 1));
    }

    #[derive(Clone, Deserialize)]
    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            panic!("no")
        }
    }

    #[test]
    fn a_record_that_does_not_serialise_is_said_to_be_one() {
        let (encoding, text) = record_payload(&Stubborn);
        assert_eq!(encoding, PayloadEncoding::Text);
        assert!(text.contains("Stubborn does not serialise: no"), "{text}");
    }

    #[test]
    fn a_letter_is_flat_json() {
        let json = serde_json::to_value(letter(raw_payload(b"x;y".to_vec()))).unwrap();
        let fields = json.as_object().unwrap();
        assert!(fields.values().all(|v| !v.is_object() && !v.is_array()));
        assert_eq!(fields["kind"], "error");
        assert_eq!(fields["encoding"], "text");
    }
}
