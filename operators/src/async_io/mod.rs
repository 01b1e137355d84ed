//! Asynchronous requests for records: to a service, a database, a model.
//!
//! A function makes a future of each record; many are under way at once, on threads of their own. Results keep
//! their record's event time and its place among watermarks and barriers:
//!
//! - Watermarks: results of records that came between two watermarks go out between these two, in their order
//!   ([`AsyncIo::ordered`]) or as answers come ([`AsyncIo::unordered`]). A watermark waits for the requests
//!   in front of it, the end of the input for all of them.
//! - Barriers do not wait for answers. What is under way is part of the snapshot, and is asked again after a
//!   recovery: a request may be made more than once, its result goes out once.
//! - Micro-batches: a batch is complete when all its requests are answered.
//! - Backpressure: with [`capacity`](AsyncIo::capacity) requests under way the operator takes no records.

mod operator;
mod requests;
mod retry;
mod tasks;

pub use retry::Retry;

use crate::keyed::KeyedStream;
use crate::stream::Stream;
use millstream_runtime::driver::SideMaker;
use millstream_runtime::error::BoxError;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::job::{Builder, Edge};
use millstream_runtime::record::{Data, Key, NO_TIME, Record};
use operator::{AsyncOperator, Finish, Make, Placed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// In which order results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ordered,
    Unordered,
}

/// How requests are made: in which order results go out, how many are under way, how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct AsyncIo {
    order: Order,
    capacity: usize,
    timeout: Duration,
    retry: Retry,
}

impl AsyncIo {
    /// Results go out in the order in which their records came to the instance. A slow request holds up those
    /// behind it.
    pub fn ordered() -> Self {
        AsyncIo {
            order: Order::Ordered,
            capacity: 100,
            timeout: Duration::from_secs(10),
            retry: Retry::never(),
        }
    }

    /// Results go out as answers come, but none overtakes a watermark.
    pub fn unordered() -> Self {
        AsyncIo {
            order: Order::Unordered,
            ..AsyncIo::ordered()
        }
    }

    /// How many requests of an instance may be under way, those whose results wait for others' among them: 100
    /// if not given.
    pub fn capacity(mut self, requests: usize) -> Self {
        self.capacity = requests;
        self
    }

    /// How long a request may take, all its attempts together: 10 seconds if not given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether a request that failed is asked again: never if not given. One that takes too long is not.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    fn timeout_ms(&self) -> i64 {
        i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX)
    }

    fn assert_sound(&self, name: &str) {
        let fault = match self {
            _ if self.capacity == 0 => Some("the capacity must be at least one request, not 0"),
            _ if self.timeout_ms() == 0 => Some("the timeout must be at least 1 ms"),
            _ => self.retry.fault(),
        };
        if let Some(fault) = fault {
            panic!("operator \"{name}\": {fault}");
        }
    }

    fn describe(&self) -> String {
        let order = match self.order {
            Order::Ordered => "ordered",
            Order::Unordered => "unordered",
        };
        format!("async, {order}, {} under way", self.capacity)
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AsyncFailure {
    /// There was none in time.
    TimedOut {
        /// How many attempts were made.
        attempts: u32,
    },
    /// All attempts failed.
    Failed {
        /// How many attempts were made.
        attempts: u32,
        /// The error of the last one.
        error: String,
    },
}

impl fmt::Display for AsyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsyncFailure::TimedOut { attempts } => {
                write!(f, "no answer in time, attempts made: {attempts}")
            }
            AsyncFailure::Failed { attempts, error } => {
                write!(f, "{error}, attempts made: {attempts}")
            }
        }
    }
}

impl std::error::Error for AsyncFailure {}

/// The failed request ends the job.
fn or_fail<T, U>(record: Record<T>, result: Result<U, AsyncFailure>) -> Result<U, BoxError> {
    result.map_err(|failure| match record.time {
        NO_TIME => failure.into(),
        time => format!("the request for a record of time {time}: {failure}").into(),
    })
}

/// What became of a request goes out with its value.
fn with_failure<T, U>(
    record: Record<T>,
    result: Result<U, AsyncFailure>,
) -> Result<(T, Result<U, AsyncFailure>), BoxError> {
    Ok((record.value, result))
}

