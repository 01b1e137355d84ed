//! Into which folder a record goes.

use crate::format::partition_folder;
use millstream_runtime::record::{NO_TIME, Record};
use millstream_runtime::time::{EventTime, civil_date};
use millstream_runtime::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::sync::Arc;

/// The folder of each record of a batch: one call by pointer a batch.
pub(super) type Partition<T> = Arc<dyn Fn(&[Record<T>], &Folders) + Send + Sync>;

/// How event time becomes folders, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBucket {
    /// `date=2025-03-01`
    Day,
    /// `date=2025-03-01/hour=13`
    Hour,
    /// `date=2025-03-01/hour=13/minute=05`
    Minute,
}

impl TimeBucket {
    /// The folder of event time `time`; of records without one, `date=__HIVE_DEFAULT_PARTITION__`.
    ///
    /// ```
    /// use millstream_connectors::files::TimeBucket;
    /// assert_eq!(TimeBucket::Hour.folder(1_740_834_300_000), "date=2025-03-01/hour=13");
    /// ```
    pub fn folder(self, time: EventTime) -> String {
        if time == NO_TIME {
            return partition_folder("date", "");
        }
        let minutes = time.div_euclid(60_000);
        let (year, month, day) = civil_date(minutes.div_euclid(24 * 60));
        let minute = minutes.rem_euclid(24 * 60);
        let mut folder = format!("date={year:04}-{month:02}-{day:02}");
        // Writing to a string does not fail.
        if self != TimeBucket::Day {
            let _ = write!(folder, "/hour={:02}", minute / 60);
        }
        if self == TimeBucket::Minute {
            let _ = write!(folder, "/minute={:02}", minute % 60);
        }
        folder
    }
}

/// The folders of a batch, one after the other. Filled through a shared reference, so that after a panic of
/// the user's function it is known at which record that was.
#[derive(Default)]
pub(super) struct Folders {
    names: RefCell<String>,
    ends: RefCell<Vec<usize>>,
    wanted: Cell<usize>,
}

impl Folders {
    /// The folders of these records.
    pub fn fill<T>(&self, partition: &Partition<T>, records: &[Record<T>]) {
        self.names.borrow_mut().clear();
        self.ends.borrow_mut().clear();
        self.wanted.set(records.len());
        partition(records, self);
    }

    pub fn push(&self, folder: &str) {
        let mut names = self.names.borrow_mut();
        names.push_str(folder);
        self.ends.borrow_mut().push(names.len());
    }

    /// The record at which the function has failed.
    pub fn failed_at(&self) -> Option<usize> {
        let filled = self.ends.borrow().len();
        (filled < self.wanted.get()).then_some(filled)
    }

    /// The folder of record `index` is put into `into`.
    pub fn get(&self, index: usize, into: &mut String) {
        let ends = self.ends.borrow();
        let start = match index {
            0 => 0,
            _ => ends[index - 1],
        };
        into.clear();
        into.push_str(&self.names.borrow()[start..ends[index]]);
    }
}

/// Whether this can be a folder of the sink's directory: a relative path of plain names.
pub(super) fn check(folder: &str) -> Result<()> {
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('\0');
    if folder.split('/').all(plain) && !folder.contains('\\') {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::UserFunction,
        format!(
            "{folder:?} cannot be a folder of a partitioned file sink: names between single slashes, none \
             empty or hidden (`partition_folder` makes one of any value)"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_folders() {
        let time = 1_740_834_300_000; // 2025-03-01 13:05 UTC
        assert_eq!(TimeBucket::Day.folder(time), "date=2025-03-01");
        assert_eq!(
            TimeBucket::Minute.folder(time),
            "date=2025-03-01/hour=13/minute=05"
        );
        assert_eq!(TimeBucket::Hour.folder(-1), "date=1969-12-31/hour=23");
        check(&TimeBucket::Day.folder(NO_TIME)).unwrap();
    }

    #[test]
    fn folders_stay_within_the_directory() {
        for good in [
            "a",
            "key=value",
            "a=1/b=2",
            "date=2025-03-01/hour=13",
            "ä b",
        ] {
            check(good).unwrap();
        }
        for bad in [
            "",
            "/",
            "/etc",
            "a//b",
            "a/",
            "..",
            "a/../../b",
            ".hidden",
            "a/.b",
            "a\\b",
            "a\0b",
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
        for value in ["", "..", "/", "a/b", "\0", "..\\", ".a"] {
            check(&partition_folder("key", value)).unwrap();
        }
    }
}
