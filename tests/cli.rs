//! The `main` of a job, from outside: a process with its flags, its signals and its exit status.
//!
//! The process is this test binary itself, in the test [`child`], which runs a job when it is told
//! to and does nothing otherwise.

use millstream::connectors::console::Console;
use millstream::connectors::files::TextFiles;
use millstream::connectors::generator::Generator;
use millstream::connectors::null::Null;
use millstream::operators::main;
use millstream::runtime::cli::Program;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio, exit};
use std::sync::mpsc;
use std::time::Duration;

/// Tells the child to be a job; its value is its arguments, with a line for each.
const ARGS: &str = "CLI_TEST_ARGS";
const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: squares numbers; fails or hangs at one if it is asked to.
fn squares(args: Vec<String>) -> ExitCode {
    let program = Program::new("squares").option("rate", "numbers a second");
    program.run_with(args, std::env::vars_os(), |args| {
        let job = millstream::operators::Job::new("squares");
        let bad: Option<u64> = args.parsed("bad")?;
        let hang: Option<u64> = args.parsed("hang")?;
        let total = args.required(0, "TOTAL")?;
        let rate = args.parsed("rate")?.unwrap_or(1000.0);
        let numbers = Generator::new(|at, _| at.index).rate(rate).total(total);
        job.source("numbers", numbers)
            .map(move |n| {
                assert_ne!(Some(n), bad, "a number to fail at");
                while Some(n) == hang {
                    std::thread::park();
                }
                n * n
            })
            .sink("squares", Null::new());
        Ok(job.graph())
    })
}

#[test]
fn child() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = args.lines().map(str::to_owned).collect();
        let status = squares(args);
        // The status of a test is not that of its process.
        let code = (0..=2).find(|code| status == ExitCode::from(*code));
        exit(code.map_or(99, i32::from));
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(ARGS, args.join("\n"))
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end; the exit status and standard error.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = command(args).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A running child and the lines of its standard error.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        let reader = std::thread::Builder::new().name("errors".into());
        let read = move || {
            let mut lines = errors.lines().map_while(Result::ok);
            let _ = lines.try_for_each(|line| send.send(line));
        };
        reader.spawn(read).unwrap();
        Running { child, lines }
    }

    /// Waits for a line with this text.
    fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn status(mut self) -> Option<i32> {
        let mut rest = String::new();
        let mut out = self.child.stdout.take().unwrap();
        out.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_job_that_finishes() {
    let (status, errors) = run(&["500", "--rate", "100000", "--workers=2"]);
    assert_eq!(status, Some(0), "{errors}");
    let greeting = "squares: starting from the beginning; 2 workers, continuous, at-most-once";
    assert!(errors.contains(greeting), "{errors}");
    assert!(errors.contains(": 500 records read"), "{errors}");
}

#[test]
fn silence() {
    assert_eq!(run(&["500", "--status=off"]), (Some(0), String::new()));
}

#[test]
fn a_job_that_fails() {
    let (status, errors) = run(&["500", "--set", "bad=7", "--status=off", "--log=off"]);
    assert_eq!(status, Some(1), "{errors}");
    let last = errors.lines().last().unwrap();
    assert!(last.starts_with("error: user function: "), "{errors}");
    assert!(last.contains("a number to fail at"), "{errors}");
}

/// What it did until then is told before the error.
#[test]
fn a_job_that_fails_has_a_summary_too() {
    let (status, errors) = run(&["500", "--set=bad=7", "--log=off", "--status=on"]);
    assert_eq!(status, Some(1));
    let summary = errors
        .lines()
        .skip_while(|line| !line.starts_with("failed after "));
    let summary: Vec<&str> = summary.collect();
    assert!(summary[0].contains("records read"), "{errors}");
    assert!(summary[1].starts_with("  operator  kind "), "{errors}");
    assert!(
        summary
            .last()
            .unwrap()
            .starts_with("error: user function: "),
        "{errors}"
    );
}

#[test]
fn wrong_arguments() {
    for (args, expected) in [
        (
            &["--wrokers", "2"][..],
            "error: unknown flag --wrokers; did you mean --workers?\n",
        ),
        (&[], "error: the argument TOTAL is missing\n"),
        (&["5", "6"], "error: unexpected argument \"6\"\n"),
        (
            &["5", "--set", "rte=6"],
            "error: --set rte: the program has no such option; did you mean rate?\n",
        ),
        (
            &["many"],
            "error: argument TOTAL: \"many\": invalid digit found in string\n",
        ),
        (
            &["5", "--rate", "fast"],
            "error: --rate: \"fast\": invalid float literal\n",
        ),
    ] {
        assert_eq!(run(args), (Some(2), expected.to_owned()));
    }
}

/// The lines of standard error, each a JSON object, but for the report of a panic: who calls `run_with` has set
/// that up for himself.
fn json_lines(errors: &str) -> Vec<serde_json::Value> {
    let lines = errors.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The log event with this message.
#[track_caller]
fn event<'a>(lines: &'a [serde_json::Value], message: &str) -> &'a serde_json::Value {
    let found = lines.iter().find(|line| line["message"] == message);
    found.unwrap_or_else(|| panic!("no event \"{message}\" in {lines:#?}"))
}

