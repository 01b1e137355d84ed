//! State that a user's function changes and may fail to change.

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
