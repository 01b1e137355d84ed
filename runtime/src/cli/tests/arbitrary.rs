//! Mutated settings files, flags and variables: a plan or a message, never a panic.

use super::{try_plan, try_plan_of_file};
use fastrand::Rng;

const FILE: &str = "\
# a comment
workers = 4
mode = \"micro-batch\"
batch-interval = \"100ms\"
checkpoint-dir = 'state'
max-in-flight-bytes = \"64MiB\"
spin = false

[set]
input = \"a.txt\"
top = 10
";

const SCRAPS: [&str; 18] = [
    "=",
    "\"",
    "'",
    "[",
    "]]",
    "\n",
    "#",
    "\u{0}",
    "\u{fffd}",
    "é",
    "--",
    "9999999999999999999999",
    "-1",
    "1e400",
    "{",
    "true",
    ".",
    "\\u",
];

fn mutated(random: &mut Rng, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=chars.len());
        match random.u8(..4) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = random.char(..),
            2 => chars.truncate(at),
            _ => {
                let scrap = SCRAPS[random.usize(..SCRAPS.len())];
                chars.splice(at..at, scrap.chars());
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn settings_files() {
    for seed in 0..800 {
        let mut random = Rng::with_seed(seed);
        let text = mutated(&mut random, FILE);
        if let Err(message) = try_plan_of_file(&text, &[]) {
            assert_eq!(message.lines().count(), 1, "seed {seed}: {message:?}");
        }
    }
}

#[test]
fn flags_and_variables() {
    let flags = [
        "--workers",
        "--mode",
        "--batch-interval",
        "--checkpoint-dir",
        "--tick",
        "--resume",
        "--fresh",
        "--set",
        "--input",
        "--log",
        "--explain",
        "--max-in-flight-bytes",
        "micro-batch",
        "1s",
        "a=b",
        "7",
        "--",
    ];
    for seed in 0..800 {
        let mut random = Rng::with_seed(seed);
        let args: Vec<String> = (0..random.usize(..6))
            .map(|_| {
                let flag = flags[random.usize(..flags.len())];
                match random.bool() {
                    true => flag.to_owned(),
                    false => mutated(&mut random, flag),
                }
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let value = mutated(&mut random, "10s");
        let names = [
            "MILLSTREAM_TICK",
            "MILLSTREAM_WORKERS",
            "MILLSTREAM_MODE",
            "MILLSTREAM_X",
        ];
        let variable = [(names[random.usize(..names.len())], value.as_str())];
        if let Err(message) = try_plan(&args, &variable) {
            assert_eq!(
                message.lines().count(),
                1,
                "seed {seed}, {args:?}: {message:?}"
            );
        }
    }
}
