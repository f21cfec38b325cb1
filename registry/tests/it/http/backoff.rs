//! Goal: guessing passwords gets slow, by whatever way in, and a cluster behind one address goes on while one of its
//! clients is wrong. Method: the real dispatch with an htpasswd file, and a clock that stands still.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use tempfile::TempDir;
use wharfinger::auth::options::Options;
use wharfinger::http::peer::{Channel, Peer};

use super::exchange::assert_error;
use crate::support::{Answer, Client, Registry};

struct Quay {
    client: Client,
    _folder: TempDir,
}

impl Quay {
    /// Opens a registry with `ada` and `bob`, whose passwords are `right`.
    async fn open(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash("right", 4).unwrap());
        std::fs::write(&path, line("ada") + &line("bob")).unwrap();
        let auth = Options { htpasswd: Some(path), ..options };
        Self { client: Registry { auth, ..Registry::default() }.open().await, _folder: folder }
    }

    async fn send(&self, from: &str, request: http::request::Builder, body: &str) -> Answer {
        let mut request =
            request.header("host", "registry.example").body(Body::from(body.to_owned())).unwrap();
        request
            .extensions_mut()
            .insert(Peer::new(SocketAddr::new(from.parse().unwrap(), 4711), Channel::Plain));
        self.client.send(request).await
    }

    /// Logs in by Basic at a path.
    async fn log_in(&self, from: &str, path: &str, user: &str, password: &str) -> Answer {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        self.send(from, Request::get(path).header("authorization", basic), "").await
    }
}

const HERE: &str = "192.0.2.1";

#[tokio::test(start_paused = true)]
async fn a_guesser_has_to_wait_and_others_have_not() {
    let quay = Quay::open(Options::default()).await;
    assert_eq!(quay.log_in(HERE, "/v2/", "bob", "right").await.status, 200);
    for attempt in 0..10 {
        // Whichever way in: failures are counted together.
        let path = if attempt % 2 == 0 { "/v2/" } else { "/auth/token?service=wharfinger" };
        assert_eq!(quay.log_in(HERE, path, "ada", "wrong").await.status, 401);
    }
    for path in ["/v2/", "/auth/token"] {
        let held = quay.log_in(HERE, path, "ada", "right").await;
        assert_error(&held, 429, "TOOMANYREQUESTS");
        assert_eq!((held.header("retry-after"), held.header("www-authenticate")), ("1", ""));
    }
    let form = "grant_type=password&username=ada&password=right&service=wharfinger";
    assert_eq!(quay.send(HERE, Request::post("/auth/token"), form).await.status, 429);
    // Somebody without credentials, another user, another address.
    assert_eq!(quay.send(HERE, Request::get("/auth/token"), "").await.status, 200);
    assert_eq!(quay.log_in(HERE, "/v2/", "bob", "right").await.status, 200);
    assert_eq!(quay.log_in("192.0.2.2", "/v2/", "ada", "right").await.status, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(quay.log_in(HERE, "/v2/", "ada", "wrong").await.status, 401);
    assert_eq!(quay.log_in(HERE, "/v2/", "ada", "right").await.header("retry-after"), "2");
    tokio::time::advance(Duration::from_secs(2)).await;
    for _ in 0..3 {
        assert_eq!(quay.log_in(HERE, "/v2/", "ada", "right").await.status, 200);
    }
}

/// An old password in one client of a cluster, which asks again and again.
#[tokio::test(start_paused = true)]
async fn a_node_goes_on_while_its_neighbour_is_wrong() {
    let quay = Quay::open(Options { cache_ttl: Duration::ZERO, ..Options::default() }).await;
    for _ in 0..50 {
        for _ in 0..5 {
            let neighbour = quay.log_in(HERE, "/v2/", "ada", "wrong").await;
            assert!([401, 429].contains(&neighbour.status.as_u16()), "{neighbour:?}");
        }
        assert_eq!(quay.log_in(HERE, "/v2/", "bob", "right").await.status, 200);
        tokio::time::advance(Duration::from_secs(3)).await;
    }
    let quay = Quay::open(Options { cache_ttl: Duration::ZERO, ..Options::default() }).await;
    assert_eq!(quay.log_in(HERE, "/v2/", "ada", "right").await.status, 200);
    for _ in 0..50 {
        for _ in 0..12 {
            quay.log_in(HERE, "/v2/", "ada", "wrong").await;
        }
        assert_eq!(quay.log_in(HERE, "/v2/", "ada", "right").await.status, 200, "it is the same user");
        tokio::time::advance(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_exists_is_held_alike() {
    let quay = Quay::open(Options::default()).await;
    let mut answers = Vec::new();
    for user in ["ada", "nobody"] {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            let answer = quay.log_in("192.0.2.7", "/v2/", user, "wrong").await;
            statuses.push((answer.status, answer.header("retry-after").to_owned(), answer.body));
        }
        answers.push(statuses);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_off() {
    let quay = Quay::open(Options { failures_max: 0, ..Options::default() }).await;
    for _ in 0..40 {
        assert_eq!(quay.log_in(HERE, "/v2/", "ada", "wrong").await.status, 401);
    }
}

/// Whoever leaves before he is told has failed all the same, once the password was looked at.
#[tokio::test(start_paused = true)]
async fn leaving_early_does_not_help() {
    let quay = Quay::open(Options { fail_delay: Duration::from_secs(5), ..Options::default() }).await;
    for _ in 0..10 {
        let attempt = quay.log_in(HERE, "/v2/", "ada", "wrong");
        assert!(tokio::time::timeout(Duration::from_millis(500), attempt).await.is_err());
    }
    assert_eq!(quay.log_in(HERE, "/v2/", "ada", "right").await.status, 429);
}
