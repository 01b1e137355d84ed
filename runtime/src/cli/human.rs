//! Numbers, sizes, times and dates for people: `12.3 M`, `1.2 GB`, `3 ms`, `2024-05-01 12:00:03`.

pub use super::fit::table;
use crate::time::{EventTime, civil_date};
use std::time::Duration;

/// Three digits that count, and the unit's letter: `12.3 M`. Below a thousand the number itself.
fn scaled(number: f64, letters: &[&str]) -> String {
    let mut scaled = number;
    let mut letter = 0;
    // 999.5 would be written as 1000.
    while scaled >= 999.5 && letter + 1 < letters.len() {
        scaled /= 1000.0;
        letter += 1;
    }
    let decimals = match scaled {
        _ if letter == 0 => 0,
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$} {}", letters[letter])
        .trim_end()
        .to_owned()
}

/// A number of things.
pub fn count(number: u64) -> String {
    scaled(number as f64, &["", "k", "M", "G", "T", "P", "E"])
}

/// How many a second.
pub fn rate(number: u64, during: Duration) -> String {
    let seconds = during.as_secs_f64();
    let rate = if seconds > 0.0 {
        number as f64 / seconds
    } else {
        0.0
    };
    format!("{}/s", count(rate.round() as u64))
}

/// A number of bytes, in powers of 1000.
pub fn bytes(number: u64) -> String {
    scaled(number as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A length of time: `450 us`, `3 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0 s".into(),
        0 if duration.as_micros() < 1000 => format!("{} us", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The same without the fraction: `14 s`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

/// A point in time in UTC, to the second.
pub fn utc(at: EventTime) -> String {
    let seconds = at.div_euclid(1000);
    let (year, month, day) = civil_date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (number, text) in [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1_000, "1.00 k"),
            (9_994, "9.99 k"),
            (9_996, "10.0 k"),
            (12_345_678, "12.3 M"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (u64::MAX, "18.4 E"),
        ] {
            assert_eq!(count(number), text, "{number}");
        }
        assert_eq!(bytes(1_234_000_000), "1.23 GB");
        assert_eq!(bytes(17), "17 B");
        assert_eq!(rate(1_000, Duration::from_millis(500)), "2.00 k/s");
        assert_eq!(rate(1_000, Duration::ZERO), "0/s");
    }

    #[test]
    fn times_are_short() {
        for (milliseconds, text) in [
            (0, "0 s"),
            (3, "3 ms"),
            (1_250, "1.2 s"),
            (59_999, "59.9 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(duration(Duration::from_micros(450)), "450 us");
        assert_eq!(seconds(Duration::from_millis(1_999)), "1 s");
        assert_eq!(seconds(Duration::from_millis(200_500)), "3 min 20 s");
    }

    #[test]
    fn dates_on_both_sides_of_the_epoch() {
        for (at, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_714_564_803_999, "2024-05-01 12:00:03"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(at), text);
        }
    }
}
