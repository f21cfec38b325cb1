//! Goal: the audit log has each change that came as far as the policy, each refusal and each failed login, with who it
//! was and what came of it, and nothing secret. Method: the real dispatch with accounts, a table of requests, and the
//! lines that they leave.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wharfinger::auth::options::{AccessControl, Action, Options, RepositoryPolicy, Rule};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::http::peer::{Channel, Peer};
use wharfinger::telemetry::Target;
use wharfinger::telemetry::audit::Audit;

use super::manifests::{IMAGE, small};
use crate::support::{Answer, Client, Registry, sha256};

/// What must not be in any line; the password is one that nobody would guess to be in a path.
const SECRETS: [&str; 3] = ["hunter2", "wrong-secret", "eyJ"];

struct Watched {
    client: Client,
    audit: Audit,
    writing: JoinHandle<()>,
    path: PathBuf,
    _folder: TempDir,
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

impl Watched {
    /// Anybody may pull; `admin` may do everything, and `eve` may push.
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (htpasswd, path) = (folder.path().join("htpasswd"), folder.path().join("audit"));
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash("hunter2", 4).unwrap());
        std::fs::write(&htpasswd, line("admin") + &line("eve")).unwrap();
        let rule = |user: &str, actions: &[Action]| Rule {
            users: vec![user.to_owned()],
            groups: Vec::new(),
            actions: actions.to_vec(),
            ..Rule::default()
        };
        let policy = RepositoryPolicy {
            policies: vec![rule("eve", &[Action::Read, Action::Create])],
            anonymous_policy: vec![Action::Read],
            ..RepositoryPolicy::default()
        };
        let all = [Action::Read, Action::Create, Action::Update, Action::Delete];
        let access = AccessControl {
            repositories: vec![("**".to_owned(), policy)],
            admin: rule("admin", &all),
            ..AccessControl::default()
        };
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let (audit, writing) = Audit::start(&Target::File(path.clone()), clock).unwrap();
        let auth =
            Options { htpasswd: Some(htpasswd), access: Some(access), api_keys: true, ..Options::default() };
        let registry = Registry { auth, audit: Some(audit.clone()), ..Registry::default() };
        Self { client: registry.open().await, audit, writing, path, _folder: folder }
    }

    async fn send(&self, authorization: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry.example");
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        if path.contains("/manifests/") {
            request = request.header("content-type", IMAGE);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer::new(SocketAddr::from(([192, 0, 2, 1], 4711)), Channel::Plain));
        self.client.send(request).await
    }

    /// Ends the log, and returns its lines without what stands in each.
    async fn lines(self) -> Vec<Value> {
        self.audit.end().await;
        self.writing.await.unwrap();
        let text = std::fs::read_to_string(self.path).unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "P11: {text}");
        }
        let strip = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            assert_eq!(fields.remove("time"), Some(json!("2023-11-14T22:13:20.000Z")));
            assert!(fields.remove("request.id").is_some_and(|id| !id.as_str().unwrap().is_empty()));
            assert_eq!(fields.remove("client.address"), Some(json!("192.0.2.1")));
            line
        };
        text.lines().map(strip).collect()
    }
}

