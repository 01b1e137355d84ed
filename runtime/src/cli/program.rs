//! A program whose work is one job: its name, its own options, its defaults.

use super::flags::is_reserved;
use super::setting::{Settings, option_name};
use crate::config::JobConfig;

/// A program that runs one job: what its help text says, and the defaults of its settings.
///
/// ```
/// use millstream_runtime::cli::Program;
/// use millstream_runtime::config::JobConfig;
///
/// let program = Program::new("word-count")
///     .version(env!("CARGO_PKG_VERSION"))
///     .about("Counts the words of a file")
///     .argument("INPUT", "the file to read")
///     .option("top", "how many words are shown")
///     .defaults(JobConfig { workers: 2, ..JobConfig::default() });
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) about: String,
    pub(super) arguments: Vec<(String, String)>,
    pub(super) options: Vec<(String, String)>,
    pub(super) defaults: Settings,
}

impl Program {
    /// A program of this name, with the defaults of the library.
    pub fn new(name: impl Into<String>) -> Self {
        Program {
            name: name.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            about: String::new(),
            arguments: Vec::new(),
            options: Vec::new(),
            defaults: Settings::library(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `--version` says; default: the version of Millstream.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What it does, in a sentence for the help text.
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Puts a positional argument into the help text. Those that are not declared can be read all the same.
    pub fn argument(mut self, name: impl Into<String>, help: impl Into<String>) -> Self {
        self.arguments.push((name.into(), help.into()));
        self
    }

    /// Declares an option of the program's own, which then is also a flag: `--top 10`.
    ///
    /// # Panics
    /// When the name is one of a setting's, or is declared twice.
    pub fn option(mut self, name: &str, help: impl Into<String>) -> Self {
        let name = option_name(name);
        assert!(
            !is_reserved(&name),
            "the option --{name} has a meaning already"
        );
        let is_new = self.options.iter().all(|(other, _)| *other != name);
        assert!(is_new, "the option --{name} is declared twice");
        self.options.push((name, help.into()));
        self
    }

    /// The defaults of the settings, weaker than everything that the user says.
    pub fn defaults(mut self, config: JobConfig) -> Self {
        self.defaults = Settings::of(config);
        self
    }

    pub(super) fn usage(&self) -> String {
        let mut usage = format!("{} [FLAGS]", self.name);
        for (name, _) in &self.arguments {
            usage.push(' ');
            usage.push_str(name);
        }
        if self.arguments.is_empty() {
            usage.push_str(" [ARGUMENTS]");
        }
        for (name, help) in &self.arguments {
            usage.push_str(&format!("\n\n  {name:<12} {help}"));
        }
        usage
    }
}

impl From<&str> for Program {
    fn from(name: &str) -> Self {
        Program::new(name)
    }
}

impl From<String> for Program {
    fn from(name: String) -> Self {
        Program::new(name)
    }
}
