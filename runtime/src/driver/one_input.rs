//! Binds an [`Operator`] to timely.

use super::alarm::Alarm;
use super::compile::{SideMaker, Site};
use super::context::Doing;
use super::inlet::Inlet;
use super::port::{Changes, Route};
use super::station::{Advance, Station, publish};
use super::step::Position;
use super::turn::Turn;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::Operator;
use crate::time::Time;
use timely::progress::operate::SharedProgress;

/// Builds an operator with one input into the dataflow of this worker.
pub(crate) fn build<O: Operator>(
    mut site: Site<'_, '_>,
    make: impl FnOnce(&mut SideMaker<'_, '_, '_>) -> O,
    route: Route<O::In>,
) -> Result<()> {
    let inlet = site.input::<O::In>(0, route);
    let out = site.output::<O::Out>(0, &[]);
    let mut maker = SideMaker::new(&mut site);
    let operator = make(&mut maker);
    let sides = maker.into_sides();
    let station = Station::new(site.node, operator, out, sides, site.worker.clone())?;
    let consumed = vec![inlet.consumed()];
    let produced = site.produced();
    let mut alarm = Alarm::new(site.activator());
    let mut driver = OneInput { station, inlet };
    site.run(move |progress| driver.turn(progress, &consumed, &produced, &mut alarm));
    Ok(())
}

struct OneInput<O: Operator> {
    station: Station<O>,
    inlet: Inlet<O::In>,
}

impl<O: Operator> OneInput<O> {
    fn turn(
        &mut self,
        progress: &mut SharedProgress<Time>,
        consumed: &[Changes],
        produced: &[Changes],
        alarm: &mut Alarm,
    ) -> Result<()> {
        let turn = Turn::default();
        self.station.begin();
        if self.inlet.update(&mut progress.frontiers[0]) {
            self.station.gate.observe(self.inlet.frontier());
        }
        let mut again = self.work(progress, &turn)?;
        self.station
            .context
            .metrics
            .stashed
            .set(self.inlet.stashed() as u64);
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

    /// Processes what is admitted and acts on time; whether there is more to do.
    fn work(&mut self, progress: &mut SharedProgress<Time>, turn: &Turn) -> Result<bool> {
        loop {
            while let Some(records) = self.inlet.next(&mut self.station.gate) {
                self.process(records)?;
                if turn.is_over() {
                    return Ok(true);
                }
            }
            let target = self
                .station
                .gate
                .target(self.inlet.frontier(), self.inlet.stash_meet());
            match self
                .station
                .advance(target, &mut progress.internals, turn)?
            {
                Advance::Settled => return Ok(false),
                Advance::Unfinished => return Ok(true),
                Advance::PassedBarrier => {
                    self.station.gate.observe(self.inlet.frontier());
                    self.inlet.note_stash(&mut self.station.gate);
                }
            }
        }
    }

    fn process(&mut self, records: Vec<crate::record::Record<O::In>>) -> Result<()> {
        let station = &mut self.station;
        let running = &station.worker.running;
        let before = station.context.metrics.records_in.get();
        let count = records.len() as u64;
        running.node.set(station.node);
        let at = Position::new(running, before);
        station
            .operator
            .on_batch(records, &mut station.context, &mut station.out, &at)
            .map_err(|source| {
                let record = running.record.get();
                Error::new(ErrorKind::UserFunction, format!("record {record}")).with_source(source)
            })?;
        let whole = Doing::Batch {
            from: before,
            to: before + count,
        };
        let work = running.during(whole, || {
            station
                .operator
                .on_batch_end(&mut station.context, &mut station.out)
        });
        station.context.metrics.records_in.add(count);
        station.end_batch(work)
    }
}
