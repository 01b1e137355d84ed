//! Every setting from every layer, and every layer above each weaker one: walked from the table, so
//! that no setting can be forgotten.

use super::{program, shown, try_plan};
use crate::cli::flags::{self, CommandLine};
use crate::cli::layers::{Resolved, resolve};
use crate::cli::program::Program;
use crate::cli::setting::{Kind, Origin, Setting, Settings};
use crate::cli::table::SETTINGS;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;

/// The layers, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Program,
    File,
    Environment,
    Flag,
}

const LAYERS: [Layer; 4] = [Layer::Program, Layer::File, Layer::Environment, Layer::Flag];

/// Gives a setting in some layers.
fn resolved(setting: &Setting, given: &[(Layer, &str)]) -> Resolved {
    let mut program = program();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("job.toml");
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut args: Vec<OsString> = Vec::new();
    for (layer, value) in given {
        match layer {
            Layer::Program => (setting.set)(&mut program.defaults, value).unwrap(),
            Layer::File => {
                let line = format!("{} = {}\n", setting.key, setting.kind.toml(value));
                fs::write(&file, line).unwrap();
                variables.push(("MILLSTREAM_CONFIG".into(), file.clone().into()));
            }
            Layer::Environment => variables.push((setting.variable().into(), value.into())),
            Layer::Flag => args.push(format!("--{}={value}", setting.key).into()),
        }
    }
    let Ok(CommandLine::Run(flags)) = flags::read(&program, args) else {
        panic!("{} is not a flag", setting.key);
    };
    resolve(&program, &flags, variables).unwrap()
}

fn value(setting: &Setting, resolved: &Resolved) -> String {
    (setting.show)(&resolved.settings).unwrap_or_default()
}

#[test]
fn every_setting_can_be_given_in_every_layer() {
    for setting in SETTINGS {
        let default = (setting.show)(&Settings::library()).unwrap_or_default();
        assert_ne!(default, setting.examples[0], "{}", setting.key);
        for layer in LAYERS {
            let given = [(layer, setting.examples[0])];
            let resolved = resolved(setting, &given);
            let place = format!("{} from {layer:?}", setting.key);
            assert_eq!(value(setting, &resolved), setting.examples[0], "{place}");
            let origin = resolved.origin(setting.key);
            let fits = match layer {
                Layer::Program => *origin == Origin::Program,
                Layer::File => matches!(origin, Origin::File(_, 1)),
                Layer::Environment => *origin == Origin::Environment,
                Layer::Flag => *origin == Origin::Flag,
            };
            assert!(fits, "{place}: {origin}");
        }
    }
}

#[test]
fn a_stronger_layer_wins() {
    for setting in SETTINGS {
        for weaker in LAYERS {
            for stronger in LAYERS.into_iter().filter(|layer| *layer > weaker) {
                for [weak, strong] in [[0, 1], [1, 0]] {
                    let strong = setting.examples[strong];
                    let given = [(weaker, setting.examples[weak]), (stronger, strong)];
                    let found = value(setting, &resolved(setting, &given));
                    assert_eq!(found, strong, "{}: {weaker:?}, {stronger:?}", setting.key);
                }
            }
        }
    }
}

#[test]
fn no_two_settings_share_a_name_or_a_field() {
    let mut names = HashSet::new();
    for setting in SETTINGS {
        assert!(names.insert(setting.variable()), "{}", setting.key);
        let mut settings = Settings::library();
        (setting.set)(&mut settings, setting.examples[0]).unwrap();
        for other in SETTINGS.iter().filter(|other| other.key != setting.key) {
            // `fresh` and `resume` are two words for where to start.
            if [setting.key, other.key]
                .iter()
                .all(|k| ["fresh", "resume"].contains(k))
            {
                continue;
            }
            let (before, now) = ((other.show)(&Settings::library()), (other.show)(&settings));
            assert_eq!(before, now, "{} also sets {}", setting.key, other.key);
        }
    }
}

#[test]
fn the_words_in_the_help_text_are_those_that_are_taken() {
    for setting in SETTINGS {
        if let Kind::Word(words) = setting.kind {
            for word in words.split('|') {
                let mut settings = Settings::library();
                (setting.set)(&mut settings, word).unwrap();
                assert_eq!((setting.show)(&settings).as_deref(), Some(word));
            }
        }
    }
}

#[test]
fn a_fresh_start_is_undone_by_a_stronger_layer() {
    let dir = ("MILLSTREAM_CHECKPOINT_DIR", "c");
    let fresh = ("MILLSTREAM_FRESH", "true");
    for (flag, expected) in [
        ("--resume=12", "resume = 12 "),
        ("--fresh=false", "resume = \"latest\" "),
        ("--fresh", "fresh = true "),
    ] {
        let text = shown(try_plan(&[flag, "--print-config"], &[dir, fresh]).unwrap());
        assert!(text.contains(expected), "{flag}: {text}");
    }
}

#[test]
fn a_file_may_hold_an_interval_ready_for_the_switch() {
    let variables = [("MILLSTREAM_BATCH_INTERVAL", "1s")];
    try_plan(&[], &variables).unwrap();
    let text = shown(try_plan(&["--mode=micro-batch", "--print-config"], &variables).unwrap());
    assert!(text.contains("batch-interval = \"1s\""), "{text}");
}

#[test]
fn printed_settings_are_a_settings_file() {
    let mut args = vec!["--print-config".to_owned()];
    for setting in SETTINGS.iter().filter(|setting| setting.key != "fresh") {
        args.push(format!("--{}={}", setting.key, setting.examples[0]));
    }
    args.push("--set=path=a \"b\"\\c".into());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let printed = shown(try_plan(&args, &[]).unwrap());
    let again = super::try_plan_of_file(&printed, &["--print-config"]).unwrap();
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.rsplit_once(" # "));
        lines
            .filter_map(|line| Some(line?.0.trim_end().to_owned()))
            .collect()
    };
    assert_eq!(values(&printed), values(&shown(again)));
    assert!(printed.contains("# flag"), "{printed}");
}

#[test]
fn the_programs_defaults_are_shown_as_such() {
    let config = crate::config::JobConfig {
        workers: 4,
        ..Default::default()
    };
    let program = Program::new("job").defaults(config);
    let Ok(super::Plan::Show(text)) = super::plan(&program, vec!["--print-config".into()], [])
    else {
        panic!("no settings were printed");
    };
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line("workers = 4").ends_with("# program"), "{text}");
    assert!(line("tick = \"10ms\"").ends_with("# default"), "{text}");
    let Ok(super::Plan::Show(help)) = super::plan(&program, vec!["--help".into()], []) else {
        panic!("no help was printed");
    };
    assert!(help.contains("[default: 4]"), "{help}");
}
