//! Output modes, as Spark names them.

/// Which results of windows are put out. Without a mode a window puts out whatever its trigger says: by default
/// one result at its end, and one for each record within the allowed lateness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputMode {
    /// Final results only: one per window, when its end and the allowed lateness have passed. For windows that end by
    /// themselves, without a trigger of one's own.
    Append,
    /// Every change: a result for each record; with a trigger of one's own, each time it fires for a window that
    /// has changed since.
    Update,
    /// The whole table: whenever some window fires, the results of all windows of all keys so far. Windows are
    /// never dropped, so no record is late: for tables that stay small. Each worker puts out its part of the
    /// table, once for all windows that fire at one time.
    Complete,
}

impl OutputMode {
    pub(super) fn words(self) -> &'static str {
        match self {
            OutputMode::Append => "append",
            OutputMode::Update => "update",
            OutputMode::Complete => "complete",
        }
    }
}
