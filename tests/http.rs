//! What a job serves over HTTP.

use millstream::prelude::*;
use millstream::runtime::clock::Stopwatch;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// The status, the headers and the body of an answer.
fn get(addr: SocketAddr, path: &str) -> (u16, String, String) {
    request(addr, &format!("GET {path} HTTP/1.1"))
}

fn request(addr: SocketAddr, line: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{line}\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// A job over a channel that serves on a port of the system's choice.
fn serving() -> (memory::ChannelHandle<u64>, JobHandle, SocketAddr) {
    let job = Job::new("served");
    let (numbers, source) = memory::channel(100);
    job.timed_source("numbers", source, WatermarkStrategy::ascending())
        .key_by(|n| n % 10)
        .count()
        .name("count")
        .map(|count| {
            assert!(count.0 != 9, "a nine");
            count
        })
        .sink("out", Null::new());
    let config = JobConfig {
        metrics_addr: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..JobConfig::default()
    };
    let handle = job.start(config).unwrap();
    let addr = handle.metrics_addr().expect("the job serves");
    (numbers, handle, addr)
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !is() {
        assert!(watch.elapsed() < DEADLINE, "{what} did not come");
        std::thread::yield_now();
    }
}

#[test]
fn metrics_health_and_status() {
    let (numbers, handle, addr) = serving();
    for n in 0..5 {
        numbers.send_at(1_000 + n as i64, n).unwrap();
    }
    until("five records", || handle.report().records_written() == 5);

    let (status, head, body) = get(addr, "/metrics");
    assert_eq!(status, 200);
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    let line = "millstream_operator_records_in_total{job_name=\"served\",operator=\"count\",uid=\"count\",worker=\"0\"} 5.0";
    assert!(body.lines().any(|found| found == line), "{body}");

    assert_eq!(get(addr, "/healthz").2, "ok\n");

    let (status, head, body) = get(addr, "/status?pretty");
    assert_eq!(status, 200);
    assert!(head.contains("Content-Type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["report"]["job"], "served");
    assert_eq!(body["report"]["operators"][0]["records_in"], 5);
    assert_eq!(body["watermarks"][0]["uid"], "numbers");

    assert_eq!(get(addr, "/nonsense").0, 404);
    assert_eq!(get(addr, "/").0, 200);
    assert_eq!(request(addr, "POST /metrics HTTP/1.1").0, 405);
    let (status, _, body) = request(addr, "HEAD /metrics HTTP/1.1");
    assert_eq!((status, body.as_str()), (200, ""));

    numbers.close();
    handle.wait().unwrap();
    until("the end of the server, with that of the job", || {
        TcpStream::connect(addr).is_err()
    });
}

#[test]
fn a_failed_job_is_not_healthy() {
    let (numbers, handle, addr) = serving();
    numbers.send_at(1_000, 9).unwrap();
    assert!(handle.wait_for(DEADLINE));
    let (status, _, body) = get(addr, "/healthz");
    assert_eq!(status, 503);
    assert!(body.contains("a nine"), "{body}");
    assert!(handle.report().failure.is_some());
    assert!(handle.wait().is_err());
}

#[test]
fn an_address_in_use_is_an_error_before_the_job_starts() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let job = Job::new("second");
    let (_numbers, source) = memory::channel::<u64>(1);
    job.source("numbers", source).sink("out", Null::new());
    let config = JobConfig {
        metrics_addr: Some(addr),
        ..JobConfig::default()
    };
    let error = job.start(config).err().expect("the address is taken");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(
        text.contains("metrics-addr") && text.contains(&addr.to_string()),
        "{text}"
    );
}

/// Half a request, nonsense, and a connection that says nothing do not keep others from their answer.
#[test]
fn bad_requests_hurt_nobody() {
    let (numbers, handle, addr) = serving();
    let mut torn = TcpStream::connect(addr).unwrap();
    torn.write_all(b"GET /metr").unwrap();
    let _silent = TcpStream::connect(addr).unwrap();
    let mut nonsense = TcpStream::connect(addr).unwrap();
    nonsense.write_all(&[0xFF; 300]).unwrap();
    nonsense.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(get(addr, "/healthz").0, 200);
    assert_eq!(get(addr, &format!("/{}", "x".repeat(10_000))).0, 404);
    numbers.close();
    handle.wait().unwrap();
}