impl<T: Data> Stream<T> {
    /// Makes a request for each record and puts out its result; see the [module](self) for how results, watermarks
    /// and barriers go together. A request that fails or takes too long ends the job. `make` is called on
    /// each worker, and its function for each record, both within a tokio runtime; what it returns runs on
    /// that runtime's threads.
    ///
    /// ```
    /// # use millstream_operators::{AsyncIo, Retry, Stream};
    /// # use std::time::Duration;
    /// # #[derive(Clone)]
    /// # struct Client;
    /// # impl Client {
    /// #     fn new() -> Self { Client }
    /// #     async fn country(&self, ip: &str) -> std::io::Result<String> { Ok(ip.into()) }
    /// # }
    /// fn located(visits: &Stream<String>) -> Stream<(String, String)> {
    ///     let io = AsyncIo::unordered()
    ///         .capacity(1_000)
    ///         .timeout(Duration::from_secs(5))
    ///         .retry(Retry::exponential(3, Duration::from_millis(50)));
    ///     visits.async_map("locate", io, || {
    ///         let client = Client::new();
    ///         move |ip: String| {
    ///             let client = client.clone();
    ///             async move {
    ///                 let country = client.country(&ip).await?;
    ///                 Ok((ip, country))
    ///             }
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Panics
    /// When `io` makes no sense: a capacity, a timeout or a number of attempts of zero.
    pub fn async_map<U: Data, F, Fut>(
        &self,
        name: &str,
        io: AsyncIo,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<U>
    where
        F: Fn(T) -> Fut + 'static,
        Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
    {
        build(&self.builder, name, self.edge(), None, io, or_fail, make)
    }

    /// [`async_map`](Self::async_map) that puts out what became of each request, with the value it was made for:
    /// the job goes on when one fails.
    ///
    /// ```
    /// # use millstream_operators::{AsyncIo, SideTag, Stream};
    /// # async fn price(article: u64) -> std::io::Result<u64> { Ok(article) }
    /// fn priced(articles: &Stream<u64>) -> (Stream<u64>, Stream<String>) {
    ///     let tags = (SideTag::new("prices"), SideTag::new("unknown"));
    ///     articles
    ///         .async_map_results("price", AsyncIo::ordered(), || {
    ///             |article: u64| async move { Ok(price(article).await?) }
    ///         })
    ///         .split("known", tags, |(article, price), (prices, unknown), to| match price {
    ///             Ok(price) => to.put(prices, price),
    ///             Err(failure) => to.put(unknown, format!("{article}: {failure}")),
    ///         })
    /// }
    /// ```
    ///
    /// # Panics
    /// As [`async_map`](Self::async_map).
    pub fn async_map_results<U: Data, F, Fut>(
        &self,
        name: &str,
        io: AsyncIo,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<(T, Result<U, AsyncFailure>)>
    where
        F: Fn(T) -> Fut + 'static,
        Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
    {
        let edge = self.edge();
        build(&self.builder, name, edge, None, io, with_failure, make)
    }
}

impl<K: Key, V: Data> KeyedStream<K, V> {
    /// [`Stream::async_map`] on the worker that owns the key: with [`AsyncIo::ordered`] the results of a key go
    /// out in the order of its records, also after a restart on another number of workers.
    ///
    /// # Panics
    /// As [`Stream::async_map`].
    pub fn async_map<U: Data, F, Fut>(
        &self,
        name: &str,
        io: AsyncIo,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<U>
    where
        F: Fn((K, V)) -> Fut + 'static,
        Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
    {
        let placed = by_key::<K, V>();
        build(&self.builder, name, self.edge(), placed, io, or_fail, make)
    }

    /// [`Stream::async_map_results`] on the worker that owns the key.
    ///
    /// # Panics
    /// As [`Stream::async_map`].
    #[allow(clippy::type_complexity)]
    pub fn async_map_results<U: Data, F, Fut>(
        &self,
        name: &str,
        io: AsyncIo,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Stream<((K, V), Result<U, AsyncFailure>)>
    where
        F: Fn((K, V)) -> Fut + 'static,
        Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
    {
        let (placed, edge) = (by_key::<K, V>(), self.edge());
        build(&self.builder, name, edge, placed, io, with_failure, make)
    }
}

fn by_key<K: Key, V: Data>() -> Placed<(K, V)> {
    Some(Arc::new(|(key, _)| stable_hash(key)))
}

fn build<T: Data, U: Data, O: Data, F, Fut>(
    builder: &Builder,
    name: &str,
    edge: Edge<T>,
    placed: Placed<T>,
    io: AsyncIo,
    finish: Finish<T, U, O>,
    make: impl Fn() -> F + Send + Sync + 'static,
) -> Stream<O>
where
    F: Fn(T) -> Fut + 'static,
    Fut: Future<Output = Result<U, BoxError>> + Send + 'static,
{
    io.assert_sound(name);
    let make: Make<F> = Arc::new(make);
    let make = move |_: &mut SideMaker<'_, '_, '_>| {
        AsyncOperator::new(io, placed.clone(), finish, make.clone())
    };
    let port = builder.operator(name, io.describe(), edge, make);
    Stream::new(builder.clone(), port)
}

#[cfg(test)]
mod tests;
