//! The one error type that users of the runtime see.

use std::error::Error as StdError;
use std::fmt;

/// The error of a user's function: anything that implements [`std::error::Error`], or a string.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong, chosen by what the caller must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A flag, an environment variable, a settings file or a combination of settings is wrong:
    /// correct it and start again.
    Config,
    /// The job graph is not sound (two operators with one uid, a window of size zero): correct the
    /// program.
    Graph,
    /// A source cannot be opened or read.
    Source,
    /// A sink cannot be opened, written or committed.
    Sink,
    /// A record that cannot be processed (malformed, or its event time out of range), in an operator whose
    /// error policy is to fail: correct the input, or choose another policy.
    Record,
    /// A user's function returned an error or panicked.
    UserFunction,
    /// A checkpoint could not be written; the job goes on and the next one is complete again.
    Checkpoint,
    /// A checkpoint cannot be read: damaged, foreign, or missing. Choose another one.
    Restore,
    /// A checkpoint is sound but does not fit the job: state names, types or versions differ.
    Incompatible,
    /// Another job holds the thing that this one needs (a checkpoint directory).
    Locked,
    /// Whoever read an output has gone away and wants no more: the job ends as a Unix filter does.
    Closed,
    /// A defect of Millstream itself.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Config => "configuration",
            ErrorKind::Graph => "job graph",
            ErrorKind::Source => "source",
            ErrorKind::Sink => "sink",
            ErrorKind::Record => "bad record",
            ErrorKind::UserFunction => "user function",
            ErrorKind::Checkpoint => "checkpoint",
            ErrorKind::Restore => "restore",
            ErrorKind::Incompatible => "incompatible checkpoint",
            ErrorKind::Locked => "in use",
            ErrorKind::Closed => "output closed",
            ErrorKind::Internal => "internal",
        })
    }
}

/// An error: its kind, what was being done (operator, worker, file), and its cause.
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` while doing what `context` says.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Error {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// The same with a cause.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Puts what was being done in front: `operator "count" on worker 1: …`.
    pub fn within(mut self, what: impl fmt::Display) -> Self {
        self.context = format!("{what}: {}", self.context);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {}", error_text(source.as_ref())),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    // The causes are part of `Display`, so that a plain `{error}` in a log says everything.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        None
    }
}

/// An error with its causes in one line.
pub(crate) fn error_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Turns a panic's payload into the text that the panic printed.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a text".to_owned()
    }
}
