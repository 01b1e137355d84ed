//! Dead letters: what cannot be processed is kept, looked at, mended, and processed after all.
//!
//! ```text
//! cargo run --release --example 09_dead_letters
//! ```
//!
//! The first job reads orders as JSON lines and adds up the sales per article. Some lines are rubbish, and one order
//! makes a function fail. The job could fail (the default), or skip them and count; here each becomes a *dead letter*
//! that says which operator could not process it, where it was, why, and what it was. Dead letters are a
//! stream like any other, as exactly-once as the results; they go to a file.
//!
//! The second job is what somebody writes the next morning: it reads that file, mends what can be mended, and ends when
//! it has worked off what is there (`Trigger::AvailableNow`). Run again it would read only what had been added since:
//! its place in the file is in its checkpoint.
//!
//! Prints the running totals of the first job, the dead letters, and what was recovered. Nothing is lost: of eight lines
//! five are good, one is mended, and two are beyond help and are printed with their reasons.

use anyhow::Context;
use millstream::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    article: String,
    pieces: u32,
    cents: u64,
}

const ORDERS: &str = r#"{"article": "kettle", "pieces": 2, "cents": 3950}
{"article": "teapot", "pieces": 1, "cents": 2500}
{"article": "kettle", "pieces": "three", "cents": 3950}
{"article": "lamp", "pieces": 4, "cents": 1200}
{"article": "lamp", "pieces": 1, "ce
{"article": "teapot", "pieces": 0, "cents": 2500}
{"article": "lamp", "pieces": 2, "cents": 1250}
{"article": "kettle", "pieces": 1, "cents": 4000}
"#;

const FOLDER: &str = "target/dead-letters";

fn main() -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("orders.jsonl"), ORDERS)?;

    println!("sales");
    sell(folder)?;
    println!("dead letters");
    show(folder)?;
    println!("recovered");
    replay(folder)
}

/// An order's worth. An order for nothing is a mistake of whoever made it.
fn worth(order: Order) -> Result<(String, u64), String> {
    match order.pieces {
        0 => Err("an order for no pieces".into()),
        pieces => Ok((order.article, u64::from(pieces) * order.cents)),
    }
}

/// The job of every day.
fn sell(folder: &Path) -> anyhow::Result<()> {
    let job = Job::new("sales");
    let orders = FileSource::<Order>::json_lines(folder.join("orders.jsonl").display().to_string());
    let orders = job
        .source("orders", orders)
        .on_error(ErrorPolicy::DeadLetter);
    let sales = orders
        .try_map(worth)
        .name("worth")
        .on_error(ErrorPolicy::DeadLetter);
    print_totals(&sales);
    // All dead letters of the job; `stream.dead_letters()` would be those of one operator.
    let dead = job
        .dead_letters()
        .context("two operators have dead letters")?;
    dead.sink("dead letters", FileSink::json_lines(folder.join("dead")));
    run(&job, JobConfig::default())
}

/// The job of the next morning.
fn replay(folder: &Path) -> anyhow::Result<()> {
    let job = Job::new("replay");
    let letters = FileSource::<DeadLetter>::json_lines(folder.join("dead").display().to_string());
    let mended = job
        .source("dead letters", letters)
        .try_map(|letter| mend(&letter));
    let (mended, hopeless) = mended.name("mend").dead_letters();
    print_totals(&mended.try_map(worth));
    hopeless
        .map(|letter| format!("  beyond help: {}", letter.reason))
        .sink("hopeless", Console::new());
    let config = JobConfig {
        trigger: Trigger::AvailableNow,
        checkpoint_dir: Some(folder.join("replay-checkpoints")),
        ..JobConfig::default()
    };
    run(&job, config)
}

/// Some people write numbers as words; what was cut short or ordered by mistake stays what it is.
fn mend(letter: &DeadLetter) -> Result<Order, String> {
    if letter.kind != DeadLetterKind::Malformed {
        return Err(format!("{}, {}", letter.reason, letter.payload));
    }
    let words = [("\"one\"", "1"), ("\"two\"", "2"), ("\"three\"", "3")];
    let text = words
        .iter()
        .fold(letter.payload.clone(), |text, (word, number)| {
            text.replace(word, number)
        });
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

/// Adds up the cents of each article and prints each new total.
fn print_totals(sales: &Stream<(String, u64)>) {
    sales
        .keyed()
        .reduce(|total, cents| total + cents)
        .map(|(article, cents)| format!("  {article:8} {:3}.{:02}", cents / 100, cents % 100))
        .sink("totals", Console::new());
}

fn show(folder: &Path) -> anyhow::Result<()> {
    for file in std::fs::read_dir(folder.join("dead"))? {
        let path = file?.path();
        if path.is_file() {
            for line in std::fs::read_to_string(path)?.lines() {
                let letter: DeadLetter = serde_json::from_str(line)?;
                println!(
                    "  {} could not process {}: {}",
                    letter.operator, letter.position, letter.reason
                );
            }
        }
    }
    Ok(())
}

fn run(job: &Job, config: JobConfig) -> anyhow::Result<()> {
    job.start(config)?.wait()?;
    Ok(())
}
