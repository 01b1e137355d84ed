//! The `millstream` tool: looks at checkpoints and savepoints without the job that wrote them.
//!
//! A checkpoint is named by its directory, which means the newest one, or by directory and number:
//! `state/checkpoints@41`. Everything but `delete` only reads, and may be used while the job runs. What was asked for goes
//! to standard output, as text or with `--json` as JSON; what is wrong goes to standard error.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | fine; for `compare`: no difference |
//! | 1 | damaged, different, refused, or it could not be done |
//! | 2 | wrong arguments |

mod compare;
mod delete;
mod describe;
mod dump;
mod list;
mod place;
mod reading;
mod verify;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use millstream::Result;
use place::Place;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command found.
pub(crate) struct Finding {
    text: String,
    json: serde_json::Value,
    is_fine: bool,
}

impl Finding {
    /// Something to say, in both ways to say it.
    fn new(text: String, json: &impl Serialize) -> Self {
        Finding {
            text,
            json: serde_json::to_value(json).expect("findings have string keys"),
            is_fine: true,
        }
    }

    /// The exit status is 1 unless this holds.
    fn fine_if(mut self, is_fine: bool) -> Self {
        self.is_fine = is_fine;
        self
    }
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let Some((name, matches)) = matches.subcommand() else {
        unreachable!("a command is required");
    };
    match run(name, matches) {
        Ok(finding) => {
            let text = match matches.get_flag("json") {
                true => format!("{:#}\n", finding.json),
                false => finding.text,
            };
            // `millstream list | head -1` closes the pipe early; nothing is lost.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(!finding.is_fine))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(name: &str, matches: &ArgMatches) -> Result<Finding> {
    let place = |id: &str| matches.get_one::<Place>(id).expect("it is required");
    let directory = || matches.get_one::<PathBuf>("DIR").expect("it is required");
    match name {
        "list" => list::run(directory()),
        "verify" => verify::run(place("PLACE")),
        "describe" => describe::run(place("PLACE"), matches.get_flag("shards")),
        "dump" => dump::run(
            place("PLACE"),
            &dump::Selection {
                operator: matches.get_one::<String>("operator").cloned(),
                state: matches.get_one::<String>("state").cloned(),
                limit: *matches.get_one::<usize>("limit").expect("it has a default"),
            },
        ),
        "compare" => compare::run(place("LEFT"), place("RIGHT")),
        "delete" => delete::run(
            directory(),
            &delete::Request {
                checkpoints: matches
                    .get_many::<u64>("ID")
                    .map_or_else(Vec::new, |ids| ids.copied().collect()),
                keep: matches.get_one::<usize>("keep").copied(),
                force: matches.get_flag("force"),
                dry_run: matches.get_flag("dry-run"),
            },
        ),
        _ => unreachable!("clap knows the commands"),
    }
}

fn command() -> Command {
    let directory = || {
        Arg::new("DIR")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("A checkpoint directory")
    };
    let place = |name: &'static str| {
        Arg::new(name)
            .required(true)
            .value_name("DIR[@ID]")
            .value_parser(place::parse)
            .help("A checkpoint directory, with the newest checkpoint or the one of this number")
    };
    Command::new("millstream")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Looks at checkpoints and savepoints without the job that wrote them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help("Exit status: 0 fine, 1 damaged, different or failed, 2 wrong arguments.")
        .subcommands([
            subcommand("list", "The checkpoints of a directory, newest first").arg(directory()),
            subcommand(
                "verify",
                "Reads and checks every byte; without @ID, of all checkpoints",
            )
            .arg(place("PLACE")),
            subcommand("describe", "Operators, states, keys and bytes")
                .arg(place("PLACE"))
                .arg(flag(
                    "shards",
                    "Also the keys and bytes of each shard of key groups",
                )),
            subcommand(
                "dump",
                "Keys and values, as hexadecimal digits and what can be said of them",
            )
            .arg(place("PLACE"))
            .arg(
                Arg::new("operator")
                    .long("operator")
                    .value_name("UID")
                    .help("Only of this operator"),
            )
            .arg(
                Arg::new("state")
                    .long("state")
                    .value_name("NAME")
                    .help("Only of this state"),
            )
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("N")
                    .value_parser(value_parser!(usize))
                    .default_value("100")
                    .help("At most so many keys of each state"),
            ),
            subcommand("compare", "How the state of two checkpoints differs")
                .arg(place("LEFT"))
                .arg(place("RIGHT")),
            subcommand(
                "delete",
                "Deletes checkpoints, and the files that no other one needs",
            )
            .arg(directory())
            .arg(
                Arg::new("ID")
                    .num_args(1..)
                    .value_parser(value_parser!(u64))
                    .conflicts_with("keep")
                    .required_unless_present("keep")
                    .help("Their numbers"),
            )
            .arg(
                Arg::new("keep")
                    .long("keep")
                    .value_name("N")
                    .value_parser(value_parser!(usize))
                    .help("All but the newest N sound ones and the savepoints"),
            )
            .arg(flag(
                "force",
                "Also the newest, or the one that the next start goes on from",
            ))
            .arg(flag("dry-run", "Only says what would be deleted")),
        ])
}

/// `1 file`, `2 files`.
pub(crate) fn things(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

fn subcommand(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .arg(flag("json", "Answers in JSON"))
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}
