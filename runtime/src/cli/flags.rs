//! The command line: flags made from the table of settings, and the program's own arguments.

use super::program::Program;
use super::setting::{Given, GivenOption, Kind, Origin, Setting, option_name, variable, wrong};
use super::table::SETTINGS;
use super::text::{nearest, parse_word};
use crate::error::{Error, Result};
use crate::graph::ExplainFormat;
use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

const EXPLAIN_FORMATS: [(&str, ExplainFormat); 3] = [
    ("text", ExplainFormat::Text),
    ("mermaid", ExplainFormat::Mermaid),
    ("dot", ExplainFormat::Dot),
];

/// How settings are found; the end of the help text.
const PRECEDENCE: &str = "\
Every setting can also be given in the environment and in a settings file: --batch-interval is
MILLSTREAM_BATCH_INTERVAL, and batch-interval = \"1s\" in the file. What is stronger wins:
    flag > environment > settings file > the program's defaults > the library's defaults
Options of the program: --set NAME=VALUE, MILLSTREAM_SET_NAME, and a table [set] in the file.
--config is also MILLSTREAM_CONFIG. A switch can be turned off again: --spin=false.

Ctrl-C or SIGTERM stops the job after a last checkpoint and exits with 0; a second one kills it.
Exit status: 0 finished or stopped, 1 the job failed, 2 wrong settings, 130 killed.";

/// What the command line says.
#[derive(Default)]
pub(super) struct Flags {
    pub given: Vec<Given>,
    pub options: Vec<GivenOption>,
    pub positionals: Vec<String>,
    pub config: Option<PathBuf>,
    pub explain: Option<ExplainFormat>,
    pub print_config: bool,
}

/// What a command line asks for.
pub(super) enum CommandLine {
    /// Run the job, or explain it.
    Run(Flags),
    /// Show this: help or version.
    Show(String),
}

/// Reads the arguments after the program's name.
pub(super) fn read(program: &Program, args: Vec<OsString>) -> Result<CommandLine> {
    match command(program).try_get_matches_from(join_explain(args)) {
        Ok(matches) => Ok(CommandLine::Run(flags(program, &matches)?)),
        Err(error) => match error.kind() {
            ClapKind::DisplayHelp | ClapKind::DisplayVersion => {
                Ok(CommandLine::Show(error.render().to_string()))
            }
            _ => Err(one_line(&error)),
        },
    }
}

/// `--explain dot` is `--explain=dot`, so that `--explain input.txt` leaves the input alone.
fn join_explain(args: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::with_capacity(args.len());
    let mut flags_ended = false;
    for arg in args {
        let is_format = EXPLAIN_FORMATS.iter().any(|(word, _)| arg == *word);
        flags_ended |= arg == "--";
        match joined.last_mut() {
            Some(last) if !flags_ended && is_format && last == "--explain" => {
                last.push("=");
                last.push(arg);
            }
            _ => joined.push(arg),
        }
    }
    joined
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(program.name.clone())
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .about(program.about.clone())
        .version(program.version.clone())
        .override_usage(program.usage())
        .after_help(PRECEDENCE);
    for setting in SETTINGS {
        command = command.arg(setting_flag(program, setting));
    }
    for (name, help) in &program.options {
        let flag = Arg::new(name.clone())
            .long(name.clone())
            .value_name("VALUE")
            .value_parser(OsStringValueParser::new())
            .help(help.clone())
            .help_heading("Options of this program");
        command = command.arg(flag);
    }
    command.args(other_flags()).arg(
        Arg::new("arguments")
            .num_args(0..)
            .hide(true)
            .value_parser(OsStringValueParser::new()),
    )
}

fn setting_flag(program: &Program, setting: &'static Setting) -> Arg {
    let default = (setting.show)(&program.defaults);
    let help = match default {
        Some(default) if setting.kind != Kind::Switch || default == "true" => {
            format!("{} [default: {default}]", setting.help)
        }
        _ => setting.help.to_owned(),
    };
    let flag = Arg::new(setting.key)
        .long(setting.key)
        .short(setting.short)
        .value_name(setting.kind.placeholder())
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
        .help(help)
        .help_heading(setting.group);
    if setting.kind == Kind::Switch {
        flag.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        flag
    }
}

