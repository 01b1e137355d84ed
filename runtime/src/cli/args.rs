//! What the user's program is given of the command line.

use super::setting::{GivenOption, option_name, wrong};
use super::text::suggestion;
use crate::config::JobConfig;
use crate::error::Result;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

/// The program's own arguments: positional ones and options.
///
/// An option is given as `--set rate=1000`, as `MILLSTREAM_SET_RATE=1000`, in the table `[set]` of
/// the settings file, or, if the program declared it, as `--rate 1000`. What is given and never
/// asked for is an error before the job starts, so that a misspelt name does not go unseen.
#[derive(Debug)]
pub struct Args {
    positionals: Vec<String>,
    options: BTreeMap<String, GivenOption>,
    config: JobConfig,
    positionals_read: Cell<usize>,
    options_read: RefCell<BTreeSet<String>>,
}

impl Args {
    pub(super) fn new(
        positionals: Vec<String>,
        options: BTreeMap<String, GivenOption>,
        config: JobConfig,
    ) -> Self {
        Args {
            positionals,
            options,
            config,
            positionals_read: Cell::new(0),
            options_read: RefCell::default(),
        }
    }

    /// The positional argument of this index, counted from 0.
    pub fn positional(&self, index: usize) -> Option<&str> {
        self.positionals_read
            .set(self.positionals_read.get().max(index + 1));
        self.positionals.get(index).map(String::as_str)
    }

    /// The positional argument of this index, which must be there, as a text, a number or anything
    /// else that can be read from text; `name` is what the error calls it.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn required<T: FromStr<Err: Display>>(&self, index: usize, name: &str) -> Result<T> {
        let text = self
            .positional(index)
            .ok_or_else(|| wrong(format!("the argument {name} is missing")))?;
        text.parse()
            .map_err(|problem| wrong(format!("argument {name}: \"{text}\": {problem}")))
    }

    /// All positional arguments.
    pub fn positionals(&self) -> &[String] {
        self.positionals_read.set(usize::MAX);
        &self.positionals
    }

    /// The value of an option of the program; case and `_` or `-` make no difference.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.given(name).map(|option| option.value.as_str())
    }

    /// The value of an option as a number or anything else that can be read from text.
    ///
    /// # Errors
    /// When it cannot be read; the error names what the user wrote.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>> {
        let Some(option) = self.given(name) else {
            return Ok(None);
        };
        option.value.parse().map(Some).map_err(|problem| {
            let GivenOption { written, value, .. } = option;
            wrong(format!("{written}: \"{value}\": {problem}"))
        })
    }

    /// How the job will run.
    pub fn config(&self) -> &JobConfig {
        &self.config
    }

    fn given(&self, name: &str) -> Option<&GivenOption> {
        let name = option_name(name);
        let given = self.options.get(&name);
        self.options_read.borrow_mut().insert(name);
        given
    }

    /// Refuses what was given and never asked for.
    pub(super) fn check_all_read(&self) -> Result<()> {
        if let Some(extra) = self.positionals.get(self.positionals_read.get()) {
            return Err(wrong(format!("unexpected argument \"{extra}\"")));
        }
        let read = self.options_read.borrow();
        if let Some(unread) = self.options.values().find(|o| !read.contains(&o.name)) {
            let near = suggestion(&unread.name, read.iter().map(String::as_str));
            let written = &unread.written;
            return Err(wrong(format!(
                "{written}: the program has no such option{near}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        let option = GivenOption {
            name: "max-rate".into(),
            value: "1000".into(),
            written: "--set max_rate".into(),
        };
        let options = [(option.name.clone(), option)].into();
        Args::new(
            vec!["in".into(), "out".into()],
            options,
            JobConfig::default(),
        )
    }

    #[test]
    fn what_is_not_read_is_refused() {
        let args = args();
        assert_eq!(args.positional(0), Some("in"));
        let text = args.check_all_read().unwrap_err().to_string();
        assert_eq!(text, "configuration: unexpected argument \"out\"");
        assert_eq!(args.required::<String>(1, "OUTPUT").unwrap(), "out");
        assert_eq!(args.option("max-late"), None);
        let text = args.check_all_read().unwrap_err().to_string();
        assert!(
            text.ends_with("no such option; did you mean max-late?"),
            "{text}"
        );
        assert_eq!(args.parsed("max_rate").unwrap(), Some(1000));
        args.check_all_read().unwrap();
    }

    #[test]
    fn errors_name_what_the_user_wrote() {
        let args = args();
        let text = args.parsed::<u8>("max-rate").unwrap_err().to_string();
        assert!(
            text.contains("--set max_rate: \"1000\": number too large"),
            "{text}"
        );
        let text = args.required::<u8>(0, "LIMIT").unwrap_err().to_string();
        assert!(
            text.contains("argument LIMIT: \"in\": invalid digit"),
            "{text}"
        );
        let text = args.required::<u8>(2, "LIMIT").unwrap_err().to_string();
        assert_eq!(text, "configuration: the argument LIMIT is missing");
    }
}
