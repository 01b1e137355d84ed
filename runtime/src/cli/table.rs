//! The table of all settings. A line here is a flag, an environment variable, a TOML key, a line of the
//! help text, of `--print-config` and of the manual.

use super::setting::{Kind, LogFormat, Setting, Settings, path_text};
use super::text::{
    parse_address, parse_count, parse_duration, parse_size, parse_switch, parse_word,
    show_duration, show_size, show_word,
};
use crate::config::{Guarantee, Resume, Status, Trigger};
use std::path::PathBuf;

const MODES: [(&str, bool); 2] = [("continuous", false), ("micro-batch", true)];
const TRIGGERS: [(&str, Trigger); 2] = [
    ("unbounded", Trigger::Unbounded),
    ("available-now", Trigger::AvailableNow),
];
const GUARANTEES: [(&str, Guarantee); 3] = [
    ("at-most-once", Guarantee::AtMostOnce),
    ("at-least-once", Guarantee::AtLeastOnce),
    ("exactly-once", Guarantee::ExactlyOnce),
];
const STATUSES: [(&str, Status); 3] = [
    ("auto", Status::Auto),
    ("on", Status::On),
    ("off", Status::Off),
];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const RUN: &str = "Running";
const CHECKPOINTS: &str = "Checkpoints";
const FLOW: &str = "Flow and latency";
const OUTPUT: &str = "Output";

/// `set` and `show` of a field of the job's configuration.
macro_rules! field {
    ($($field:ident).+, $parse:expr, $show:expr) => {
        (
            |s: &mut Settings, text: &str| {
                s.$($field).+ = $parse(text)?;
                Ok(())
            },
            |s: &Settings| Some($show(&s.$($field).+)),
        )
    };
}

type Set = fn(&mut Settings, &str) -> Result<(), String>;
type Show = fn(&Settings) -> Option<String>;

