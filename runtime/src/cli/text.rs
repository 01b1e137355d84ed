//! Values as people write them: times, sizes, counts, yes and no.
//!
//! What `show_…` writes, `parse_…` reads back as the same value.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Units of time, in nanoseconds, the smallest first.
const TIME_UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of size, in bytes; the binary ones last, the smallest of them first.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn expected(what: &str, found: &str) -> String {
    format!("expected {what}, found \"{found}\"")
}

/// Splits `250ms` into its digits and its unit.
fn digits_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim_start())
}

/// Digits that may be grouped by underscores: `1_000_000`.
fn whole(digits: &str) -> Result<Option<u64>, ()> {
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    Ok(plain.parse().ok())
}

/// Reads an address: `9184` and `:9184` are on the loopback, `0.0.0.0:9184` is for everyone, `[::1]:9184`,
/// `localhost:9184`. Port 0 is one that the system chooses.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        expected(
            "a port, or an address and a port such as 0.0.0.0:9184",
            text,
        )
    };
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) {
        let port: u16 = port.parse().map_err(|_| wrong())?;
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut found = text.to_socket_addrs().map_err(|_| wrong())?;
    found.next().ok_or_else(wrong)
}

/// Reads a time: `250ms`, `10s`, `2m`, or a plain `0`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || expected("a time such as 250ms, 10s, 2m or 0", text);
    let (digits, unit) = digits_and_unit(text);
    let number = whole(digits).map_err(|()| wrong())?;
    if unit.is_empty() {
        return match number {
            Some(0) => Ok(Duration::ZERO),
            _ => Err(format!("{text} needs a unit: {text}ms, {text}s or {text}m")),
        };
    }
    let known = TIME_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, nanoseconds) = known.ok_or_else(wrong)?;
    number
        .and_then(|n| n.checked_mul(*nanoseconds))
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("{text} is too long, the longest time is 500 years"))
}

/// Writes a time in the largest unit that keeps it whole.
pub(super) fn show_duration(duration: Duration) -> String {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds == 0 {
        return "0".into();
    }
    let fits = TIME_UNITS
        .iter()
        .rev()
        .find(|(_, unit)| nanoseconds.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&TIME_UNITS[0]);
    format!("{}{name}", nanoseconds / unit)
}

/// Reads a size in bytes: `67108864`, `64MiB`, `1GB`.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let wrong = || expected("a size such as 65536, 512KiB or 64MiB", text);
    let (digits, unit) = digits_and_unit(text);
    let number = whole(digits).map_err(|()| wrong())?;
    let known = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, bytes) = known.ok_or_else(wrong)?;
    number
        .and_then(|n| n.checked_mul(*bytes))
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("{text} is too large"))
}

/// Writes a size in the largest binary unit that keeps it whole.
pub(super) fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let fits = SIZE_UNITS[4..]
        .iter()
        .rev()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&SIZE_UNITS[4]);
    format!("{}{name}", bytes / unit)
}

/// Reads a whole number, which may be grouped by underscores.
pub(super) fn parse_count<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let number = whole(text).map_err(|()| expected("a whole number", text))?;
    number
        .and_then(|n| N::try_from(n).ok())
        .ok_or_else(|| format!("{text} is too large"))
}

/// Reads yes or no.
pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(expected("true or false", text)),
    }
}

/// Reads one of a few words.
pub(super) fn parse_word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let (last, others) = known.split_last().expect("there are words to choose from");
        expected(&format!("{} or {last}", others.join(", ")), text)
    })
}

/// The word of a value.
pub(super) fn show_word<T: PartialEq>(value: &T, words: &[(&str, T)]) -> String {
    let found = words.iter().find(|(_, v)| v == value);
    found
        .map(|(word, _)| (*word).to_owned())
        .expect("every value has a word")
}

/// `; did you mean …?` when one of the known names is near, else nothing.
pub(super) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// The known name that is most like this one, if any is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_people_write() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250_000_000),
            ("10s", 10_000_000_000),
            ("2m", 120_000_000_000),
            ("1_000 us", 1_000_000),
        ] {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_nanos(nanoseconds), "{text}");
        }
    }

    #[test]
    fn every_time_survives_being_written() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let nanoseconds = random.u64(..) >> random.u32(0..64);
            let unit = TIME_UNITS[random.usize(..TIME_UNITS.len())].1;
            for n in [nanoseconds, nanoseconds / unit * unit] {
                let duration = Duration::from_nanos(n);
                let text = show_duration(duration);
                assert_eq!(parse_duration(&text), Ok(duration), "{text}");
            }
        }
    }

    #[test]
    fn every_size_survives_being_written() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let size = random.usize(..) >> random.u32(0..64);
            for n in [size, size >> 20 << 20, size >> 30 << 30] {
                let text = show_size(n);
                assert_eq!(parse_size(&text), Ok(n), "{text}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        let alphabet: Vec<char> = "0129_ .-+smhuniBkKMGte\u{b5}\u{661}".chars().collect();
        for _ in 0..50_000 {
            let length = random.usize(0..8);
            let text: String = (0..length)
                .map(|_| alphabet[random.usize(..alphabet.len())])
                .collect();
            let _ = (
                parse_duration(&text),
                parse_size(&text),
                parse_count::<u32>(&text),
            );
        }
    }

    #[test]
    fn sizes_in_both_systems() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("64 mb"), Ok(64_000_000));
        assert_eq!(parse_size("10"), Ok(10));
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(0), "0");
    }

    #[test]
    fn a_port_alone_is_on_the_loopback() {
        for (text, expected) in [
            ("9184", "127.0.0.1:9184"),
            (":0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:9184", "[::1]:9184"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), expected);
        }
        for text in [
            "",
            ":",
            "70000",
            "-1",
            "127.0.0.1",
            "1.2.3.4:x",
            "::1",
            "no host:1",
        ] {
            let error = parse_address(text).unwrap_err();
            assert!(error.starts_with("expected a port"), "{text}: {error}");
        }
    }
}
