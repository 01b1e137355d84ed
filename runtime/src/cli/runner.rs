//! Runs a program: reads its settings, builds its job, watches it, reports, and chooses the exit status.

use super::args::Args;
use super::flags::{self, CommandLine, Flags};
use super::layers::{self, Resolved};
use super::logs;
use super::program::Program;
use super::signals::StopSignals;
use super::status::StatusLine;
use super::summary::{farewell, greeting, summary};
use super::terminal;
use crate::clock::{Clock, Stopwatch, SystemClock};
use crate::config::{JobConfig, Status};
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::job::{self, JobHandle, JobReport};
use std::ffi::OsString;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

/// How often the end of the job and signals are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How often the status line is renewed.
const RENEW: Duration = Duration::from_secs(1);

const FAILED: u8 = 1;
const WRONG_SETTINGS: u8 = 2;
/// What a shell reports of a filter that was killed by SIGPIPE, signal 13.
const OUTPUT_CLOSED: u8 = 128 + 13;

impl Program {
    /// Runs the program with the arguments and the environment of this process. `build` is given the
    /// program's own arguments and makes the job's graph; it is not called for `--help` and
    /// `--print-config`.
    ///
    /// The result is the exit status of the process; everything there is to say has been printed.
    pub fn run<B>(self, build: B) -> ExitCode
    where
        B: FnOnce(&Args) -> Result<Graph, BoxError>,
    {
        logs::log_panics();
        self.run_with(std::env::args_os().skip(1), std::env::vars_os(), build)
    }

    /// [`run`](Program::run) with arguments (without the program's name) and environment variables
    /// of the caller's.
    pub fn run_with<A, V, B>(self, args: A, variables: V, build: B) -> ExitCode
    where
        A: IntoIterator<Item: Into<OsString>>,
        V: IntoIterator<Item = (OsString, OsString)>,
        B: FnOnce(&Args) -> Result<Graph, BoxError>,
    {
        let args = args.into_iter().map(Into::into).collect();
        match self.execute(args, variables, build) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                terminal::clear_status();
                let kind = failure.downcast_ref::<Error>().map(Error::kind);
                if kind != Some(ErrorKind::Closed) {
                    logs::complain(kind, &one_line(&failure));
                }
                ExitCode::from(exit_status(&failure))
            }
        }
    }

    fn execute<V, B>(self, args: Vec<OsString>, variables: V, build: B) -> Result<(), BoxError>
    where
        V: IntoIterator<Item = (OsString, OsString)>,
        B: FnOnce(&Args) -> Result<Graph, BoxError>,
    {
        let plan = match plan(&self, args, variables)? {
            Plan::Show(text) => {
                terminal::answer(&text);
                return Ok(());
            }
            Plan::Run(plan) => *plan,
        };
        logs::start(&plan.resolved.settings);
        plan.resolved
            .warnings
            .iter()
            .for_each(|text| logs::warn(text));
        let graph = build(&plan.args)?;
        plan.args.check_all_read()?;
        if let Some(format) = plan.flags.explain {
            graph.validate()?;
            terminal::answer(&graph.explain(format, plan.config.chaining));
            return Ok(());
        }
        Ok(run_job(&self.name, graph, plan.config)?)
    }
}

/// What is to be done.
pub(super) enum Plan {
    /// Print this and end.
    Show(String),
    /// Build the job, then run or explain it.
    Run(Box<RunPlan>),
}

pub(super) struct RunPlan {
    flags: Flags,
    resolved: Resolved,
    args: Args,
    config: JobConfig,
}

/// Everything before the user's own code.
pub(super) fn plan(
    program: &Program,
    args: Vec<OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Plan> {
    let mut flags = match flags::read(program, args)? {
        CommandLine::Run(flags) => flags,
        CommandLine::Show(text) => return Ok(Plan::Show(text)),
    };
    let mut resolved = layers::resolve(program, &flags, variables)?;
    let config = resolved.config()?;
    if flags.print_config {
        return Ok(Plan::Show(resolved.to_toml()));
    }
    let args = Args::new(
        std::mem::take(&mut flags.positionals),
        std::mem::take(&mut resolved.options),
        config.clone(),
    );
    Ok(Plan::Run(Box::new(RunPlan {
        flags,
        resolved,
        args,
        config,
    })))
}

/// Runs the job to its end in this process.
fn run_job(name: &str, graph: Graph, config: JobConfig) -> Result<()> {
    let signals = StopSignals::listen()?;
    let talks = config.status != Status::Off;
    let handle = job::start(graph, config.clone())?;
    if talks {
        let restored = handle.report().restored;
        logs::say(&format!("{name}: {}", greeting(restored, &config)));
        if let Some(addr) = handle.metrics_addr() {
            logs::say(&format!("{name}: metrics at http://{addr}/metrics"));
        }
    }
    let (report, end) = watch(handle, &signals, Display::new(config.status));
    // What the summary says, the log event at the end has in fields.
    if talks && !logs::are_json() {
        terminal::notice(&summary(&report));
    }
    end?;
    if signals.asked_to_stop() {
        logs::say(&format!("{name}: {}", farewell(&report, &config)));
    }
    Ok(())
}

/// Waits for the end of the job; meanwhile signals are heard and the status line is renewed. What the job did, also
/// when it failed.
fn watch(
    handle: JobHandle,
    signals: &StopSignals,
    mut display: Display,
) -> (JobReport, Result<()>) {
    let mut stopping = false;
    while !handle.wait_for(LOOK) {
        if signals.asked_to_stop() && !stopping {
            stopping = true;
            logs::say("stopping; a second signal kills at once");
            handle.stop();
        }
        display.renew(&handle);
    }
    terminal::clear_status();
    let failed = handle.report();
    match handle.wait() {
        Ok(report) => (report, Ok(())),
        Err(error) => (failed, Err(error)),
    }
}

/// Where the status line goes.
struct Display {
    shown: bool,
    in_place: bool,
    line: StatusLine,
    clock: SystemClock,
    since: Stopwatch,
}

impl Display {
    fn new(status: Status) -> Self {
        let in_place = stderr().is_terminal() && !logs::are_json();
        Display {
            shown: match status {
                Status::Auto => in_place,
                Status::On => true,
                Status::Off => false,
            },
            in_place,
            line: StatusLine::default(),
            clock: SystemClock::new(),
            since: Stopwatch::start(),
        }
    }

    fn renew(&mut self, handle: &JobHandle) {
        if !self.shown || self.since.elapsed() < RENEW {
            return;
        }
        self.since = Stopwatch::start();
        let report = handle.report();
        let holds = if self.line.observe(&report) {
            handle.watermarks()
        } else {
            Vec::new()
        };
        let columns = self.in_place.then(terminal::columns).flatten();
        let now_ms = self.clock.now_ms();
        let text = self.line.text(&report, &holds, now_ms, columns);
        if self.in_place {
            terminal::show_status(&text);
        } else {
            logs::say(&text);
        }
    }
}

/// An error without its line ends; what a user wrote needs no word on what kind of error it is.
pub(super) fn one_line(error: &BoxError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let line = lines.join("; ");
    match line.strip_prefix("configuration: ") {
        Some(rest) => rest.to_owned(),
        None => line,
    }
}

fn exit_status(error: &BoxError) -> u8 {
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::Config) => WRONG_SETTINGS,
        Some(ErrorKind::Closed) => OUTPUT_CLOSED,
        _ => FAILED,
    }
}
