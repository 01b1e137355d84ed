//! Where requests run: a tokio runtime with threads of its own, which all async operators of a process
//! share. It is there as long as one of them is.

use millstream_runtime::error::{BoxError, panic_text};
use millstream_runtime::source::Waker;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::task::AbortHandle;

/// Requests wait, they do not compute.
const THREADS: usize = 2;

/// A runtime that ends without waiting for what still runs on it.
struct Shared(Option<Runtime>);

impl Shared {
    /// The runtime of the process.
    fn get() -> Arc<Shared> {
        static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("millstream-async")
            .enable_all()
            .build()
            .expect("the system has threads for requests");
        let running = Arc::new(Shared(Some(runtime)));
        *shared = Arc::downgrade(&running);
        running
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken when it is dropped")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What became of an attempt.
pub(super) struct Answer<U> {
    /// Of this request.
    pub request: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The result, or what went wrong.
    pub result: Result<U, String>,
}

/// Wakes the operator once for all answers that come before it looks.
struct Bell {
    rung: AtomicBool,
    waker: Waker,
}

/// The requests of one operator instance that are being answered.
pub(super) struct Tasks<U> {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    sender: Sender<Answer<U>>,
    receiver: Receiver<Answer<U>>,
}

impl<U: Send + 'static> Tasks<U> {
    pub fn new(waker: Waker) -> Self {
        let (sender, receiver) = channel();
        let rung = AtomicBool::new(false);
        Tasks {
            shared: Shared::get(),
            bell: Arc::new(Bell { rung, waker }),
            sender,
            receiver,
        }
    }

    /// Lets user's code that makes a future find the runtime.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.shared.runtime().enter()
    }

    /// Starts an attempt; it ends early when the returned task is dropped.
    pub fn start(
        &self,
        request: u64,
        attempt: u32,
        future: impl Future<Output = Result<U, BoxError>> + Send + 'static,
    ) -> Task {
        let (sender, bell) = (self.sender.clone(), self.bell.clone());
        let answer = async move {
            let result = guarded(future).await;
            // Who no longer listens does not need it.
            let _ = sender.send(Answer {
                request,
                attempt,
                result,
            });
            if !bell.rung.swap(true, Ordering::AcqRel) {
                bell.waker.wake();
            }
        };
        Task(self.shared.runtime().spawn(answer).abort_handle())
    }

    /// The answers that have come since the last call.
    pub fn answers(&self) -> impl Iterator<Item = Answer<U>> {
        // Before it looks: what comes later rings again.
        let rung = self.bell.rung.swap(false, Ordering::AcqRel);
        rung.then(|| self.receiver.try_iter()).into_iter().flatten()
    }
}

/// A running attempt.
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The future's result; a panic in it is an error.
async fn guarded<U>(future: impl Future<Output = Result<U, BoxError>>) -> Result<U, String> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(|error| error.to_string())),
            Err(panic) => Poll::Ready(Err(format!("panic: {}", panic_text(&*panic)))),
        }
    })
    .await
}
