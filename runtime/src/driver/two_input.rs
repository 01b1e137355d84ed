//! Binds a [`TwoInputOperator`] to timely.

use super::compile::{SideMaker, Site};
use super::faults::at_record;
use super::gate::{Gate, Target};
use super::inlet::Inlet;
use super::operator::{self, Inputs};
use super::port::{Changes, Route};
use super::station::Station;
use crate::error::Result;
use crate::operator::{OperatorContext, Output, TwoInputOperator, UserResult};
use crate::record::{Data, Record};
use crate::time::Time;
use timely::progress::ChangeBatch;

/// Builds an operator with two inputs into the dataflow of this worker.
pub(crate) fn build<O: TwoInputOperator>(
    mut site: Site<'_, '_>,
    make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> O,
    left: Route<O::Left>,
    right: Route<O::Right>,
) -> Result<()> {
    let inputs = TwoInputs {
        left: site.input::<O::Left>(0, left),
        right: site.input::<O::Right>(1, right),
    };
    operator::build(site, make, inputs)
}

struct TwoInputs<L, R> {
    left: Inlet<L>,
    right: Inlet<R>,
}

impl<O: TwoInputOperator> Inputs<O> for TwoInputs<O::Left, O::Right> {
    fn consumed(&self) -> Vec<Changes> {
        vec![self.left.consumed(), self.right.consumed()]
    }

    fn update(&mut self, frontiers: &mut [ChangeBatch<Time>]) -> bool {
        // Both, always.
        self.left.update(&mut frontiers[0]) | self.right.update(&mut frontiers[1])
    }

    fn observe(&self, gate: &mut Gate) {
        gate.observe(self.left.frontier().chain(self.right.frontier()));
    }

    fn take_one(&mut self, station: &mut Station<O>) -> Result<bool> {
        let mut any = false;
        if let Some(records) = self.left.next(&mut station.gate) {
            process(station, records, O::on_left)?;
            any = true;
        }
        if let Some(records) = self.right.next(&mut station.gate) {
            process(station, records, O::on_right)?;
            any = true;
        }
        Ok(any)
    }

    fn target(&self, gate: &Gate) -> Target {
        let frontier = self.left.frontier().chain(self.right.frontier());
        let stash = match (self.left.stash_meet(), self.right.stash_meet()) {
            (Some(a), Some(b)) => Some(a.meet(b)),
            (a, b) => a.or(b),
        };
        gate.target(frontier, stash)
    }

    fn note_stash(&self, gate: &mut Gate) {
        self.left.note_stash(gate);
        self.right.note_stash(gate);
    }

    fn stashed(&self) -> usize {
        self.left.stashed() + self.right.stashed()
    }
}

fn process<O: TwoInputOperator, T: Data>(
    station: &mut Station<O>,
    records: Vec<Record<T>>,
    take: impl Fn(&mut O, Record<T>, &mut OperatorContext, &mut Output<O::Out>) -> UserResult,
) -> Result<()> {
    let before = station.context.metrics.records_in.get();
    let count = records.len() as u64;
    station.worker.running.node.set(station.node);
    for (number, record) in (before..).zip(records) {
        if station.faults.are_tolerated() {
            station.try_record(number, record, &take);
            continue;
        }
        station.worker.running.record.set(number);
        take(
            &mut station.operator,
            record,
            &mut station.context,
            &mut station.out,
        )
        .map_err(|source| at_record(number, source))?;
    }
    operator::end_batch(station, count, O::on_batch_end)
}
