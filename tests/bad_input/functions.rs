//! User functions that fail, under each policy.
