//! State that a user's function changes and may fail to change.

use millstream_runtime::operator::UserResult;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Lets a user's function change `state`. Where a record that fails is set aside and the job goes on
/// (`tolerant`, see [`OperatorContext`](millstream_runtime::operator::OperatorContext)), a copy is kept, and a
/// change that panics is taken back; otherwise this costs nothing.
#[inline]
pub(crate) fn change<S: Clone, R>(
    state: &mut S,
    tolerant: bool,
    change: impl FnOnce(&mut S) -> R,
) -> R {
    if !tolerant {
        return change(state);
    }
    let before = state.clone();
    match catch_unwind(AssertUnwindSafe(|| change(state))) {
        Ok(done) => done,
        Err(panic) => {
            *state = before;
            resume_unwind(panic)
        }
    }
}

/// Takes a record; if a user's function fails or panics in it, what it changed is undone first. For operators under a policy
/// that lets the job go on.
pub(crate) fn or_undo<S>(
    state: &mut S,
    take: impl FnOnce(&mut S) -> UserResult,
    undo: impl FnOnce(&mut S),
) -> UserResult {
    let taken = catch_unwind(AssertUnwindSafe(|| take(state)));
    if !matches!(taken, Ok(Ok(()))) {
        undo(state);
    }
    taken.unwrap_or_else(|panic| resume_unwind(panic))
}
