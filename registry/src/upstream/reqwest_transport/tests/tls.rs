//! Goal: a server that cannot be trusted is told apart from one that is away. Method: certificates
//! made here, and servers that speak TLS, or do not.

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;

/// An authority and a file that names it.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Makes a server's settings, with a certificate for `host` that ends with this year.
    pub(super) fn server(&self, host: &str, last_year: i32) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(host, last_year);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }

    /// Makes the settings of a server that talks only to who shows a certificate of this authority.
    fn wary_server(&self) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file.path()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let (certificate, key) = self.issue("127.0.0.1", FAR);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }

    /// Makes a certificate for `host` that ends with this year.
    fn issue(&self, host: &str, last_year: i32) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub(super) fn trusted(&self) -> Options {
        Options { ca_file: Some(self.file.path().to_owned()), ..Options::default() }
    }
}

pub(super) const FAR: i32 = 2099;

async fn check(name: &str, options: &Options, server: Server, expect: (Outcome, Duration)) {
    let transport = ReqwestTransport::new(options).unwrap();
    let url = format!("https://{}/v2/", server.address);
    assert_eq!(exchange(&transport, url, Some(&server)).await, expect, "{name}");
}

#[tokio::test(start_paused = true)]
async fn certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (trusted, careless) = (authority.trusted(), Options { tls_verify: false, ..Options::default() });
    let ok = || answer(&format!("{HEAD_10}0123456789"));
    let bad = NoHead(Fault::Tls);
    for (name, options, tls, expect) in [
        ("trusted", &trusted, authority.server("127.0.0.1", FAR), Whole("0123456789")),
        ("of a stranger", &trusted, stranger.server("127.0.0.1", FAR), NoHead(Fault::Tls)),
        ("expired", &trusted, authority.server("127.0.0.1", 2001), NoHead(Fault::Tls)),
        ("for another host", &trusted, authority.server("127.0.0.2", FAR), bad),
        ("of a stranger, unasked", &careless, stranger.server("127.0.0.1", FAR), Whole("0123456789")),
    ] {
        let server = Server::start(vec![ok()], Some(tls)).await;
        check(name, options, server, (expect, NO_TIME)).await;
    }
    let unknown = Server::start(vec![ok()], Some(authority.server("127.0.0.1", FAR))).await;
    check("without the file", &Options::default(), unknown, (NoHead(Fault::Tls), NO_TIME)).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_shown_to_who_wants_one() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let files = (folder.path().join("client.cert"), folder.path().join("client.key"));
    for (of, welcome) in [(Some(&authority), true), (Some(&stranger), false), (None, false)] {
        let mut options = authority.trusted();
        if let Some(of) = of {
            let (certificate, key) = of.issue("client", FAR);
            std::fs::write(&files.0, certificate.pem()).unwrap();
            std::fs::write(&files.1, key.serialize_pem()).unwrap();
            options.client_certificate = Some(files.clone());
        }
        let script = vec![answer(&format!("{HEAD_10}0123456789"))];
        let server = Server::start(script, Some(authority.wary_server())).await;
        let transport = ReqwestTransport::new(&options).unwrap();
        let url = format!("https://{}/v2/", server.address);
        let (outcome, _) = exchange(&transport, url, None).await;
        assert_eq!(outcome == Whole("0123456789"), welcome, "{outcome:?}");
    }
    let absent = Options { client_certificate: Some((files.0, "/nonexistent".into())), ..Options::default() };
    assert!(matches!(ReqwestTransport::new(&absent), Err(BuildError::AuthorityFile { .. })));
}

/// What proves who we are goes there: nobody in between may take it, and no certificate is shown to it that
/// is meant for the upstream.
#[tokio::test(start_paused = true)]
async fn p11_a_token_endpoint_must_be_whom_it_says_whatever_holds_for_the_upstream() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let files = (folder.path().join("client.cert"), folder.path().join("client.key"));
    let (certificate, key) = authority.issue("client", FAR);
    std::fs::write(&files.0, certificate.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let options = Options {
        tls_verify: false,
        client_certificate: Some(files),
        credentials: CredentialSource::Oauth2(Box::default()),
        ..authority.trusted()
    };
    let transport = ReqwestTransport::new(&options).unwrap();
    for (name, tls, peer, arrives) in [
        ("a stranger as the upstream", stranger.server("127.0.0.1", FAR), Peer::Registry, true),
        ("a stranger", stranger.server("127.0.0.1", FAR), Peer::TokenEndpoint, false),
        ("another host", authority.server("127.0.0.2", FAR), Peer::TokenEndpoint, false),
        ("one that is trusted", authority.server("127.0.0.1", FAR), Peer::TokenEndpoint, true),
        ("the upstream, which wants a certificate", authority.wary_server(), Peer::Registry, true),
        ("one that wants a certificate", authority.wary_server(), Peer::TokenEndpoint, false),
    ] {
        let server = Server::start(vec![answer(&format!("{HEAD_10}0123456789"))], Some(tls)).await;
        let request = get(format!("https://{}/v2/", server.address), options.response_timeout);
        let sent = transport.send(Request { peer, ..request }).await;
        assert_eq!(sent.is_ok(), arrives, "{name}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn handshakes() {
    let options = Options::default();
    let plain = vec![write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Step::Hold];
    let timeout = Fault::Timeout(Phase::Connect);
    for (name, script, fault, took) in [
        ("TLS to a plain port", plain, Fault::Tls, NO_TIME),
        ("FIN", vec![Step::ReadAnything], Fault::Incomplete, NO_TIME),
        ("RST", vec![Step::Reset], Fault::Reset, NO_TIME),
        ("silence", vec![Step::Hold], timeout, options.connect_timeout),
    ] {
        let server = Server::start(vec![script], None).await;
        check(name, &options, server, (NoHead(fault), took)).await;
    }
    let authority = Authority::new();
    let server = Server::start(vec![vec![]], Some(authority.server("127.0.0.1", FAR))).await;
    let url = format!("http://{}/v2/", server.address);
    let plain_to_tls = exchange(&transport(), url, None).await;
    assert_eq!(plain_to_tls, (NoHead(Fault::Protocol), NO_TIME), "plain HTTP to a TLS port");
}

/// Without a close_notify the end may be anybody's: with TLS, a body without a length is not whole.
#[tokio::test(start_paused = true)]
async fn ends_without_close_notify() {
    let authority = Authority::new();
    for (name, text, expect) in [
        ("whole", format!("{HEAD_10}0123456789"), Whole("0123456789")),
        ("short", format!("{HEAD_10}01234"), Cut("01234", Fault::Incomplete)),
        ("without a length", format!("{HEAD_CLOSE}01234"), Cut("01234", Fault::Incomplete)),
    ] {
        let server = Server::start(vec![answer(&text)], Some(authority.server("127.0.0.1", FAR))).await;
        check(name, &authority.trusted(), server, (expect, NO_TIME)).await;
    }
}
