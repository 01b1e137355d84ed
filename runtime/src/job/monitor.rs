//! The thread that looks at a running job once a second and logs what an operator should know of.

use super::control::JobControl;
use super::events;
use super::stall::StallWatch;
use super::view::JobView;
use super::watermarks::slowest_hold;
use crate::clock::Stopwatch;
use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(1);
/// A watermark that has stood still for this long is logged, and again after twice as long, four times, and so on.
const STALLED: Duration = Duration::from_secs(10);

/// Starts the thread; it ends with the job.
pub(super) fn start(view: JobView, control: Arc<JobControl>) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("mill-monitor".into())
        .spawn(move || {
            let _span = events::job_span(view.name()).entered();
            let mut stalls = Stalls::default();
            let mut looked = Stopwatch::start();
            while !control.has_ended() && !control.has_failed() {
                let left = LOOK.saturating_sub(looked.elapsed());
                if !left.is_zero() {
                    control.wait(left);
                    continue;
                }
                looked = Stopwatch::start();
                stalls.look(&view);
            }
        })
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "start the thread that watches the job")
                .with_source(error)
        })
}

/// What was said about a watermark that stands still.
#[derive(Default)]
struct Stalls {
    watch: StallWatch,
    /// How long it stood still when that was last logged.
    told: Option<Duration>,
}

/// What is worth a word.
#[derive(Debug, PartialEq)]
enum Word {
    StandsStill(Duration),
    MovesAgain(Duration),
}

impl Stalls {
    fn look(&mut self, view: &JobView) {
        let still = self.watch.observe(&view.report());
        match self.word(still) {
            Some(Word::StandsStill(still)) => {
                if let Some(hold) = slowest_hold(&view.watermarks()) {
                    events::stalled(hold, still);
                }
            }
            Some(Word::MovesAgain(still)) => events::moves_again(still),
            None => {}
        }
    }

    fn word(&mut self, still: Option<Duration>) -> Option<Word> {
        match (still, self.told) {
            (Some(still), told) if still >= told.map_or(STALLED, |told| told * 2) => {
                self.told = Some(still);
                Some(Word::StandsStill(still))
            }
            (None, Some(told)) => {
                self.told = None;
                Some(Word::MovesAgain(told))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_told_ever_more_rarely_and_its_end_once() {
        let mut stalls = Stalls::default();
        let seconds = Duration::from_secs;
        let told: Vec<_> = (0..50)
            .filter_map(|second| stalls.word(Some(seconds(second))))
            .collect();
        let expected = [10, 20, 40].map(|second| Word::StandsStill(seconds(second)));
        assert_eq!(told, expected);
        assert_eq!(stalls.word(None), Some(Word::MovesAgain(seconds(40))));
        assert_eq!(stalls.word(None), None);
        assert_eq!(stalls.word(Some(seconds(9))), None);
    }
}
