//! Goal: a connection or a server that goes away leaves uploads that go on, and pulls that are
//! whole or plainly cut.
//! Method: sockets closed in the middle of a chunk; restarts between chunks; SIGTERM with requests
//! under way, with idle connections, and with a client that takes nothing.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Connection, Folder, Launch, Random, Server, digest_of, eventually};

/// More than the sockets' buffers hold.
const LARGE: usize = 32 << 20;

fn open(wire: &mut Connection) -> String {
    let opened = wire.call("POST", "/v2/team/app/blobs/uploads/", &[], &[]).expect("there is an answer");
    assert_eq!(opened.status, 202, "{opened:?}");
    opened.header("location").to_owned()
}

fn commit(server: &Server, path: &str, bytes: &[u8], from: usize) {
    let digest = digest_of(bytes);
    let mut wire = server.connect();
    let target = format!("{path}?digest={digest}");
    let committed = wire.call("PUT", &target, &[], &bytes[from..]).expect("there is an answer");
    assert_eq!(committed.status, 201, "{committed:?}");
    let pulled = wire.get(&format!("/v2/team/app/blobs/{digest}")).expect("there is an answer");
    assert!(pulled.status == 200 && pulled.body == bytes, "the bytes are others: {}", pulled.status);
}

fn push(server: &Server, bytes: &[u8]) -> String {
    let path = open(&mut server.connect());
    commit(server, &path, bytes, 0);
    format!("/v2/team/app/blobs/{}", digest_of(bytes))
}

/// Begins to pull, and does not read the body.
fn begin_pull(server: &Server, path: &str) -> Connection {
    let mut wire = server.connect();
    wire.send_head("GET", path, &[]).expect("it reads");
    assert_eq!(wire.head().expect("there is an answer").status, 200);
    wire
}

fn wait_until_refused(server: &Server) {
    eventually("new connections were refused", || {
        let error = TcpStream::connect(server.address).err()?;
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Some(())
    });
}

#[test]
fn p2_a_dropped_connection_keeps_what_arrived() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let bytes = Random::new(8).bytes(1 << 20);
    let chunked = ("Transfer-Encoding", "chunked".to_owned());
    let sized = ("Content-Length", bytes.len().to_string());
    for (arrived, (name, value)) in [(1, &sized), (300_001, &sized), (262_144, &chunked), (524_289, &chunked)]
    {
        let mut wire = server.connect();
        let path = open(&mut wire);
        wire.send_head("PATCH", &path, &[(name, value)]).expect("it reads");
        if *name == "Transfer-Encoding" {
            wire.send(format!("{arrived:x}\r\n").as_bytes()).expect("it reads");
        }
        wire.send(&bytes[..arrived]).expect("it reads");
        wire.socket().shutdown(Shutdown::Both).expect("it is connected");
        drop(wire);
        let mut wire = server.connect();
        eventually("what arrived was told", || {
            let answer = wire.get(&path).expect("there is an answer");
            (answer.offset() == arrived).then_some(())
        });
        let wrong = [("Content-Range", "0-9")];
        let refused = wire.call("PATCH", &path, &wrong, &bytes[..10]).expect("there is an answer");
        assert_eq!((refused.status, refused.offset()), (416, arrived), "{refused:?}");
        commit(&server, &path, &bytes, arrived);
    }
}

#[test]
fn p2_a_dropped_push_in_one_request_leaves_nothing() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let bytes = Random::new(9).bytes(1 << 20);
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", digest_of(&bytes));
    let mut wire = server.connect();
    wire.send_head("POST", &path, &[("Content-Length", &bytes.len().to_string())]).expect("it reads");
    wire.send(&bytes[..300_000]).expect("it reads");
    eventually("an upload was begun", || (folder.entries("data/uploads").len() == 1).then_some(()));
    drop(wire);
    eventually("it was swept", || folder.entries("data/uploads").is_empty().then_some(()));
    let pulled = server.connect().get(&format!("/v2/team/app/blobs/{}", digest_of(&bytes)));
    assert_eq!(pulled.expect("there is an answer").status, 404);
}

