//! Enrichment by a slow service: many requests under way, results in their place.
//!
//! ```text
//! cargo run --release --example 10_async_enrichment
//! ```
//!
//! Visits carry an address; a service knows its country, and takes 20 ms to say so. (It is a function of this program; a
//! real one would be an HTTP or database client.) One after the other, 600 visits would take twelve seconds. With 100
//! requests under way they take a fraction of one.
//!
//! What makes it correct is what you do not see. Answers come in any order, but none overtakes a watermark, so the windows
//! behind are exact. A barrier does not wait for answers: requests under way are part of the checkpoint and are made again
//! after a crash. When the service is down for a moment, requests are tried again with growing pauses; when it knows
//! no answer, the visit goes to a side output rather than ending the job. And when 100 requests are under way, the
//! operator takes no more records, and the source stops reading.
//!
//! Prints visits per country and second, and the addresses that nobody knows. The summary on standard error has the time
//! it took; try it with `--workers 2`.

use millstream::prelude::*;
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A service with its moods.
#[derive(Clone, Default)]
struct GeoService {
    asked: Arc<Mutex<HashSet<u32>>>,
}

impl GeoService {
    async fn country(&self, address: u32) -> Result<&'static str, String> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let first_time = self
            .asked
            .lock()
            .expect("nobody panics with it")
            .insert(address);
        if address.is_multiple_of(10) && first_time {
            return Err("the service is overloaded".into());
        }
        match address % 7 {
            0 | 1 => Ok("Iceland"),
            2 | 3 => Ok("Japan"),
            4 | 5 => Ok("Peru"),
            _ if address.is_multiple_of(4) => Err(format!("address {address} is in no country")),
            _ => Ok("Kenya"),
        }
    }
}

fn main() -> ExitCode {
    let program =
        Program::new("async-enrichment").about("asks a slow service for the country of each visit");
    millstream::main(program, |job, _| {
        let visits = Generator::new(|_, rng| rng.u32(..120))
            .total(600)
            .event_time(|index| index as i64 * 10);
        let ask = AsyncIo::unordered()
            .capacity(100)
            .timeout(Duration::from_secs(5))
            .retry(Retry::exponential(3, Duration::from_millis(5)));
        let tags = (SideTag::new("located"), SideTag::new("unknown"));
        let (located, unknown) = job
            .timed_source("visits", visits, WatermarkStrategy::ascending())
            .async_map_results("locate", ask, || {
                let service = GeoService::default();
                move |address: u32| {
                    let service = service.clone();
                    async move { Ok(service.country(address).await?.to_owned()) }
                }
            })
            .split(
                "found",
                tags,
                |(address, country), (located, unknown), to| match country {
                    Ok(country) => to.put(located, country),
                    Err(failure) => to.put(unknown, format!("{address}: {failure}")),
                },
            );

        located
            .key_by(|country: &String| country.clone())
            .window(Tumbling::of(Duration::from_secs(1)))
            .count()
            .map(|visits| {
                format!(
                    "{} {:8} {:3} visits",
                    visits.window, visits.key, visits.value
                )
            })
            .sink("visits per country", Console::new());
        unknown.distinct().sink("unknown addresses", Console::new());
        Ok(())
    })
}
