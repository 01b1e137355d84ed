//! A checkpoint of a real job whose state was changed and sealed again: the job is refused, or runs, or fails with an
//! error. It does not panic while it restores, and does not hang.

use crate::mutate::mutate;
use crate::seeds;
use fastrand::Rng;
use millstream::prelude::*;
use millstream::runtime::checkpoint::format::{PartEncoder, PartReader};
use millstream::runtime::checkpoint::{Block, Manifest, manifest_name, parse_manifest_name};
use millstream::runtime::operator::UserResult;
use millstream::runtime::state::StateDescriptor;
use std::path::Path;
use std::time::Duration;

/// Every kind of state.
struct States_ {
    value: ValueState<String>,
    list: ListState<i64>,
    map: MapState<String, f64>,
}

impl KeyedProcess for States_ {
    type Key = i64;
    type In = i64;
    type Out = i64;

    fn on_record(&mut self, n: i64, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.value(self.value).set(n.to_string());
        ctx.list(self.list).push(n);
        ctx.map(self.map).insert(n.to_string(), n as f64);
        ctx.register_event_timer(n + 1_000);
        ctx.register_processing_timer(ctx.now_ms() + 3_600_000);
        ctx.emit(n);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, i64, i64>) -> UserResult {
        ctx.emit(timer.time);
        Ok(())
    }
}

fn job(out: &Path) -> Job {
    let job = Job::new("fuzzed");
    let numbers = Collection::timed((0..500).map(|n| (n, n)).collect());
    let numbers = job
        .timed_source(
            "numbers",
            numbers.splits(2).batch(10),
            WatermarkStrategy::ascending(),
        )
        .assign_timestamps(WatermarkStrategy::ascending());
    let keyed = numbers.key_by(|n| n % 5);
    let windows = keyed
        .window(Tumbling::of(Duration::from_millis(50)))
        .count();
    let processed = keyed.process("states", |states| States_ {
        value: states.value("value"),
        list: states.list("list"),
        map: states.map("map"),
    });
    let counted = keyed.map_with_state(0u64, |seen, _| {
        *seen += 1;
        *seen
    });
    windows
        .map(|w| w.value as i64)
        .union([processed, counted.map(|(_, seen)| seen as i64)])
        .sink("out", FileSink::lines(out).overwrite(true));
    job
}

/// Changes one block of one part, and makes all checksums right again.
fn change(dir: &Path, random: &mut Rng) -> String {
    let names = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let ids = names.filter_map(|name| parse_manifest_name(&name.to_string_lossy()));
    let checkpoint = ids.max().unwrap();
    let path = dir.join(manifest_name(checkpoint));
    let bytes = std::fs::read(&path).unwrap();
    let mut manifest = Manifest::from_bytes("manifest", &bytes).unwrap();
    let at = random.usize(..manifest.parts.len());
    let part = &mut manifest.parts[at];
    let file = dir.join(&part.name);
    let bytes = std::fs::read(&file).unwrap();
    let reader = PartReader::new("part", &bytes).unwrap();
    let header = reader.header().clone();
    let mut blocks: Vec<Block> = reader
        .map(|block| {
            let block = block.unwrap();
            Block {
                uid: block.uid.into(),
                state: StateDescriptor {
                    name: block.state.into(),
                    version: block.version,
                    codec: block.codec.into(),
                },
                kind: block.kind,
                shard: block.shard,
                entries: block.entries,
                payload: block.payload.to_vec(),
            }
        })
        .collect();
    let full: Vec<usize> = (0..blocks.len())
        .filter(|at| !blocks[*at].payload.is_empty())
        .collect();
    let at = full[random.usize(..full.len())];
    let block = &mut blocks[at];
    let what = format!("{} {}", block.uid, block.state.name);
    mutate(random, &mut block.payload);
    let mut encoder = PartEncoder::new(Vec::new(), &header).unwrap();
    blocks
        .iter()
        .for_each(|block| encoder.block(block).unwrap());
    let (bytes, summary) = encoder.finish().unwrap();
    std::fs::write(&file, bytes).unwrap();
    (part.bytes, part.crc) = (summary.bytes, summary.crc);
    std::fs::write(path, manifest.to_bytes()).unwrap();
    what
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn state_that_was_changed_and_sealed_again() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let config = |dir: &Path| JobConfig {
        checkpoint_dir: Some(dir.to_owned()),
        checkpoint_interval: Duration::from_millis(1),
        ..JobConfig::default()
    };
    let handle = job(&dir.path().join("out")).start(config(&sound)).unwrap();
    assert!(handle.wait_for_checkpoints(1));
    handle.stop();
    handle.wait().unwrap();
    let mut refused = 0;
    for seed in seeds(60) {
        let mut random = Rng::with_seed(seed);
        let changed = dir.path().join(format!("changed-{seed}"));
        copy(&sound, &changed);
        let what = change(&changed, &mut random);
        let out = dir.path().join(format!("out-{seed}"));
        let started = job(&out).start(config(&changed));
        let ended = started.and_then(|handle| {
            if !handle.wait_for(Duration::from_secs(30)) {
                let report = handle.report();
                std::mem::forget(handle);
                panic!("seed {seed}, {what}: the job does not end: {report:#?}");
            }
            handle.wait()
        });
        if let Err(error) = ended {
            refused += 1;
            assert!(
                !error.to_string().contains("panic"),
                "seed {seed}, {what}: {error}"
            );
        }
        std::fs::remove_dir_all(&changed).unwrap();
    }
    println!("{refused} were refused");
}
