//! Goal: a client certificate is an account, one that cannot be verified is nobody, and none is no fault.
//! Method: clients with certificates of the right authority, of another, out of date and without a name.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use rustls::AlertDescription;
use tokio::io::AsyncReadExt as _;
use wharfinger::auth;
use wharfinger::auth::options::{
    AccessControl, Action, Attribute, CertificateOptions, RepositoryPolicy, Rule,
};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::http::options::{Options, TlsOptions};
use wharfinger::http::peer::Peer;

use super::authority::{Authority, Files, Pair};
use super::stand::{Stand, ask, connect, head, rest, sends_on, trusting};
use crate::support::{Registry, sha256};

/// A registry where anybody may read `open/**`, accounts may read and push everything, and only alice deletes.
async fn stand(clients: &Authority, certificates: CertificateOptions, accounts: Option<&str>) -> Stand {
    let files = Files::new();
    let client_authorities = Some(files.write_client_authority(clients));
    let tls = Some(TlsOptions { client_authorities, ..files.options() });
    let open = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let all = RepositoryPolicy {
        default_policy: vec![Action::Read, Action::Create],
        ..RepositoryPolicy::default()
    };
    let admin = Rule { users: vec!["alice".to_owned()], actions: vec![Action::Delete], ..Rule::default() };
    let repositories = vec![("open/**".to_owned(), open), ("**".to_owned(), all)];
    let access = Some(AccessControl { repositories, admin, ..AccessControl::default() });
    let htpasswd = accounts.map(|text| {
        std::fs::write(files.path("htpasswd"), text).unwrap();
        files.path("htpasswd")
    });
    let auth = auth::options::Options {
        htpasswd,
        certificates: Some(certificates),
        access,
        api_keys: true,
        ..auth::options::Options::default()
    };
    let http = Options { tls, ..Options::default() };
    Stand::with(files, Registry { http, auth, ..Registry::default() }).await
}

/// Pushes a blob, and returns the status; none where no connection came about.
async fn push(stand: &Stand, identity: Option<&Pair>, login: Option<(&str, &str)>) -> Option<u16> {
    let client = stand.http(identity).build().unwrap();
    let url = stand.url(&format!("/v2/team/app/blobs/uploads/?digest={}", sha256(b"x")));
    let mut request = client.post(url).body("x");
    if let Some((user, password)) = login {
        request = request.basic_auth(user, Some(password));
    }
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_is_an_account() {
    let (clients, strangers) = (Authority::new(), Authority::new());
    let stand = stand(&clients, CertificateOptions::default(), None).await;
    let (alice, bob) = (clients.client("alice", 2099), clients.client("bob", 2099));
    assert_eq!(push(&stand, None, None).await, Some(401), "without one nobody is somebody");
    assert_eq!(push(&stand, Some(&bob), None).await, Some(201));
    let delete = async |pair| {
        let url = stand.url(&format!("/v2/team/app/blobs/{}", sha256(b"x")));
        let client = stand.http(Some(pair)).build().unwrap();
        client.delete(url).send().await.unwrap().status()
    };
    assert_eq!(delete(&bob).await, StatusCode::FORBIDDEN, "who is told apart");
    assert_eq!(delete(&alice).await, StatusCode::ACCEPTED);
    for (refused, why) in [
        (strangers.client("alice", 2099), "of an unknown authority"),
        (clients.client("alice", 2001), "out of date"),
    ] {
        assert_eq!(push(&stand, Some(&refused), None).await, None, "{why}");
    }
    let nameless = clients.workload("spiffe://example.org/ci");
    assert_eq!(push(&stand, Some(&nameless), None).await, Some(401), "no name is nobody");
    let control = clients.client("ali\u{7}ce", 2099);
    assert_eq!(push(&stand, Some(&control), None).await, Some(401), "and so is one that no account can have");
}

/// A connection outlives the certificate that it was opened with, but not as its account.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_is_nobody_on_its_open_connection() {
    let (files, clients) = (Files::new(), Authority::new());
    let client_authorities = Some(files.write_client_authority(&clients));
    let tls = Some(TlsOptions { client_authorities, ..files.options() });
    let auth = auth::options::Options {
        certificates: Some(CertificateOptions::default()),
        ..auth::options::Options::default()
    };
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let http = Options { tls, ..Options::default() };
    let registry = Registry { http, auth, clock: clock.clone(), ..Registry::default() };
    let stand = Stand::with(files, registry).await;
    let alice = clients.client("alice", 2099);
    let config = Arc::new(trusting(&stand.files.authority, Some(&alice), rustls::ALL_VERSIONS));
    let mut stream = connect(stand.address, &config).await.unwrap();
    // The last moment of its last second, and the one behind that: 2099-12-31T00:00:00Z.
    let last = 4_102_358_400_999;
    for (now, expect) in [(1_700_000_000_000, "404"), (last, "404"), (last + 1, "401"), (last, "404")] {
        clock.set(Timestamp::from_millis(now));
        ask(&mut stream, "/v2/team/app/manifests/v1", "").await.unwrap();
        let answer = head(&mut stream).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect} ")), "at {now}: {answer}");
        let length = answer.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        if expect == "401" {
            assert!(answer.to_ascii_lowercase().contains("www-authenticate: basic"), "{answer}");
        }
    }
}

