//! The `main` of a job's binary: settings, signals, the status line, the summary and the exit status.
//!
//! [`Program::run`] does it all; the operators crate puts `main` and `Job::run_main` on top of it.
//! A setting is one line of a table (`table.rs`): flag, environment variable, TOML key, help and
//! manual are made from it. Precedence: flag, environment, settings file, the program's defaults,
//! the library's defaults.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | the job finished, or was stopped by SIGINT or SIGTERM after a last checkpoint |
//! | 1 | the job failed; one line on standard error says why |
//! | 2 | a flag, a variable, the settings file or an argument is wrong; nothing was started |
//! | 130 | killed by a second signal |

mod args;
mod env;
mod file;
mod fit;
mod flags;
pub mod human;
mod layers;
mod logs;
mod program;
mod runner;
mod setting;
mod signals;
mod status;
mod summary;
mod table;
pub mod terminal;
#[cfg(test)]
mod tests;
mod text;

pub use args::Args;
pub use program::Program;
