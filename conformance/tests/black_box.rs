//! Goal: the suite judges rightly. Method: tiny servers that answer one thing to everything, or lie in
//! one known way, and a run of the command itself.

#![expect(clippy::unwrap_used, reason = "Helpers of tests may unwrap as tests do.")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::check::{Level, Outcome};
use conformance::content::sha256;
use conformance::known::Known;
use conformance::report::Report;
use conformance::{Options, RunError, checks, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves every request with what `answer` makes of its head and body; returns the address.
async fn serve(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            // A client that hangs up is no concern of the server's.
            tokio::spawn(async move { one(stream, &*answer).await.is_ok() });
        }
    });
    address
}

async fn one(mut stream: TcpStream, answer: &(dyn Fn(&str, &[u8]) -> Vec<u8> + Sync)) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    while bytes.len() - end < length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let text = answer(&head, &bytes[end..]);
    stream.write_all(&text).await?;
    stream.shutdown().await
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn status(line: &str) -> Vec<u8> {
    answer(line, "Content-Length: 0\r\n", b"")
}

fn options(target: &str) -> Options {
    Options { request_deadline: Duration::from_secs(10), jobs: 4, ..Options::new(target) }
}

fn only(target: &str, filter: &str) -> Options {
    Options { filter: Some(filter.to_owned()), ..options(target) }
}

fn ids(report: &Report, outcome: Outcome) -> Vec<&str> {
    report.checks.iter().filter(|check| check.outcome == outcome).map(|check| check.id.as_str()).collect()
}

