//! Wrong flags, variables and files: each gives one line that names what is wrong.

use super::{program, try_plan, try_plan_of_file};
use crate::cli::args::Args;
use crate::cli::program::Program;
use std::process::ExitCode;

fn message(result: Result<super::Plan, String>, input: &str) -> String {
    match result {
        Err(message) => {
            assert_eq!(message.lines().count(), 1, "{message}");
            message
        }
        Ok(_) => panic!("{input} was accepted"),
    }
}

#[test]
fn flags() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--wrokers", "2"],
            "unknown flag --wrokers; did you mean --workers?",
        ),
        (
            &["--batch_interval=1s"],
            "unknown flag --batch_interval; did you mean --batch-interval?",
        ),
        (&["--xyzzy"], "unknown flag --xyzzy; --help lists all"),
        (&["-x"], "unknown flag -x; --help lists all"),
        (
            &["--inptu=a"],
            "unknown flag --inptu; did you mean --input?",
        ),
        (&["--workers"], "--workers needs a value"),
        (
            &["--checkpoint-dir", "--fresh"],
            "--checkpoint-dir needs a value",
        ),
        (&["--workers", "1", "-w", "2"], "--workers is given twice"),
        (&["--spin", "--spin"], "--spin is given twice"),
        (
            &["--workers", "two"],
            "--workers: expected a whole number, found \"two\"",
        ),
        (
            &["--workers", "-1"],
            "--workers: expected a whole number, found \"-1\"",
        ),
        (
            &["--workers", "1.5"],
            "--workers: expected a whole number, found \"1.5\"",
        ),
        (
            &["--workers="],
            "--workers: expected a whole number, found \"\"",
        ),
        (
            &["--max-parallelism", "99999999999"],
            "--max-parallelism: 99999999999 is too large",
        ),
        (&["--workers", "0"], "workers must be at least 1"),
        (
            &["--workers", "5", "--max-parallelism", "4"],
            "5 workers, but max-parallelism is 4",
        ),
        (
            &["--max-parallelism", "0"],
            "max-parallelism must lie in 1..=32768, not 0",
        ),
        (
            &["--mode", "batch"],
            "--mode: expected continuous or micro-batch, found \"batch\"",
        ),
        (
            &["--batch-interval", "1s"],
            "--batch-interval has no effect in continuous mode; add --mode micro-batch",
        ),
        (
            &["--mode", "micro-batch", "--batch-interval", "100"],
            "--batch-interval: 100 needs a unit: 100ms, 100s or 100m",
        ),
        (
            &["--tick", "10 parsecs"],
            "--tick: expected a time such as 250ms, 10s, 2m or 0, found \"10 parsecs\"",
        ),
        (
            &["--tick", "9999999999h"],
            "--tick: 9999999999h is too long, the longest time is 500 years",
        ),
        (&["--tick", "0"], "tick must be at least 1 ms, not 0ns"),
        (
            &["--trigger", "once"],
            "--trigger: expected unbounded or available-now, found \"once\"",
        ),
        (
            &["--guarantee", "exactly"],
            "--guarantee: expected at-most-once, at-least-once or exactly-once, found \"exactly\"",
        ),
        (
            &["--guarantee", "exactly-once"],
            "exactly-once needs a checkpoint directory (--checkpoint-dir)",
        ),
        (
            &["--guarantee", "at-most-once", "--checkpoint-dir", "c"],
            "at-most-once takes no checkpoints, but the checkpoint directory c is given",
        ),
        (
            &["--checkpoint-dir="],
            "--checkpoint-dir: the path is empty",
        ),
        (
            &["--retained-checkpoints", "0"],
            "retained-checkpoints must be at least 1",
        ),
        (
            &["--resume", "12"],
            "to resume from checkpoint 12 a checkpoint directory is needed (--checkpoint-dir)",
        ),
        (&["--resume", "0"], "--resume: checkpoints count from 1"),
        (&["--resume="], "--resume: the path is empty"),
        (
            &["--resume", "99999999999999999999"],
            "--resume: 99999999999999999999 is too large",
        ),
        (
            &["--resume", "3", "--fresh"],
            "--resume and --fresh contradict each other",
        ),
        (
            &["--spin=maybe"],
            "--spin: expected true or false, found \"maybe\"",
        ),
        (
            &["--max-in-flight", "0"],
            "max-in-flight, max-in-flight-bytes and max-batch-records must be at least 1",
        ),
        (
            &["--max-in-flight-bytes", "64Mi"],
            "--max-in-flight-bytes: expected a size such as 65536, 512KiB or 64MiB, found \"64Mi\"",
        ),
        (
            &["--max-in-flight-bytes", "99999999999GiB"],
            "--max-in-flight-bytes: 99999999999GiB is too large",
        ),
        (
            &["--status", "yes"],
            "--status: expected auto, on or off, found \"yes\"",
        ),
        (
            &["--log-format", "xml"],
            "--log-format: expected text or json, found \"xml\"",
        ),
        (
            &["--explain=svg"],
            "--explain: expected text, mermaid or dot, found \"svg\"",
        ),
        (&["--print-config=yes"], "--print-config takes no value"),
        (
            &["--set", "input"],
            "--set: expected NAME=VALUE, found \"input\"",
        ),
        (&["--set", "=5"], "--set: expected NAME=VALUE, found \"=5\""),
        (&["--set", "a=1", "--set", "A=2"], "option a is given twice"),
        (
            &["--input", "x", "--set", "input=y"],
            "option input is given twice",
        ),
    ];
    for (args, expected) in table {
        assert_eq!(message(try_plan(args, &[]), &args.join(" ")), *expected);
    }
}

