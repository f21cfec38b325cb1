//! Goal: new files are for new connections, old connections go on, and what cannot be used changes nothing and
//! is told once. Method: files that are written while a client downloads; the server looks when it is told to.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use rustls::HandshakeKind;
use tokio::io::AsyncReadExt as _;
use wharfinger::http::options::{Options, TlsOptions};
use wharfinger::http::tls::{Tls, TlsError};

use super::authority::{Authority, Files};
use super::stand::{Stand, ask, connect, head, rest, shown, trusting};
use crate::support::Registry;
use crate::support::log::Log;

/// More than the sockets' buffers hold.
const LARGE: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_for_new_connections_and_breaks_nothing_off() {
    let mut stand = Stand::start().await;
    let bytes: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let digest = stand.client.push_blob("app", &bytes).await;
    let old = stand.files.pair.der();
    let mut download = stand.connect().await;
    assert_eq!(shown(&download), old);
    ask(&mut download, &format!("/v2/app/blobs/{digest}"), "connection: close\r\n").await.unwrap();
    assert!(head(&mut download).await.unwrap().starts_with("HTTP/1.1 200 "));
    let mut begun = vec![0; 100_000];
    download.read_exact(&mut begun).await.unwrap();

    stand.files.make_another();
    stand.files.write_certificate();
    stand.files.write_key();
    stand.tls.look();
    let mut new = stand.connect().await;
    assert_eq!(shown(&new), stand.files.pair.der());
    ask(&mut new, "/livez", "").await.unwrap();
    assert!(head(&mut new).await.unwrap().starts_with("HTTP/1.1 200 "));

    begun.extend(rest(&mut download).await);
    assert!(begun == bytes, "the download is whole: {} bytes", begun.len());
}

#[tokio::test]
async fn what_cannot_be_used_keeps_the_old_and_is_told_once() {
    let mut stand = Stand::start().await;
    let old = stand.files.pair.der();
    let (log, _listening) = Log::listen();
    stand.files.make_another();
    stand.files.write_certificate();
    for _ in 0..3 {
        stand.tls.look();
    }
    let said = log.take();
    assert_eq!(said.matches("cannot be used: what they held before stays").count(), 1, "{said}");
    assert!(said.contains("is not the key of the first certificate in"), "{said}");
    assert_eq!(shown(&stand.connect().await), old);

    std::fs::remove_file(stand.files.path("tls.key")).unwrap();
    stand.tls.look();
    assert!(log.take().contains("http.tls.key: "), "the next fault is another");
    assert_eq!(shown(&stand.connect().await), old);

    // P11: neither a key nor what stands in its place is quoted.
    std::fs::write(stand.files.path("tls.key"), "hunter2").unwrap();
    stand.tls.look();
    let said = log.take();
    assert!(said.contains("holds no private key") && !said.contains("hunter2"), "{said}");

    stand.files.write_key();
    stand.tls.look();
    stand.tls.look();
    let said = log.take();
    let secret = stand.files.pair.key.serialize_pem();
    assert!(
        !secret.lines().filter(|line| !line.starts_with("--")).any(|line| said.contains(line)),
        "P11: {said}"
    );
    assert_eq!(said.matches("read the certificate again").count(), 1, "{said}");
    assert_eq!(shown(&stand.connect().await), stand.files.pair.der());
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_seen() {
    let mut files = Files::new();
    let swap = |files: &mut Files, edition: &str| {
        files.make_another();
        let folder = files.path(edition);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), files.pair.certificate.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), files.pair.key.serialize_pem()).unwrap();
        symlink(edition, files.path("..data_tmp")).unwrap();
        std::fs::rename(files.path("..data_tmp"), files.path("..data")).unwrap();
    };
    swap(&mut files, "..1");
    for name in ["tls.crt", "tls.key"] {
        std::fs::remove_file(files.path(name)).unwrap();
        symlink(format!("..data/{name}"), files.path(name)).unwrap();
    }
    let mut stand = Stand::with(files, Registry::default()).await;
    assert_eq!(shown(&stand.connect().await), stand.files.pair.der());
    swap(&mut stand.files, "..2");
    stand.tls.look();
    assert_eq!(shown(&stand.connect().await), stand.files.pair.der());
}

