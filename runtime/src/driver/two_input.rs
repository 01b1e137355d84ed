//! Binds a [`TwoInputOperator`] to timely.

use super::alarm::Alarm;
use super::compile::{SideMaker, Site};
use super::context::Doing;
use super::inlet::Inlet;
use super::port::{Changes, Route};
use super::station::{Advance, Station, publish};
use super::turn::Turn;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::{OperatorContext, Output, TwoInputOperator, UserResult};
use crate::record::Record;
use crate::time::Time;
use timely::progress::operate::SharedProgress;

/// Builds an operator with two inputs into the dataflow of this worker.
pub(crate) fn build<O: TwoInputOperator>(
    mut site: Site<'_, '_>,
    make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> O,
    left: Route<O::Left>,
    right: Route<O::Right>,
) -> Result<()> {
    let left = site.input::<O::Left>(0, left);
    let right = site.input::<O::Right>(1, right);
    let out = site.output::<O::Out>(0, &[]);
    let mut maker = SideMaker::new(&mut site);
    let operator = make(&mut maker);
    let sides = maker.into_sides();
    let station = Station::new(site.node, operator, out, sides, site.worker.clone())?;
    let consumed = vec![left.consumed(), right.consumed()];
    let produced = site.produced();
    let mut alarm = Alarm::new(site.activator());
    let mut driver = TwoInput {
        station,
        left,
        right,
    };
    site.run(move |progress| driver.turn(progress, &consumed, &produced, &mut alarm));
    Ok(())
}

struct TwoInput<O: TwoInputOperator> {
    station: Station<O>,
    left: Inlet<O::Left>,
    right: Inlet<O::Right>,
}

impl<O: TwoInputOperator> TwoInput<O> {
    fn turn(
        &mut self,
        progress: &mut SharedProgress<Time>,
        consumed: &[Changes],
        produced: &[Changes],
        alarm: &mut Alarm,
    ) -> Result<()> {
        let turn = Turn::default();
        self.station.begin();
        let (first, second) = progress.frontiers.split_at_mut(1);
        if self.left.update(&mut first[0]) | self.right.update(&mut second[0]) {
            self.observe();
        }
        let mut again = self.work(progress, &turn)?;
        again |= self.station.encode();
        self.station.flush()?;
        publish(progress, consumed, produced);
        if again {
            alarm.now();
        } else if let Some(wait) = self.station.due_in() {
            alarm.after(wait, self.station.worker.clock.as_ref());
        }
        Ok(())
    }

    fn observe(&mut self) {
        let frontier = self.left.frontier().chain(self.right.frontier());
        self.station.gate.observe(frontier);
    }

    fn work(&mut self, progress: &mut SharedProgress<Time>, turn: &Turn) -> Result<bool> {
        loop {
            while self.take_one()? {
                if turn.is_over() {
                    return Ok(true);
                }
            }
            let frontier = self.left.frontier().chain(self.right.frontier());
            let stash = match (self.left.stash_meet(), self.right.stash_meet()) {
                (Some(a), Some(b)) => Some(a.meet(b)),
                (a, b) => a.or(b),
            };
            let target = self.station.gate.target(frontier, stash);
            match self
                .station
                .advance(target, &mut progress.internals, turn)?
            {
                Advance::Settled => return Ok(false),
                Advance::Unfinished => return Ok(true),
                Advance::PassedBarrier => {
                    self.observe();
                    self.left.note_stash(&mut self.station.gate);
                    self.right.note_stash(&mut self.station.gate);
                }
            }
        }
    }

    /// Processes a batch of each input; whether there was any.
    fn take_one(&mut self) -> Result<bool> {
        let mut any = false;
        if let Some(records) = self.left.next(&mut self.station.gate) {
            process(&mut self.station, records, O::on_left)?;
            any = true;
        }
        if let Some(records) = self.right.next(&mut self.station.gate) {
            process(&mut self.station, records, O::on_right)?;
            any = true;
        }
        Ok(any)
    }
}

fn process<O: TwoInputOperator, T>(
    station: &mut Station<O>,
    records: Vec<Record<T>>,
    take: impl Fn(&mut O, Record<T>, &mut OperatorContext, &mut Output<O::Out>) -> UserResult,
) -> Result<()> {
    let before = station.context.metrics.records_in.get();
    let count = records.len() as u64;
    station.worker.running.node.set(station.node);
    for (index, record) in records.into_iter().enumerate() {
        let number = before + index as u64;
        station.worker.running.record.set(number);
        take(
            &mut station.operator,
            record,
            &mut station.context,
            &mut station.out,
        )
        .map_err(|source| {
            Error::new(ErrorKind::UserFunction, format!("record {number}")).with_source(source)
        })?;
    }
    let whole = Doing::Batch {
        from: before,
        to: before + count,
    };
    let work = station.worker.running.during(whole, || {
        station
            .operator
            .on_batch_end(&mut station.context, &mut station.out)
    });
    station.context.metrics.records_in.add(count);
    station.end_batch(work)
}
