//! Standard error shared by the status line, notices, logs, and what sinks print to the same terminal.
//!
//! On a terminal the status line is the last line and has no line end. Whoever prints whole lines
//! does it within [`around_status_line`]: the line is erased before and drawn anew after. Without a
//! status line that costs one relaxed load.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static IN_USE: AtomicBool = AtomicBool::new(false);
static LINE: Mutex<String> = Mutex::new(String::new());

/// Back to the first column, and erase the line.
const ERASE: &str = "\r\x1b[2K";
/// A line that is too long, for the terminal has become narrower since, is cut and does not wrap, else it
/// could not be erased.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

/// Runs `print`, which writes whole lines to standard output or standard error, so that the status
/// line of the same terminal does not mix with them.
pub fn around_status_line<R>(print: impl FnOnce() -> R) -> R {
    if !IN_USE.load(Ordering::Relaxed) {
        return print();
    }
    let line = line();
    erase(&line);
    let printed = print();
    draw(&line);
    printed
}

fn line() -> MutexGuard<'static, String> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

// A standard error that is gone is no reason to end the job: results are ignored.
fn erase(line: &str) {
    if !line.is_empty() {
        let _ = io::stderr().write_all(ERASE.as_bytes());
    }
}

fn draw(line: &str) {
    if !line.is_empty() {
        let drawn = format!("{ERASE}{WRAP_OFF}{line}{WRAP_ON}");
        let _ = io::stderr().write_all(drawn.as_bytes());
    }
}

/// How many columns the terminal of standard error has; none when it is no terminal.
pub(super) fn columns() -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(io::stderr())?;
    (columns > 0).then_some(columns.into())
}

/// Shows this text in the place of the status line.
pub(super) fn show_status(text: &str) {
    let mut line = line();
    IN_USE.store(true, Ordering::Relaxed);
    text.clone_into(&mut line);
    draw(&line);
}

/// Takes the status line away.
pub(super) fn clear_status() {
    let mut line = line();
    erase(&line);
    line.clear();
    IN_USE.store(false, Ordering::Relaxed);
}

/// Prints a line to standard error.
pub(super) fn notice(text: &str) {
    around_status_line(|| {
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    });
}

/// Prints text to standard output, for what was asked for: help, settings, explanations.
pub(super) fn answer(text: &str) {
    let mut out = io::stdout().lock();
    // `job --help | head -1` closes the pipe early; nothing is lost.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Standard error as the logs' writer.
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        around_status_line(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
