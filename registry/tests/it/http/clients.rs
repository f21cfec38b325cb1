//! Goal: a client is told apart by the address that it came from, through proxies that are trusted and past those that
//! are not, in the log, in limits and in where it is sent for a token. Method: the real dispatch, with a listener's peer
//! in the request, and the real listener where only a socket shows it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharfinger::config;
use wharfinger::http::listener;
use wharfinger::http::peer::{Channel, Peer};

use super::wire::request;
use crate::support::log::Log;
use crate::support::{Answer, Client, Registry};

/// Opens a registry with the section `http` of a file.
async fn open(section: &str) -> Client {
    let loaded = config::parse(&format!("http: {section}"), &|_| None).unwrap();
    Registry { http: loaded.config.http, ..Registry::default() }.open().await
}

/// Sends a GET from an address.
async fn get(client: &Client, from: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path).header("host", "inner:5000");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer::new(SocketAddr::new(from.parse().unwrap(), 4711), Channel::Plain));
    client.send(request).await
}

#[tokio::test]
async fn the_log_has_the_clients_address() {
    let client = open("{ trustedProxies: [10.0.0.0/8] }").await;
    for (from, headers, expect) in [
        ("192.0.2.1", &[("x-forwarded-for", "198.51.100.1")][..], "client.address=192.0.2.1"),
        ("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 198.51.100.1")], "client.address=198.51.100.1"),
        ("10.0.0.1", &[("forwarded", "for=\"[2001:db8::7]:80\"")], "client.address=2001:db8::7"),
        ("::ffff:10.0.0.1", &[], "client.address=10.0.0.1"),
    ] {
        let (log, _listening) = Log::listen();
        get(&client, from, "/v2/", headers).await;
        let lines = log.take();
        assert!(lines.contains(&format!("{expect} ")), "{lines}");
    }
    let (log, _listening) = Log::listen();
    client.get("/v2/").await;
    let lines = log.take();
    assert!(lines.contains("request.id=") && !lines.contains("client.address"), "{lines}");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_tokens_are() {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    std::fs::write(&htpasswd, format!("admin:{}\n", bcrypt::hash("admin", 4).unwrap())).unwrap();
    let file = "http: { trustedProxies: [10.0.0.0/8] }";
    let loaded = config::parse(file, &|_| None).unwrap();
    let auth = wharfinger::auth::options::Options { htpasswd: Some(htpasswd), ..Default::default() };
    let client = Registry { http: loaded.config.http, auth, ..Registry::default() }.open().await;
    let headers = [("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example")];
    for (from, realm) in [("10.0.0.1", "https://registry.example"), ("192.0.2.1", "http://inner:5000")] {
        let challenge = get(&client, from, "/v2/", &headers).await.header("www-authenticate").to_owned();
        assert!(challenge.starts_with(&format!("Bearer realm=\"{realm}/auth/token\"")), "{challenge}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_client_has_its_own_rate() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let section =
        "{ trustedProxies: [10.0.0.0/8], ratelimit: { rate: 3, methods: [{ method: GET, rate: 2 }] } }";
    let client = open(section).await;
    let burst = async |from: &str, headers: &[(&str, &str)]| {
        let mut passed = 0;
        while get(&client, from, "/v2/", headers).await.status != 429 {
            passed += 1;
        }
        passed
    };
    assert_eq!(burst("192.0.2.1", &[]).await, 2);
    assert_eq!(burst("192.0.2.2", &[]).await, 2);
    assert_eq!(burst("10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]).await, 0, "it is the same client");
    assert_eq!(burst("10.0.0.1", &[("x-forwarded-for", "192.0.2.3")]).await, 2);
    // What a stranger writes makes no new client of it, and neither does another address of its network.
    assert_eq!(burst("192.0.2.1", &[("x-forwarded-for", "192.0.2.9")]).await, 0);
    assert_eq!(burst("2001:db8::1", &[]).await, 2);
    assert_eq!(burst("2001:db8::2", &[]).await, 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(burst("192.0.2.1", &[]).await, 2);
    let page = handle.render();
    assert!(page.contains("wharfinger_http_requests_limited_total{limit=\"client\"} 8"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn the_server_has_a_rate_of_its_own() {
    let client = open("{ limits: { maxRequestsPerSecond: 5 }, ratelimit: { rate: 3 } }").await;
    let passed = async |from: &str| {
        let mut passed = 0;
        while get(&client, from, "/v2/", &[]).await.status != 429 {
            passed += 1;
        }
        passed
    };
    assert_eq!([passed("192.0.2.1").await, passed("192.0.2.2").await, passed("192.0.2.3").await], [3, 2, 0]);
    tokio::time::advance(Duration::from_secs(1)).await;
    // What the server refused did not count for its client.
    assert_eq!(passed("192.0.2.3").await, 3);
}

#[tokio::test]
async fn a_client_has_so_many_connections() {
    let client = open("{ limits: { maxConnectionsPerClient: 2, drainTimeout: 10s }, port: 0 }").await;
    let options = config::parse(
        "http: { limits: { maxConnectionsPerClient: 2, drainTimeout: 10s }, port: 0 }",
        &|_| None,
    );
    let options = options.unwrap().config.http;
    let (socket, address) = listener::bind(&options).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = client.0.router(Router::new());
    let server = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        listener::serve(socket, router, &options, stopped).await
    });
    let talk = async |stream: &mut TcpStream| {
        let mut came = [0; 12];
        if stream.write_all(request("GET", "/livez", "").as_bytes()).await.is_err() {
            return false;
        }
        stream.read_exact(&mut came).await.is_ok_and(|_| &came == b"HTTP/1.1 200")
    };
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(talk(&mut stream).await);
        held.push(stream);
    }
    assert!(!talk(&mut TcpStream::connect(address).await.unwrap()).await, "a third is closed");
    held.pop();
    let again = async {
        while !talk(&mut TcpStream::connect(address).await.unwrap()).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("there is room again");
    drop((held, stop));
    assert!(server.await.unwrap(), "the server drained");
}

/// Whoever answers pings and asks for nothing keeps nobody out, probes least of all.
#[tokio::test]
async fn p6_unused_connections_leave_their_slots() {
    let section = "http: { limits: { headerTimeout: 300ms, maxConnections: 3, drainTimeout: 10s }, port: 0 }";
    let options = config::parse(section, &|_| None).unwrap().config.http;
    let (socket, address) = listener::bind(&options).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = Registry::default().open().await.0.router(Router::new());
    let server = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        listener::serve(socket, router, &options, stopped).await
    });
    let mut held = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        held.push(sender);
    }
    let probe = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request("GET", "/livez", "").as_bytes()).await.unwrap();
        let mut came = [0; 12];
        stream.read_exact(&mut came).await.unwrap();
        came
    };
    let came = tokio::time::timeout(Duration::from_secs(30), probe).await.expect("there is room for it");
    assert_eq!(&came, b"HTTP/1.1 200");
    drop((held, stop));
    assert!(server.await.unwrap(), "the server drained");
}