#[tokio::test]
async fn a_server_with_one_answer_passes_nothing() {
    for line in ["404 Not Found", "500 Oops", "200 OK", "204 No Content", "403 Forbidden", "301 Moved"] {
        let address = serve(move |_, _| status(line)).await;
        let report = run(options(&address)).await.unwrap();
        assert_eq!(ids(&report, Outcome::Pass), Vec::<&str>::new(), "{line}");
        assert_eq!(ids(&report, Outcome::Fail), ["T-001"], "{line}");
        assert_eq!(report.checks.len(), checks::all().len(), "{line}: every check is accounted for");
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_login_is_an_error_and_no_pass() {
    let challenge = "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n";
    let address = serve(move |_, _| answer("401 No", challenge, b"")).await;
    let report = run(options(&address)).await.unwrap();
    assert_eq!(ids(&report, Outcome::Error), ["T-001"]);
    assert!(report.failures()[0].message.contains("--username"));
    assert_eq!(report.ran(), 0);
}

#[tokio::test]
async fn no_target_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run(options(&format!("http://{address}"))).await.unwrap_err();
    assert!(matches!(error, RunError::Unreachable(_)), "{error}");
    let error = run(options("ftp://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(error, RunError::Target(_)), "{error}");
    let error = run(options("http://127.0.0.1:1/registry")).await.unwrap_err();
    assert!(matches!(error, RunError::Path(_)), "{error}");
}

#[tokio::test]
async fn credentials_are_sent_and_never_reported() {
    let seen = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&seen);
    let address = serve(move |head, _| {
        log.lock().unwrap().push_str(head);
        status("404 Not Found")
    })
    .await;
    let credentials = Some(("alice".to_owned(), "s3cret".to_owned()));
    let report = run(Options { credentials, ..only(&address, "T-001") }).await.unwrap();
    assert!(seen.lock().unwrap().contains("Authorization: Basic YWxpY2U6czNjcmV0"));
    let everything = format!("{report:?}{}", conformance::report::html(&report));
    assert!(!everything.contains("YWxpY2U6czNjcmV0") && !everything.contains("s3cret"));
}

#[tokio::test]
async fn a_known_failure_is_known_and_its_pass_is_a_failure() {
    let address =
        serve(
            |head, _| {
                if head.starts_with("GET /v2/ ") { status("200 OK") } else { status("404 Not Found") }
            },
        )
        .await;
    let all: Vec<&str> = checks::all().iter().map(|check| check.id).collect();
    let known = Known::parse("# It has no header.\nT-001a\n# It answers wrongly.\nT-001\n", &all).unwrap();
    let report = run(Options { known, ..only(&address, "T-001*") }).await.unwrap();
    assert_eq!(ids(&report, Outcome::Fail), ["T-001"]);
    assert!(report.failures()[0].message.contains("take it off the list"));
    // What depends on a check that is not in order cannot say anything.
    assert_eq!(ids(&report, Outcome::Moot), ["T-001a"]);
    let known = Known::parse("# It has no header.\nT-001a\n", &all).unwrap();
    let report = run(Options { known, ..only(&address, "T-001a") }).await.unwrap();
    assert_eq!(ids(&report, Outcome::Known), ["T-001a"]);
    assert!(report.failures().is_empty());
}

#[tokio::test]
async fn the_level_limits_what_runs() {
    let address = serve(|_, _| status("404 Not Found")).await;
    let report = run(Options { level: Level::Must, ..options(&address) }).await.unwrap();
    assert!(report.checks.iter().all(|check| check.level == Level::Must));
    assert!(report.checks.len() > 40);
}

/// The ways in which [`Blobs`] can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    NoDigestCheck,
    RangeOneTooMany,
    SharedBlobs,
    DroppedLastBody,
    SizeOfHead,
    LivingSessions,
}

/// A registry for blobs only, that can lie in one way at a time.
#[derive(Default)]
struct Blobs {
    blobs: HashMap<String, Vec<u8>>,
    sessions: HashMap<String, Vec<u8>>,
    count: u32,
}

impl Blobs {
    fn answer(&mut self, head: &str, body: &[u8], lie: Lie) -> Vec<u8> {
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == "/v2/" {
            return status("200 OK");
        }
        let Some((repo, rest)) = path.trim_start_matches("/v2/").split_once("/blobs/") else {
            return status("404 Not Found");
        };
        match (method, rest) {
            ("POST", "uploads/") => {
                self.count += 1;
                let id = format!("{:032x}", self.count);
                self.sessions.insert(id.clone(), Vec::new());
                let headers = format!("Location: /v2/{repo}/blobs/uploads/{id}\r\nContent-Length: 0\r\n");
                answer("202 Accepted", &headers, b"")
            }
            ("PATCH" | "PUT", session) => self.upload(method, repo, session, query, body, lie),
            ("GET" | "HEAD", digest) => self.pull(method, repo, digest, lie),
            _ => status("404 Not Found"),
        }
    }

    fn pull(&self, method: &str, repo: &str, digest: &str, lie: Lie) -> Vec<u8> {
        let key = if lie == Lie::SharedBlobs { digest.to_owned() } else { format!("{repo}/{digest}") };
        let found = self.blobs.iter().find(|(name, _)| name.ends_with(&key));
        let Some((_, bytes)) = found.filter(|_| digest.starts_with("sha256:")) else {
            return status("404 Not Found");
        };
        let size = bytes.len() + usize::from(lie == Lie::SizeOfHead && method == "HEAD");
        let headers = format!("Docker-Content-Digest: {digest}\r\nContent-Length: {size}\r\n");
        answer("200 OK", &headers, if method == "GET" { bytes } else { b"" })
    }

    fn upload(
        &mut self,
        method: &str,
        repo: &str,
        rest: &str,
        query: &str,
        body: &[u8],
        lie: Lie,
    ) -> Vec<u8> {
        let id = rest.trim_start_matches("uploads/").to_owned();
        let Some(session) = self.sessions.get_mut(&id) else {
            return status("404 Not Found");
        };
        if !(lie == Lie::DroppedLastBody && method == "PUT" && !session.is_empty()) {
            session.extend_from_slice(body);
        }
        if method == "PATCH" {
            let end = session.len() - usize::from(lie != Lie::RangeOneTooMany);
            let headers =
                format!("Location: /v2/{repo}/blobs/{rest}\r\nRange: 0-{end}\r\nContent-Length: 0\r\n");
            return answer("202 Accepted", &headers, b"");
        }
        let digest = query.trim_start_matches("digest=").to_owned();
        let bytes = session.clone();
        if lie == Lie::LivingSessions {
            session.clear();
        } else {
            self.sessions.remove(&id);
        }
        if lie != Lie::NoDigestCheck && sha256(&bytes) != digest {
            return status("400 Bad Request");
        }
        self.blobs.insert(format!("{repo}/{digest}"), bytes);
        let headers = format!("Location: /v2/{repo}/blobs/{digest}\r\nContent-Length: 0\r\n");
        answer("201 Created", &headers, b"")
    }
}

/// Returns what fails of the checks that the little registry is for.
async fn failing(lie: Lie) -> Vec<String> {
    let blobs = Mutex::new(Blobs::default());
    let address = serve(move |head, body| blobs.lock().unwrap().answer(head, body, lie)).await;
    let filter = "R-047,R-028,R-034,T-021,T-023,T-029,T-082,T-091,T-099,T-100";
    let report = run(Options { level: Level::Should, ..only(&address, filter) }).await.unwrap();
    report.failures().iter().map(|check| check.id.clone()).collect()
}

#[tokio::test]
async fn each_planted_lie_is_found_by_its_checks_and_no_other() {
    for (lie, expected) in [
        (Lie::None, &[][..]),
        (Lie::NoDigestCheck, &["T-021", "T-023"]),
        (Lie::RangeOneTooMany, &["T-082"]),
        (Lie::SharedBlobs, &["T-029"]),
        (Lie::DroppedLastBody, &["T-100"]),
        (Lie::SizeOfHead, &["R-034"]),
        (Lie::LivingSessions, &["T-091"]),
    ] {
        assert_eq!(failing(lie).await, expected, "{lie:?}");
    }
}

/// Runs the command and returns its exit code and what it printed.
async fn command(args: &[&str]) -> (i32, String) {
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_conformance")).args(args).output();
    let output = command.await.unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn exit_codes_are_the_contract() {
    let good = serve(|head, _| {
        let headers = "Docker-Distribution-API-Version: registry/2.0\r\nContent-Length: 0\r\n";
        if head.contains(" /v2/ ") { answer("200 OK", headers, b"") } else { status("404 Not Found") }
    })
    .await;
    let run = |target: &str, filter: &str| {
        let args = ["run", "--target", target, "--filter", filter].map(str::to_owned);
        async move { command(&args.iter().map(String::as_str).collect::<Vec<_>>()).await.0 }
    };
    assert_eq!(run(&good, "T-001a").await, 0);
    assert_eq!(run(&good, "R-047").await, 1);
    assert_eq!(run("http://127.0.0.1:1", "T-001").await, 2);
    assert_eq!(run("https://127.0.0.1:1", "T-001").await, 2);
    assert_eq!(run(&good, "no-such-check").await, 3);
    assert_eq!(command(&["run"]).await.0, 2);
    assert_eq!(command(&["explain", "T-999"]).await.0, 2);
    let (code, text) = command(&["explain", "t-021"]).await;
    assert!(code == 0 && text.contains("Why it matters") && text.contains("Who breaks"), "{text}");
    let (code, text) = command(&["list"]).await;
    assert_eq!((code, text.lines().count()), (0, checks::all().len()));
}

/// Against the honest origin of `sim`: a second reading of the specification by other hands.
#[tokio::test]
async fn the_honest_origin_passes() {
    let running = sim::origin::Origin::new().serve("127.0.0.1:0").await.unwrap();
    let report = run(options(&running.url())).await.unwrap();
    let failures: Vec<String> =
        report.failures().iter().map(|check| format!("{} {}", check.id, check.message)).collect();
    assert_eq!(failures, Vec::<String>::new());
    assert!(report.ran() > 150, "only {} checks ran", report.ran());
    running.close().await;
}