#[test]
fn p2_uploads_go_on_after_a_restart() {
    let folder = Folder::new();
    let bytes = Random::new(10).bytes(1 << 20);
    let mut server = Launch::on(&folder).start();
    let path = open(&mut server.connect());
    let ends = [1, 262_144, 262_145, 700_000, bytes.len()];
    let mut from = 0;
    for (number, end) in ends.into_iter().enumerate() {
        let range = format!("{from}-{}", end - 1);
        let headers = [("Content-Range", range.as_str())];
        let appended = server.connect().call("PATCH", &path, &headers, &bytes[from..end]);
        assert_eq!(appended.expect("there is an answer").status, 202);
        if number % 2 == 0 {
            server.kill();
        } else {
            server.terminate();
            assert_eq!(server.ended().0.code(), Some(0));
        }
        server = Launch::on(&folder).start();
        assert_eq!(server.connect().get(&path).expect("there is an answer").offset(), end);
        from = end;
    }
    commit(&server, &path, &bytes, from);
}

#[test]
fn p1_sigterm_lets_requests_end() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let bytes = Random::new(11).bytes(LARGE);
    let pull_path = push(&server, &bytes);
    let mut pull = begin_pull(&server, &pull_path);
    let mut push = server.connect();
    let push_path = open(&mut push);
    let headers = [("Content-Length", "2000"), ("Expect", "100-continue")];
    push.send_head("PATCH", &push_path, &headers).expect("it reads");
    // Before it has read the head, the server takes the connection for an idle one.
    assert_eq!(push.head().expect("there is an answer").status, 100);
    push.send(&bytes[..1000]).expect("it reads");

    server.terminate();
    wait_until_refused(&server);
    push.send(&bytes[1000..2000]).expect("it reads");
    let answer = push.answer("PATCH").expect("there is an answer");
    assert_eq!((answer.status, answer.header("connection")), (202, "close"), "{answer:?}");
    let mut pulled = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while pulled.len() < LARGE {
        let read = pull.read(&mut piece).expect("it sends");
        assert!(read > 0, "the body was cut after {} bytes", pulled.len());
        pulled.extend_from_slice(&piece[..read]);
    }
    assert!(pulled == bytes, "the bytes are others");
    let (status, lines) = server.ended();
    assert_eq!((status.code(), lines), (Some(0), Vec::new()), "{}", folder.log());

    let server = Launch::on(&folder).start();
    assert_eq!(server.connect().get(&push_path).expect("there is an answer").offset(), 2000);
}

#[test]
fn idle_connections_do_not_hold_up_sigterm() {
    let folder = Folder::new();
    // A request whose head has begun is under way, so its limit holds.
    let server = Launch::on(&folder).config("http: { limits: { headerTimeout: 1s } }").start();
    let mut used = server.connect();
    assert_eq!(used.get("/livez").expect("there is an answer").status, 200);
    let mut silent = server.connect();
    let mut begun = server.connect();
    begun.send(b"GET /v2/ HTT").expect("it reads");
    // The three above were accepted before this one, which is answered.
    assert_eq!(server.connect().get("/livez").expect("there is an answer").status, 200);
    let asked = Instant::now();
    server.terminate();
    assert_eq!(used.drained(), b"");
    assert_eq!(silent.drained(), b"");
    let (status, _) = server.ended();
    assert_eq!(status.code(), Some(0), "{}", folder.log());
    assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
}

#[test]
fn p6_sigterm_with_a_stuck_client_ends_in_time() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { limits: { drainTimeout: 1s } }").start();
    let bytes = Random::new(12).bytes(LARGE);
    let path = push(&server, &bytes);
    let mut stuck = begin_pull(&server, &path);
    let asked = Instant::now();
    server.terminate();
    let (status, lines) = server.ended();
    assert!(asked.elapsed() > Duration::from_millis(900), "it did not wait: {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    assert_eq!((status.code(), lines), (Some(1), Vec::new()));
    assert!(folder.log().contains("requests did not end in time and were cut off"), "{}", folder.log());
    let rest = stuck.drained();
    assert!(rest.len() < LARGE && rest == bytes[..rest.len()], "{} bytes came", rest.len());
}