#[cfg(unix)]
#[test]
fn text_that_is_not_utf8() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(b"a\xff".to_vec());
    let args = vec!["--checkpoint-dir".into(), broken()];
    let text = crate::cli::runner::plan(&program(), args, []).map(drop);
    let text = text.unwrap_err().to_string();
    assert_eq!(
        text,
        "configuration: --checkpoint-dir: a\u{fffd} is not UTF-8"
    );
    let variables = [("MILLSTREAM_LOG".into(), broken())];
    let text = crate::cli::runner::plan(&program(), vec![], variables).map(drop);
    let text = text.unwrap_err().to_string();
    assert_eq!(
        text,
        "configuration: MILLSTREAM_LOG: a\u{fffd} is not UTF-8"
    );
}

#[test]
fn a_log_filter_that_cannot_be_read() {
    let text = message(try_plan(&["--log", "runtime=loud"], &[]), "--log");
    assert!(text.starts_with("--log: \"runtime=loud\": "), "{text}");
}

#[test]
fn a_settings_file_that_is_not_there() {
    let text = message(try_plan(&["--config", "no/such.toml"], &[]), "--config");
    assert!(text.starts_with("settings file no/such.toml: "), "{text}");
    let variables = [("MILLSTREAM_CONFIG", "no/other.toml")];
    let text = message(try_plan(&[], &variables), "MILLSTREAM_CONFIG");
    assert!(text.starts_with("settings file no/other.toml: "), "{text}");
}

#[test]
fn variables() {
    let table: &[(&str, &str, &str)] = &[
        (
            "WORKERS",
            "many",
            "MILLSTREAM_WORKERS: expected a whole number, found \"many\"",
        ),
        ("WORKERS", "0", "workers must be at least 1"),
        (
            "TICK",
            "10",
            "MILLSTREAM_TICK: 10 needs a unit: 10ms, 10s or 10m",
        ),
        (
            "MODE",
            "Continuous",
            "MILLSTREAM_MODE: expected continuous or micro-batch, found \"Continuous\"",
        ),
        (
            "SPIN",
            "yes",
            "MILLSTREAM_SPIN: expected true or false, found \"yes\"",
        ),
        (
            "NO_CHAINING",
            "2",
            "MILLSTREAM_NO_CHAINING: expected true or false, found \"2\"",
        ),
        ("RESUME", "0", "MILLSTREAM_RESUME: checkpoints count from 1"),
    ];
    for (name, value, expected) in table {
        let name = format!("MILLSTREAM_{name}");
        let variables = [(name.as_str(), *value)];
        assert_eq!(message(try_plan(&[], &variables), &name), *expected);
    }
}

