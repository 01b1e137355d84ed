//! Log lines on standard error, and panics as log lines.
//!
//! With `--log-format json` every line of standard error is a JSON object: what would be plain text otherwise (the
//! line at the start, the status line, the error at the end) is a log event then, and subject to the filter.

use super::setting::{LogFormat, Settings};
use super::terminal::{self, LogWriter};
use crate::error::ErrorKind;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::EnvFilter;

/// Whether a filter can be read.
pub(super) fn check(filter: &str) -> Result<(), String> {
    let read = EnvFilter::builder().parse(filter);
    read.map(drop)
        .map_err(|error| format!("\"{filter}\": {error}"))
}

/// Starts to log. A program that has set up its own logging before keeps it.
pub(super) fn start(settings: &Settings) {
    let filter = EnvFilter::builder().parse_lossy(&settings.log);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .with_ansi(stderr().is_terminal());
    // An error says that there is a subscriber already.
    let _ = match settings.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    };
    JSON.store(settings.log_format == LogFormat::Json, Ordering::Relaxed);
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Whether standard error is for machines.
pub(super) fn are_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Says something to whoever started the job.
pub(super) fn say(text: &str) {
    match are_json() {
        true => tracing::info!(target: "millstream", "{text}"),
        false => terminal::notice(text),
    }
}

/// Says what is wrong; also when the filter lets no error through.
pub(super) fn complain(kind: Option<ErrorKind>, text: &str) {
    match are_json() && tracing::enabled!(target: "millstream", tracing::Level::ERROR) {
        true => {
            tracing::error!(target: "millstream", kind = kind.map(tracing::field::display), "{text}")
        }
        false => terminal::notice(&format!("error: {text}")),
    }
}

/// Says what is doubtful.
pub(super) fn warn(text: &str) {
    match are_json() {
        true => tracing::warn!(target: "millstream", "{text}"),
        false => terminal::notice(&format!("warning: {text}")),
    }
}

/// A panic in a user's function ends the job with an error of one line; where it happened goes to the
/// log. With `RUST_BACKTRACE` set, the standard report is printed as well.
pub(super) fn log_panics() {
    let report = std::panic::take_hook();
    let wants_backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        let text = crate::error::panic_text(panic.payload());
        tracing::error!(thread, place, "panic: {text}");
        if wants_backtrace {
            report(panic);
        }
    }));
}
