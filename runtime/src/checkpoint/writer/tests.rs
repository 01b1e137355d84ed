use super::*;
use crate::checkpoint::fixture::{blob, delta, full, manifest};
use crate::checkpoint::testing::MemoryStore;
use crate::checkpoint::{BlockKind, Restored, Which, manifest_name};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// How long a test waits before it gives up.
const DEADLINE: Duration = Duration::from_secs(20);

struct Harness {
    store: MemoryStore,
    writer: PartWriter,
    wakes: Receiver<()>,
}

fn harness() -> Harness {
    harness_on(MemoryStore::new(), Arc::new)
}

fn harness_on<S: CheckpointStore>(
    store: MemoryStore,
    wrap: impl FnOnce(MemoryStore) -> Arc<S>,
) -> Harness {
    let (wake, wakes) = channel();
    let info = PartInfo {
        job: "wordcount".into(),
        worker: 1,
        workers: 2,
        groups: 128,
    };
    let waker = Waker::new(move || {
        let _ = wake.send(());
    });
    let writer = PartWriter::spawn(wrap(store.clone()), info, waker).unwrap();
    Harness {
        store,
        writer,
        wakes,
    }
}

impl Harness {
    fn event(&self) -> WriterEvent {
        match self.wakes.recv_timeout(DEADLINE) {
            Ok(()) => self
                .writer
                .poll()
                .expect("the waker is called when there is an event"),
            Err(RecvTimeoutError::Timeout) => panic!("no event within {DEADLINE:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    fn part(&self) -> PartDone {
        match self.event() {
            WriterEvent::Part(done) => done,
            other => panic!("{other:?}"),
        }
    }

    fn whole_part(&self, checkpoint: CheckpointId) -> PartFile {
        self.writer
            .block(checkpoint, full(200, &[("a", Some("1"))]));
        self.writer.finish(checkpoint, checkpoint);
        self.part().result.unwrap()
    }
}

#[test]
fn written_published_restored() {
    let harness = harness();
    harness.writer.block(5, full(200, &[("a", Some("1"))]));
    harness.writer.block(5, blob(1, b"position"));
    harness.writer.finish(5, 5);
    let done = harness.part();
    let part = done.result.unwrap();
    assert_eq!((done.checkpoint, part.blocks, part.needs_since), (5, 2, 5));
    assert_eq!(part.name, "part-000000000005-0001.mill");
    assert_eq!(harness.writer.pending_bytes(), 0);
    harness.writer.publish(manifest(5, vec![part]));
    assert!(matches!(
        harness.event(),
        WriterEvent::Published {
            checkpoint: 5,
            result: Ok(())
        }
    ));
    let restored = Restored::open(&harness.store, Which::Latest)
        .unwrap()
        .unwrap();
    assert_eq!(restored.checkpoint(), 5);
    assert_eq!(restored.blocks("count", "counts")[0].kind, BlockKind::Full);
    assert_eq!(
        restored.blocks("source", "positions")[0].payload,
        b"position"
    );
    assert!(harness.writer.poll().is_none());
}

#[test]
fn a_part_without_blocks_is_written() {
    let harness = harness();
    harness.writer.finish(3, 3);
    assert_eq!(harness.part().result.unwrap().blocks, 0);
}

#[test]
fn a_full_disk_fails_one_checkpoint() {
    let harness = harness();
    harness.store.fail_after_bytes(100);
    for _ in 0..5 {
        harness
            .writer
            .block(1, full(200, &[("a", Some("1")), ("b", Some("2"))]));
    }
    harness.writer.finish(1, 1);
    let error = harness.part().result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    let text = error.to_string();
    assert!(
        text.contains("part-000000000001-0001.mill in memory"),
        "{text}"
    );
    assert!(text.contains("no storage space"), "{text}");
    assert!(
        harness.store.names().is_empty(),
        "the half-written part is removed"
    );
    harness.store.heal();
    assert_eq!(harness.whole_part(2).checkpoint, 2);
}

#[test]
fn a_failure_at_the_very_end_fails_the_part() {
    let harness = harness();
    harness.store.hold();
    harness.writer.block(1, delta(200, &[]));
    harness.writer.finish(1, 1);
    harness.store.fail_next_writes(1);
    harness.store.release();
    assert!(harness.part().result.is_err());
    assert!(harness.store.names().is_empty());
}

#[test]
fn a_failed_publication_is_told() {
    let harness = harness();
    harness.store.fail_next_publishes(1);
    harness.writer.publish(manifest(1, Vec::new()));
    let WriterEvent::Published {
        checkpoint: 1,
        result: Err(error),
    } = harness.event()
    else {
        panic!("the publication fails");
    };
    assert!(error.to_string().contains(&manifest_name(1)), "{error}");
}

#[test]
fn pending_bytes_fall_when_the_disk_goes_on() {
    let harness = harness();
    harness.store.hold();
    for _ in 0..10 {
        harness.writer.block(1, blob(1, &[7; 1000]));
    }
    assert!(harness.writer.pending_bytes() >= 9_000);
    harness.writer.finish(1, 1);
    assert!(harness.writer.poll().is_none());
    harness.store.release();
    harness.part().result.unwrap();
    assert_eq!(harness.writer.pending_bytes(), 0);
}

#[test]
fn an_aborted_part_is_gone_and_answered() {
    let harness = harness();
    harness.writer.block(1, blob(1, b"one"));
    harness.writer.abort(1);
    harness.writer.block(1, blob(1, b"a straggler"));
    harness.writer.finish(1, 1);
    let error = harness.part().result.unwrap_err();
    assert!(error.to_string().contains("aborted"), "{error}");
    assert!(harness.store.names().is_empty());
    harness.whole_part(2);
    harness.writer.abort(2);
    harness.whole_part(3);
    assert_eq!(harness.store.names().len(), 2, "a finished part stays");
}

#[test]
fn checkpoints_may_overlap() {
    let harness = harness();
    harness.writer.block(1, blob(1, b"one"));
    harness.writer.block(2, blob(1, b"two"));
    harness.writer.finish(1, 1);
    harness.writer.finish(2, 2);
    assert_eq!(harness.part().result.unwrap().checkpoint, 1);
    assert_eq!(harness.part().result.unwrap().checkpoint, 2);
}

#[test]
fn dropping_removes_what_was_not_finished() {
    let harness = harness();
    harness.writer.block(1, blob(1, b"one"));
    harness.writer.finish(1, 1);
    harness.writer.block(2, blob(1, b"two"));
    drop(harness.writer);
    assert_eq!(harness.store.names(), [part_name(1, 1)]);
}

#[test]
fn garbage_is_collected_on_the_thread() {
    let harness = harness();
    for checkpoint in 1..=3 {
        let part = harness.whole_part(checkpoint);
        harness.writer.publish(manifest(checkpoint, vec![part]));
        harness.event();
    }
    harness.writer.collect_garbage(1);
    harness.writer.finish(4, 4);
    harness.part().result.unwrap();
    let left = [manifest_name(3), part_name(3, 1), part_name(4, 1)];
    assert_eq!(harness.store.names(), left);
}

/// A store with a defect.
struct Panics(MemoryStore);

impl CheckpointStore for Panics {
    fn describe(&self) -> String {
        "defect".into()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn PartSink>> {
        assert!(!name.contains("-000000000001-"), "out of luck");
        self.0.create(name)
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }
    fn publish(&self, _: &str, _: &[u8]) -> io::Result<()> {
        panic!("out of luck")
    }
    fn list(&self) -> io::Result<Vec<String>> {
        panic!("out of luck")
    }
    fn delete(&self, name: &str) -> io::Result<()> {
        self.0.delete(name)
    }
}

/// The coordinator would wait for ever for an event that a panic swallowed.
#[test]
fn a_panic_in_the_store_is_an_event() {
    let harness = harness_on(MemoryStore::new(), |store| Arc::new(Panics(store)));
    harness.writer.block(1, blob(1, b"one"));
    harness.writer.finish(1, 1);
    let text = harness.part().result.unwrap_err().to_string();
    assert!(text.contains("out of luck"), "{text}");
    harness.writer.publish(manifest(1, Vec::new()));
    assert!(matches!(
        harness.event(),
        WriterEvent::Published { result: Err(_), .. }
    ));
    harness.writer.collect_garbage(1);
    harness.whole_part(2);
}
