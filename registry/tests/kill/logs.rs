//! Goal: stdout has one line, logs are for machines, and nothing secret reaches them (P11).
//! Method: passwords planted wherever clients put them, at the chattiest level, and looked for in
//! everything that the server writes, metrics included.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::{Folder, Launch, Random, digest_of};

const RIGHT: &str = "planted-right-5c1f";
const WRONG: &str = "planted-wrong-9e42";

fn basic(password: &str) -> String {
    BASE64_STANDARD.encode(format!("ann:{password}"))
}

/// Everything that must not be found.
fn secrets() -> Vec<String> {
    let mut secrets: Vec<String> = [RIGHT, WRONG].map(str::to_owned).to_vec();
    secrets.extend([basic(RIGHT), basic(WRONG)]);
    secrets
}

fn check(what: &str, text: &str) {
    for secret in secrets() {
        assert!(!text.contains(&secret), "{what} has {secret}: {text}");
    }
}

#[test]
fn p11_no_secret_is_written() {
    let folder = Folder::new();
    let hashed = bcrypt::hash(RIGHT, 4).expect("a password can be hashed");
    let htpasswd = folder.file("htpasswd", &format!("ann:{hashed}\n"));
    let config = format!(
        "http:\n  auth: {{ htpasswd: {{ path: {} }}, failDelay: 1 }}\n  \
         accessControl: {{ repositories: {{ '**': {{ policies: [{{ users: [ann], actions: [read, create] }}] }} }} }}\n\
         log: {{ level: trace }}\n",
        htpasswd.display()
    );
    let server = Launch::on(&folder).config(&config).start();
    let mut wire = server.connect();
    let bytes = Random::new(13).bytes(1000);
    let push = format!("/v2/team/app/blobs/uploads/?digest={}&password={WRONG}", digest_of(&bytes));
    let check_status = |status: u16, answer: std::io::Result<crate::support::Answer>| {
        let answer = answer.expect("there is an answer");
        assert_eq!(answer.status, status, "{answer:?}");
        check("an answer", &format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body)));
    };
    let header = |scheme: &str, value: &str| format!("{scheme} {value}");
    let right = header("Basic", &basic(RIGHT));
    check_status(201, wire.call("POST", &push, &[("Authorization", &right)], &bytes));
    for (name, value) in [
        ("Authorization", header("Basic", &basic(WRONG))),
        ("Authorization", header("Bearer", WRONG)),
        ("Authorization", header("Nonsense", WRONG)),
        ("Authorization", WRONG.to_owned()),
        ("Proxy-Authorization", header("Basic", &basic(WRONG))),
        ("Cookie", format!("password={WRONG}")),
    ] {
        let headers = [(name, value.as_str())];
        check_status(401, server.connect().call("GET", "/v2/team/app/tags/list", &headers, &[]));
    }
    let path = format!("/v2/team/app/blobs/{}?token={WRONG}", digest_of(&bytes));
    check_status(401, server.connect().get(&path));
    // Cut off in the middle, and broken beyond parsing.
    let mut wire = server.connect();
    let headers = [("Authorization", right.as_str()), ("Content-Length", "100")];
    wire.send_head("POST", &push, &headers).expect("it reads");
    drop(wire);
    let mut wire = server.connect();
    wire.send(format!("GET /v2/ {WRONG} HTTP/9\r\n\r\n").as_bytes()).expect("it reads");
    wire.drained();
    let metrics = server.connect().call("GET", "/metrics", &[("Authorization", &right)], &[]);
    check("/metrics", &String::from_utf8_lossy(&metrics.expect("there is an answer").body));

    server.terminate();
    let (status, lines) = server.ended();
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines, Vec::<String>::new(), "stdout is for the address alone");
    let log = folder.log();
    check("the log", &log);
    assert!(!log.to_ascii_lowercase().contains("\"authorization\""), "headers were logged: {log}");
    check_json(&log);
}

/// Every line is an object with the same few keys; the requests are among them.
fn check_json(log: &str) {
    let mut requests = 0;
    for line in log.lines() {
        let json: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(json[key].is_string(), "no {key}: {line}");
        }
        requests += usize::from(json["message"] == "request" && json["http.status"].is_u64());
    }
    assert!(requests >= 8, "{requests} requests were logged: {log}");
}
