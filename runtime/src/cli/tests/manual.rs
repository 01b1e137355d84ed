//! The manual's page on settings holds the table of settings as it is, and its example is valid.

use super::{try_plan, try_plan_of_file};
use crate::cli::setting::{Kind, Settings};
use crate::cli::table::SETTINGS;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

const BEGIN: &str = "<!-- settings: made from the table in runtime/src/cli/table.rs -->\n";
const END: &str = "<!-- end of settings -->";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md")
}

fn table() -> String {
    let mut text =
        String::from("| flag | variable | TOML | default | meaning |\n|---|---|---|---|---|\n");
    let library = Settings::library();
    for setting in SETTINGS {
        let default = (setting.show)(&library).map_or("-".into(), |value| format!("`{value}`"));
        let short = setting
            .short
            .map_or_else(String::new, |s| format!(", `-{s}`"));
        let value = match setting.kind {
            Kind::Switch => String::new(),
            kind => format!(" {}", kind.placeholder().replace('|', "\\|")),
        };
        let _ = writeln!(
            text,
            "| `--{key}{value}`{short} | `{variable}` | `{key} = {example}` | {default} | {help} |",
            key = setting.key,
            variable = setting.variable(),
            example = setting.kind.toml(setting.examples[0]),
            help = setting.help,
        );
    }
    text
}

/// `MILLSTREAM_REWRITE_MANUAL=1 cargo test -p millstream-runtime manual` brings the page up to date.
#[test]
fn the_page_has_every_setting() {
    let text = fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page marks its table");
    let (found, after) = rest
        .split_once(END)
        .expect("the page marks its table's end");
    let expected = table();
    if env::var_os("MILLSTREAM_REWRITE_MANUAL").is_some() {
        fs::write(page(), format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    for line in expected.lines() {
        assert!(found.contains(line), "docs/configuration.md misses\n{line}");
    }
    assert_eq!(found, expected, "docs/configuration.md has a line too many");
}

#[test]
fn the_examples_on_the_page_are_valid() {
    let text = fs::read_to_string(page()).unwrap();
    let blocks: Vec<&str> = text.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty(), "the page has an example");
    for block in blocks {
        let (example, _) = block.split_once("```").unwrap();
        try_plan_of_file(example, &[]).map(drop).unwrap();
    }
}

#[test]
fn the_help_text_has_every_setting_and_the_precedence() {
    let help = super::shown(try_plan(&["--help"], &[]).unwrap());
    for setting in SETTINGS {
        assert!(
            help.contains(&format!("--{}", setting.key)),
            "{}",
            setting.key
        );
        assert!(help.contains(setting.help), "{}", setting.key);
    }
    assert!(help.contains("flag > environment > settings file > the program's defaults"));
    assert!(help.contains("--input <VALUE>"), "{help}");
    println!("{help}");
}
