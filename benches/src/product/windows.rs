//! The window bench: a source of the event stream, a keyed tumbling count, a sink that hashes.

use super::{Tally, spinning};
use crate::common::answer::Answer;
use crate::common::throughput::{ThroughputRun, timed};
use crate::common::window_events::{Event, OUT_OF_ORDER_MS, WINDOW_MS, event};
use crate::twins::timely_windows::WindowsCase;
use millstream_operators::{Job, Tumbling, Windowed};
use millstream_runtime::Result;
use millstream_runtime::config::JobConfig;
use millstream_runtime::record::Record;
use millstream_runtime::source::{
    Batch, FixedSplits, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};
use millstream_runtime::watermark::WatermarkStrategy;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs Millstream once.
pub fn windows(case: &WindowsCase) -> ThroughputRun {
    windows_with(case, spinning(case.workers))
}

/// The same with other settings.
pub fn windows_with(case: &WindowsCase, config: JobConfig) -> ThroughputRun {
    let case = *case;
    timed(move || {
        let all = Arc::new(Mutex::new(Vec::new()));
        let job = Job::new("windows");
        job.timed_source(
            "events",
            Events(case),
            WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(
                OUT_OF_ORDER_MS as u64,
            )),
        )
        .map(|event: Event| (event.key, ()))
        .keyed()
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS as u64)))
        .count()
        .sink(
            "answer",
            Tally {
                all: all.clone(),
                make: Answer::default,
                take: add_all,
                item: PhantomData,
            },
        );
        let handle = job.start(config).expect("the job starts");
        handle.wait().expect("the job ends well");
        let parts = all.lock().expect("no sink panicked").clone();
        parts.into_iter().sum()
    })
}

fn add_all(answer: &mut Answer, records: &[Record<Windowed<u64, u64>>]) {
    for Record { value, .. } in records.iter() {
        answer.add_triple(value.window.start as u64, value.key, value.value);
    }
}

struct Events(WindowsCase);

const BUFFER: u64 = 1_024;

impl Source for Events {
    type Item = Event;
    type Split = String;

    fn describe(&self) -> String {
        "events".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        let splits = (0..self.0.workers).map(|split| split.to_string()).collect();
        Ok(Box::new(FixedSplits(splits)))
    }

    fn open(
        &self,
        split: &String,
        _: Option<&[u8]>,
        _: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Event>>> {
        let split: u64 = split.parse().expect("made above");
        Ok(Box::new(Reader {
            next: split * BUFFER,
            stride: self.0.workers as u64 * BUFFER,
            end: self.0.events,
        }))
    }
}

struct Reader {
    next: u64,
    stride: u64,
    end: u64,
}

impl SplitReader<Event> for Reader {
    fn poll(&mut self, batch: &mut Batch<Event>, max: usize) -> Result<ReadStatus> {
        let until = self.end.min(self.next + BUFFER);
        batch.records.reserve(BUFFER as usize);
        for index in self.next..until {
            let event = event(index);
            batch.push(event.time_ms, event);
        }
        self.next += self.stride;
        let _ = max; // a buffer is about what is asked for
        Ok(if self.next < self.end {
            ReadStatus::More
        } else {
            ReadStatus::Finished
        })
    }

    fn position(&self) -> Vec<u8> {
        self.next.to_le_bytes().to_vec()
    }
}
