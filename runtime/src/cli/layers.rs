//! Precedence: flag > environment > settings file > the program's defaults > the library's.
//!
//! Layers are applied from the weakest to the strongest; what a layer does not say stays as it was.
//! A value that cannot be read is an error even when a stronger layer would replace it.

use super::env;
use super::file::{self, File};
use super::flags::Flags;
use super::program::Program;
use super::setting::{Given, GivenOption, Origin, Settings, wrong};
use super::table::SETTINGS;
use super::text::parse_switch;
use crate::config::{JobConfig, Mode};
use crate::error::Result;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// All settings, and where each comes from.
pub(super) struct Resolved {
    pub settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
    /// The program's options; the strongest layer's value of each.
    pub options: BTreeMap<String, GivenOption>,
    pub warnings: Vec<String>,
}

/// Reads the weaker layers and puts the flags on top.
pub(super) fn resolve(
    program: &Program,
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Resolved> {
    let environment = env::read(variables)?;
    let file = match flags.config.as_ref().or(environment.config.as_ref()) {
        Some(path) => file::read(path)?,
        None => File::default(),
    };
    let mut resolved = Resolved::defaults(program);
    for layer in [&file.given, &environment.given, &flags.given] {
        resolved.apply(layer)?;
    }
    for option in [&file.options, &environment.options, &flags.options]
        .into_iter()
        .flatten()
    {
        resolved.options.insert(option.name.clone(), option.clone());
    }
    resolved.warnings = environment.warnings;
    Ok(resolved)
}

impl Resolved {
    fn defaults(program: &Program) -> Self {
        let library = Settings::library();
        let origins = SETTINGS.iter().map(|setting| {
            let same = (setting.show)(&library) == (setting.show)(&program.defaults);
            (
                setting.key,
                if same {
                    Origin::Library
                } else {
                    Origin::Program
                },
            )
        });
        Resolved {
            settings: program.defaults.clone(),
            origins: origins.collect(),
            options: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    fn apply(&mut self, layer: &[Given]) -> Result<()> {
        check_contradiction(layer)?;
        for given in layer {
            let key = given.setting.key;
            (given.setting.set)(&mut self.settings, &given.text)
                .map_err(|problem| wrong(format!("{}: {problem}", given.origin.name(key))))?;
            self.origins.insert(key, given.origin.clone());
        }
        Ok(())
    }

    /// Where a setting's value comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        &self.origins[key]
    }

    /// The configuration of the job, when the settings fit each other.
    pub fn config(&self) -> Result<JobConfig> {
        let interval = self.settings.batch_interval;
        if *self.origin("batch-interval") == Origin::Flag && !self.settings.micro_batch {
            return Err(wrong(
                "--batch-interval has no effect in continuous mode; add --mode micro-batch",
            ));
        }
        let mode = match self.settings.micro_batch {
            true => Mode::MicroBatch { interval },
            false => Mode::Continuous,
        };
        let config = JobConfig {
            mode,
            ..self.settings.job.clone()
        };
        config.validate()?;
        Ok(config)
    }

    /// All settings as a settings file, each with where it comes from.
    pub fn to_toml(&self) -> String {
        let lines = SETTINGS.iter().map(|setting| {
            let value = (setting.show)(&self.settings);
            let assignment = match value.filter(|_| !self.is_implied(setting.key)) {
                Some(value) => format!("{} = {}", setting.key, setting.kind.toml(&value)),
                None => format!("# {} is not set", setting.key),
            };
            (assignment, self.origin(setting.key).to_string())
        });
        let mut lines: Vec<(String, String)> = lines.collect();
        if !self.options.is_empty() {
            lines.push(("\n[set]".into(), String::new()));
        }
        for option in self.options.values() {
            let value = serde_json::Value::from(option.value.as_str());
            let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            let name = match option.name.bytes().all(is_bare) {
                true => option.name.clone(),
                false => serde_json::Value::from(option.name.as_str()).to_string(),
            };
            lines.push((format!("{name} = {value}"), option.written.clone()));
        }
        let lines = lines.into_iter().map(|(assignment, origin)| {
            let line = match origin.as_str() {
                "" => assignment,
                _ => format!("{assignment:<40} # {origin}"),
            };
            line + "\n"
        });
        lines.collect()
    }

    /// `resume` and `fresh` are two words for one thing; only one of them can stand in a file.
    fn is_implied(&self, key: &str) -> bool {
        key == "fresh" && !self.settings.is_fresh()
    }
}

/// Two settings of one layer that cannot both hold.
fn check_contradiction(layer: &[Given]) -> Result<()> {
    let given = |key: &str| layer.iter().find(|given| given.setting.key == key);
    let (Some(resume), Some(fresh)) = (given("resume"), given("fresh")) else {
        return Ok(());
    };
    if parse_switch(&fresh.text) != Ok(true) {
        return Ok(());
    }
    Err(wrong(format!(
        "{} and {} contradict each other",
        resume.origin.name("resume"),
        fresh.origin.name("fresh")
    )))
}