/// With TLS 1.3 the request is on its way before the certificate is refused, and the client still hears why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_hears_why() {
    let (clients, strangers) = (Authority::new(), Authority::new());
    let stand = stand(&clients, CertificateOptions::default(), None).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (pair, expect) in [
            (strangers.client("alice", 2099), AlertDescription::UnknownCA),
            (clients.client("alice", 2001), AlertDescription::CertificateExpired),
        ] {
            let config = Arc::new(trusting(&stand.files.authority, Some(&pair), &[version]));
            let visit = async || {
                let mut stream = connect(stand.address, &config).await?;
                sends_on(&mut stream).await?;
                head(&mut stream).await
            };
            for _ in 0..20 {
                let error = visit().await.expect_err("the certificate is refused");
                let alert = error.get_ref().and_then(|error| error.downcast_ref());
                assert_eq!(alert, Some(&rustls::Error::AlertReceived(expect)), "{version:?}: {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_goes_before_a_certificate() {
    let clients = Authority::new();
    let accounts = format!("carol:{}\n", bcrypt::hash("secret", 4).unwrap());
    let stand = stand(&clients, CertificateOptions::default(), Some(&accounts)).await;
    let alice = clients.client("alice", 2099);
    assert_eq!(push(&stand, Some(&alice), Some(("carol", "guess"))).await, Some(401));
    assert_eq!(push(&stand, Some(&alice), Some(("carol", "secret"))).await, Some(201));
    assert_eq!(push(&stand, None, Some(("carol", "secret"))).await, Some(201));
    let url = stand.url(&format!("/v2/team/app/blobs/{}", sha256(b"x")));
    let delete = stand.http(Some(&alice)).build().unwrap().delete(url);
    let as_carol = delete.try_clone().unwrap().basic_auth("carol", Some("secret"));
    assert_eq!(as_carol.send().await.unwrap().status(), StatusCode::FORBIDDEN, "it is carol who asks");
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_named_by_its_uri() {
    let clients = Authority::new();
    let pattern = auth::options::UriPattern::parse("^spiffe://example.org/workload/([^/]+)$").unwrap();
    let options = CertificateOptions {
        attributes: vec![Attribute::Uri],
        uri_pattern: Some(pattern),
        ..CertificateOptions::default()
    };
    let stand = stand(&clients, options, None).await;
    for (uri, expect) in [
        ("spiffe://example.org/workload/ci", 201),
        ("spiffe://example.org/other/ci", 401),
        ("spiffe://evil/spiffe://example.org/workload/ci", 401),
    ] {
        assert_eq!(push(&stand, Some(&clients.workload(uri)), None).await, Some(expect), "{uri}");
    }
    let by_name = clients.client("alice", 2099);
    assert_eq!(push(&stand, Some(&by_name), None).await, Some(401), "a common name is not asked for");
}

/// Every request of a connection has the same peer: what is known of it is found out once.
#[tokio::test(flavor = "multi_thread")]
async fn requests_know_their_peer() {
    let (files, clients) = (Files::new(), Authority::new());
    let client_authorities = Some(files.write_client_authority(&clients));
    let tls = Some(TlsOptions { client_authorities, ..files.options() });
    let router = Router::new().fallback(|request: Request<Body>| async move {
        let peer: &Peer = request.extensions().get().unwrap();
        let certificate = peer.certificate().map_or("none".to_owned(), |certificate| sha256(certificate));
        format!("{} {certificate}\n", peer.address())
    });
    let client = Registry::default().open().await;
    let options = Options { port: 0, tls, ..Options::default() };
    let stand = Stand::of(files, client, router, &options).await;
    let alice = clients.client("alice", 2099);
    for (identity, expect) in [(None, "none".to_owned()), (Some(&alice), sha256(&alice.der()))] {
        let config = Arc::new(trusting(&stand.files.authority, identity, rustls::ALL_VERSIONS));
        let mut stream = connect(stand.address, &config).await.unwrap();
        let address = stream.get_ref().0.local_addr().unwrap();
        ask(&mut stream, "/", "").await.unwrap();
        ask(&mut stream, "/", "connection: close\r\n").await.unwrap();
        head(&mut stream).await.unwrap();
        let said = String::from_utf8(rest(&mut stream).await).unwrap();
        assert_eq!(said.matches(&format!("{address} {expect}\n")).count(), 2, "{said}");
    }
}

/// What the configuration says now names who is at the other end, also of a connection that is open.
#[test]
fn a_connection_is_named_by_what_is_configured_now() {
    let alice = Authority::new().client("alice", 2099);
    let channel = wharfinger::http::peer::Channel::Tls { certificate: Some(alice.der()), version: "1.3" };
    let peer = Peer::new(std::net::SocketAddr::from(([127, 0, 0, 1], 1)), channel);
    let of = |attribute| {
        let options = CertificateOptions { attributes: vec![attribute], ..CertificateOptions::default() };
        auth::Certificates::new(options)
    };
    let now = wharfinger::clock::Clock::system().now();
    assert!(peer.account(&of(Attribute::CommonName), now).is_some());
    assert!(peer.account(&of(Attribute::Email), now).is_none());
}

/// A key is worth no more than what it was made with.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_made_with_a_certificate_ends_with_it() {
    let clients = Authority::new();
    let stand = stand(&clients, CertificateOptions::default(), None).await;
    let client = stand.http(Some(&clients.client("alice", 2099))).build().unwrap();
    for wish in ["{}", r#"{"expirationDate": "2200-01-01T00:00:00Z"}"#] {
        let made = client.post(stand.url("/auth/apikey")).body(wish).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let text = made.text().await.unwrap();
        assert!(text.contains("\"expirationDate\":\"2099-12-31T"), "{text}");
    }
}
