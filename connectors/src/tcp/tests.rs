//! The TCP source, on real sockets.

use super::connect::Retry;
use super::source::TcpSource;
use crate::format::Parse;
use crate::testing::{error_of, reader_context, until};
use millstream_runtime::record::Data;
use millstream_runtime::source::{Batch, ReadStatus};
use millstream_runtime::source::{ReaderContext, Source, SplitReader};
use std::io::Read;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn open<T: Data, P: Parse<T>>(source: &TcpSource<T, P>) -> Box<dyn SplitReader<T>> {
    let splits = source.enumerator().unwrap().discover().unwrap();
    source.open(&splits[0], None, &reader_context()).unwrap()
}

/// Polls until there are so many records.
fn lines(reader: &mut dyn SplitReader<String>, count: usize) -> Vec<String> {
    let mut batch = Batch::default();
    until("records", || {
        reader.poll(&mut batch, 100).unwrap();
        (batch.records.len() >= count).then_some(())
    });
    batch.records.into_iter().map(|r| r.value).collect()
}

fn listening() -> (TcpSource<String>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (TcpSource::from_listener(listener).unwrap(), address)
}

#[test]
fn lines_of_several_clients_do_not_mix() {
    let (source, address) = listening();
    let mut reader = open(&source);
    let mut clients: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut expected = Vec::new();
    for round in 0..50 {
        for half in 0..2 {
            for (number, client) in clients.iter_mut().enumerate() {
                match half {
                    0 => write!(client, "client {number}").unwrap(),
                    _ => writeln!(client, " line {round}").unwrap(),
                }
                if half == 1 {
                    expected.push(format!("client {number} line {round}"));
                }
            }
        }
    }
    write!(clients[0], "no line end").unwrap();
    expected.push("no line end".into());
    drop(clients);
    let mut found = lines(&mut *reader, expected.len());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn bad_lines_name_their_connection() {
    let (source, address) = listening();
    let mut reader = open(&source);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"good\n\xff\n").unwrap();
    let mut batch = Batch::default();
    until("both", || {
        reader.poll(&mut batch, 100).unwrap();
        (batch.records.len() + batch.bad.len() == 2).then_some(())
    });
    let expected = format!("{}, line 2, byte 5", client.local_addr().unwrap());
    assert_eq!(batch.bad[0].position, expected);
}

#[test]
fn a_job_that_ends_lets_the_port_and_its_clients_go() {
    let (source, address) = listening();
    let reader = open(&source);
    let mut client = TcpStream::connect(address).unwrap();
    drop(reader);
    let mut rest = Vec::new();
    // Closed or reset: it does not wait for ever.
    let _ = client.read_to_end(&mut rest);
    until("the port", || TcpListener::bind(address).ok().map(drop));
}

#[test]
fn too_many_clients_are_turned_away() {
    let (source, address) = listening();
    let mut reader = open(&source.max_connections(1));
    let mut first = TcpStream::connect(address).unwrap();
    writeln!(first, "first").unwrap();
    assert_eq!(lines(&mut *reader, 1), ["first"]);
    let mut second = TcpStream::connect(address).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0, "closed");
    drop(first);
    until("the third", || {
        let mut third = TcpStream::connect(address).unwrap();
        writeln!(third, "third").unwrap();
        let mut batch = Batch::default();
        reader.poll(&mut batch, 10).unwrap();
        (!batch.records.is_empty()).then_some(())
    });
}

#[test]
fn a_client_reconnects_and_tells_when_it_gives_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let retry = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        give_up_after: Some(Duration::from_millis(20)),
    };
    let source = TcpSource::connect(&address).retry(retry);
    let mut reader = open(&source);
    for round in 0..3 {
        let mut server = listener.accept().unwrap().0;
        write!(server, "hello {round}").unwrap();
        drop(server);
        assert_eq!(lines(&mut *reader, 1), [format!("hello {round}")]);
    }
    drop(listener);
    let mut batch = Batch::default();
    let error = until("the error", || reader.poll(&mut batch, 10).err());
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_connection_can_be_the_whole_input() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut reader = open(
        &TcpSource::connect(address)
            .until_closed()
            .json_lines::<u64>(),
    );
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"1\n2\n3").unwrap();
    drop(server);
    let mut batch = Batch::default();
    until("the end", || {
        (reader.poll(&mut batch, 2).unwrap() == ReadStatus::Finished).then_some(())
    });
    let numbers: Vec<u64> = batch.records.into_iter().map(|r| r.value).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_slow_job_slows_the_sender_down() {
    let (source, address) = listening();
    let mut reader = open(&source);
    let mut client = TcpStream::connect(address).unwrap();
    client
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let piece = "x".repeat(1_023) + "\n";
    let mut sent = 0u64;
    // 64 MiB never fit into the queue and the system's buffers.
    while sent < 64 << 10 && client.write_all(piece.as_bytes()).is_ok() {
        sent += 1;
    }
    assert!(sent < 64 << 10, "the sender was never stopped");
    assert_eq!(lines(&mut *reader, 10)[0].len(), 1_023);
}

#[test]
fn a_port_in_use_is_an_error_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = error_of(TcpSource::listen(&address).enumerator());
    assert!(
        error.contains(&address) && error.contains("in use"),
        "{error}"
    );
    let context = ReaderContext {
        available_now: true,
        ..reader_context()
    };
    let (source, _) = listening();
    let error = error_of(source.open(&"clients".to_owned(), None, &context));
    assert!(error.contains("available"), "{error}");
    for source in [TcpSource::listen("nowhere"), TcpSource::connect("nowhere")] {
        assert!(error_of(source.enumerator()).contains("host:port"));
    }
}