/// Who may show a certificate shows it at every connection, so that none is let in by one that has expired since, or
/// whose authority is gone. Where none are asked for, sessions are resumed.
#[tokio::test]
async fn only_sessions_without_certificates_are_resumed() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (has_authorities, second) in [(true, HandshakeKind::Full), (false, HandshakeKind::Resumed)] {
            let (files, clients) = (Files::new(), Authority::new());
            let client_authorities = has_authorities.then(|| files.write_client_authority(&clients));
            let tls = TlsOptions { client_authorities, ..files.options() };
            let http = Options { tls: Some(tls), ..Options::default() };
            let stand = Stand::with(files, Registry { http, ..Registry::default() }).await;
            let pair = clients.client("alice", 2099);
            for identity in [Some(&pair), None] {
                let config = Arc::new(trusting(&stand.files.authority, identity, &[version]));
                let visit = async || {
                    let mut stream = connect(stand.address, &config).await?;
                    ask(&mut stream, "/livez", "connection: close\r\n").await?;
                    head(&mut stream).await?;
                    rest(&mut stream).await;
                    Ok::<_, std::io::Error>(stream.get_ref().1.handshake_kind().unwrap())
                };
                assert_eq!(visit().await.unwrap(), HandshakeKind::Full, "{version:?}");
                assert_eq!(visit().await.unwrap(), second, "{version:?}, authorities: {has_authorities}");
                if has_authorities && identity.is_some() {
                    stand.files.write_client_authority(&Authority::new());
                    stand.tls.look();
                    visit().await.expect_err("the authority is gone");
                }
            }
        }
    }
}

#[test]
fn a_start_without_usable_files_says_what_is_wrong() {
    let check = |spoil: &dyn Fn(&Files), expect: &str| {
        let files = Files::new();
        spoil(&files);
        let options = TlsOptions { client_authorities: Some(files.path("clients.crt")), ..files.options() };
        let error: TlsError = Tls::open(&options).expect_err(expect);
        let folder = format!("{}/", files.folder().display());
        assert_eq!(error.to_string().replace(&folder, ""), expect);
    };
    let write = |name: &'static str, content: String| {
        move |files: &Files| std::fs::write(files.path(name), &content).unwrap()
    };
    let torn = Files::new().pair.certificate.pem().replace("-----END", "");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check(
        &|files| std::fs::remove_file(files.path("tls.crt")).unwrap(),
        "http.tls.cert: tls.crt cannot be read: does it exist, and may this process read it?",
    );
    check(
        &|files| {
            std::fs::remove_file(files.path("tls.key")).unwrap();
            std::fs::create_dir(files.path("tls.key")).unwrap();
        },
        "http.tls.key: tls.key cannot be read: does it exist, and may this process read it?",
    );
    check(&write("tls.crt", String::new()), "http.tls.cert: tls.crt holds no certificate in PEM form");
    check(&write("tls.crt", torn), "http.tls.cert: tls.crt is not in PEM form throughout");
    check(
        &write("tls.crt", " ".repeat((1 << 20) + 1)),
        "http.tls.cert: tls.crt cannot be read: does it exist, and may this process read it?",
    );
    check(
        &write("tls.key", encrypted.to_owned()),
        "http.tls.key: tls.key holds no private key in PEM form that is not encrypted",
    );
    check(
        &write("tls.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
        "http.tls.key: the key in tls.key is of a kind that cannot be used; ECDSA, RSA and Ed25519 can",
    );
    check(
        &write("tls.key", Files::new().pair.key.serialize_pem()),
        "http.tls.key: tls.key is not the key of the first certificate in tls.crt; the server's own certificate stands first, and those of its authorities behind it",
    );
    check(
        &|_| {},
        "http.tls.cacert: clients.crt cannot be read: does it exist, and may this process read it?",
    );
    let noise = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    check(&write("clients.crt", noise), "http.tls.cacert: certificate 1 of clients.crt cannot be used");
}
