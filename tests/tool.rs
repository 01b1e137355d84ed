//! The `millstream` tool as a process, on good, damaged, foreign and empty directories.

use millstream::prelude::*;
use millstream::runtime::checkpoint::DirectoryStore;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Exit status, standard output, standard error.
fn tool(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What a command answers in JSON, whatever its status.
fn json(args: &[&str]) -> Value {
    let (_, out, err) = tool(&[args, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

/// A directory with two checkpoints of a count per word, the second the last of its job.
struct Checkpoints {
    dir: tempfile::TempDir,
    first: u64,
    last: u64,
}

impl Checkpoints {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = |words: &[&str], ends: bool| {
            let job = Job::new("words");
            let (send, source) = memory::channel(10);
            job.source("words", source)
                .key_by(|word: &String| word.clone())
                .count()
                .name("count")
                .sink("out", Null::new());
            let config = JobConfig {
                workers: 2,
                checkpoint_dir: Some(dir.path().into()),
                checkpoint_interval: Duration::from_secs(3_600),
                retained_checkpoints: 9,
                ..JobConfig::default()
            };
            let handle = job.start(config).unwrap();
            for word in words {
                send.send((*word).to_owned()).unwrap();
            }
            while handle.report().records_written() < words.len() as u64 {
                assert!(!handle.wait_for(Duration::from_millis(2)), "the job ended");
            }
            match ends {
                true => send.close(),
                false => handle.stop(),
            }
            handle.wait().unwrap().last_checkpoint
        };
        let first = run(&["tick", "tock", "tick"], false);
        let last = run(&["tock", "bang"], true);
        Checkpoints { dir, first, last }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn at(&self, checkpoint: u64) -> String {
        format!("{}@{checkpoint}", self.path().display())
    }

    fn text(&self) -> &str {
        self.path().to_str().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Flips a bit in the middle of a part of the last checkpoint; its name.
    fn damage(&self) -> String {
        let name = format!("part-{:012}-0000.mill", self.last);
        let mut bytes = std::fs::read(self.file(&name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(self.file(&name), bytes).unwrap();
        name
    }
}

#[test]
fn list() {
    let all = Checkpoints::make();
    let (status, out, _) = tool(&["list", all.text()]);
    assert_eq!(status, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].contains("number") && lines[0].contains("taken (UTC)"),
        "{out}"
    );
    assert!(
        lines[1].trim_start().starts_with(&all.last.to_string()),
        "{out}"
    );
    assert!(
        lines[1].contains("final") && lines[1].contains("words"),
        "{out}"
    );
    let json = json(&["list", all.text()]);
    assert_eq!(json["checkpoints"][1]["checkpoint"], all.first);
    assert_eq!(json["checkpoints"][0]["workers"], 2);
    assert_eq!(json["next_start"], Value::Null);
}

#[test]
fn verify_names_the_file_and_the_place() {
    let all = Checkpoints::make();
    let (status, out, _) = tool(&["verify", all.text()]);
    assert_eq!((status, out.lines().count()), (0, 2), "{out}");
    let name = all.damage();
    let (status, out, _) = tool(&["verify", all.text()]);
    assert_eq!(status, 1);
    assert!(
        out.contains(&format!("checkpoint {} is sound", all.first)),
        "{out}"
    );
    let damage = format!(
        "checkpoint {} is not sound: restore: {name} is damaged",
        all.last
    );
    assert!(out.contains(&damage) && out.contains("(at byte "), "{out}");
    assert_eq!(tool(&["verify", &all.at(all.first)]).0, 0);
    assert_eq!(tool(&["verify", &all.at(all.last)]).0, 1);
    assert_eq!(json(&["verify", all.text()])[0]["sound"], false);
    // Every other command on it says the same, and what can be chosen instead.
    for command in ["describe", "dump"] {
        let (status, _, err) = tool(&[command, all.text()]);
        assert_eq!(status, 1);
        assert!(
            err.contains(&name) && err.contains(&format!("sound one is {}", all.first)),
            "{err}"
        );
    }
    std::fs::remove_file(all.file(&name)).unwrap();
    let (status, out, _) = tool(&["verify", &all.at(all.last)]);
    assert_eq!(status, 1);
    assert!(out.contains(&format!("read {name}")), "{out}");
}

#[test]
fn describe() {
    let all = Checkpoints::make();
    let (status, out, _) = tool(&["describe", all.text(), "--shards"]);
    assert_eq!(status, 0);
    for part in [
        "of job \"words\"",
        "2 workers, 4096 key groups",
        "exactly-once",
        "key groups",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let json = json(&["describe", &all.at(all.last)]);
    let operators = json["operators"].as_array().unwrap();
    let count = operators.iter().find(|o| o["uid"] == "count").unwrap();
    let states = count["states"].as_array().unwrap();
    let keyed = states.iter().find(|s| s["keys"] != 0).unwrap();
    assert_eq!(keyed["keys"], 3, "{json:#}");
    assert_eq!(keyed["codec"], "postcard");
    let shards = keyed["shards"].as_array().unwrap();
    let keys: u64 = shards.iter().map(|s| s["keys"].as_u64().unwrap()).sum();
    assert_eq!(keys, 3);
}

#[test]
fn dump() {
    let all = Checkpoints::make();
    let (status, out, _) = tool(&["dump", all.text(), "--operator", "count"]);
    assert_eq!(status, 0);
    // Counted twice: an unsigned two, or a signed one.
    assert!(out.contains("047469636b \"tick\" = 02 (2 or 1)"), "{out}");
    assert!(out.contains("\"bang\" = 01 (1 or -1)"), "{out}");
    let (_, out, _) = tool(&["dump", all.text(), "--operator", "count", "--limit", "1"]);
    assert!(out.contains("  and 2 more\n"), "{out}");
    let (_, out, _) = tool(&["dump", all.text(), "--state", "splits"]);
    assert!(out.contains("split "), "{out}");
    let (status, _, err) = tool(&["dump", all.text(), "--state", "nonsense"]);
    assert_eq!(status, 1);
    assert!(err.contains("no such operator or state"), "{err}");
}

#[test]
fn compare() {
    let all = Checkpoints::make();
    let (status, out, _) = tool(&["compare", all.text(), &all.at(all.last)]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("the same ("), "{out}");
    let places = [all.at(all.first), all.at(all.last)];
    let (status, out, _) = tool(&["compare", &places[0], &places[1]]);
    assert_eq!(status, 1, "{out}");
    let json = json(&["compare", &places[0], &places[1]]);
    let states = json["states"].as_array().unwrap();
    let count = states
        .iter()
        .find(|s| s["uid"] == "count" && s["same"] != 0)
        .unwrap();
    assert_eq!(
        (
            &count["added"],
            &count["changed"],
            &count["same"],
            &count["removed"]
        ),
        (&1.into(), &1.into(), &1.into(), &0.into()),
        "{json:#}"
    );
}

#[test]
fn delete() {
    let all = Checkpoints::make();
    let (first, last) = (all.first.to_string(), all.last.to_string());
    let (status, _, err) = tool(&["delete", all.text(), &last]);
    assert_eq!(status, 1);
    assert!(err.contains("is the newest"), "{err}");
    let (status, out, _) = tool(&["delete", all.text(), "--keep", "1", "--dry-run"]);
    assert_eq!(status, 0);
    assert!(
        out.starts_with(&format!("would delete checkpoint {first} and ")),
        "{out}"
    );
    assert_eq!(
        json(&["list", all.text()])["checkpoints"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // A job holds the directory.
    let held = DirectoryStore::open_locked(all.path()).unwrap();
    let (status, _, err) = tool(&["delete", all.text(), &first]);
    assert_eq!(status, 1);
    assert!(err.contains("used by another job (process "), "{err}");
    drop(held);
    let (status, out, _) = tool(&["delete", all.text(), &first]);
    assert_eq!(status, 0);
    assert!(
        out.starts_with(&format!("deleted checkpoint {first} and ")),
        "{out}"
    );
    assert_eq!(tool(&["verify", all.text()]).0, 0, "the other one is whole");
    let (status, _, err) = tool(&["delete", all.text(), &first]);
    assert_eq!(status, 1);
    assert!(err.contains("is not there"), "{err}");
    assert_eq!(tool(&["delete", all.text(), &last, "--force"]).0, 0);
    let files = std::fs::read_dir(all.path()).unwrap().flatten();
    let names: Vec<_> = files.map(|file| file.file_name()).collect();
    assert_eq!(names, ["LOCK"]);
}

#[test]
fn directories_that_hold_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("part-1-1.mill"), "somebody else's").unwrap();
    std::fs::write(foreign.join("notes.txt"), "notes").unwrap();
    for place in [&empty, &foreign] {
        let place = place.to_str().unwrap();
        let (status, out, _) = tool(&["list", place]);
        assert_eq!(status, 0);
        assert_eq!(out, format!("there is no checkpoint in {place}\n"));
        for command in ["verify", "describe", "dump"] {
            let (status, _, err) = tool(&[command, place]);
            assert_eq!(status, 1);
            let expected = format!("error: restore: there is no checkpoint in {place}\n");
            assert_eq!(err, expected, "{command}");
        }
    }
    assert_eq!(
        std::fs::read_dir(&empty).unwrap().count(),
        0,
        "reading makes nothing"
    );
    let nowhere = dir.path().join("nowhere");
    for command in ["list", "verify", "describe", "dump"] {
        let (status, _, err) = tool(&[command, nowhere.to_str().unwrap()]);
        assert_eq!(status, 1);
        assert!(err.contains(nowhere.to_str().unwrap()), "{err}");
    }
    assert_eq!(tool(&["delete", nowhere.to_str().unwrap(), "1"]).0, 1);
    assert!(!nowhere.exists());
    // A manifest that is none.
    std::fs::write(foreign.join("manifest-000000000003.json"), "{}").unwrap();
    let (status, out, _) = tool(&["list", foreign.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(
        out.contains("manifest-000000000003.json is damaged"),
        "{out}"
    );
}

#[test]
fn wrong_arguments() {
    for args in [
        &["lst"][..],
        &[],
        &["describe"],
        &["describe", "a@99999999999999999999"],
        &["delete", "a"],
        &["delete", "a", "x"],
        &["delete", "a", "1", "--keep", "1"],
        &["dump", "a", "--limit", "many"],
    ] {
        let (status, out, err) = tool(args);
        assert_eq!(status, 2, "{args:?}: {out}{err}");
        assert!(!err.is_empty());
    }
    assert_eq!(tool(&["--help"]).0, 0);
}
