//! One table row per contender and case for people, one JSON line per run for programs.
//!
//! The first contender of a case is the one that the others are compared with.

use super::answer::Answer;
use super::contest::{Runs, median};
use super::latency::{LatencyRun, PERCENTILES};
use super::machine;
use super::options::Options;
use super::throughput::ThroughputRun;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::ExitCode;

/// Where the figures of one bench go, and whether all contenders agreed so far.
pub struct Report {
    bench: &'static str,
    out: Option<File>,
    agreed: bool,
}

impl Report {
    /// Opens the result file, if one is wanted, and writes the machine at its head.
    ///
    /// # Errors
    /// When the result file cannot be written.
    pub fn open(bench: &'static str, options: &Options) -> std::io::Result<Report> {
        let out = match &options.out {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        let mut report = Report {
            bench,
            out,
            agreed: true,
        };
        let machine = machine::describe();
        println!("# {bench} on {machine}");
        report.write_line(&json!({ "bench": bench, "machine": machine }))?;
        Ok(report)
    }

    /// Reports the runs of a latency case; columns p50 and p99 against the first contender.
    ///
    /// # Errors
    /// When the result file cannot be written.
    pub fn latency(&mut self, case: &str, results: &[Runs<LatencyRun>]) -> std::io::Result<()> {
        for result in results {
            let figures = median_run(&result.runs);
            let first = median_run(&results[0].runs);
            println!("{}", latency_row(case, result.name, &figures, &first));
            for (number, run) in result.runs.iter().enumerate() {
                self.write_run(case, result.name, number, latency_json(run))?;
            }
        }
        self.compare(
            case,
            results
                .iter()
                .flat_map(|r| r.runs.iter().map(|run| (r.name, run.answer))),
        );
        Ok(())
    }

    /// Reports the runs of a throughput case that works off `amount` of `unit` (in millions).
    ///
    /// # Errors
    /// When the result file cannot be written.
    pub fn throughput(
        &mut self,
        case: &str,
        amount: f64,
        unit: &str,
        results: &[Runs<ThroughputRun>],
    ) -> std::io::Result<()> {
        let rate = |runs: &[ThroughputRun]| amount / median(runs.iter().map(|run| run.seconds));
        for result in results {
            let (own, first) = (rate(&result.runs), rate(&results[0].runs));
            let answer = result.runs[0].answer;
            println!(
                "{case:<22} {:<12} {own:>8.1} {unit:<5} {:>6.2} of {:<8} {answer}",
                result.name,
                own / first,
                results[0].name
            );
            for (number, run) in result.runs.iter().enumerate() {
                let figures = json!({
                    "seconds": run.seconds,
                    "rate": amount / run.seconds,
                    "unit": unit,
                    "hash": run.answer.to_string(),
                });
                self.write_run(case, result.name, number, figures)?;
            }
        }
        self.compare(
            case,
            results
                .iter()
                .flat_map(|r| r.runs.iter().map(|run| (r.name, run.answer))),
        );
        Ok(())
    }

    /// Reports figures that have no table of their own: one line for people, one for programs.
    ///
    /// # Errors
    /// When the result file cannot be written.
    pub fn figures(
        &mut self,
        case: &str,
        contender: &str,
        number: usize,
        figures: Value,
    ) -> std::io::Result<()> {
        println!("{case:<22} {contender:<12} {}", listed(&figures));
        self.write_run(case, contender, number, figures)
    }

    /// Takes note of a figure that is not as it must be: the process will fail.
    pub fn fail(&mut self, what: &str) {
        println!("FAILED: {what}");
        self.agreed = false;
    }

    /// Failure when two contenders gave different answers.
    pub fn finish(self) -> ExitCode {
        if self.agreed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn compare(&mut self, case: &str, answers: impl Iterator<Item = (&'static str, Answer)>) {
        let mut first = None;
        for (name, answer) in answers {
            let (first_name, expected) = *first.get_or_insert((name, answer));
            if answer != expected {
                println!("{case}: ANSWER OF {name} DIFFERS: {answer}, {first_name} has {expected}");
                self.agreed = false;
            }
        }
    }

    fn write_run(
        &mut self,
        case: &str,
        contender: &str,
        number: usize,
        figures: Value,
    ) -> std::io::Result<()> {
        let mut line = Map::new();
        line.insert("bench".into(), self.bench.into());
        line.insert("case".into(), case.into());
        line.insert("contender".into(), contender.into());
        line.insert("run".into(), (number + 1).into());
        if let Value::Object(figures) = figures {
            line.extend(figures);
        }
        self.write_line(&Value::Object(line))
    }

    fn write_line(&mut self, line: &Value) -> std::io::Result<()> {
        match &mut self.out {
            Some(out) => writeln!(out, "{line}"),
            None => Ok(()),
        }
    }
}

/// `name value` pairs in a row.
fn listed(figures: &Value) -> String {
    let Value::Object(figures) = figures else {
        return figures.to_string();
    };
    let pairs = figures
        .iter()
        .map(|(name, value)| format!("{name} {value}"));
    pairs.collect::<Vec<_>>().join("  ")
}

/// Prints the head of a latency table.
pub fn print_latency_head() {
    print!("{:<22} {:<12}", "case", "contender");
    PERCENTILES.iter().for_each(|name| print!(" {name:>9}"));
    println!(
        "  {:>8} {:>9} {:>6} {:>6}  hash/rows",
        "samples", "rec/s", "x p50", "x p99"
    );
}

fn latency_row(case: &str, name: &str, run: &LatencyRun, first: &LatencyRun) -> String {
    let times: Vec<String> = run
        .ns
        .iter()
        .map(|ns| format!("{:>9}", human(*ns)))
        .collect();
    let ratio = |i: usize| run.ns[i] as f64 / first.ns[i] as f64;
    format!(
        "{case:<22} {name:<12} {}  {:>8} {:>9.0} {:>6.2} {:>6.2}  {}",
        times.join(" "),
        run.samples,
        run.achieved_per_s,
        ratio(0),
        ratio(2),
        run.answer
    )
}

fn latency_json(run: &LatencyRun) -> Value {
    let mut figures = Map::new();
    figures.insert("samples".into(), run.samples.into());
    figures.insert("achieved_per_s".into(), run.achieved_per_s.round().into());
    for (name, ns) in PERCENTILES.iter().zip(run.ns) {
        figures.insert(format!("{name}_ns"), ns.into());
    }
    figures.insert("hash".into(), run.answer.to_string().into());
    Value::Object(figures)
}

/// Each figure's median over the runs.
fn median_run(runs: &[LatencyRun]) -> LatencyRun {
    LatencyRun {
        samples: runs[0].samples,
        achieved_per_s: median(runs.iter().map(|run| run.achieved_per_s)),
        ns: std::array::from_fn(|i| median(runs.iter().map(|run| run.ns[i] as f64)) as u64),
        answer: runs[0].answer,
    }
}

fn human(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.2} µs", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} µs", ns as f64 / 1e3),
        _ => format!("{:.2} ms", ns as f64 / 1e6),
    }
}