/// Makes a line of what all have and what this one has beside it.
fn line(
    event: &str,
    outcome: &str,
    who: [Option<&str>; 2],
    method: &str,
    status: u16,
    more: &Value,
) -> Value {
    let [user, auth] = who;
    let mut line = json!({
        "event": event, "outcome": outcome, "user": user, "auth": auth.unwrap(), "method": method, "status": status,
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

const ADMIN: [Option<&str>; 2] = [Some("admin"), Some("password")];
const EVE: [Option<&str>; 2] = [Some("eve"), Some("password")];
const NOBODY: [Option<&str>; 2] = [None, Some("none")];

#[tokio::test]
async fn changes_are_recorded_with_who_made_them() {
    let (watched, admin) = (Watched::open().await, basic("admin", "hunter2"));
    let manifest = small().to_string();
    let (config, layer, digest) = (sha256(b"{}"), sha256(b"layer"), sha256(manifest.as_bytes()));
    let mut expect = Vec::new();
    for (blob, name) in [("{}", &config), ("layer", &layer)] {
        let path = format!("/v2/app/blobs/uploads/?digest={name}");
        assert_eq!(watched.send(&admin, "POST", &path, blob).await.status, 201);
        expect.push(line(
            "blob.push",
            "done",
            ADMIN,
            "POST",
            201,
            &json!({"repository": "app", "digest": name}),
        ));
    }
    // Steps leave nothing, the change that they were for does.
    let session =
        watched.send(&admin, "POST", "/v2/app/blobs/uploads/", "").await.header("location").to_owned();
    let session = watched.send(&admin, "PATCH", &session, "more").await.header("location").to_owned();
    let more = sha256(b"more");
    assert_eq!(watched.send(&admin, "PUT", &format!("{session}?digest={more}"), "").await.status, 201);
    expect.push(line("blob.push", "done", ADMIN, "PUT", 201, &json!({"repository": "app", "digest": more})));
    for (from, status) in [("app", 201), ("none", 202)] {
        let path = format!("/v2/other/blobs/uploads/?mount={layer}&from={from}");
        assert_eq!(watched.send(&admin, "POST", &path, "").await.status, status);
    }
    let mount = json!({"repository": "other", "from": "app", "digest": layer});
    expect.push(line("blob.mount", "done", ADMIN, "POST", 201, &mount));
    assert_eq!(watched.send(&admin, "PUT", "/v2/app/manifests/v1", &manifest).await.status, 201);
    let push = json!({"repository": "app", "reference": "v1", "digest": digest, "tags": ["v1"]});
    expect.push(line("manifest.push", "done", ADMIN, "PUT", 201, &push));
    let path = format!("/v2/app/manifests/{digest}?tag=v2&tag=v3&secret=hunter2");
    assert_eq!(watched.send(&admin, "PUT", &path, &manifest).await.status, 201);
    let push = json!({"repository": "app", "reference": digest, "digest": digest, "tags": ["v2", "v3"]});
    expect.push(line("manifest.push", "done", ADMIN, "PUT", 201, &push));
    for (path, event, status, more) in [
        ("/v2/app/manifests/v1".to_owned(), "tag.delete", 202, json!({"reference": "v1", "tags": ["v1"]})),
        (
            format!("/v2/app/manifests/{digest}"),
            "manifest.delete",
            202,
            json!({"reference": digest, "digest": digest}),
        ),
        (format!("/v2/app/blobs/{layer}"), "blob.delete", 202, json!({"digest": layer})),
        (
            "/v2/app/manifests/v1".to_owned(),
            "tag.delete",
            404,
            json!({"reference": "v1", "tags": ["v1"], "code": "MANIFEST_UNKNOWN"}),
        ),
    ] {
        assert_eq!(watched.send(&admin, "DELETE", &path, "").await.status, status, "{path}");
        let outcome = if status == 202 { "done" } else { "failed" };
        let mut line = line(event, outcome, ADMIN, "DELETE", status, &more);
        line["repository"] = json!("app");
        expect.push(line);
    }
    // Reading leaves nothing.
    for path in ["/v2/", "/v2/_catalog", "/v2/app/manifests/v9", "/v2/app/tags/list"] {
        watched.send(&admin, "GET", path, "").await;
    }
    assert_eq!(watched.lines().await, expect);
}

#[tokio::test]
async fn refusals_and_failed_logins_are_recorded() {
    let (watched, eve) = (Watched::open().await, basic("eve", "hunter2"));
    let mut expect = Vec::new();
    for (who, authorization, status, code) in
        [(EVE, eve.as_str(), 403, "DENIED"), (NOBODY, "", 401, "UNAUTHORIZED")]
    {
        let answer = watched.send(authorization, "DELETE", "/v2/app/manifests/v1", "").await;
        assert_eq!(answer.status, status);
        let more = json!({"repository": "app", "reference": "v1", "tags": ["v1"], "code": code});
        expect.push(line("tag.delete", "refused", who, "DELETE", status, &more));
    }
    // The first that a push is refused is the session.
    assert_eq!(watched.send("", "POST", "/v2/app/blobs/uploads/", "").await.status, 401);
    let more = json!({"repository": "app", "code": "UNAUTHORIZED"});
    expect.push(line("blob.push", "refused", NOBODY, "POST", 401, &more));
    let failed = |user: Option<&'static str>, auth, method, more: Value| {
        let mut line =
            line("login", "refused", [user, Some(auth)], method, 401, &json!({"code": "UNAUTHORIZED"}));
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    assert_eq!(watched.send(&basic("admin", "wrong-secret"), "GET", "/v2/", "").await.status, 401);
    expect.push(failed(Some("admin"), "password", "GET", json!({})));
    assert_eq!(watched.send(&basic("mallory", "wrong-secret"), "GET", "/auth/token", "").await.status, 401);
    expect.push(failed(Some("mallory"), "password", "GET", json!({})));
    let form = "grant_type=password&username=ada&password=wrong-secret";
    assert_eq!(watched.send("", "POST", "/auth/token", form).await.status, 401);
    expect.push(failed(Some("ada"), "password", "POST", json!({})));
    for form in
        ["grant_type=refresh_token&refresh_token=eyJwrong-secret", "grant_type=refresh_token&refresh_token="]
    {
        assert_eq!(watched.send("", "POST", "/auth/token", form).await.status, 401);
        expect.push(failed(None, "token", "POST", json!({})));
    }
    assert_eq!(
        watched.send("Bearer eyJwrong-secret", "DELETE", "/v2/app/manifests/v1", "").await.status,
        401
    );
    let more = json!({"repository": "app", "reference": "v1", "tags": ["v1"]});
    expect.push(failed(None, "token", "DELETE", more));
    // One who is held was not looked at.
    for _ in 0..9 {
        watched.send(&basic("admin", "wrong-secret"), "GET", "/v2/", "").await;
        expect.push(failed(Some("admin"), "password", "GET", json!({})));
    }
    assert_eq!(watched.send(&basic("admin", "wrong-secret"), "GET", "/v2/", "").await.status, 429);
    assert_eq!(watched.lines().await, expect);
}

#[tokio::test]
async fn a_token_is_named_by_its_owner() {
    let watched = Watched::open().await;
    let page =
        watched.send(&basic("eve", "hunter2"), "GET", "/auth/token?scope=repository:app:pull,push", "").await;
    let token = format!("Bearer {}", page.json()["token"].as_str().unwrap());
    let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(b"x"));
    assert_eq!(watched.send(&token, "POST", &path, "x").await.status, 201);
    let more = json!({"repository": "app", "digest": sha256(b"x")});
    let expect = line("blob.push", "done", [Some("eve"), Some("token")], "POST", 201, &more);
    assert_eq!(watched.lines().await, [expect]);
}

/// The change may be made all the same, so it cannot be passed over.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_recorded() {
    let (watched, admin) = (Watched::open().await, basic("admin", "hunter2"));
    let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<bytes::Bytes>>());
    let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(b"x"));
    let request = Request::post(path).header("host", "registry.example").header("authorization", &admin);
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(Peer::new(SocketAddr::from(([192, 0, 2, 1], 4711)), Channel::Plain));
    {
        let asked = watched.client.0.call(request);
        let deadline = std::time::Duration::from_secs(2);
        assert!(tokio::time::timeout(deadline, asked).await.is_err(), "it waits for the body");
    }
    // By the real clock: the other stands still while this looks.
    let begun = std::time::Instant::now();
    while std::fs::metadata(&watched.path).unwrap().len() == 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "nothing is recorded");
        tokio::task::yield_now().await;
    }
    let lines = watched.lines().await;
    let expect = json!({
        "event": "blob.push", "outcome": "unknown", "user": "admin", "auth": "password", "method": "POST",
        "repository": "app", "digest": sha256(b"x"),
    });
    assert_eq!(lines, [expect]);
}

