//! The flags that every bench binary takes.

use clap::{Arg, ArgAction, Command, value_parser};
use std::path::PathBuf;

/// How much to measure, and where the figures go.
#[derive(Clone, Debug)]
pub struct Options {
    /// A small run of seconds, to see that the bench still works.
    pub quick: bool,
    /// Results are appended to this file, one JSON object a line.
    pub out: Option<PathBuf>,
    /// Only contenders or cases whose name contains this.
    pub only: Option<String>,
    /// How often each contender runs; the figure is the median.
    pub repeats: usize,
    /// How long the benches last that watch a job for a while.
    pub seconds: Option<u64>,
}

impl Options {
    /// The flags of this process. Ends the process on `--help` and on an unknown flag.
    pub fn from_args(bench: &'static str) -> Options {
        let matches = command(bench).get_matches();
        let quick = matches.get_flag("quick");
        let repeats = matches.get_one::<usize>("repeats").copied();
        Options {
            quick,
            out: matches.get_one::<PathBuf>("out").cloned(),
            only: matches.get_one::<String>("only").cloned(),
            repeats: repeats.unwrap_or(if quick { 1 } else { 3 }),
            seconds: matches.get_one::<u64>("seconds").copied(),
        }
    }

    /// Whether the contender `contender` is wanted in the case `case`.
    pub fn wants(&self, contender: &str, case: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| contender == only || case.contains(only.as_str()))
    }
}

fn command(bench: &'static str) -> Command {
    Command::new(bench)
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A small run of seconds"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Append the results to FILE, one JSON object a line"),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("NAME")
                .help("Only this contender, or the cases whose name contains NAME"),
        )
        .arg(
            Arg::new("repeats")
                .long("repeats")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Runs per contender; the figure is the median"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help("How long a bench lasts that watches a job for a while (memory, idle)"),
        )
        // `cargo bench` passes it.
        .arg(
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        )
}
