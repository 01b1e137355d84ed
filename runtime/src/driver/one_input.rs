//! Binds an [`Operator`] to timely.

use super::compile::{SideMaker, Site};
use super::faults::at_record;
use super::gate::{Gate, Target};
use super::inlet::Inlet;
use super::operator::{self, Inputs};
use super::port::{Changes, Route};
use super::station::Station;
use super::step::Position;
use crate::error::Result;
use crate::operator::Operator;
use crate::record::Record;
use crate::time::Time;
use timely::progress::ChangeBatch;

/// Builds an operator with one input into the dataflow of this worker.
pub(crate) fn build<O: Operator>(
    mut site: Site<'_, '_>,
    make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> O,
    route: Route<O::In>,
) -> Result<()> {
    let input = site.input::<O::In>(0, route);
    operator::build(site, make, input)
}

impl<O: Operator> Inputs<O> for Inlet<O::In> {
    fn consumed(&self) -> Vec<Changes> {
        vec![Inlet::consumed(self)]
    }

    fn update(&mut self, frontiers: &mut [ChangeBatch<Time>]) -> bool {
        Inlet::update(self, &mut frontiers[0])
    }

    fn observe(&self, gate: &mut Gate) {
        gate.observe(self.frontier());
    }

    fn take_one(&mut self, station: &mut Station<O>) -> Result<bool> {
        match self.next(&mut station.gate) {
            Some(records) => process(station, records).map(|()| true),
            None => Ok(false),
        }
    }

    fn target(&self, gate: &Gate) -> Target {
        gate.target(self.frontier(), self.stash_meet())
    }

    fn note_stash(&self, gate: &mut Gate) {
        Inlet::note_stash(self, gate);
    }

    fn stashed(&self) -> usize {
        Inlet::stashed(self)
    }
}

fn process<O: Operator>(station: &mut Station<O>, records: Vec<Record<O::In>>) -> Result<()> {
    let running = &station.worker.running;
    let before = station.context.metrics.records_in.get();
    let count = records.len() as u64;
    running.node.set(station.node);
    if station.faults.are_tolerated() {
        for (number, record) in (before..).zip(records) {
            station.try_record(number, record, O::on_record);
        }
    } else {
        let at = Position::new(running, before);
        station
            .operator
            .on_batch(records, &mut station.context, &mut station.out, &at)
            .map_err(|source| at_record(running.record.get(), source))?;
    }
    operator::end_batch(station, count, O::on_batch_end)
}