/// A key outlives whoever is logged in, so that its making is a change like others.
#[tokio::test]
async fn keys_are_recorded_with_whose_they_are() {
    let (watched, eve, admin) = (Watched::open().await, basic("eve", "hunter2"), basic("admin", "hunter2"));
    let made = watched.send(&eve, "POST", "/auth/apikey", "{}").await;
    assert_eq!(made.status, 201);
    let page = made.json();
    let (id, key) = (page["uuid"].as_str().unwrap(), basic("eve", page["apiKey"].as_str().unwrap()));
    let path = format!("/auth/apikey?id={id}&user=eve");
    assert_eq!(watched.send(&key, "POST", "/auth/apikey", "{}").await.status, 403);
    assert_eq!(watched.send(&key, "DELETE", &path, "").await.status, 403);
    assert_eq!(watched.send(&admin, "DELETE", &path, "").await.status, 200);
    assert_eq!(watched.send(&eve, "DELETE", "/auth/apikey?id=hunter2%0A", "").await.status, 404);
    assert_eq!(watched.send(&eve, "GET", "/auth/apikey", "").await.status, 200);
    let of = json!({"owner": "eve", "reference": id});
    let with = |code: &str, more: &Value| {
        let mut more = more.clone();
        more["code"] = code.into();
        more
    };
    let expect = [
        line("apikey.create", "done", EVE, "POST", 201, &of),
        line("apikey.create", "refused", EVE, "POST", 403, &json!({"code": "DENIED"})),
        line("apikey.revoke", "refused", EVE, "DELETE", 403, &json!({"code": "DENIED"})),
        line("apikey.revoke", "done", [Some("admin"), Some("password")], "DELETE", 200, &of),
        line("apikey.revoke", "failed", EVE, "DELETE", 404, &with("UNSUPPORTED", &json!({"owner": "eve"}))),
    ];
    assert_eq!(watched.lines().await, expect);
}