#[test]
fn logs_for_machines() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoints = format!("--checkpoint-dir={}", directory.path().display());
    let args = [
        "500",
        "--rate=100000",
        "--log-format=json",
        "--log=debug",
        &checkpoints,
    ];
    let (status, errors) = run(&args);
    assert_eq!(status, Some(0), "{errors}");
    let lines = json_lines(&errors);
    let starting = event(&lines, "starting");
    assert_eq!(starting["span"]["job"], "squares");
    assert_eq!(starting["workers"], 1);
    assert_eq!(starting["guarantee"], "exactly-once");
    assert_eq!(starting["checkpoint_interval"], "1s");
    event(&lines, "no checkpoint: starting from the beginning");
    let splits = event(&lines, "splits found");
    assert_eq!(splits["operator"], "numbers");
    assert!(splits["uid"].is_string() && splits["new"].as_u64() > Some(0));
    let checkpoint = event(&lines, "checkpoint complete");
    assert_eq!(checkpoint["span"]["worker"], 0);
    assert_eq!(checkpoint["checkpoint"], 1);
    assert_eq!(checkpoint["level"], "DEBUG");
    let ended = event(&lines, "ended");
    assert_eq!(ended["outcome"], "finished");
    assert_eq!(
        (&ended["records_read"], &ended["last_checkpoint"]),
        (&500.into(), &1.into())
    );

    let (_, errors) = run(&["500", "--log-format=json", "--log=info", &checkpoints]);
    assert_eq!(event(&json_lines(&errors), "restored")["checkpoint"], 1);
}

#[test]
fn a_failure_for_machines() {
    let args = ["500", "--set=bad=7", "--log-format=json", "--log=info"];
    let (status, errors) = run(&args);
    assert_eq!(status, Some(1));
    let lines = json_lines(&errors);
    let failed = event(&lines, "operator failed");
    assert_eq!(failed["span"]["worker"], 0);
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("a number to fail at")
    );
    assert_eq!(event(&lines, "ended")["outcome"], "failed");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["level"], &last["kind"]),
        (&"ERROR".into(), &"user function".into())
    );
    // The filter may not swallow it.
    let (_, errors) = run(&[&args[..3], &["--log=off"]].concat());
    assert!(errors.contains("\nerror: user function: "), "{errors}");
}

#[test]
fn explain_runs_nothing() {
    let output = command(&["5", "--explain", "mermaid"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("flowchart LR"), "{text}");
    assert!(output.stderr.is_empty());
}

/// Stopped by either signal, and resumed with the same command.
#[test]
fn a_signal_stops_the_job_after_a_last_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoints = format!("--checkpoint-dir={}", directory.path().display());
    let args = ["1000000000", &checkpoints, "--status=on"];
    for (signal, greeting) in [
        ("-INT", "starting from the beginning"),
        ("-TERM", "restored checkpoint "),
        ("-INT", "restored checkpoint "),
    ] {
        let job = Running::start(&args);
        job.wait_for(greeting);
        job.wait_for(" | in flight ");
        job.signal(signal);
        job.wait_for("stopping; ");
        job.wait_for("stopped after ");
        job.wait_for("squares: stopped; resume with the same command");
        assert_eq!(job.status(), Some(0));
    }
}

/// A job that does not come to its end can still be ended.
#[test]
fn a_second_signal_kills() {
    let job = Running::start(&["100", "--set", "hang=5"]);
    job.wait_for("starting from the beginning");
    job.signal("-TERM");
    job.wait_for("a second signal kills at once");
    job.signal("-INT");
    job.wait_for("killed");
    assert_eq!(job.status(), Some(130));
}

#[test]
fn main_reads_well() {
    // Compiled, not run: the shape that the manual shows.
    fn _main() -> ExitCode {
        main("word-count", |job, args| {
            let input: String = args.required(0, "INPUT")?;
            job.source("lines", TextFiles::new(input))
                .flat_map(|line: String| {
                    let words = line.split_whitespace().map(str::to_lowercase);
                    words.collect::<Vec<_>>()
                })
                .key_by(|word: &String| word.clone())
                .count()
                .sink("counts", Console::debug());
            Ok(())
        })
    }
}
