//! Metrics, health and status of a job over HTTP: off unless an address is given.
//!
//! | path | what |
//! |---|---|
//! | `/metrics` | Prometheus' text format, version 0.0.4 |
//! | `/healthz` | 200 `ok` while the job runs; 503 and why when it has failed |
//! | `/status` | the [report](crate::job::JobReport) and who holds which watermark, as JSON |
//!
//! A request is answered on the server's own threads from counters that workers write anyway: it costs them
//! nothing. There is no authentication: whoever reaches the address may read. It is bound before the job
//! starts, so that an address in use is an error then.

mod exposition;
mod table;

pub use exposition::metrics_text;
pub use table::{METRICS, Metric};

use crate::error::{Error, ErrorKind, Result};
use crate::job::JobView;
use serde_json::json;
use std::io::Cursor;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response, Server};

/// An address that is taken, and not served yet.
pub(crate) struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
}

/// A server that runs until it is dropped.
pub(crate) struct HttpServer {
    server: Arc<Server>,
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

/// What a request is answered with.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl HttpServer {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the setting and the address: in use, not of this machine, not permitted.
    pub fn bind(addr: SocketAddr) -> Result<Bound> {
        let wrong = |error: std::io::Error| {
            Error::new(ErrorKind::Config, format!("metrics-addr {addr}")).with_source(error)
        };
        let listener = TcpListener::bind(addr).map_err(wrong)?;
        let addr = listener.local_addr().map_err(wrong)?;
        Ok(Bound { listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Bound {
    /// Begins to answer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the system has no thread left.
    pub fn serve(self, view: JobView) -> Result<HttpServer> {
        let addr = self.addr;
        let wrong = || Error::new(ErrorKind::Config, format!("metrics-addr {addr}"));
        let server = Server::from_listener(self.listener, None)
            .map_err(|error| wrong().with_source(error))?;
        let server = Arc::new(server);
        let requests = server.clone();
        let thread = std::thread::Builder::new()
            .name("mill-http".into())
            .spawn(move || {
                // Ends when it is unblocked.
                while let Ok(request) = requests.recv() {
                    respond(request, &view);
                }
            })
            .map_err(|error| wrong().with_source(error))?;
        tracing::info!(%addr, "metrics at /metrics, health at /healthz, status at /status");
        Ok(HttpServer {
            server,
            addr,
            thread: Some(thread),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that serves metrics has panicked");
        }
    }
}

fn respond(request: Request, view: &JobView) {
    let answer = match request.method() {
        Method::Get | Method::Head => answer(request.url(), view),
        _ => Answer {
            status: 405,
            content_type: TEXT,
            body: "only GET and HEAD\n".into(),
        },
    };
    let response = Response::new(
        answer.status.into(),
        header("Content-Type", answer.content_type)
            .into_iter()
            .collect(),
        Cursor::new(answer.body.as_bytes()),
        Some(answer.body.len()),
        None,
    );
    // Whoever asked is gone.
    if let Err(error) = request.respond(response) {
        tracing::debug!(%error, "nobody waits for the answer");
    }
}

fn header(name: &str, value: &str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

fn answer(url: &str, view: &JobView) -> Answer {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (status, content_type, body) = match path {
        "/metrics" => (200, exposition::CONTENT_TYPE, metrics_text(&view.report())),
        "/healthz" => health(view),
        "/status" => (200, JSON, status(view)),
        "/" => (200, TEXT, "/metrics\n/healthz\n/status\n".to_owned()),
        _ => (
            404,
            TEXT,
            "there is /metrics, /healthz and /status\n".to_owned(),
        ),
    };
    Answer {
        status,
        content_type,
        body,
    }
}

fn health(view: &JobView) -> (u16, &'static str, String) {
    match view.failure() {
        None => (200, TEXT, "ok\n".into()),
        Some(failure) => (503, TEXT, format!("failed: {failure}\n")),
    }
}

fn status(view: &JobView) -> String {
    let status = json!({ "report": view.report(), "watermarks": view.watermarks() });
    format!("{status:#}\n")
}
