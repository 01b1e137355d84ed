//! Contenders of one case run in turn, A B A B, so that a change of the machine's mood meets all.

use super::options::Options;

/// One way to do the job of a case `C`, with figures `R`.
pub struct Contender<C, R> {
    /// As in tables, results and `--only`.
    pub name: &'static str,
    /// Runs the job once, in this process.
    pub run: fn(&C) -> R,
}

impl<C, R> Contender<C, R> {
    /// A contender under this name.
    pub const fn new(name: &'static str, run: fn(&C) -> R) -> Self {
        Contender { name, run }
    }
}

/// The runs of one contender.
pub struct Runs<R> {
    /// The contender's name.
    pub name: &'static str,
    /// Its runs, in the order in which they were made.
    pub runs: Vec<R>,
}

/// Runs those contenders that `options` wants, in turn, `options.repeats` times each.
pub fn take_turns<C, R>(
    contenders: &[Contender<C, R>],
    case: &C,
    case_name: &str,
    options: &Options,
) -> Vec<Runs<R>> {
    let wanted: Vec<_> = contenders
        .iter()
        .filter(|one| options.wants(one.name, case_name))
        .collect();
    let mut results: Vec<Runs<R>> = wanted
        .iter()
        .map(|one| Runs {
            name: one.name,
            runs: Vec::new(),
        })
        .collect();
    for _ in 0..options.repeats {
        for (contender, result) in wanted.iter().zip(&mut results) {
            result.runs.push((contender.run)(case));
        }
    }
    results
}

/// The median; the upper one of two.
///
/// # Panics
/// When there are no values, or one is not a number.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    values[values.len() / 2]
}
