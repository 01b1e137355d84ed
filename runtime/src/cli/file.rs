//! The settings file: flat TOML with the names of the flags, and a table `[set]` for the options of the program.

use super::setting::{Given, GivenOption, Kind, Origin, Setting, option_name, wrong};
use super::table::{find, keys};
use super::text::suggestion;
use crate::error::Result;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a settings file says.
#[derive(Default)]
pub(super) struct File {
    pub given: Vec<Given>,
    pub options: Vec<GivenOption>,
}

/// Reads a settings file.
pub(super) fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("settings file {}", path.display())).with_source(error))?;
    parse(path, &text)
}

/// Reads the text of a settings file.
pub(super) fn parse(path: &Path, text: &str) -> Result<File> {
    let reader = Reader { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let line = reader.line(error.span().map_or(0, |span| span.start));
        wrong(format!("{}:{line}: {}", path.display(), error.message()))
    })?;
    reader.file(table.get_ref())
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    /// The line of a byte offset, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// `job.toml:3`
    fn place<T>(&self, spanned: &Spanned<T>) -> String {
        format!(
            "{}:{}",
            self.path.display(),
            self.line(spanned.span().start)
        )
    }

    fn file(&self, table: &DeTable<'_>) -> Result<File> {
        let mut file = File::default();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if name == "set" {
                file.options = self.options(value)?;
            } else if let Some(setting) = find(name) {
                let text = text_of(setting, value.get_ref())
                    .map_err(|problem| wrong(format!("{}: {name}: {problem}", self.place(key))))?;
                let line = self.line(key.span().start);
                file.given.push(Given {
                    setting,
                    text,
                    origin: Origin::File(self.path.to_owned(), line),
                });
            } else {
                let near = suggestion(name, keys());
                let place = self.place(key);
                return Err(wrong(format!("{place}: unknown setting {name}{near}")));
            }
        }
        Ok(file)
    }

    fn options(&self, set: &Spanned<DeValue<'_>>) -> Result<Vec<GivenOption>> {
        let DeValue::Table(table) = set.get_ref() else {
            let place = self.place(set);
            return Err(wrong(format!("{place}: set: expected a table, [set]")));
        };
        let mut options = Vec::new();
        for (key, value) in table {
            let (name, place) = (key.get_ref(), self.place(key));
            let value = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(yes) => yes.to_string(),
                other => {
                    return Err(wrong(format!(
                        "{place}: option {name}: expected a text, a number, true or false, found {}",
                        type_name(other)
                    )));
                }
            };
            options.push(GivenOption {
                name: option_name(name),
                value,
                written: format!("{place}: {name}"),
            });
        }
        Ok(options)
    }
}

/// The text that the setting's reader takes; the wrong TOML type is a problem of its own.
fn text_of(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    let (fits, expected) = match (setting.kind, value) {
        (Kind::Switch, value) => (matches!(value, DeValue::Boolean(_)), "true or false"),
        (Kind::Count, value) => (matches!(value, DeValue::Integer(_)), "a whole number"),
        (Kind::Size | Kind::Start | Kind::Address, DeValue::Integer(_)) => (true, ""),
        (Kind::Time, DeValue::Integer(_)) => (true, ""), // 0, or it needs a unit
        (Kind::Time, value) => (
            matches!(value, DeValue::String(_)),
            "a time such as \"10s\"",
        ),
        (_, value) => (matches!(value, DeValue::String(_)), "a text in quotes"),
    };
    match value {
        DeValue::String(text) if fits => Ok(text.to_string()),
        DeValue::Integer(number) if fits => Ok(number.to_string()),
        DeValue::Boolean(yes) if fits => Ok(yes.to_string()),
        _ => Err(format!("expected {expected}, found {}", type_name(value))),
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
