//! What crosses the files of the command line: bad input, precedence, the manual, the lines people see.

mod arbitrary;
mod bad_input;
mod lines;
mod manual;
mod precedence;

use super::program::Program;
use super::runner::{Plan, one_line, plan};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A program with an option of its own, as users write them.
fn program() -> Program {
    Program::new("job").option("input", "what to read")
}

/// What the program would do with these arguments and variables, or the line that says what is wrong.
fn try_plan(args: &[&str], variables: &[(&str, &str)]) -> Result<Plan, String> {
    let args = args.iter().map(OsString::from).collect();
    let variables = variables.iter().map(|(n, v)| (n.into(), v.into()));
    plan(&program(), args, variables).map_err(|error| one_line(&error.into()))
}

/// The same with a settings file, whose name `job.toml` in the error has no directory.
fn try_plan_of_file(text: &str, args: &[&str]) -> Result<Plan, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.toml");
    fs::write(&path, text).unwrap();
    let mut all = vec!["--config", path.to_str().unwrap()];
    all.extend(args);
    try_plan(&all, &[]).map_err(|error| without(directory.path(), &error))
}

fn without(directory: &Path, text: &str) -> String {
    text.replace(&format!("{}/", directory.display()), "")
}

/// The text of a plan that prints one.
fn shown(plan: Plan) -> String {
    match plan {
        Plan::Show(text) => text,
        Plan::Run(_) => panic!("the job would run"),
    }
}
