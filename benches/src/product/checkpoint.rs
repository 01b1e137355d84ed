//! The checkpoint bench: updates to a million states of 112 bytes, with and without a checkpoint each second
//! to a directory on disk.

use super::Tally;
use super::latency::{Counted, Recorders, merged, recorder};
use super::load::Load;
use crate::common::answer::Answer;
use crate::common::latency::LatencyRun;
use crate::common::load::{Clock, Due, Schedule};
use crate::common::process;
use crate::common::text::data_folder;
use crate::common::throughput::ThroughputRun;
use crate::twins::open_loop::{Idle, OPENING, OpenLoopCase};
use crate::twins::timely_table::{Account, KEYS};
use millstream_operators::{Job, KeyedContext, KeyedProcess, Stream, ValueState};
use millstream_runtime::abomonate;
use millstream_runtime::config::JobConfig;
use millstream_runtime::job::JobHandle;
use millstream_runtime::operator::UserResult;
use millstream_runtime::record::Record;
use millstream_runtime::state::{Abomonated, StateSpec};
use millstream_runtime::watermark::WatermarkStrategy;
use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The figures of a run beside its latency.
#[derive(Clone, Debug)]
pub struct CheckpointRun {
    /// The open loop's figures.
    pub latency: LatencyRun,
    /// Of each complete checkpoint: from barrier to manifest, and the bytes written.
    pub checkpoints: Vec<(Duration, u64)>,
    /// Resident bytes that the states took, per key: after the warm-up less before the start.
    pub bytes_per_key: f64,
}

/// Runs Millstream once without checkpoints.
pub fn no_checkpoints(case: &OpenLoopCase) -> CheckpointRun {
    open_loop(case, None)
}

/// Runs Millstream once with a checkpoint each second.
pub fn checkpoints(case: &OpenLoopCase) -> CheckpointRun {
    open_loop(case, Some(Folder::new()))
}

/// A run that goes as fast as it can.
#[derive(Clone, Copy, Debug)]
pub struct FullSpeedCase {
    /// Updates, after all states were opened.
    pub updates: u64,
}

/// The time of the updates without checkpoints.
pub fn full_speed(case: &FullSpeedCase) -> ThroughputRun {
    at_full_speed(case, None, updates)
}

/// The time of the updates with a checkpoint each second.
pub fn full_speed_with_checkpoints(case: &FullSpeedCase) -> ThroughputRun {
    at_full_speed(case, Some(Folder::new()), updates)
}

/// The same by a process function whose state has a codec of its own, which copies memory.
pub fn full_speed_copied(case: &FullSpeedCase) -> ThroughputRun {
    at_full_speed(case, None, copied_updates)
}

/// The same with a checkpoint each second.
pub fn full_speed_copied_with_checkpoints(case: &FullSpeedCase) -> ThroughputRun {
    at_full_speed(case, Some(Folder::new()), copied_updates)
}

/// A folder for checkpoints, on the disk that the workspace is on; removed in the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = data_folder().join(format!("checkpoints-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the folder can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Updates accounts: nothing comes out of a record that only opens one.
fn updates(job: &Job, load: Load) -> Stream<Counted> {
    job.timed_source("load", load, WatermarkStrategy::ascending())
        .map(|due: Due| (due.key, due.due_ns))
        .keyed()
        .flat_map_with_state(Account::EMPTY, |account, due_ns| {
            (due_ns != OPENING).then(|| (account.update(due_ns), due_ns))
        })
}

abomonate!(Account {
    count: u64,
    recent: [u64; 13]
});

/// The same as a process function, whose state is written as it lies in memory.
fn copied_updates(job: &Job, load: Load) -> Stream<Counted> {
    job.timed_source("load", load, WatermarkStrategy::ascending())
        .map(|due: Due| (due.key, due.due_ns))
        .keyed()
        .process("accounts", |states| Accounts {
            account: states.value(StateSpec::new("account").with_codec(Abomonated::default())),
        })
}

struct Accounts {
    account: ValueState<Account>,
}

impl KeyedProcess for Accounts {
    type Key = u64;
    type In = u64;
    type Out = Counted;