/// A guess whose sender leaves before the verdict, and a mount.
#[tokio::test]
async fn who_leaves_early_is_recorded_as_well() {
    let watched = Watched::open().await;
    let (wrong, admin) = (basic("admin", "wrong-secret"), basic("admin", "hunter2"));
    let leave = async |authorization: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("authorization", authorization);
        let mut request = request.header("host", "registry.example").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::new(SocketAddr::from(([192, 0, 2, 1], 4711)), Channel::Plain));
        let asked = std::pin::pin!(watched.client.0.call(request));
        assert!(futures_util::poll!(asked).is_pending(), "{method} {path}");
    };
    let path = format!("/v2/base/blobs/uploads/?digest={}", sha256(b"x"));
    assert_eq!(watched.send(&admin, "POST", &path, "x").await.status, 201);
    let scopes = "scope=repository:app:pull,push&scope=repository:base:pull";
    let page = watched.send(&admin, "GET", &format!("/auth/token?{scopes}"), "").await.json();
    let token = format!("Bearer {}", page["token"].as_str().unwrap());
    leave(&wrong, "GET", "/v2/").await;
    leave(&basic("eve", "wrong-secret"), "GET", "/auth/token").await;
    let path = format!("/v2/app/blobs/uploads/?mount={}&from=base", sha256(b"x"));
    leave(&token, "POST", &path).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::fs::read_to_string(&watched.path).unwrap().lines().count() < 4 {
        assert!(std::time::Instant::now() < deadline, "not all is recorded");
        tokio::task::yield_now().await;
    }
    let lines = watched.lines().await;
    let unknown = |event: &str, user: &str, method: &str, more: Value| {
        let mut line =
            json!({"event": event, "outcome": "unknown", "user": user, "auth": "password", "method": method});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let mount = json!({"auth": "token", "repository": "app", "from": "base", "digest": sha256(b"x")});
    let expect = [
        unknown("login", "admin", "GET", json!({})),
        unknown("login", "eve", "GET", json!({})),
        unknown("blob.mount", "admin", "POST", mount),
    ];
    assert_eq!(lines[1..], expect);
}
