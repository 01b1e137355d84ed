//! A thread that does the blocking work of one worker: commands go in, answers come out, and the worker never
//! waits.
//!
//! Commands that carry data are refused when the thread cannot keep up; others are always taken. After an error
//! the thread does nothing more, and each call of the worker returns that error.

use millstream_runtime::error::panic_text;
use millstream_runtime::source::Waker;
use millstream_runtime::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What the thread does.
pub(crate) trait Work: Send + 'static {
    /// What it is told to do.
    type Command: Send + 'static;
    /// What it has to say.
    type Answer: Send + 'static;

    /// Whether a command carries data, so that it may be refused.
    fn is_data(command: &Self::Command) -> bool;

    /// Does what it is told; may block.
    fn execute(&mut self, command: Self::Command, stop: &Stop) -> Result<Option<Self::Answer>>;

    /// How long the worker can be left alone when there is nothing to do; then it is woken.
    fn patience(&mut self) -> Option<Duration> {
        None
    }
}

/// Says whether the worker has gone away, for work that could block for ever.
pub(crate) struct Stop(Arc<dyn Fn(Duration) -> bool + Send + Sync>);

impl Stop {
    /// Waits for this long or until the worker has gone away; whether it has.
    pub fn wait(&self, duration: Duration) -> bool {
        (self.0)(duration)
    }

    /// Whether the worker has gone away.
    pub fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// The worker's end.
pub(crate) struct Background<W: Work> {
    shared: Arc<Shared<W>>,
    room: usize,
    thread: Option<JoinHandle<()>>,
}

struct Shared<W: Work> {
    state: Mutex<State<W>>,
    work: Condvar,
}

struct State<W: Work> {
    commands: VecDeque<W::Command>,
    /// How many commands with data are under way.
    data: usize,
    /// The worker was refused and waits for room.
    refused: bool,
    answers: VecDeque<W::Answer>,
    failed: Option<(ErrorKind, String)>,
    stop: bool,
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> State<W> {
    fn check(&self) -> Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

impl<W: Work> Background<W> {
    /// Starts a thread of this name; `room` commands with data may be under way. The waker is called for
    /// answers, errors, and room after a refusal.
    pub fn start(name: String, work: W, room: usize, waker: Waker) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                commands: VecDeque::new(),
                data: 0,
                refused: false,
                answers: VecDeque::new(),
                failed: None,
                stop: false,
            }),
            work: Condvar::new(),
        });
        let inside = shared.clone();
        let what = format!("cannot start the thread {name}");
        let thread = Builder::new()
            .name(name)
            .spawn(move || run(&inside, work, room, &waker))
            .map_err(|error| Error::new(ErrorKind::Sink, what).with_source(error))?;
        Ok(Background {
            shared,
            room,
            thread: Some(thread),
        })
    }

    /// Gives `command` to the thread.
    pub fn send(&self, command: W::Command) -> Result<()> {
        let mut state = self.shared.lock();
        state.check()?;
        state.data += usize::from(W::is_data(&command));
        state.commands.push_back(command);
        self.shared.work.notify_all();
        Ok(())
    }

    /// Whether data can be sent now; if not, the waker is called when it can.
    pub fn has_room(&self) -> Result<bool> {
        let mut state = self.shared.lock();
        state.check()?;
        state.refused = state.data >= self.room;
        Ok(!state.refused)
    }

    /// The oldest answer that was not asked for yet.
    pub fn answer(&self) -> Result<Option<W::Answer>> {
        let mut state = self.shared.lock();
        state.check()?;
        Ok(state.answers.pop_front())
    }

    /// Lets the thread go without waiting for its end: it may be blocked for as long as others please.
    pub fn abandon(&mut self) {
        self.thread = None;
    }
}

impl<W: Work> Drop for Background<W> {
    /// Ends the thread without working off the queue: as after a crash.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a background thread has panicked");
        }
    }
}

/// Works off commands until it is told to stop or one fails.
fn run<W: Work>(shared: &Arc<Shared<W>>, mut work: W, room: usize, waker: &Waker) {
    let stop = stop_of(shared);
    while let Some(command) = next(shared, &mut work, waker) {
        let data = W::is_data(&command);
        // A panic is told like an error; the thread ends with it either way.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work.execute(command, &stop)
        }));
        let done = done.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let mut state = shared.lock();
        state.data -= usize::from(data);
        let room = state.refused && state.data < room;
        state.refused &= !room;
        let tell = room || !matches!(done, Ok(None));
        let failed = done.is_err();
        match done {
            Ok(answer) => state.answers.extend(answer),
            Err(error) => state.failed = Some((error.kind(), text_of(&error))),
        }
        drop(state);
        if tell {
            waker.wake();
        }
        if failed {
            return;
        }
    }
}

// A sink's thread works for many records: what goes wrong there is not the fault of the one that comes next.
fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = format!("panic: {}", panic_text(panic));
    Error::new(ErrorKind::Sink, text)
}

fn stop_of<W: Work>(shared: &Arc<Shared<W>>) -> Stop {
    let shared = shared.clone();
    Stop(Arc::new(move |duration| {
        let state = shared.lock();
        if state.stop || duration.is_zero() {
            return state.stop;
        }
        let waited = shared
            .work
            .wait_timeout_while(state, duration, |state| !state.stop);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stop
    }))
}

/// The text without the kind, which the error made from it brings again.
fn text_of(error: &Error) -> String {
    let text = error.to_string();
    let kind = format!("{}: ", error.kind());
    text.strip_prefix(&kind).unwrap_or(&text).to_owned()
}

fn next<W: Work>(shared: &Shared<W>, work: &mut W, waker: &Waker) -> Option<W::Command> {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return None;
        }
        if let Some(command) = state.commands.pop_front() {
            return Some(command);
        }
        state = match work.patience() {
            None => shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = shared.work.wait_timeout(state, patience);
                let (state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
                if timed_out.timed_out() && state.commands.is_empty() {
                    drop(state);
                    waker.wake();
                    shared.lock()
                } else {
                    state
                }
            }
        };
    }
}
