//! The benches' jobs on Renoir 0.6, with the load, the answer and the report of `benches/src/common`.

#[path = "../../src/common/mod.rs"]
pub mod common;
pub mod epoch_window;

use common::answer::Answer;
use renoir::{RuntimeConfig, StreamContext};
use std::sync::{Arc, Mutex};

/// The allocator that Renoir's own examples and benches set.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A context that runs in this process with the given parallelism.
pub fn local(workers: usize) -> StreamContext {
    StreamContext::new(RuntimeConfig::local(workers as u64).expect("at least one worker"))
}

/// An answer that several replicas of a sink add to, and the first replica's part of it.
pub fn shared_answer() -> (SharedAnswer, AnswerPart) {
    let whole = Arc::new(Mutex::new(Answer::default()));
    let part = AnswerPart {
        own: Answer::default(),
        whole: Arc::clone(&whole),
    };
    (SharedAnswer { whole }, part)
}

/// The sum of all parts that were dropped.
pub struct SharedAnswer {
    whole: Arc<Mutex<Answer>>,
}

impl SharedAnswer {
    /// The sum, once the job is over and all replicas are gone.
    pub fn sum(self) -> Answer {
        *self.whole.lock().expect("no replica panicked")
    }
}

/// What one replica added; joins the whole when it is dropped. A clone starts empty.
pub struct AnswerPart {
    own: Answer,
    whole: Arc<Mutex<Answer>>,
}

impl AnswerPart {
    /// Adds rows.
    #[inline]
    pub fn add(&mut self, add: impl FnOnce(&mut Answer)) {
        add(&mut self.own);
    }
}

impl Clone for AnswerPart {
    fn clone(&self) -> Self {
        AnswerPart {
            own: Answer::default(),
            whole: Arc::clone(&self.whole),
        }
    }
}

impl Drop for AnswerPart {
    fn drop(&mut self) {
        if let Ok(mut whole) = self.whole.lock() {
            whole.merge(self.own);
        }
    }
}