fn other_flags() -> [Arg; 6] {
    let flag = |name: &'static str| Arg::new(name).long(name).help_heading("Other");
    [
        flag("set")
            .value_name("NAME=VALUE")
            .action(ArgAction::Append)
            .value_parser(OsStringValueParser::new())
            .help("Give the program's option NAME a value; may be repeated"),
        flag("config")
            .value_name("FILE")
            .value_parser(OsStringValueParser::new())
            .help("Read settings from this TOML file"),
        flag("explain")
            .value_name("text|mermaid|dot")
            .value_parser(OsStringValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("text")
            .help("Print the job graph and how it is compiled, and run nothing"),
        flag("print-config")
            .action(ArgAction::SetTrue)
            .help("Print all settings as TOML, with where each comes from, and run nothing"),
        flag("help")
            .short('h')
            .action(ArgAction::Help)
            .help("Print this"),
        flag("version")
            .short('V')
            .action(ArgAction::Version)
            .help("Print the version"),
    ]
}

fn flags(program: &Program, matches: &ArgMatches) -> Result<Flags> {
    let mut flags = Flags {
        config: matches.get_one::<OsString>("config").map(PathBuf::from),
        print_config: matches.get_flag("print-config"),
        ..Flags::default()
    };
    for setting in SETTINGS {
        if let Some(value) = matches.get_one::<OsString>(setting.key) {
            flags.given.push(Given {
                setting,
                text: text(&format!("--{}", setting.key), value)?,
                origin: Origin::Flag,
            });
        }
    }
    if let Some(format) = matches.get_one::<OsString>("explain") {
        let format = parse_word(&text("--explain", format)?, &EXPLAIN_FORMATS)
            .map_err(|problem| wrong(format!("--explain: {problem}")))?;
        flags.explain = Some(format);
    }
    flags.options = options(program, matches)?;
    for argument in matches
        .get_many::<OsString>("arguments")
        .into_iter()
        .flatten()
    {
        flags.positionals.push(text("argument", argument)?);
    }
    Ok(flags)
}

/// The program's own options: declared flags and `--set`.
fn options(program: &Program, matches: &ArgMatches) -> Result<Vec<GivenOption>> {
    let mut options = Vec::new();
    for (name, _) in &program.options {
        if let Some(value) = matches.get_one::<OsString>(name) {
            let written = format!("--{name}");
            options.push(GivenOption {
                name: name.clone(),
                value: text(&written, value)?,
                written,
            });
        }
    }
    for pair in matches.get_many::<OsString>("set").into_iter().flatten() {
        let pair = text("--set", pair)?;
        let split = pair.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            split.ok_or_else(|| wrong(format!("--set: expected NAME=VALUE, found \"{pair}\"")))?;
        options.push(GivenOption {
            name: option_name(name),
            value: value.to_owned(),
            written: format!("--set {name}"),
        });
    }
    for (index, option) in options.iter().enumerate() {
        if options[..index]
            .iter()
            .any(|before| before.name == option.name)
        {
            return Err(wrong(format!("option {} is given twice", option.name)));
        }
    }
    Ok(options)
}

fn text(what: &str, value: &OsStr) -> Result<String> {
    let text = value.to_str().map(str::to_owned);
    text.ok_or_else(|| wrong(format!("{what}: {} is not UTF-8", value.to_string_lossy())))
}

/// A short line in place of clap's paragraphs.
fn one_line(error: &clap::Error) -> Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let flag = context(ContextKind::InvalidArg).map_or("", bare_flag);
    wrong(match error.kind() {
        ClapKind::UnknownArgument => unknown_flag(flag, context(ContextKind::SuggestedArg)),
        ClapKind::ArgumentConflict => format!("{flag} is given twice"),
        ClapKind::NoEquals => format!("{flag} needs \"=\" before its value"),
        ClapKind::InvalidValue => format!("{flag} needs a value"),
        ClapKind::TooManyValues => format!("{flag} takes no value"),
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    })
}

/// The flag alone, of `--workers <COUNT>` or `-w, --workers`.
fn bare_flag(flag: &str) -> &str {
    flag.split([' ', '[', '=']).next().unwrap_or(flag)
}

fn unknown_flag(flag: &str, suggested: Option<&str>) -> String {
    let known = SETTINGS.iter().map(|s| s.key);
    let near = || nearest(flag.trim_start_matches('-'), known);
    match suggested
        .map(str::to_owned)
        .or_else(|| near().map(|near| format!("--{near}")))
    {
        Some(near) => format!("unknown flag {flag}; did you mean {near}?"),
        None => format!("unknown flag {flag}; --help lists all"),
    }
}

/// The names that a program's own option cannot have.
pub(super) fn is_reserved(name: &str) -> bool {
    let others = [
        "set",
        "config",
        "explain",
        "print-config",
        "help",
        "version",
        "arguments",
    ];
    others.contains(&name) || SETTINGS.iter().any(|setting| setting.key == name)
}

/// The environment variable of `--config`.
pub(super) fn config_variable() -> String {
    variable("config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound() {
        command(&Program::new("job").option("input", "the input")).debug_assert();
    }

    #[test]
    fn explain_leaves_a_positional_alone() {
        let joined = |args: &[&str]| join_explain(args.iter().map(OsString::from).collect());
        assert_eq!(joined(&["--explain", "dot", "x"]), ["--explain=dot", "x"]);
        assert_eq!(joined(&["--explain", "in.txt"]), ["--explain", "in.txt"]);
        assert_eq!(
            joined(&["--", "--explain", "dot"]),
            ["--", "--explain", "dot"]
        );
    }
}
