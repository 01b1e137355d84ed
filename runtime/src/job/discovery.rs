//! Finds the splits of all sources, at the start and while the job runs, and deals them out to workers.

use super::control::{BoardEntry, JobControl};
use super::events;
use super::prepare::{Prepared, SourceEnumerator};
use crate::checkpoint::Restored;
use crate::config::Trigger;
use crate::driver::SPLITS_STATE;
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::graph::SplitState;
use crate::state::{Codec, Compact};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Discovers the first splits of every source, before any worker starts.
pub(super) fn start(
    job: &Prepared,
    control: &Arc<JobControl>,
    enumerators: Vec<SourceEnumerator>,
) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for enumerator in enumerators {
        let known = known_splits(job.restored.as_deref(), &enumerator.uid)?;
        let mut dealer = Dealer {
            next: known.len(),
            known,
            workers: job.config.workers,
            source: enumerator,
        };
        let mut entries = dealer.discover()?;
        dealer.tell(entries.len());
        entries.push(BoardEntry::Begin {
            node: dealer.source.node,
        });
        let again = dealer.source.enumerator.interval();
        let interval = match again {
            Some(interval) if job.config.trigger == Trigger::Unbounded => interval,
            _ => {
                entries.push(BoardEntry::NoMore {
                    node: dealer.source.node,
                });
                control.post(entries);
                continue;
            }
        };
        control.post(entries);
        threads.push(watch(dealer, control.clone(), interval)?);
    }
    Ok(threads)
}

fn watch(
    mut dealer: Dealer,
    control: Arc<JobControl>,
    interval: Duration,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("mill-splits-{}", dealer.source.node))
        .spawn(move || {
            let _span = events::job_span(&control.job().name).entered();
            let mut started = crate::clock::Stopwatch::start();
            while !control.has_ended() && !control.has_failed() {
                let left = interval.saturating_sub(started.elapsed());
                if !left.is_zero() {
                    control.wait(left);
                    continue;
                }
                match dealer.discover_guarded() {
                    Ok(entries) if entries.is_empty() => {}
                    Ok(entries) => {
                        dealer.tell(entries.len());
                        control.post(entries);
                    }
                    Err(error) => control.fail(error),
                }
                started = crate::clock::Stopwatch::start();
            }
        })
        .map_err(|error| {
            Error::new(ErrorKind::Source, "start the thread that finds splits").with_source(error)
        })
}

/// The ids of the splits that a checkpoint knows.
fn known_splits(restored: Option<&Restored>, uid: &str) -> Result<HashSet<String>> {
    let mut known = HashSet::new();
    for block in restored.map_or_else(Vec::new, |r| r.blocks(uid, SPLITS_STATE)) {
        let splits: Vec<SplitState> = Compact.decode(block.payload)?;
        known.extend(splits.into_iter().map(|split| split.id));
    }
    Ok(known)
}

struct Dealer {
    source: SourceEnumerator,
    known: HashSet<String>,
    next: usize,
    workers: usize,
}

impl Dealer {
    fn tell(&self, new: usize) {
        let (operator, uid) = (&self.source.name, &self.source.uid);
        events::splits_found(operator, uid, new, self.known.len());
    }

    /// [`discover`](Self::discover) on a thread that nobody waits for: a panic is an error.
    fn discover_guarded(&mut self) -> Result<Vec<BoardEntry>> {
        catch_unwind(AssertUnwindSafe(|| self.discover())).unwrap_or_else(|panic| {
            Err(Error::new(
                ErrorKind::Source,
                format!(
                    "operator \"{}\": panic while it looked for splits: {}",
                    self.source.name,
                    panic_text(&*panic)
                ),
            ))
        })
    }

    /// The splits that were not known, each for the next worker in turn.
    fn discover(&mut self) -> Result<Vec<BoardEntry>> {
        let found = self
            .source
            .enumerator
            .discover()
            .map_err(|error| error.within(format!("operator \"{}\"", self.source.name)))?;
        let mut entries = Vec::new();
        for (id, split) in found {
            if !self.known.insert(id) {
                continue;
            }
            entries.push(BoardEntry::Split {
                node: self.source.node,
                worker: self.next % self.workers,
                split,
            });
            self.next += 1;
        }
        Ok(entries)
    }
}