#[test]
fn files() {
    let table: &[(&str, &str)] = &[
        (
            "wrokers = 2",
            "job.toml:1: unknown setting wrokers; did you mean workers?",
        ),
        (
            "workers = 2\n\ncheckpoint_interval = \"1s\"",
            "job.toml:3: unknown setting checkpoint_interval; did you mean checkpoint-interval?",
        ),
        ("# nothing\nxyzzy = 1", "job.toml:2: unknown setting xyzzy"),
        (
            "[checkpoint]\ninterval = 1",
            "job.toml:1: unknown setting checkpoint; did you mean checkpoint-dir?",
        ),
        (
            "workers = \"2\"",
            "job.toml:1: workers: expected a whole number, found a text",
        ),
        (
            "workers = 1.5",
            "job.toml:1: workers: expected a whole number, found a number with a point",
        ),
        (
            "workers = -1",
            "job.toml:1: workers: expected a whole number, found \"-1\"",
        ),
        (
            "\nworkers = 99999999999999999999",
            "job.toml:2: workers: 99999999999999999999 is too large",
        ),
        (
            "spin = \"true\"",
            "job.toml:1: spin: expected true or false, found a text",
        ),
        (
            "tick = 10",
            "job.toml:1: tick: 10 needs a unit: 10ms, 10s or 10m",
        ),
        (
            "tick = 1.5",
            "job.toml:1: tick: expected a time such as \"10s\", found a number with a point",
        ),
        (
            "mode = true",
            "job.toml:1: mode: expected a text in quotes, found true or false",
        ),
        (
            "workers = 1\nmode = \"batch\"",
            "job.toml:2: mode: expected continuous or micro-batch, found \"batch\"",
        ),
        (
            "checkpoint-dir = [\"a\"]",
            "job.toml:1: checkpoint-dir: expected a text in quotes, found a list",
        ),
        (
            "guarantee = 2024-01-01",
            "job.toml:1: guarantee: expected a text in quotes, found a date",
        ),
        (
            "fresh = true\nresume = 3",
            "job.toml:2: resume and job.toml:1: fresh contradict each other",
        ),
        ("set = 1", "job.toml:1: set: expected a table, [set]"),
        (
            "[set]\ninput = [1]",
            "job.toml:2: option input: expected a text, a number, true or false, found a list",
        ),
        (
            "config = \"other.toml\"",
            "job.toml:1: unknown setting config",
        ),
        ("workers = 0", "workers must be at least 1"),
    ];
    for (text, expected) in table {
        assert_eq!(message(try_plan_of_file(text, &[]), text), *expected);
    }
}

#[test]
fn files_that_are_not_toml() {
    for (text, start) in [
        ("workers = 2\nworkers = 3", "job.toml:2: "),
        ("workers = 2\nmode = ", "job.toml:2: "),
        ("\n\nworkers 2", "job.toml:3: "),
        ("mode = \"continuous", "job.toml:1: "),
    ] {
        let text = message(try_plan_of_file(text, &[]), text);
        assert!(text.starts_with(start), "{text}");
    }
}

/// The exit status of the program, whose job is not to be built.
fn status(program: Program, args: &[&str]) -> ExitCode {
    program.run_with(args, [], |_: &Args| unreachable!("nothing is to be built"))
}

#[test]
fn wrong_settings_exit_with_2_and_a_question_with_0() {
    assert_eq!(status(program(), &["--workers", "two"]), ExitCode::from(2));
    assert_eq!(status(program(), &["--xyzzy"]), ExitCode::from(2));
    assert_eq!(status(program(), &["--help"]), ExitCode::SUCCESS);
    assert_eq!(status(program(), &["--version"]), ExitCode::SUCCESS);
    assert_eq!(status(program(), &["--print-config"]), ExitCode::SUCCESS);
}

#[test]
fn an_error_of_the_users_code_exits_with_1_and_an_unread_option_with_2() {
    let failing = program().run_with(["x"], [], |_: &Args| Err("no luck".into()));
    assert_eq!(failing, ExitCode::from(1));
    let graph = || crate::job::Builder::new("job").graph();
    let unread = program().run_with(["x"], [], |_: &Args| Ok(graph()));
    assert_eq!(unread, ExitCode::from(2));
    let missing = program().run_with(["x"], [], |args: &Args| {
        args.required::<String>(1, "OUTPUT")?;
        Ok(graph())
    });
    assert_eq!(missing, ExitCode::from(2));
}
