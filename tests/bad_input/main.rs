//! Bad input of every kind: each gets an error or a count that names its thing, within a deadline, and no
//! good record is lost.

#[allow(dead_code)] // each binary uses a part of it
#[path = "../failure/harness.rs"]
mod harness;

mod clocks;
mod files;
mod full_disk;
mod functions;
mod rubbish;
mod sinks;
mod source;
mod table;
mod times;
mod windows;