    fn on_record(&mut self, due_ns: u64, ctx: &mut KeyedContext<'_, u64, Counted>) -> UserResult {
        let key = *ctx.key();
        let account = ctx.value(self.account);
        let account = account.get_or_insert_with(|| Account::EMPTY);
        if due_ns != OPENING {
            let count = account.update(due_ns);
            ctx.emit((key, (count, due_ns)));
        }
        Ok(())
    }
}

pub(super) fn config(workers: usize, spin: bool, folder: Option<&Folder>) -> JobConfig {
    JobConfig {
        workers,
        spin,
        checkpoint_dir: folder.map(|folder| folder.0.clone()),
        checkpoint_interval: Duration::from_secs(1),
        ..Default::default()
    }
}

fn open_loop(case: &OpenLoopCase, folder: Option<Folder>) -> CheckpointRun {
    let case = *case;
    process::release_free_memory();
    let before = process::resident_bytes();
    let clock = Clock::start();
    let all = Recorders::default();
    let job = Job::new("checkpoint");
    let load = Load {
        schedule: case.schedule,
        clock,
        workers: case.workers,
        opened_keys: KEYS,
    };
    updates(&job, load).sink("recorder", recorder(&all, case.schedule, clock));
    let spin = case.idle == Idle::Spin;
    let handle = job.start(config(case.workers, spin, folder.as_ref()));
    let handle = handle.expect("the job starts");
    let (checkpoints, resident) = watch(&handle, clock, case.schedule.measured_from_ns());
    handle.wait().expect("the job ends well");
    CheckpointRun {
        latency: merged(&all, &case.schedule),
        checkpoints,
        bytes_per_key: resident.saturating_sub(before) as f64 / KEYS as f64,
    }
}

/// Looks at the job ten times a second: the complete checkpoints, and the resident memory at the end of
/// the warm-up.
fn watch(handle: &JobHandle, clock: Clock, warm_until_ns: u64) -> (Vec<(Duration, u64)>, u64) {
    let mut checkpoints = Vec::new();
    let (mut seen, mut resident) = (0, 0);
    while !handle.wait_for(Duration::from_millis(100)) {
        let report = handle.report();
        if report.checkpoints > seen {
            seen = report.checkpoints;
            checkpoints.push((
                report.last_checkpoint_duration,
                report.last_checkpoint_bytes,
            ));
        }
        if resident == 0 && clock.now_ns() >= warm_until_ns {
            resident = process::resident_bytes();
        }
    }
    (checkpoints, resident)
}

/// First and last row of a sink, and the hash of all.
#[derive(Clone, Copy, Default)]
struct Span {
    first_ns: Option<u64>,
    last_ns: u64,
    answer: Answer,
}

fn at_full_speed(
    case: &FullSpeedCase,
    folder: Option<Folder>,
    updates: fn(&Job, Load) -> Stream<Counted>,
) -> ThroughputRun {
    let clock = Clock::start();
    let all = Arc::new(Mutex::new(Vec::new()));
    let job = Job::new("checkpoint");
    let load = Load {
        schedule: Schedule {
            rate_per_s: 1_000_000_000, // always behind
            records: case.updates,
            keys: KEYS,
            warm_up_ns: 0,
        },
        clock,
        workers: 1,
        opened_keys: KEYS,
    };
    let tally = Tally {
        all: all.clone(),
        make: Span::default,
        take: move |span: &mut Span, records: &[Record<Counted>]| {
            span.last_ns = clock.now_ns();
            span.first_ns.get_or_insert(span.last_ns);
            for Record { value, .. } in records.iter() {
                span.answer.add_pair(value.0, value.1.0);
            }
        },
        item: PhantomData,
    };
    updates(&job, load).sink("span", tally);
    let handle = job.start(config(1, true, folder.as_ref()));
    let handle = handle.expect("the job starts");
    handle.wait().expect("the job ends well");
    let span = all.lock().expect("no sink panicked")[0];
    let first_ns = span.first_ns.expect("there were records");
    ThroughputRun {
        seconds: (span.last_ns - first_ns) as f64 / 1e9,
        answer: span.answer,
    }
}
