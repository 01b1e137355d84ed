//! What a setting is: one name, which is a flag, an environment variable and a TOML key.
//!
//! The settings themselves are in [`table`](super::table); flags, environment, files, help,
//! `--print-config`, the manual's table and the tests all walk that one table, so that a setting
//! exists everywhere or nowhere.

use crate::config::{JobConfig, Mode, Resume};
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// The values of all settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    /// All but the mode, which is put together when everything has been read.
    pub job: JobConfig,
    pub micro_batch: bool,
    pub batch_interval: Duration,
    pub log: String,
    pub log_format: LogFormat,
}

impl Settings {
    pub fn of(job: JobConfig) -> Self {
        let (micro_batch, batch_interval) = match job.mode {
            Mode::Continuous => (false, Duration::ZERO),
            Mode::MicroBatch { interval } => (true, interval),
        };
        Settings {
            job,
            micro_batch,
            batch_interval,
            log: "warn".into(),
            log_format: LogFormat::Text,
        }
    }

    /// The library's own defaults.
    pub fn library() -> Self {
        Settings::of(JobConfig::default())
    }

    pub fn is_fresh(&self) -> bool {
        self.job.resume == Resume::Fresh
    }
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no; as a flag it needs no value.
    Switch,
    /// A whole number.
    Count,
    /// A time.
    Time,
    /// A number of bytes.
    Size,
    /// One of a few words, written with bars between them.
    Word(&'static str),
    /// A path.
    Path,
    /// `latest`, a checkpoint's number or a path.
    Start,
    /// An address and a port, or a port.
    Address,
    /// Any text.
    Text,
}

impl Kind {
    /// What stands for the value in the help text.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Switch => "true|false",
            Kind::Count => "COUNT",
            Kind::Time => "TIME",
            Kind::Size => "SIZE",
            Kind::Word(words) => words,
            Kind::Path => "DIR",
            Kind::Start => "latest|ID|PATH",
            Kind::Address => "[ADDR:]PORT",
            Kind::Text => "FILTER",
        }
    }

    /// A value as TOML writes it.
    pub fn toml(self, text: &str) -> String {
        match self {
            Kind::Switch | Kind::Count => text.to_owned(),
            Kind::Start | Kind::Address if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.to_owned()
            }
            // Every escape of JSON is one of TOML's.
            _ => serde_json::Value::from(text).to_string(),
        }
    }
}

/// One setting.
pub(super) struct Setting {
    /// Its name: `tick` is `--tick`, `MILLSTREAM_TICK`, and `tick` in a file.
    pub key: &'static str,
    pub short: Option<char>,
    /// The group in the help text.
    pub group: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// Two values that differ; the first is not the default either. For the manual and the tests.
    #[cfg_attr(not(test), allow(dead_code))]
    pub examples: [&'static str; 2],
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
    /// The value as `set` reads it; none: there is none.
    pub show: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

/// The environment variable of a name.
pub(super) fn variable(key: &str) -> String {
    format!("MILLSTREAM_{}", key.to_uppercase().replace('-', "_"))
}

/// Where a value comes from, the weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The library.
    Library,
    /// The program's own defaults.
    Program,
    /// A line of a settings file.
    File(PathBuf, usize),
    Environment,
    Flag,
}

impl Origin {
    /// What the user wrote to give the setting `key`: the flag, the variable, or the line.
    pub fn name(&self, key: &str) -> String {
        match self {
            Origin::Library | Origin::Program => key.to_owned(),
            Origin::File(path, line) => format!("{}:{line}: {key}", path.display()),
            Origin::Environment => variable(key),
            Origin::Flag => format!("--{key}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Library => f.write_str("default"),
            Origin::Program => f.write_str("program"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::Flag => f.write_str("flag"),
        }
    }
}

/// A setting that a user gave.
#[derive(Clone)]
pub(super) struct Given {
    pub setting: &'static Setting,
    pub text: String,
    pub origin: Origin,
}

/// An option of the user's program that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenOption {
    pub name: String,
    pub value: String,
    /// What the user wrote: `--input`, `--set input`, `MILLSTREAM_SET_INPUT`, `job.toml:3: input`.
    pub written: String,
}

/// The one way to write an option's name: lower case, with dashes.
pub(super) fn option_name(written: &str) -> String {
    written.to_lowercase().replace('_', "-")
}

/// An error of what the user gave.
pub(super) fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}

/// A path's setting value.
pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
