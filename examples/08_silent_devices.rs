//! Devices that fall silent: timers in event time.
//!
//! ```text
//! cargo run --release --example 08_silent_devices
//! ```
//!
//! Four devices report every ten seconds. A timer per device is set one minute after each report and moved by the next;
//! when it fires, the device has been silent for that long. Timers are in *event time*: they fire when the
//! watermark says that no earlier report can come any more, so a replay of last night's data raises the alarms of last
//! night, at full speed, in either mode, on any number of workers. They are part of the checkpoint: an alarm is
//! not lost when the job dies between the report and the deadline.
//!
//! Prints when a device falls silent and when it is back. Two devices fail on the way; at the end of the input all
//! timers fire that are still pending, which the function tells from real silence.

use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use std::process::ExitCode;

const SILENCE_MS: i64 = 60_000;

/// What is kept of a device: the time of its last report, and whether the alarm was raised.
struct Watch {
    last: ValueState<i64>,
    silent: ValueState<bool>,
}

type Context<'a> = KeyedContext<'a, String, String>;

impl KeyedProcess for Watch {
    type Key = String;
    type In = f64;
    type Out = String;

    fn on_record(&mut self, _: f64, ctx: &mut Context<'_>) -> UserResult {
        let now = ctx.time();
        if let Some(last) = ctx.value(self.last).get().copied() {
            let deadline = last + SILENCE_MS;
            ctx.delete_event_timer(deadline);
            if now > deadline {
                // A timer fires when the watermark has passed it, and the watermark follows the records: when they
                // come thick and fast this one may be here first.
                self.raise_alarm(deadline, ctx);
                let seconds = (now - last) / 1_000;
                ctx.emit(format!(
                    "{} {} is back after {seconds} s",
                    clock(now),
                    ctx.key()
                ));
            }
        }
        ctx.value(self.last).set(now);
        ctx.value(self.silent).set(false);
        ctx.register_event_timer(now + SILENCE_MS);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_>) -> UserResult {
        if ctx.input_ended() {
            return Ok(()); // nobody reports any more: that is no alarm
        }
        self.raise_alarm(timer.time, ctx);
        Ok(())
    }
}

impl Watch {
    /// Once, whether by the timer or by the record after it.
    fn raise_alarm(&self, deadline: i64, ctx: &mut Context<'_>) {
        if ctx.value(self.silent).get() != Some(&true) {
            ctx.value(self.silent).set(true);
            ctx.emit_at(
                deadline,
                format!("{} {} is silent", clock(deadline), ctx.key()),
            );
        }
    }
}

/// Minutes and seconds since the start.
fn clock(ms: i64) -> String {
    format!("{:02}:{:02}", ms / 60_000, ms / 1_000 % 60)
}

/// Whether a device is broken at a time.
fn is_broken(device: usize, ms: i64) -> bool {
    match device {
        1 => (120_000..300_000).contains(&ms),
        3 => (400_000..480_000).contains(&ms),
        _ => false,
    }
}

fn main() -> ExitCode {
    let program =
        Program::new("silent-devices").about("finds devices that have not reported for a minute");
    millstream::main(program, |job, _| {
        // Device after device, a report every 2.5 s: each reports every ten.
        let reports = Generator::new(|at, rng| (at.index, 20.0 + rng.f64()))
            .total(300)
            .event_time(|index| index as i64 * 2_500);
        job.timed_source("reports", reports, WatermarkStrategy::ascending())
            .filter(|(index, _)| !is_broken(*index as usize % 4, *index as i64 * 2_500))
            .map(|(index, degrees)| (format!("device-{}", index % 4), degrees))
            .keyed()
            .process("watch", |states| Watch {
                last: states.value("last"),
                silent: states.value("silent"),
            })
            .sink("alarms", Console::new());
        Ok(())
    })
}
