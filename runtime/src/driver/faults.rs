//! What an operator does with a record that it cannot process: the one place that applies its
//! [`ErrorPolicy`].
//!
//! Under [`ErrorPolicy::Fail`] nothing is caught and nothing is kept: records cost what they did. Under the
//! others each record is tried on its own, with a copy at hand. A record that fails leaves no
//! output behind; it is counted, once, and a dead letter goes out at the timestamp of what it failed in, so
//! that barriers and watermarks hold for it as for any result.

use super::context::WorkerContext;
use super::station::SidePort;
use super::step::Position;
use crate::dead_letter::{
    DeadLetter, DeadLetterKind, ErrorPolicy, PayloadEncoding, raw_payload, record_payload,
};
use crate::error::{BoxError, Error, ErrorKind, Result, error_text, panic_text};
use crate::graph::NodeId;
use crate::metrics::OperatorMetrics;
use crate::operator::Output;
use crate::record::{Data, NO_TIME, Record};
use crate::source::BadRecord;
use crate::time::{EventTime, Time};
use crate::watermark::{OutOfRange, WatermarkAssigner};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// Why a record failed.
pub struct Fault {
    kind: DeadLetterKind,
    reason: String,
}

impl Fault {
    /// Calls a user's function; what it returns or panics with becomes a fault.
    pub fn of<R>(call: impl FnOnce() -> std::result::Result<R, BoxError>) -> Result<R, Fault> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Fault {
                kind: match error.is::<OutOfRange>() {
                    true => DeadLetterKind::EventTime,
                    false => DeadLetterKind::Error,
                },
                reason: error_text(error.as_ref()),
            }),
            Err(panic) => Err(Fault {
                kind: DeadLetterKind::Panic,
                reason: panic_text(panic.as_ref()),
            }),
        }
    }
}

/// The error of an operator that failed at a record.
pub(super) fn at_record(number: u64, source: BoxError) -> Error {
    let kind = match source.is::<OutOfRange>() {
        true => ErrorKind::Record,
        false => ErrorKind::UserFunction,
    };
    Error::new(kind, format!("record {number}")).with_source(source)
}

/// The error policy of one operator on one worker, and where its dead letters go.
pub struct Faults {
    node: NodeId,
    policy: ErrorPolicy,
    letters: Option<Rc<RefCell<Output<DeadLetter>>>>,
    metrics: Arc<OperatorMetrics>,
    worker: Rc<WorkerContext>,
}

impl Faults {
    pub(crate) fn new(
        node: NodeId,
        policy: ErrorPolicy,
        letters: Option<Output<DeadLetter>>,
        worker: &Rc<WorkerContext>,
    ) -> Self {
        Faults {
            node,
            policy,
            letters: letters.map(|output| Rc::new(RefCell::new(output))),
            metrics: worker.registry.operator(node, worker.worker),
            worker: worker.clone(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Whether the job goes on when a record fails.
    pub(crate) fn are_tolerated(&self) -> bool {
        self.policy != ErrorPolicy::Fail
    }

    /// Whether anything goes to the dead letters.
    pub(crate) fn have_letters(&self) -> bool {
        self.letters.is_some()
    }

    /// The output of the dead letters, as a driver keeps it.
    pub(crate) fn port(&self) -> Option<Rc<RefCell<dyn SidePort>>> {
        let letters = self.letters.clone()?;
        Some(letters)
    }

    pub(crate) fn set_time(&self, time: Time) {
        if let Some(letters) = &self.letters {
            letters.borrow_mut().set_time(time);
        }
    }

    pub(crate) fn flush(&self) -> Result<()> {
        match &self.letters {
            Some(letters) => letters.borrow_mut().flush(),
            None => Ok(()),
        }
    }

    /// A source has read something of which it could make no record.
    ///
    /// # Errors
    /// Under [`ErrorPolicy::Fail`], naming split, position and reason.
    pub(crate) fn bad_record(&self, split: &str, bad: BadRecord) -> Result<()> {
        match self.policy {
            ErrorPolicy::Fail => {
                return Err(Error::new(
                    ErrorKind::Record,
                    format!("split {split}: {}: {}", bad.position, bad.reason),
                ));
            }
            ErrorPolicy::Skip => self.metrics.skipped.add(1),
            ErrorPolicy::DeadLetter => {
                let fault = Fault {
                    kind: DeadLetterKind::Malformed,
                    reason: bad.reason,
                };
                let payload = raw_payload(bad.payload);
                self.bury(Some(split), bad.position, NO_TIME, fault, payload);
            }
        }
        Ok(())
    }

    /// Assigns event times to records of a split, of which the first has this number; takes those out that
    /// fail.
    ///
    /// # Errors
    /// Under [`ErrorPolicy::Fail`], naming the record.
    pub(crate) fn assign<T: Data>(
        &self,
        split: &str,
        assigner: &mut WatermarkAssigner<T>,
        records: &mut Vec<Record<T>>,
        now_ms: EventTime,
        first: u64,
    ) -> Result<()> {
        let running = &self.worker.running;
        if !self.are_tolerated() {
            let assigned = assigner.assign(records, now_ms, &Position::new(running, first));
            return assigned.map_err(|source| {
                at_record(running.record.get(), source).within(format!("split {split}"))
            });
        }
        let mut number = first;
        records.retain_mut(|record| {
            let at = Position::new(running, number);
            let one = std::slice::from_mut(record);
            let assigned = Fault::of(|| assigner.assign(one, now_ms, &at));
            let failed = assigned
                .err()
                .map(|fault| self.failed_in(Some(split), number, record, fault));
            number += 1;
            failed.is_none()
        });
        Ok(())
    }

    /// A record failed in a user's function, and the policy is not to fail.
    pub(crate) fn failed<T: Data>(&self, number: u64, record: &Record<T>, fault: Fault) {
        self.failed_in(None, number, record, fault);
    }

    fn failed_in<T: Data>(
        &self,
        split: Option<&str>,
        number: u64,
        record: &Record<T>,
        fault: Fault,
    ) {
        if self.policy == ErrorPolicy::DeadLetter {
            let position = format!("record {number}");
            let payload = record_payload(&record.value);
            self.bury(split, position, record.time, fault, payload);
        } else {
            self.metrics.skipped.add(1);
        }
    }

    fn bury(
        &self,
        split: Option<&str>,
        position: String,
        time: EventTime,
        fault: Fault,
        (encoding, payload): (PayloadEncoding, String),
    ) {
        self.metrics.dead.add(1);
        let letter = DeadLetter {
            operator: self.worker.names[self.node].clone(),
            uid: self.worker.uids[self.node].clone(),
            worker: self.worker.worker as u32,
            split: split.map(str::to_owned),
            position,
            kind: fault.kind,
            reason: fault.reason,
            event_time: (time != NO_TIME).then_some(time),
            encoding,
            payload,
        };
        if let Some(letters) = &self.letters {
            letters.borrow_mut().push(time, letter);
        }
    }
}
