//! User profiles: the last five pages that each user looked at, kept as state per user.
//!
//! ```text
//! cargo run --release --example 05_user_profiles
//! ```
//!
//! A shop's click stream: views, and now and then a purchase. A *process function* keeps a list per user, forgets
//! users who have been silent for an hour of event time (a time to live), and at each purchase puts out what the
//! user had looked at before. The stream is keyed, so all clicks of a user come to one worker in order, and the
//! list is in the checkpoint like any state.
//!
//! Prints a line per purchase; the clicks are made from a seed, so the lines are always the same. With `--workers 2`
//! lines of different users may change places, those of one user never.

use millstream::prelude::*;
use millstream::runtime::operator::UserResult;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::time::Duration;

const PAGES: [&str; 6] = ["kettle", "teapot", "toaster", "lamp", "chair", "carpet"];
const USERS: [&str; 4] = ["ada", "ben", "cleo", "dan"];

#[derive(Clone, Serialize, Deserialize)]
enum Click {
    View(String),
    Buy(String),
}

/// The pages a user has looked at, the last five of them.
struct Profile {
    viewed: ListState<String>,
}

impl KeyedProcess for Profile {
    type Key = String;
    type In = Click;
    type Out = String;

    fn on_record(
        &mut self,
        click: Click,
        ctx: &mut KeyedContext<'_, String, String>,
    ) -> UserResult {
        let mut viewed = ctx.list(self.viewed).get().to_vec();
        match click {
            Click::View(page) => {
                viewed.push(page);
                if viewed.len() > 5 {
                    viewed.remove(0);
                }
                ctx.list(self.viewed).set(viewed);
            }
            Click::Buy(page) => {
                let line = match viewed.as_slice() {
                    [] => format!("{:4} buys a {page:7} at first sight", ctx.key()),
                    pages => format!("{:4} buys a {page:7} after {}", ctx.key(), pages.join(", ")),
                };
                ctx.emit(line);
                ctx.list(self.viewed).clear();
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let program =
        Program::new("user-profiles").about("the last pages each user looked at before buying");
    millstream::main(program, |job, _| {
        // One click every 40 seconds of event time.
        let clicks = Generator::new(|_, rng| {
            let user = USERS[rng.usize(..USERS.len())].to_owned();
            let page = PAGES[rng.usize(..PAGES.len())].to_owned();
            let click = if rng.u8(..8) == 0 {
                Click::Buy(page)
            } else {
                Click::View(page)
            };
            (user, click)
        })
        .seed(7)
        .total(120)
        .event_time(|index| index as i64 * 40_000);
        let forget = Ttl::event_time(Duration::from_secs(3_600));
        job.timed_source("clicks", clicks, WatermarkStrategy::ascending())
            .keyed()
            .process("profile", move |states| Profile {
                viewed: states.list(StateSpec::new("viewed").with_ttl(forget)),
            })
            .sink("purchases", Console::new());
        Ok(())
    })
}