const fn setting(
    key: &'static str,
    group: &'static str,
    kind: Kind,
    (set, show): (Set, Show),
    examples: [&'static str; 2],
    help: &'static str,
) -> Setting {
    Setting {
        key,
        short: None,
        group,
        kind,
        help,
        examples,
        set,
        show,
    }
}

fn count<N: ToString>(n: &N) -> String {
    n.to_string()
}

/// All settings, in the order of the help text.
pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        short: Some('w'),
        ..setting(
            "workers",
            RUN,
            Kind::Count,
            field!(job.workers, parse_count, count),
            ["2", "3"],
            "Worker threads",
        )
    },
    setting(
        "mode",
        RUN,
        Kind::Word("continuous|micro-batch"),
        field!(micro_batch, |t| parse_word(t, &MODES), |v| show_word(
            v, &MODES
        )),
        ["micro-batch", "continuous"],
        "Record by record, or in batches as Spark does it",
    ),
    setting(
        "batch-interval",
        RUN,
        Kind::Time,
        field!(batch_interval, parse_duration, |t: &_| show_duration(*t)),
        ["250ms", "2s"],
        "Micro-batch mode: from one batch to the next; 0 is back to back",
    ),
    setting(
        "trigger",
        RUN,
        Kind::Word("unbounded|available-now"),
        field!(job.trigger, |t| parse_word(t, &TRIGGERS), |v| show_word(
            v, &TRIGGERS
        )),
        ["available-now", "unbounded"],
        "End when every source has ended, or when what is there now is worked off",
    ),
    setting(
        "guarantee",
        CHECKPOINTS,
        Kind::Word("at-most-once|at-least-once|exactly-once"),
        (
            |s, text| {
                s.job.guarantee = Some(parse_word(text, &GUARANTEES)?);
                Ok(())
            },
            |s| s.job.guarantee.map(|g| show_word(&g, &GUARANTEES)),
        ),
        ["at-least-once", "exactly-once"],
        "What holds after a failure; without it exactly-once if there is a checkpoint directory",
    ),
    setting(
        "checkpoint-dir",
        CHECKPOINTS,
        Kind::Path,
        (
            |s, text| {
                s.job.checkpoint_dir = Some(parse_path(text)?);
                Ok(())
            },
            |s| s.job.checkpoint_dir.as_deref().map(path_text),
        ),
        ["state/checkpoints", "/var/lib/job"],
        "Where checkpoints go; without it there are none",
    ),
    setting(
        "checkpoint-interval",
        CHECKPOINTS,
        Kind::Time,
        field!(job.checkpoint_interval, parse_duration, |t: &_| {
            show_duration(*t)
        }),
        ["10s", "500ms"],
        "From the end of one checkpoint to the next barrier",
    ),
    setting(
        "retained-checkpoints",
        CHECKPOINTS,
        Kind::Count,
        field!(job.retained_checkpoints, parse_count, count),
        ["5", "3"],
        "How many complete checkpoints are kept",
    ),
    setting(
        "resume",
        CHECKPOINTS,
        Kind::Start,
        (set_resume, show_resume),
        ["12", "savepoints/before-upgrade"],
        "What to start from: the newest checkpoint, one by its number, or a savepoint",
    ),
    setting(
        "fresh",
        CHECKPOINTS,
        Kind::Switch,
        (set_fresh, |s| Some(s.is_fresh().to_string())),
        ["true", "false"],
        "Start from the beginning, whatever the checkpoint directory holds",
    ),
    setting(
        "allow-dropped-state",
        CHECKPOINTS,
        Kind::Switch,
        field!(job.allow_dropped_state, parse_switch, count),
        ["true", "false"],
        "Go on although the checkpoint holds state of operators that the job does not have",
    ),
    setting(
        "max-parallelism",
        CHECKPOINTS,
        Kind::Count,
        field!(job.max_parallelism, parse_count, count),
        ["128", "1024"],
        "Key groups: the most workers the job can ever run on; fixed for the life of its state",
    ),
    setting(
        "tick",
        FLOW,
        Kind::Time,
        field!(job.tick, parse_duration, |t: &_| show_duration(*t)),
        ["5ms", "20ms"],
        "How often progress is announced while records flow; at least 1ms",
    ),
    setting(
        "max-in-flight",
        FLOW,
        Kind::Count,
        field!(job.max_in_flight, parse_count, count),
        ["1000", "5000"],
        "The most records that one source instance has under way",
    ),
    setting(
        "max-in-flight-bytes",
        FLOW,
        Kind::Size,
        field!(job.max_in_flight_bytes, parse_size, |n: &_| show_size(*n)),
        ["1MiB", "128MiB"],
        "The same in bytes, for sources that count them",
    ),
    setting(
        "max-batch-records",
        FLOW,
        Kind::Count,
        field!(job.max_batch_records, parse_count, count),
        ["500", "2000"],
        "Micro-batch mode: the most records that one source instance takes into a batch",
    ),
    setting(
        "spin",
        FLOW,
        Kind::Switch,
        field!(job.spin, parse_switch, count),
        ["true", "false"],
        "Workers never sleep: lower latency for a core each",
    ),
    setting(
        "eager-progress",
        FLOW,
        Kind::Switch,
        field!(job.eager_progress, parse_switch, count),
        ["true", "false"],
        "Send progress eagerly rather than on demand",
    ),
    setting(
        "no-chaining",
        FLOW,
        Kind::Switch,
        (
            |s, text| {
                s.job.chaining = !parse_switch(text)?;
                Ok(())
            },
            |s| Some((!s.job.chaining).to_string()),
        ),
        ["true", "false"],
        "Run each stateless step as an operator of its own",
    ),
    setting(
        "status",
        OUTPUT,
        Kind::Word("auto|on|off"),
        field!(job.status, |t| parse_word(t, &STATUSES), |v| show_word(
            v, &STATUSES
        )),
        ["on", "off"],
        "The status line: on a terminal only, always, or never; off also leaves out the summary",
    ),
    setting(
        "metrics-addr",
        OUTPUT,
        Kind::Address,
        (
            |s, text| {
                s.job.metrics_addr = Some(parse_address(text)?);
                Ok(())
            },
            |s| s.job.metrics_addr.map(|addr| addr.to_string()),
        ),
        ["127.0.0.1:9184", "0.0.0.0:9184"],
        "Serve /metrics (Prometheus), /healthz and /status (JSON) here; a port alone is on the loopback",
    ),
    setting(
        "no-measure",
        OUTPUT,
        Kind::Switch,
        (
            |s, text| {
                s.job.measure = !parse_switch(text)?;
                Ok(())
            },
            |s| Some((!s.job.measure).to_string()),
        ),
        ["true", "false"],
        "Count records only: busy time and latency are not measured",
    ),
    setting(
        "count-progress",
        OUTPUT,
        Kind::Switch,
        field!(job.count_progress, parse_switch, |v: &bool| v.to_string()),
        ["true", "false"],
        "Count the progress messages between workers, which costs a little for each",
    ),
    setting(
        "log",
        OUTPUT,
        Kind::Text,
        (
            |s, text| {
                super::logs::check(text)?;
                s.log = text.to_owned();
                Ok(())
            },
            |s| Some(s.log.clone()),
        ),
        ["info", "warn,millstream_runtime=debug"],
        "Which log lines are shown: error, warn, info, debug, trace, also by module",
    ),
    setting(
        "log-format",
        OUTPUT,
        Kind::Word("text|json"),
        field!(log_format, |t| parse_word(t, &LOG_FORMATS), |v| show_word(
            v,
            &LOG_FORMATS
        )),
        ["json", "text"],
        "How log lines look",
    ),
];

fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the path is empty".into());
    }
    Ok(PathBuf::from(text))
}

fn set_resume(settings: &mut Settings, text: &str) -> Result<(), String> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    settings.job.resume = match text {
        "latest" => Resume::Latest,
        "0" => return Err("checkpoints count from 1".into()),
        _ if is_number => Resume::Checkpoint(parse_count(text)?),
        _ => Resume::Savepoint(parse_path(text)?),
    };
    Ok(())
}

fn show_resume(settings: &Settings) -> Option<String> {
    match &settings.job.resume {
        Resume::Latest => Some("latest".into()),
        Resume::Checkpoint(id) => Some(id.to_string()),
        Resume::Savepoint(path) => Some(path_text(path)),
        Resume::Fresh => None,
    }
}

fn set_fresh(settings: &mut Settings, text: &str) -> Result<(), String> {
    if parse_switch(text)? {
        settings.job.resume = Resume::Fresh;
    } else if settings.is_fresh() {
        settings.job.resume = Resume::Latest;
    }
    Ok(())
}

/// The setting of this name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The names of all settings.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}
