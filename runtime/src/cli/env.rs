//! The environment: `MILLSTREAM_…`. An empty variable is as if it were not there.

use super::flags::config_variable;
use super::setting::{Given, GivenOption, Origin, Setting, option_name, wrong};
use super::table::SETTINGS;
use super::text::nearest;
use crate::error::Result;
use std::ffi::OsString;
use std::path::PathBuf;

const PREFIX: &str = "MILLSTREAM_";
const OPTION_PREFIX: &str = "MILLSTREAM_SET_";

/// What the environment says.
#[derive(Default)]
pub(super) struct Environment {
    pub given: Vec<Given>,
    pub options: Vec<GivenOption>,
    pub config: Option<PathBuf>,
    /// Variables that look like a misspelt setting. Not an error: others may put variables with this
    /// prefix there, Kubernetes does so for a service of the name.
    pub warnings: Vec<String>,
}

/// Picks what is meant for Millstream.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment> {
    let mut environment = Environment::default();
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    ours.sort();
    for (name, value) in ours {
        let value = value
            .into_string()
            .map_err(|value| wrong(format!("{name}: {} is not UTF-8", value.display())))?;
        environment.take(name, value);
    }
    Ok(environment)
}

impl Environment {
    fn take(&mut self, name: String, value: String) {
        if name == config_variable() {
            self.config = Some(PathBuf::from(value));
        } else if let Some(setting) = SETTINGS.iter().find(|s| s.variable() == name) {
            self.given.push(Given {
                setting,
                text: value,
                origin: Origin::Environment,
            });
        } else if let Some(option) = name.strip_prefix(OPTION_PREFIX) {
            self.options.push(GivenOption {
                name: option_name(option),
                value,
                written: name,
            });
        } else {
            self.warn(&name);
        }
    }

    fn warn(&mut self, name: &str) {
        let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        let short = |name: &'_ str| name[PREFIX.len()..].to_owned();
        let shorts: Vec<String> = known.iter().map(|k| short(k)).collect();
        if let Some(near) = nearest(&short(name), shorts.iter().map(String::as_str)) {
            self.warnings.push(format!(
                "the environment variable {name} has no meaning; did you mean {PREFIX}{near}?"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Environment {
        read(pairs.iter().map(|(n, v)| (n.into(), v.into()))).unwrap()
    }

    #[test]
    fn a_misspelt_variable_is_warned_of_and_a_foreign_one_is_not() {
        let environment = of(&[
            ("MILLSTREAM_WORKER", "2"),
            ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(
            environment.warnings,
            [
                "the environment variable MILLSTREAM_WORKER has no meaning; \
              did you mean MILLSTREAM_WORKERS?"
            ]
        );
        assert!(environment.given.is_empty());
    }

    #[test]
    fn an_empty_variable_is_none() {
        let environment = of(&[("MILLSTREAM_WORKERS", ""), ("MILLSTREAM_CONFIG", "")]);
        assert!(environment.given.is_empty() && environment.config.is_none());
    }

    #[test]
    fn options_of_the_program_have_their_own_prefix() {
        let environment = of(&[("MILLSTREAM_SET_INPUT_DIR", "logs")]);
        assert_eq!(environment.options[0].name, "input-dir");
        assert_eq!(environment.options[0].value, "logs");
    }
}
