//! Goal: clients that do nothing, or little, take nothing from the others, and not for ever.
//! Method: ten thousand idle connections; readers and senders that stand still, each cut by its
//! own limit.

use std::time::{Duration, Instant};

use crate::support::{Connection, Folder, Launch, Random, Server, digest_of, eventually};

/// How long an answer may take while the server is crowded, on a machine that is too.
const PROMPT: Duration = Duration::from_secs(2);
const IDLE: u64 = 10_000;
/// Descriptors that a process needs for other things.
const SPARE: u64 = 500;
/// What the crowd may cost: a buffer for each of those that have sent something, and its task.
const CROWD_PEAK_MAX_KIB: u64 = 256 * 1024;

/// Pushes a blob, and returns its path.
fn push(server: &Server, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
    let answer = server.connect().call("POST", &path, &[], bytes).expect("there is an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/v2/team/app/blobs/{digest}")
}

fn check_prompt(server: &Server, path: &str, bytes: &[u8]) {
    let begun = Instant::now();
    let answer = server.connect().get(path).expect("there is an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body == bytes, "the bytes are others");
    assert!(begun.elapsed() < PROMPT, "it took {:?}", begun.elapsed());
}

/// Returns how many descriptors the server has open.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).expect("the server runs").count()
}

/// Raises this process's limit of open files, and returns how many connections it allows.
fn connections_max() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a limit may be raised to its maximum");
    limit.maximum.map_or(IDLE, |maximum| maximum.saturating_sub(SPARE)).min(IDLE)
}

#[test]
fn p6_ten_thousand_idle_connections_bother_nobody() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { limits: { headerTimeout: 10m } }").start();
    let bytes = Random::new(4).bytes(100_000);
    let path = push(&server, &bytes);
    let count = connections_max();
    if count < IDLE {
        println!("the limit of open files allows {count} connections only");
    }
    let crowd: Vec<Connection> = (0..count)
        .map(|number| {
            let mut wire = server.connect();
            match number % 3 {
                0 => {}
                1 => wire.send(b"GET /v2/ HTT").expect("it reads"),
                _ => assert_eq!(wire.get("/livez").expect("there is an answer").status, 200),
            }
            wire
        })
        .collect();
    let connected = usize::try_from(count).expect("it is small");
    eventually("all connections were taken", || (descriptors(&server) >= connected).then_some(()));
    for _ in 0..20 {
        check_prompt(&server, &path, &bytes);
    }
    let peak = server.peak_memory_kib();
    println!("{count} idle connections, peak memory {peak} KiB");
    assert!(peak < CROWD_PEAK_MAX_KIB, "the server held {peak} KiB");
    drop(crowd);
    eventually("all connections were let go", || (descriptors(&server) < 100).then_some(()));
    check_prompt(&server, &path, &bytes);
}

#[test]
fn p6_a_connection_that_says_nothing_is_closed() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { limits: { headerTimeout: 300ms } }").start();
    // Nothing at all; the beginning of a request; of an HTTP/2 preface; nothing after a request.
    for said in ["", "GET /v2/ HTT", "PRI * HT", "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut wire = server.connect();
        wire.send(said.as_bytes()).expect("it reads");
        let begun = Instant::now();
        let told = String::from_utf8_lossy(&wire.drained()).into_owned();
        assert!(begun.elapsed() > Duration::from_millis(250), "{said:?} was cut at once: {told}");
        assert_eq!(told.starts_with("HTTP/1.1 200"), said.contains("livez"), "{said:?}: {told}");
    }
}

#[test]
fn p6_connections_beyond_the_limit_wait() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { limits: { maxConnections: 2 } }").start();
    let mut crowd = [server.connect(), server.connect()];
    for wire in &mut crowd {
        assert_eq!(wire.get("/livez").expect("there is an answer").status, 200);
    }
    let mut third = server.connect();
    third.send_head("GET", "/livez", &[]).expect("the kernel takes it");
    let socket = third.socket();
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit can be set");
    assert!(third.read(&mut [0]).is_err(), "it is not served while the others are there");
    drop(crowd);
    third.socket().set_read_timeout(Some(PROMPT * 5)).expect("a limit can be set");
    assert_eq!(third.answer("GET").expect("there is an answer").status, 200);
}

/// More than the sockets' buffers hold.
const LARGE: usize = 32 << 20;

#[test]
fn p6_a_slow_reader_blocks_nobody() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let mut random = Random::new(5);
    let (large, small) = (random.bytes(LARGE), random.bytes(70_000));
    let (slow, quick) = (push(&server, &large), push(&server, &small));
    let mut wires: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
    for wire in &mut wires {
        wire.send_head("GET", &slow, &[]).expect("it reads");
        assert_eq!(wire.head().expect("there is an answer").status, 200);
    }
    for (at, expected) in large.iter().enumerate().take(50) {
        for wire in &mut wires {
            let mut byte = [0];
            assert_eq!(wire.read(&mut byte).expect("it sends"), 1);
            assert_eq!(byte[0], *expected, "byte {at}");
        }
        check_prompt(&server, &quick, &small);
    }
}

#[test]
fn p6_a_reader_that_stands_still_is_cut() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { writeTimeout: 1s }").start();
    let bytes = Random::new(6).bytes(LARGE);
    let path = push(&server, &bytes);
    let before = descriptors(&server);
    let mut wire = server.connect();
    wire.send_head("GET", &path, &[]).expect("it reads");
    let head = wire.head().expect("there is an answer");
    assert_eq!(head.header("content-length"), LARGE.to_string());
    let begun = Instant::now();
    eventually("it was given up", || (descriptors(&server) <= before).then_some(()));
    assert!(begun.elapsed() > Duration::from_millis(900), "it was cut after {:?}", begun.elapsed());
    // What was in the buffers is right, and it is plain that it is not all (P1).
    let rest = wire.drained();
    assert!(rest.len() < LARGE && rest == bytes[..rest.len()], "{} bytes came", rest.len());
}

#[test]
fn p2_a_sender_that_stands_still_keeps_what_arrived() {
    let folder = Folder::new();
    let server = Launch::on(&folder).config("http: { readTimeout: 1s }").start();
    let bytes = Random::new(7).bytes(1 << 20);
    let arrived = 300_001;
    let mut wire = server.connect();
    let opened = wire.call("POST", "/v2/team/app/blobs/uploads/", &[], &[]).expect("there is an answer");
    let path = opened.header("location").to_owned();
    wire.send_head("PATCH", &path, &[("Content-Length", &bytes.len().to_string())]).expect("it reads");
    wire.send(&bytes[..arrived]).expect("it reads");
    let begun = Instant::now();
    let answer = wire.answer("PATCH").expect("there is an answer");
    assert!(begun.elapsed() > Duration::from_millis(900), "it was cut after {:?}", begun.elapsed());
    assert_eq!((answer.status, answer.code().as_str()), (400, "BLOB_UPLOAD_INVALID"), "{answer:?}");
    assert_eq!((answer.offset(), answer.header("location")), (arrived, path.as_str()));
    // The rest of the body would be read as the next request.
    assert_eq!(wire.drained(), b"");

    let mut wire = server.connect();
    assert_eq!(wire.get(&path).expect("there is an answer").offset(), arrived);
    let target = format!("{path}?digest={}", digest_of(&bytes));
    let committed = wire.call("PUT", &target, &[], &bytes[arrived..]).expect("there is an answer");
    assert_eq!(committed.status, 201, "{committed:?}");
    check_prompt(&server, &format!("/v2/team/app/blobs/{}", digest_of(&bytes)), &bytes);
}
