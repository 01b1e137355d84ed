//! A job as a Unix filter: standard input to standard output, in real pipes.
//!
//! The filter is this binary itself, told so by its environment; it has no test harness, which would print to
//! standard output, too.

use millstream::connectors::console::Console;
use millstream::connectors::stdin::Stdin;
use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::Duration;

const CHILD: &str = "PIPES_TEST_FILTER";
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a filter that was killed by SIGPIPE, as shells report it.
const OUTPUT_CLOSED: i32 = 141;

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return filter();
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let tests: [(&str, fn()); 9] = [
        ("output_ends_with_the_input", output_ends_with_the_input),
        ("nothing_in_nothing_out", nothing_in_nothing_out),
        ("much_input_in_both_modes", much_input_in_both_modes),
        ("json_in_csv_out", json_in_csv_out),
        (
            "a_reader_that_has_enough_ends_the_job",
            a_reader_that_has_enough_ends_the_job,
        ),
        ("a_shell_pipeline", a_shell_pipeline),
        ("a_bad_line_is_named", a_bad_line_is_named),
        (
            "a_reader_that_waits_loses_nothing",
            a_reader_that_waits_loses_nothing,
        ),
        (
            "the_next_run_reads_its_own_input",
            the_next_run_reads_its_own_input,
        ),
    ];
    for (name, test) in tests {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    name: String,
    count: u32,
}

/// The program: what it does is its first argument.
fn filter() -> ExitCode {
    millstream::main("filter", |job, args| {
        match &*args.required::<String>(0, "WHAT")? {
            "upper" => job
                .source("in", Stdin::<String>::lines())
                .map(|line: String| line.to_uppercase())
                .sink("out", Console::new()),
            "count" => job
                .source("in", Stdin::<String>::lines())
                .key_by(|line: &String| line.clone())
                .count()
                .map(|(line, count)| format!("{line} {count}"))
                .sink("out", Console::new()),
            "rows" => job
                .source("in", Stdin::<Row>::json_lines())
                .filter(|row: &Row| row.count > 1)
                .sink("out", Console::csv()),
            _ => job
                .source("numbers", Generator::new(|at, _| at.index))
                .sink("out", Console::new()),
        };
        Ok(())
    })
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(args)
        .env(CHILD, "1")
        .env_remove("RUST_BACKTRACE");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the end of a process that must end.
fn finish(mut child: Child) -> Output {
    let watch = Stopwatch::start();
    while child.try_wait().unwrap().is_none() {
        if watch.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the filter does not end");
        }
        std::thread::yield_now();
    }
    child.wait_with_output().unwrap()
}

/// What comes of `input`.
fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input); // the filter may end before
        });
        let out = scope.spawn(move || read(&mut stdout));
        let err = scope.spawn(move || read(&mut stderr));
        let output = finish(child);
        Output {
            stdout: out.join().unwrap(),
            stderr: err.join().unwrap(),
            ..output
        }
    })
}

fn read(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn output_ends_with_the_input() {
    let output = run(&["upper"], b"one\ntwo\r\n\nno line end");
    assert_eq!(text(&output.stdout), "ONE\nTWO\n\nNO LINE END\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // What there is to say about the run goes to standard error, and can be turned off.
    assert!(
        text(&output.stderr).contains("4 records read"),
        "{output:?}"
    );
    let output = run(&["upper", "--status", "off"], b"one\n");
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("ONE\n", ""));
}

fn nothing_in_nothing_out() {
    let output = run(&["upper", "--status", "off"], b"");
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    assert_eq!(output.status.code(), Some(0));
    let child = command(&["upper"]).stdin(Stdio::null()).spawn().unwrap();
    assert_eq!(finish(child).status.code(), Some(0));
}

fn much_input_in_both_modes() {
    let input: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    for mode in [
        &["--mode", "continuous"][..],
        &["--mode", "micro-batch", "--batch-interval", "5ms"],
    ] {
        let args = [&["upper", "--status", "off"], mode].concat();
        let output = run(&args, input.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout) == input.to_uppercase(), "{mode:?}");
    }
}

fn json_in_csv_out() {
    let input = b"{\"name\":\"a\",\"count\":1}\n{\"name\":\"b, c\",\"count\":2}\n";
    let output = run(&["rows"], input);
    assert_eq!(text(&output.stdout), "\"b, c\",2\n");
}

fn a_reader_that_has_enough_ends_the_job() {
    for mode in ["continuous", "micro-batch"] {
        let mut child = command(&["numbers", "--mode", mode]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
        assert_eq!(first, ["0", "1", "2"]);
        drop(lines);
        let output = finish(child);
        assert_eq!(output.status.code(), Some(OUTPUT_CLOSED), "{output:?}");
        let said = text(&output.stderr).to_lowercase();
        assert!(!said.contains("error") && !said.contains("panic"), "{said}");
    }
}

/// The shell's own idea of pipes: `cat`, `sort`, and `head`, which closes early.
fn a_shell_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in.txt");
    let lines: String = (0..5_000).map(|n| format!("{}\n", n % 1_000)).collect();
    std::fs::write(&file, lines).unwrap();
    let script = "cat \"$1\" | \"$0\" upper 2>/dev/null | sort -n | uniq -c | head -2; \
                  \"$0\" upper <\"$1\" 2>/dev/null | head -1";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(&file)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let words: Vec<&str> = text(&output.stdout).split_whitespace().collect();
    assert_eq!(words, ["5", "0", "5", "1", "0"], "{output:?}");
}

fn a_bad_line_is_named() {
    let output = run(&["upper"], b"good\n\xff\nnever read\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    for part in ["operator \"in\"", "standard input", "line 2", "UTF-8"] {
        assert!(said.contains(part), "{said}");
    }
}

/// The pipe is full for a while: the job waits with it.
fn a_reader_that_waits_loses_nothing() {
    let input: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let mut child = command(&["upper", "--status", "off"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.clone();
    let writer = std::thread::Builder::new()
        .spawn(move || stdin.write_all(bytes.as_bytes()).unwrap())
        .unwrap();
    // All of it is written once the job has taken it: more than the output's pipe holds is then in the job.
    writer.join().unwrap();
    let out = read(&mut child.stdout.take().unwrap());
    assert!(text(&out) == input.to_uppercase());
    assert_eq!(finish(child).status.code(), Some(0));
}

/// With a checkpoint directory the second run found its input done, since that of the first had ended, and read
/// nothing.
fn the_next_run_reads_its_own_input() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "count",
        "--status",
        "off",
        "--checkpoint-dir",
        dir.path().to_str().unwrap(),
    ];
    for (input, expected) in [
        ("a\nb\na\n", "a 1\nb 1\na 2\n"),
        ("", ""),
        ("a\nb\n", "a 3\nb 2\n"),
    ] {
        let output = run(&args, input.as_bytes());
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    }
}
