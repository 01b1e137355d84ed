//! The driver of operators, whatever their inputs: takes what is admitted, acts on time, and passes
//! barriers. What differs with the number of inputs is behind [`Inputs`].

use super::alarm::Alarm;
use super::compile::{SideMaker, Site};
use super::context::Doing;
use super::gate::{Gate, Target};
use super::port::Changes;
use super::station::{Advance, Station, publish};
use super::turn::Turn;
use crate::error::{BoxError, Result};
use crate::operator::{OperatorContext, OperatorCore, Output, Work};
use crate::time::Time;
use timely::progress::ChangeBatch;
use timely::progress::operate::SharedProgress;

/// The inputs of an operator of type `O`.
pub(super) trait Inputs<O: OperatorCore> {
    /// What was taken from each, for progress tracking.
    fn consumed(&self) -> Vec<Changes>;
    /// Takes the changes of the frontiers; whether there were any.
    fn update(&mut self, frontiers: &mut [ChangeBatch<Time>]) -> bool;
    /// Shows the frontiers to the gate.
    fn observe(&self, gate: &mut Gate);
    /// Processes a batch of each; whether there was any that may be processed now.
    fn take_one(&mut self, station: &mut Station<O>) -> Result<bool>;
    /// How far the operator may go once everything admitted was taken.
    fn target(&self, gate: &Gate) -> Target;
    /// The barrier was passed: what still waits may wait for the next one.
    fn note_stash(&self, gate: &mut Gate);
    /// Records that wait behind a barrier.
    fn stashed(&self) -> usize;
}

/// Builds an operator behind `inputs`, which `site` has opened, into the dataflow of this worker.
pub(super) fn build<O: OperatorCore, I: Inputs<O> + 'static>(
    mut site: Site<'_, '_>,
    make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> O,
    inputs: I,
) -> Result<()> {
    let out = site.output::<O::Out>(0, &[]);
    let mut maker = SideMaker::new(&mut site);
    let operator = make(&mut maker);
    let sides = maker.into_sides();
    let faults = site.faults(&[]);
    let worker = site.worker.clone();
    let waker = site.waker();
    let station = Station::new(site.node, operator, out, sides, faults, worker, waker)?;
    let mut driver = OperatorDriver {
        consumed: inputs.consumed(),
        produced: site.produced(),
        alarm: site.alarm(),
        station,
        inputs,
    };
    site.run(move |progress| driver.turn(progress));
    Ok(())
}

struct OperatorDriver<O: OperatorCore, I> {
    station: Station<O>,
    inputs: I,
    consumed: Vec<Changes>,
    produced: Vec<Changes>,
    alarm: Alarm,
}

impl<O: OperatorCore, I: Inputs<O>> OperatorDriver<O, I> {
    fn turn(&mut self, progress: &mut SharedProgress<Time>) -> Result<()> {
        let turn = Turn::default();
        let station = &mut self.station;
        station.begin();
        if self.inputs.update(&mut progress.frontiers) {
            self.inputs.observe(&mut station.gate);
        }
        let mut again = work(station, &mut self.inputs, &mut progress.internals, &turn)?;
        let stashed = self.inputs.stashed() as u64;
        station.context.metrics.stashed.set(stashed);
        again |= station.encode();
        station.flush()?;
        station.count_keys();
        publish(progress, &self.consumed, &self.produced);
        if again {
            self.alarm.now();
        } else {
            self.alarm.at(station.next_due_ns());
        }
        Ok(())
    }
}

/// Processes what is admitted and acts on time; whether there is more to do.
fn work<O: OperatorCore>(
    station: &mut Station<O>,
    inputs: &mut impl Inputs<O>,
    outputs: &mut [ChangeBatch<Time>],
    turn: &Turn,
) -> Result<bool> {
    loop {
        if station.poll(outputs, turn)? == Work::More {
            return Ok(true);
        }
        while station.operator.accepts() && inputs.take_one(station)? {
            if turn.is_over() {
                return Ok(true);
            }
        }
        let target = inputs.target(&station.gate);
        match station.advance(target, outputs, turn)? {
            Advance::Settled => return Ok(false),
            Advance::Unfinished => return Ok(true),
            Advance::PassedBarrier => {
                inputs.observe(&mut station.gate);
                inputs.note_stash(&mut station.gate);
            }
        }
    }
}

/// A batch of `count` records was taken: what is to be done once a batch.
pub(super) fn end_batch<O: OperatorCore>(
    station: &mut Station<O>,
    count: u64,
    end: impl FnOnce(&mut O, &mut OperatorContext, &mut Output<O::Out>) -> Result<Work, BoxError>,
) -> Result<()> {
    let from = station.context.metrics.records_in.get();
    let to = from + count;
    let work = station
        .worker
        .running
        .during(Doing::Batch { from, to }, || {
            end(
                &mut station.operator,
                &mut station.context,
                &mut station.out,
            )
        });
    station.context.metrics.records_in.add(count);
    station.end_batch(work)
}
