//! The worker threads of a process: each builds the dataflow and steps it until the job halts or fails.

use super::control::JobControl;
use super::discovery;
use super::events::worker_span;
use super::handle::JobHandle;
use super::monitor;
use super::prepare::Prepared;
use super::view::JobView;
use crate::clock::Stopwatch;
use crate::driver::{WorkerContext, compile};
use crate::error::{Error, ErrorKind, Result, panic_text};
#[cfg(feature = "http")]
use crate::http::HttpServer;
use crate::metrics::WorkerMetrics;
use crate::time::Time;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use timely::CommunicationConfig;
use timely::communication::{Allocator, WorkerGuards, initialize_from};
use timely::logging::TimelyProgressEventBuilder;
use timely::worker::{ProgressMode, Worker};

/// A parked worker looks up this often even if nobody wakes it.
const LONGEST_PARK: Duration = Duration::from_millis(500);

/// Sleeping and waking up takes longer than this: a worker that would be woken sooner stays awake.
const SHORTEST_PARK: Duration = Duration::from_micros(5);

/// How long timely may collect its log events.
const LOG_FLUSH_NS: i64 = 100_000_000;

/// A job whose workers run.
pub(super) struct Running {
    pub job: Arc<Prepared>,
    pub control: Arc<JobControl>,
    pub workers: WorkerGuards<()>,
    pub watchers: Vec<JoinHandle<()>>,
    pub view: JobView,
    #[cfg(feature = "http")]
    pub http: Option<HttpServer>,
}

pub(super) fn launch(job: Prepared) -> Result<JobHandle> {
    #[cfg(feature = "http")]
    let http = job.config.metrics_addr.map(HttpServer::bind).transpose()?;
    let started = Stopwatch::start();
    let control = Arc::new(JobControl::new(job.description.clone()));
    let enumerators = job.enumerators()?;
    let mut watchers = discovery::start(&job, &control, enumerators)
        // Those that watch other sources already must not outlive the attempt.
        .inspect_err(|_| control.set_ended())?;
    job.choose_start().inspect_err(|_| control.set_ended())?;
    let (builders, others) = communication(job.config.workers)
        .try_build()
        .map_err(|error| Error::new(ErrorKind::Internal, error))?;
    let job = Arc::new(job);
    let (shared_job, shared_control) = (job.clone(), control.clone());
    let workers = initialize_from(builders, others, move |allocator| {
        shared_control.add_thread(std::thread::current());
        reduce_timer_slack();
        run(allocator, &shared_job, &shared_control);
    })
    .map_err(|error| Error::new(ErrorKind::Internal, format!("start the workers: {error}")))?;
    let view = JobView::new(job.clone(), control.clone(), started);
    match monitor::start(view.clone(), control.clone()) {
        Ok(monitor) => watchers.push(monitor),
        // Only logs are lost.
        Err(error) => tracing::warn!(%error, "nobody watches the job"),
    }
    Ok(JobHandle::new(Running {
        #[cfg(feature = "http")]
        http: http.map(|http| http.serve(view.clone())).transpose()?,
        job,
        control,
        workers,
        watchers,
        view,
    }))
}

/// A single worker needs no channels between threads; with them, each message would allocate, and wake the
/// thread that has sent it.
fn communication(workers: usize) -> CommunicationConfig {
    match workers {
        1 => CommunicationConfig::Thread,
        workers => CommunicationConfig::Process(workers),
    }
}

/// Builds and steps one worker. A panic ends the job with the operator's name.
fn run(allocator: Allocator, job: &Prepared, control: &Arc<JobControl>) {
    let index = allocator.index();
    let _span = worker_span(&job.graph.name, index).entered();
    let mut context = None;
    let mut built = false;
    let result = catch_unwind(AssertUnwindSafe(|| -> Result<()> {
        let shared = WorkerContext::new(index, job, control.clone())
            .map_err(|error| error.within(format!("worker {index}")))?;
        context = Some(shared.clone());
        let mode = if job.config.eager_progress {
            ProgressMode::Eager
        } else {
            ProgressMode::Demand
        };
        let config = timely::WorkerConfig::default().progress_mode(mode);
        let mut worker = Worker::new(config, allocator, Some(now()));
        if job.config.count_progress {
            count_progress(&worker, &shared.registry.worker(index));
        }
        let graph = job.graph.clone();
        worker.dataflow_core("millstream", None, Box::new(()), |_, scope| {
            compile(scope, &graph, shared.clone())
        })?;
        built = true;
        step(&mut worker, &shared, job.config.spin);
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        Ok(())
    }));
    if !built {
        job.undo_start();
    }
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => control.fail(error),
        Err(panic) => report_panic(index, panic.as_ref(), context.as_deref(), control),
    }
}

