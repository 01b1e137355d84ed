//! What goes wrong, and what a job says and does about it: whole jobs through the public API. Each ends
//! within a deadline, with an error of the right kind that names its thing.

mod checkpoints;
mod connectors;
mod control;
mod disk;
mod fit;
mod flow;
mod harness;
mod idle;
mod resume;
mod user_code;
