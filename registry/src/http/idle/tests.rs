//! Goal: who takes bytes, however slowly, is not cut, and who takes none is; behind TLS as well.
//! Method: pipes of a few bytes and a paused clock.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);
/// What a pipe holds, in bytes.
const PIPE: usize = 512;
/// What is sent, in bytes: less than TLS keeps of what it has encrypted.
const SENT: usize = 40_000;

/// The settings of both sides of TLS.
fn sides() -> (TlsAcceptor, TlsConnector) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

/// Sends, and returns what came of it and how long it took.
async fn send(mut stream: impl AsyncWrite + Unpin) -> (io::Result<()>, Duration) {
    let begun = Instant::now();
    let sent = async {
        stream.write_all(&[7; SENT]).await?;
        stream.flush().await
    };
    (sent.await, begun.elapsed())
}

/// Takes a little from a pipe in each pause, as often as it is told.
async fn sip(mut pipe: DuplexStream, times: usize) {
    let mut buffer = [0; PIPE];
    for _ in 0..times {
        tokio::time::sleep(LIMIT / 2).await;
        if pipe.read(&mut buffer).await.unwrap() == 0 {
            return;
        }
    }
    // It stays, and takes nothing more.
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn p6_a_reader_is_cut_for_standing_still_and_not_for_being_slow() {
    for tls in [false, true] {
        for (times, completes) in [(usize::MAX, true), (40, false)] {
            let (near, far) = duplex(PIPE);
            let (result, took) = if tls {
                let (acceptor, connector) = sides();
                let name = ServerName::try_from("localhost").unwrap();
                let server = acceptor.accept(Idle::new(near, LIMIT));
                let (server, client) = tokio::join!(server, connector.connect(name, far));
                tokio::spawn(sip(client.unwrap().into_inner().0, times));
                send(server.unwrap()).await
            } else {
                tokio::spawn(sip(far, times));
                send(Idle::new(near, LIMIT)).await
            };
            assert!(took > LIMIT * 20, "TLS {tls}: it took {took:?}");
            match result {
                Ok(()) => assert!(completes, "TLS {tls}: it was not cut"),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "TLS {tls}: {error}");
                    assert!(!completes, "TLS {tls}: it was cut after {took:?}");
                }
            }
        }
    }
}