fn report_panic(
    index: usize,
    panic: &(dyn std::any::Any + Send),
    context: Option<&WorkerContext>,
    control: &JobControl,
) {
    let text = panic_text(panic);
    match context {
        Some(context) => {
            let running = &context.running;
            let error = Error::new(ErrorKind::UserFunction, format!("panic {running}: {text}"));
            context.fail(running.node.get(), error);
        }
        None => control.fail(Error::new(
            ErrorKind::Internal,
            format!("worker {index} panicked before it began: {text}"),
        )),
    }
}

/// Counts progress messages by timely's own log of them.
fn count_progress(worker: &Worker, metrics: &Arc<WorkerMetrics>) {
    let Some(mut logs) = worker.log_register() else {
        return;
    };
    let name = format!("timely/progress/{}", std::any::type_name::<Time>());
    let metrics = metrics.clone();
    logs.insert::<TimelyProgressEventBuilder<Time>, _>(&name, move |_, events| {
        for (_, event) in events.iter().flat_map(|events| events.iter()) {
            match event.is_send {
                true => metrics.progress_sent.add(1),
                false => metrics.progress_received.add(1),
            }
        }
    });
}

fn step(worker: &mut Worker, context: &Rc<WorkerContext>, spin: bool) {
    let metrics = context.registry.worker(context.worker);
    let measure = context.config.measure;
    let mut before_ns = context.now_ns();
    let mut flushed_ns = before_ns;
    while !context.halted.get() && !context.control.has_failed() {
        let alarm = context.begin_step();
        if measure {
            // What the last step took. A call either steps or parks, never both.
            let (now_ns, ran) = (context.now_ns(), context.ran.replace(false));
            let spent = if ran {
                &metrics.busy_ns
            } else {
                &metrics.idle_ns
            };
            spent.add((now_ns - before_ns).max(0) as u64);
            before_ns = now_ns;
        }
        if context.config.count_progress && context.now_ns() - flushed_ns > LOG_FLUSH_NS {
            flushed_ns = context.now_ns();
            if let Some(mut logs) = worker.log_register() {
                logs.flush();
            }
        }
        let park = if spin {
            Duration::ZERO
        } else {
            park_for(alarm)
        };
        worker.step_or_park(Some(park));
    }
}

/// How long a worker that has nothing to do sleeps if nobody wakes it, given the time until its next alarm.
fn park_for(alarm: Option<Duration>) -> Duration {
    match alarm {
        Some(alarm) if alarm < SHORTEST_PARK => Duration::ZERO,
        Some(alarm) => alarm.min(LONGEST_PARK),
        None => LONGEST_PARK,
    }
}

#[allow(clippy::disallowed_methods)] // without a start time timely would never park
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The kernel may wake a sleeping thread up to 50 µs late to save power; for threads that wait for
/// records that is most of their latency.
fn reduce_timer_slack() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_timerslack(1_000) {
        tracing::debug!(%error, "timer slack stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At a million records a second the next one is always less than a microsecond away; a worker that parked for that
    /// long took eight microseconds for each.
    #[test]
    fn a_worker_sleeps_only_where_that_is_worth_it() {
        let us = Duration::from_micros;
        assert_eq!(park_for(Some(us(1))), Duration::ZERO);
        assert_eq!(park_for(Some(us(10))), us(10));
        assert_eq!(park_for(Some(Duration::from_secs(60))), LONGEST_PARK);
        assert_eq!(park_for(None), LONGEST_PARK);
    }
}
